"""The filters of the list of events, each alone and combined."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.client import Account, Client, in_days
from tests.rows import rows

DAY = timedelta(days=1)
NOON = datetime(2030, 6, 5, 12, tzinfo=UTC)


def listed(client: Client, by: Account | None = None, /, **query: Any) -> set[str]:
    """Return the titles of the only page, after checking the total."""
    reply = client("GET", f"/events?{urlencode(query)}", by=by)
    assert reply.status == 200, reply.text
    assert reply.headers["x-total-count"] == str(len(reply.json))
    return {event["title"] for event in reply.json}


def refused(client: Client, by: Account | None = None, /, **query: Any) -> tuple[int, set[str]]:
    reply = client("GET", f"/events?{urlencode(query)}", by=by)
    return reply.status, reply.faulty_fields


def test_a_listed_event_is_the_same_as_a_single_one(client: Client) -> None:
    event = client.event(client.host(), description="For two", location="Yard", saleStartsAt=in_days(-1))
    client.book(client.attendee(), event["eventId"])

    assert client("GET", "/events").json == [client("GET", f"/events/{event['eventId']}").json]


def test_an_empty_list_is_an_empty_array(client: Client) -> None:
    reply = client("GET", "/events")

    assert (reply.status, reply.json, reply.headers["x-total-count"]) == (200, [], "0")


@pytest.fixture
def host(client: Client) -> Account:
    """A host with an event in each state."""
    host = client.host()
    client.event(host, title="Draft", status="draft")
    client.event(host, title="Published")
    for end, title in (("/cancel", "Cancelled"), ("", "Deleted")):
        path = f"/events/{client.event(host, title=title)['eventId']}{end}"
        client("POST" if end else "DELETE", path, by=host)
    return host


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ({}, {"Published"}),
        ({"status": "published"}, {"Published"}),
        ({"status": "cancelled"}, {"Cancelled"}),
    ],
)
def test_published_and_cancelled_events_are_public(
    client: Client, host: Account, query: dict[str, str], titles: set[str]
) -> None:
    for reader in (None, host, client.host(), client.attendee()):
        assert listed(client, reader, **query) == titles


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ({}, {"Draft", "Published", "Cancelled"}),
        ({"status": "draft"}, {"Draft"}),
        ({"status": "published"}, {"Published"}),
        ({"status": "cancelled"}, {"Cancelled"}),
    ],
)
def test_a_host_lists_their_own_events_in_all_states(
    client: Client, host: Account, query: dict[str, str], titles: set[str]
) -> None:
    other_host = client.host()
    client.event(other_host, title="Another's")

    assert listed(client, host, mine="true", **query) == titles
    assert listed(client, host, mine="true", hostId=host.user_id, **query) == titles
    assert listed(client, other_host, mine="true") == {"Another's"}


def test_a_status_may_be_repeated(client: Client, host: Account) -> None:
    def titles(statuses: list[str], **query: str) -> set[str]:
        asked = urlencode({"status": statuses, **query}, doseq=True)
        return {event["title"] for event in client.pages(f"/events?limit=1&{asked}", by=host)}

    assert titles(["published", "cancelled"]) == {"Published", "Cancelled"}
    assert titles(["cancelled", "cancelled"]) == {"Cancelled"}
    assert titles(["draft", "published"], mine="true") == {"Draft", "Published"}
    assert titles(["draft", "cancelled"], mine="true") == {"Draft", "Cancelled"}
    assert titles(["draft", "published", "cancelled"], mine="true") == {"Draft", "Published", "Cancelled"}
    refusal = client("GET", "/events?status=published&status=draft&status=sold", by=host)
    assert (refusal.status, refusal.faulty_fields) == (400, {"status"})


def test_drafts_are_listed_with_mine_only(client: Client, host: Account) -> None:
    for reader in (None, host, client.host(), client.attendee()):
        assert refused(client, reader, status="draft") == (400, {"status"})
    assert refused(client, host, mine="true", hostId=client.host().user_id) == (400, {"hostId"})


def test_only_hosts_can_list_their_own_events(client: Client, host: Account) -> None:
    anonymous = client("GET", "/events?mine=true")

    assert anonymous.status == 401
    assert anonymous.headers["www-authenticate"].startswith("Bearer")
    assert client("GET", "/events?mine=true", by=client.attendee()).status == 403
    assert listed(client, host, mine="false") == {"Published"}


def test_events_are_filtered_by_host(client: Client, host: Account) -> None:
    other_host, idle = client.host(), client.host()
    client.event(other_host, title="Another's")

    assert listed(client, hostId=host.user_id) == {"Published"}
    assert listed(client, hostId=other_host.user_id) == {"Another's"}
    assert listed(client, hostId=idle.user_id) == set()


def test_invalid_filter_values_are_named(client: Client) -> None:
    for name, wrong in {
        "hostId": "me too",
        "from": "yesterday",
        "to": "2030-06-05T12:00:00",
        "q": " ",
        "status": "deleted",
        "onSale": "maybe",
        "mine": "perhaps",
        "sort": "price",
        "order": "up",
        "colour": "red",
    }.items():
        assert refused(client, **{name: wrong}) == (400, {name})


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"from": NOON - DAY}, True),
        ({"from": NOON}, True),
        ({"from": NOON + DAY - timedelta(milliseconds=1)}, True),
        ({"from": NOON + DAY}, False),  # an event does not include its end
        ({"to": NOON}, False),  # `to` is exclusive
        ({"to": NOON + timedelta(milliseconds=1)}, True),
        ({"to": NOON + 2 * DAY}, True),
        ({"from": NOON - 2 * DAY, "to": NOON - DAY}, False),
        ({"from": NOON - DAY, "to": NOON + DAY / 2}, True),
        ({"from": NOON + DAY / 4, "to": NOON + DAY / 2}, True),
        ({"from": NOON + DAY / 2, "to": NOON + 2 * DAY}, True),
        ({"from": NOON + 2 * DAY, "to": NOON + 3 * DAY}, False),
    ],
)
def test_from_and_to_find_events_that_overlap_that_time(
    client: Client, query: dict[str, datetime], *, found: bool
) -> None:
    times = {"startDateTime": NOON.isoformat(), "endDateTime": (NOON + DAY).isoformat()}
    client.event(client.host(), title="From noon to noon", **times)

    asked = {name: time.isoformat() for name, time in query.items()}

    assert listed(client, **asked) == ({"From noon to noon"} if found else set())


def test_the_longest_event_is_found_until_its_end(client: Client) -> None:
    times = {"startDateTime": NOON.isoformat(), "endDateTime": (NOON + 14 * DAY).isoformat()}
    client.event(client.host(), title="Festival", **times)
    last_moment = NOON + 14 * DAY - timedelta(milliseconds=1)

    assert listed(client, **{"from": last_moment.isoformat()}) == {"Festival"}


def test_times_of_filters_can_have_any_offset(client: Client) -> None:
    times = {"startDateTime": NOON.isoformat(), "endDateTime": (NOON + DAY).isoformat()}
    client.event(client.host(), title="From noon to noon", **times)

    assert listed(client, to="2030-06-05T14:00:00+02:00") == set()
    assert listed(client, to="2030-06-05T14:00:01+02:00") == {"From noon to noon"}


@pytest.mark.parametrize(
    ("on_sale", "titles"),
    [("true", {"On sale"}), ("false", {"Too early", "Too late", "Sold out", "Ended"})],
)
def test_on_sale_finds_events_that_can_be_booked_now(client: Client, on_sale: str, titles: set[str]) -> None:
    host = client.host()
    client.event(host, title="On sale", saleStartsAt=in_days(-1))
    client.event(host, title="Too early", saleStartsAt=in_days(1))
    client.event(host, title="Too late", saleEndsAt=in_days(-1))
    sold_out = client.event(host, title="Sold out", capacity=1)
    client.book(client.attendee(), sold_out["eventId"])
    hour = timedelta(hours=1)
    client.past_event(host, started_ago=2 * hour, lasts=hour, title="Ended")

    found = client("GET", f"/events?onSale={on_sale}&from={quote(in_days(-1))}").json

    assert {event["title"] for event in found} == titles
    assert {str(event["onSale"]).lower() for event in found} == {on_sale}


def test_past_events_are_listed_on_request_only(client: Client) -> None:
    host = client.host()
    hour = timedelta(hours=1)
    client.past_event(host, started_ago=3 * hour, lasts=hour, title="Ended")
    client.past_event(host, started_ago=hour, lasts=3 * hour, title="Running")
    client.event(host, title="Upcoming")

    assert listed(client) == {"Running", "Upcoming"}
    assert listed(client, hostId=host.user_id, to=in_days(400)) == {"Running", "Upcoming"}
    assert listed(client, **{"from": in_days(-1)}) == {"Ended", "Running", "Upcoming"}
    assert listed(client, host, mine="true") == {"Ended", "Running", "Upcoming"}


def test_an_event_that_sells_out_and_frees_a_place_changes_lists(client: Client, host: Account) -> None:
    event = client.event(host, title="Small", capacity=1)
    attendee = client.attendee()

    booking = client.book(attendee, event["eventId"])
    assert listed(client, onSale="false") == {"Small"}
    client("DELETE", f"/bookings/{booking.json['bookingId']}", by=attendee)

    assert listed(client, onSale="false") == set()
    assert listed(client, onSale="true") == {"Published", "Small"}


def test_an_event_off_sale_for_several_reasons_is_listed_once(client: Client, host: Account) -> None:
    reasons = {"saleStartsAt": in_days(1), "saleEndsAt": in_days(2)}
    client.event(host, title="Later", **reasons)
    full = client.event(host, title="Full and later", capacity=1, **reasons)
    ended = client.past_event(host, started_ago=timedelta(hours=2), lasts=timedelta(hours=1), title="Ended")
    is_full = "UPDATE places SET taken = capacity, popularity = 10 * ln(capacity + 1) WHERE event_id = :id"
    for event_id in (full["eventId"], ended):
        rows(client, is_full, id=event_id)
    off_sale = ["Ended", "Full and later", "Later"]

    for status, titles in (("published", off_sale), ("published&status=cancelled", ["Cancelled", *off_sale])):
        reply = client("GET", f"/events?onSale=false&from={quote(in_days(-1))}&status={status}")

        assert sorted(event["title"] for event in reply.json) == titles
        assert reply.headers["x-total-count"] == str(len(titles))


def test_drafts_and_cancelled_events_are_not_on_sale(client: Client, host: Account) -> None:
    assert listed(client, host, mine="true", onSale="true") == {"Published"}
    assert listed(client, host, mine="true", onSale="false") == {"Draft", "Cancelled"}


@pytest.fixture
def library(client: Client) -> None:
    host = client.host()
    for title, description in (
        ("Jazz in the yard", "Bring a blanket."),
        ("Tango for two", "With live jazz, wine and a hip-hop break"),
        ("O'Reilly's ball", None),
        ("Ökofest Straße", "Größer als 2029"),
        ("音楽 夕べ", "Концерт"),
        ("A & B | !C", "50% off: C:\\games <b>"),
    ):
        client.event(host, title=title, description=description)


JAZZ, TANGO, BALL, FEST, EVENING, SIGNS = (
    "Jazz in the yard",
    "Tango for two",
    "O'Reilly's ball",
    "Ökofest Straße",
    "音楽 夕べ",
    "A & B | !C",
)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("words", "titles"),
    [
        ("jazz", {JAZZ, TANGO}),
        ("JaZz", {JAZZ, TANGO}),
        ("ja", {JAZZ, TANGO}),
        ("azz", set()),
        ("jazz yard", {JAZZ}),
        ("yard  jazz ", {JAZZ}),
        ("tango wine", {TANGO}),
        ("tango blanket", set()),
        ("hip-hop", {TANGO}),
        ("hop", {TANGO}),
        ("o'reilly", {BALL}),
        ("O'Reilly's", {BALL}),
        ("reilly", {BALL}),
        ("'", set()),
        ('"live jazz"', {TANGO}),
        ("jazz & tango", {TANGO}),
        ("tango | blanket", set()),
        ("!tango", {TANGO}),
        ("jazz:*", {JAZZ, TANGO}),
        ("jazz <-> yard", {JAZZ}),
        ("(jazz", {JAZZ, TANGO}),
        ("c:\\games", {SIGNS}),
        ("50%", {SIGNS}),
        ("öko", {FEST}),
        ("ÖKOFEST", {FEST}),
        ("straße 2029", {FEST}),
        ("音楽", {EVENING}),
        ("концерт", {EVENING}),
        ("音", {EVENING}),
        ("oko", {FEST}),
        ("grosser strasse", {FEST}),
        ("o\u0308kofest", {FEST}),
        ("o\u2019reilly\u2019s", {BALL}),
        ("\uff4a\uff41\uff5a\uff5a", {JAZZ, TANGO}),
        ("ja yard", set()),  # a short word matches as a whole unless it is the last
        ("in the ya", {JAZZ}),
        ("jazz jazz jazz jazz jazz jazz jazz yard", {JAZZ}),
        ("🎷", set()),
        ("🎷🎷 & |", set()),
        ("\\", set()),
    ],
)
def test_events_are_searched_by_prefixes_of_words(client: Client, words: str, titles: set[str]) -> None:
    assert listed(client, q=words) == titles


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("FC St.Pauli", "pauli"),
        ("FC St.Pauli", "st pauli"),
        ("Meet node.js", "js"),
        ("Meet node.js", "node.js"),
        ("Café Olé", "cafe ole"),
        ("Cafe", "café"),
        ("Łódź, Ørsted, Æther", "lodz orsted aether"),
        ("İstanbul", "istanbul"),
        ("rock/pop_und-jazz+soul", "soul"),
        ("ver\u00adfassung", "verfassung"),
        ("Don\u2019t panic", "don't"),
        ("\u201cQuoted\u201d", '"quoted"'),
        ("שָׁלוֹם עולם", "שלום"),
        ("가나다", "\u1100\u1161"),
        ("がっこう", "か\u3099っこう"),
        ("C3PO", "c3"),
        ("x" * 200, "x" * 200),
    ],
)
def test_punctuation_and_accents_do_not_matter(client: Client, title: str, words: str) -> None:
    client.event(client.host(), title=title)
    client.event(client.host(), title="Another")

    assert listed(client, q=words) == {title}


@pytest.mark.parametrize(
    "words",
    [
        "a " * 100,
        "a-" * 100,
        "a'" * 100,
        "a",
        "é",
        " ".join(f"{n:x}" for n in range(60)),
        "!?" * 100,
        "🎷" * 200,
        "שלום " * 40,
        "!" + "\u0301" * 199,
        "e\u0301" * 100,
        "ﷺ" * 200,
        "x" * 200,
        "\\'" * 100,
    ],
)
def test_a_search_has_at_most_six_different_terms(client: Client, words: str) -> None:
    client.event(client.host(), title="Another")

    [[query]] = rows(client, "SELECT search_query(:words)::text", words=words)

    assert query.count("&") < 6
    assert len(set(query.split(" & "))) == len(query.split(" & "))
    assert client("GET", f"/events?{urlencode({'q': words})}").status == 200


def test_any_search_text_is_answered_or_refused(client: Client) -> None:
    client.event(client.host())

    @settings(
        max_examples=60,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(st.text(st.characters() | st.sampled_from("'\\&|!():*<->\"% "), min_size=1, max_size=30))
    def search(words: str) -> None:
        query = urlencode({"q": words}, errors="surrogatepass")
        reply = client("GET", f"/events?{query}")
        assert reply.status == 200 or (reply.status == 400 and reply.faulty_fields == {"q"})

    search()


def test_filters_are_combined(client: Client) -> None:
    host, other_host = client.host(), client.host()
    client.event(host, title="Jazz on sale")
    client.event(host, title="Jazz later", saleStartsAt=in_days(1))
    client.event(host, title="Jazz next year", startDateTime=in_days(365), endDateTime=in_days(366))
    client.event(host, title="Tango on sale")
    client.event(other_host, title="Jazz elsewhere")
    query = {"hostId": host.user_id, "q": "jazz", "onSale": "true", "from": in_days(1), "to": in_days(40)}

    assert listed(client, **query) == {"Jazz on sale"}
    assert listed(client, host, **query, mine="true", status="published") == {"Jazz on sale"}
