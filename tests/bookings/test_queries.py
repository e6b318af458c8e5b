"""Lists and single bookings: attendees see their own, hosts those of their events."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.bookings.references import reference_of, suffix_of
from tests.client import Account, Client, in_days


def found(client: Client, by: Account, query: str = "") -> list[Any]:
    reply = client("GET", f"/bookings?{query}", by=by)
    assert reply.status == 200, reply.text
    assert reply.headers["x-total-count"] == str(len(reply.json))
    return list(reply.json)


def ids(bookings: list[Any]) -> list[str]:
    return [booking["bookingId"] for booking in bookings]


def book(client: Client, attendee: Account, event: Any) -> str:
    return str(client.book(attendee, event["eventId"]).json["bookingId"])


def test_an_attendee_sees_bookings_with_their_event(client: Client) -> None:
    attendee, event = client.attendee(), client.event(client.host(), location="Yard")
    booking = client.book(attendee, event["eventId"]).json

    [listed] = found(client, attendee)

    now = client("GET", f"/events/{event['eventId']}").json
    assert listed == {**booking, "event": now}
    assert client("GET", f"/bookings/{booking['bookingId']}", by=attendee).json == listed


def test_a_host_sees_bookings_with_attendee_and_event(client: Client) -> None:
    host, attendee = client.host(), client.attendee("Ada Lovelace")
    event = client.event(host)
    booking = client.book(attendee, event["eventId"]).json

    [listed] = found(client, host)

    now = client("GET", f"/events/{event['eventId']}").json
    shown = {"name": "Ada Lovelace", "email": attendee.email}
    assert listed == {**booking, "event": now, "attendee": shown}
    assert client("GET", f"/bookings/{booking['bookingId']}", by=host).json == listed


def test_bookings_of_others_are_hidden(client: Client) -> None:
    host, other_host = client.host(), client.host()
    attendee, other = client.attendee(), client.attendee()
    mine = book(client, attendee, client.event(host))
    others = book(client, other, client.event(other_host))

    assert ids(found(client, attendee)) == ids(found(client, host)) == [mine]
    assert ids(found(client, other)) == ids(found(client, other_host)) == [others]
    for stranger in (other, other_host):
        reply = client("GET", f"/bookings/{mine}", by=stranger)
        assert (reply.status, reply.problem) == (404, "no-such-booking")


def test_bookings_require_a_login(client: Client) -> None:
    booking_id = book(client, client.attendee(), client.event(client.host()))

    assert client("GET", "/bookings").status == 401
    assert client("GET", f"/bookings/{booking_id}").status == 401


def test_bookings_are_filtered_by_event(client: Client) -> None:
    host, attendee, other = client.host(), client.attendee(), client.attendee()
    event, another = client.event(host), client.event(host)
    mine = book(client, attendee, event)
    others = book(client, other, event)
    book(client, attendee, another)
    of_event = f"eventId={event['eventId']}"

    assert ids(found(client, attendee, of_event)) == [mine]
    assert sorted(ids(found(client, host, of_event))) == sorted([mine, others])
    assert found(client, client.host(), of_event) == []


def test_bookings_are_filtered_by_status(client: Client) -> None:
    host, attendee = client.host(), client.attendee()
    kept, cancelled = (book(client, attendee, client.event(host)) for _ in range(2))
    client("DELETE", f"/bookings/{cancelled}", by=attendee)

    for reader in (attendee, host):
        assert ids(found(client, reader, "status=confirmed")) == [kept]
        assert ids(found(client, reader, "status=cancelled")) == [cancelled]
        for status in ("pending", "expired"):
            assert found(client, reader, f"status={status}") == []
        both = found(client, reader, "status=confirmed&status=cancelled&status=confirmed&sort=createdAt")
        assert set(ids(both)) == {kept, cancelled}


@pytest.mark.parametrize(
    ("query", "faulty"),
    [
        ("status=paid", "status"),
        ("eventId=17", "eventId"),
        ("sort=amount", "sort"),
        ("order=up", "order"),
        ("userId=0198b2f3-7c1a-7b55-9d41-2f6d0c8a1e90", "userId"),
        ("from=tomorrow", "from"),
        ("q=%20", "q"),
    ],
)
def test_invalid_filter_values_are_named(client: Client, query: str, faulty: str) -> None:
    reply = client("GET", f"/bookings?{query}", by=client.attendee())

    assert (reply.status, reply.faulty_fields) == (400, {faulty})


def past(client: Client, host: Account, attendee: Account) -> str:
    """Book an event that has ended since."""
    event_id = client.past_event(host, started_ago=timedelta(days=1), lasts=timedelta(hours=1))
    return client.book_as_of(attendee, event_id, datetime.now(UTC) - timedelta(days=1, hours=1))


def test_bookings_are_filtered_by_the_end_of_their_event(client: Client) -> None:
    host, attendee = client.host(), client.attendee()
    over, later = past(client, host, attendee), book(client, attendee, client.event(host))
    elsewhere = [past(client, client.host(), host), book(client, host, client.event(client.host()))]

    for query, expected in (("from=2000-01-01T00:00:00Z", [over, later]), (f"from={now()}", [later])):
        assert set(ids(found(client, attendee, query))) == set(expected)
        own = elsewhere if len(expected) == 2 else elsewhere[1:]
        for sort in ("createdAt", "date"):
            assert set(ids(found(client, host, f"{query}&sort={sort}"))) == {*expected, *own}
    assert found(client, host, f"from={in_days(40)[:-6]}Z") == []
    assert ids(found(client, host, f"from={now()}&status=confirmed&q=attendee")) == [later]


def now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def test_hosts_find_bookings_by_name_e_mail_or_reference(client: Client) -> None:
    host = client.host("Hosting Person")
    ada = client.account("attendee", "Ada Lovelace", "Countess@Example.com")
    zoe = client.attendee("Zoë King")
    event, other = client.event(host), client.event(host)
    first, second = book(client, ada, event), book(client, ada, other)
    third = book(client, zoe, event)
    own = book(client, host, client.event(client.host()))
    references = {one["bookingId"]: one["reference"] for one in found(client, host)}

    for q, expected in {
        "lovelace": [first, second],
        "ada love": [first, second],
        "zoe": [third],
        "countess@example.com": [first, second],
        references[first]: [first],
        f"{references[third][:4].lower()}-{references[third][4:]}": [third],
        references[own]: [],
        "hosting": [],
        "ada king": [],
        "countess@example": [],
        "00000000": [],
        "zoe@example.com": [],
        "%": [],
    }.items():
        for sort in ("createdAt", "date"):
            assert set(ids(found(client, host, f"q={quote(q)}&sort={sort}"))) == set(expected), q
    assert ids(found(client, host, f"q=ada&eventId={other['eventId']}")) == [second]
    assert found(client, client.host(), "q=ada") == []


@given(st.uuids())
def test_a_reference_leads_back_to_its_id(booking_id: UUID) -> None:
    reference = reference_of(booking_id)

    assert suffix_of(reference) == booking_id.hex[-10:]
    assert (
        suffix_of(f" {reference[:4].lower()}-{reference[4:]} ".replace("0", "o").replace("1", "l"))
        == (booking_id.hex[-10:])
    )
    assert suffix_of(reference[1:]) is suffix_of(f"{reference[1:]}U") is suffix_of(f"{reference}0") is None


def test_only_hosts_search_bookings(client: Client) -> None:
    reply = client("GET", "/bookings?q=ada", by=client.attendee())

    assert (reply.status, reply.problem) == (403, "forbidden")


@pytest.mark.parametrize("query", ["q=many", "from=2000-01-01T00:00:00Z"])
@pytest.mark.parametrize("sort", ["createdAt", "date"])
def test_found_bookings_are_paged_in_both_directions(client: Client, query: str, sort: str) -> None:
    host = client.host()
    event, another = client.event(host), client.event(host)
    people = client.attendees(4)
    made = [book(client, attendee, event) for attendee in people]
    made += [book(client, attendee, another) for attendee in people[:3]]

    path = f"/bookings?{query}&sort={sort}"
    whole = ids(found(client, host, f"{query}&sort={sort}"))
    first = client("GET", f"{path}&limit=3", by=host)
    second = client("GET", first.links()["next"], by=host)
    last = client("GET", second.links()["next"], by=host)

    assert [*ids(first.json), *ids(second.json), *ids(last.json)] == whole
    assert set(whole) == set(made)
    assert ids(client("GET", last.links()["prev"], by=host).json) == ids(second.json)
    assert ids(client("GET", f"{path}&limit=3&offset=3", by=host).json) == ids(second.json)
    assert {page.headers["x-total-count"] for page in (first, second, last)} == {"7"}


def test_bookings_are_sorted_by_creation_or_date_of_the_event(client: Client) -> None:
    host, attendee = client.host(), client.attendee()
    days = {"in 20": 20, "in 30": 30, "in 10": 10}
    made = {
        name: book(
            client, attendee, client.event(host, startDateTime=in_days(day), endDateTime=in_days(day + 1))
        )
        for name, day in days.items()
    }
    by_date = [made["in 10"], made["in 20"], made["in 30"]]
    by_creation = list(made.values())

    for reader in (attendee, host):
        assert ids(found(client, reader)) == by_creation[::-1]
        assert ids(found(client, reader, "sort=createdAt&order=asc")) == by_creation
        assert ids(found(client, reader, "sort=date")) == by_date
        assert ids(found(client, reader, "sort=date&order=desc")) == by_date[::-1]


@pytest.mark.parametrize("order", ["", "&order=asc", "&order=desc"])
@pytest.mark.parametrize("sort", ["createdAt", "date"])
def test_pages_by_cursor_have_each_booking_once_in_order(client: Client, sort: str, order: str) -> None:
    host = client.host()
    event, another = client.event(host, **at_noon()), client.event(host, **at_noon())
    for attendee in client.attendees(3):
        book(client, attendee, event)
        book(client, attendee, another)
    query = f"/bookings?sort={sort}{order}"

    whole = client("GET", query, by=host).json

    assert len(whole) == 6
    for limit in (1, 4):
        assert list(client.pages(f"{query}&limit={limit}", by=host)) == whole


def at_noon() -> dict[str, str]:
    return {"startDateTime": "2030-06-05T12:00:00Z", "endDateTime": "2030-06-05T13:00:00Z"}


@pytest.mark.parametrize(("method", "suffix"), [("POST", "/cancel"), ("DELETE", "")])
def test_a_booking_shows_a_deleted_event_as_cancelled(client: Client, method: str, suffix: str) -> None:
    host, attendee = client.host(), client.attendee()
    event = client.event(host, title="Off")
    booking_id = book(client, attendee, event)

    client(method, f"/events/{event['eventId']}{suffix}", by=host)

    for reader in (attendee, host):
        booking = client("GET", f"/bookings/{booking_id}", by=reader).json
        assert booking["status"] == "cancelled"
        assert booking["event"]["title"] == "Off"
        assert booking["event"]["status"] == "cancelled"
        assert booking["event"]["onSale"] is False
        assert found(client, reader) == [booking]


def test_a_booking_shows_a_past_event_after_its_deletion(client: Client) -> None:
    host, attendee = client.host(), client.attendee()
    hour = timedelta(hours=1)
    event_id = client.past_event(host, started_ago=2 * hour, lasts=hour)
    booking_id = client.book_as_of(attendee, event_id, datetime.now(UTC) - 3 * hour)

    client("DELETE", f"/events/{event_id}", by=host)

    booking = client("GET", f"/bookings/{booking_id}", by=attendee).json
    assert (booking["status"], booking["event"]["status"]) == ("confirmed", "published")


def test_a_host_sees_bookings_of_deleted_accounts_without_name(client: Client) -> None:
    host, attendee, other = client.host(), client.attendee(), client.attendee()
    hour = timedelta(hours=1)
    event_id = client.past_event(host, started_ago=hour, lasts=hour * 2)
    for account in (attendee, other):
        client.book_as_of(account, event_id, datetime.now(UTC) - 2 * hour)

    assert client("DELETE", "/users/me", by=attendee).status == 204

    shown = {booking["userId"]: booking["attendee"] for booking in found(client, host)}
    assert shown == {attendee.user_id: {}, other.user_id: {"name": other.name, "email": other.email}}


def test_a_bookings_etag_changes_with_the_booking(client: Client) -> None:
    host, attendee = client.host(), client.attendee()
    path = f"/bookings/{book(client, attendee, client.event(host))}"
    tag = client("GET", path, by=attendee).headers["etag"]

    unchanged = client("GET", path, by=attendee, headers={"If-None-Match": tag})
    client("DELETE", path, by=host)
    changed = client("GET", path, by=attendee, headers={"If-None-Match": tag})

    assert (unchanged.status, unchanged.text) == (304, "")
    assert (changed.status, changed.json["status"]) == (200, "cancelled")
    assert changed.json["updatedAt"] != changed.json["createdAt"]
    assert changed.headers["etag"] != tag
    assert changed.headers["cache-control"] == "private, no-store"
