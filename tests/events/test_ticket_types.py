"""Ticket types: added, changed and removed by the host, with rules of their own."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.wiring import Wiring, using
from tests.client import Account, Client, Reply, event_body, in_days
from tests.database_contents import contents
from tests.rows import executed_statements, rows, taken, value

EARLY = {"name": "Early bird", "price": 1500}
REGULAR = {"name": "Regular", "price": 2500}


@pytest.fixture
def host(client: Client) -> Account:
    return client.host()


def publish(client: Client, host: Account, *types: dict[str, Any], **members: Any) -> Any:
    """Publish an event with ticket types, and return it."""
    return client.event(host, ticketTypes=list(types), **members)


def path_of(event: Any, number: int | None = None) -> str:
    path = f"/events/{event['eventId']}/ticket-types"
    return path if number is None else f"{path}/{event['ticketTypes'][number]['ticketTypeId']}"


def add(client: Client, host: Account, event: Any, **members: Any) -> Reply:
    return client("POST", path_of(event), {"name": "VIP", "price": 9000, **members}, by=host)


def patch(client: Client, host: Account, event: Any, number: int, **members: Any) -> Reply:
    return client("PATCH", path_of(event, number), members, by=host)


def remove(client: Client, host: Account, event: Any, number: int) -> Reply:
    return client("DELETE", path_of(event, number), by=host)


def shown(client: Client, event: Any) -> Any:
    return client("GET", f"/events/{event['eventId']}").json


def names(event: Any) -> list[str]:
    return [kind["name"] for kind in event["ticketTypes"]]


def book(client: Client, event: Any, number: int, quantity: int = 1, by: Account | None = None) -> Reply:
    items = [{"ticketTypeId": event["ticketTypes"][number]["ticketTypeId"], "quantity": quantity}]
    body = {"eventId": event["eventId"], "items": items}
    return client("POST", "/bookings", body, by=by or client.attendee())


def revision(client: Client, event: Any) -> int:
    return int(value(client, "SELECT revision FROM places WHERE event_id = :id", id=event["eventId"]))


def counted(client: Client, event: Any) -> list[int | None]:
    """Return the counters of an event's ticket types, in the order of the list."""
    found = rows(
        client,
        "SELECT taken FROM pools WHERE event_id = :id AND kind = 'ticket-type' ORDER BY pool_id",
        id=event["eventId"],
    )
    return [row.taken for row in found]


def test_types_keep_their_order_and_their_details(client: Client, host: Account) -> None:
    full = {
        "name": "Group",
        "description": "For friends",
        "price": 2000,
        "capacity": 40,
        "saleStartsAt": "2030-01-01T00:00:00Z",
        "saleEndsAt": "2030-02-01T00:00:00Z",
        "minPerBooking": 4,
        "maxPerBooking": 10,
        "codeRequired": True,
    }
    times = {"startDateTime": "2030-06-05T17:30:00Z", "endDateTime": "2030-06-05T20:00:00Z"}
    many = [{"name": f"Row {number}", "price": 0} for number in range(49)]

    event = publish(client, host, full, *many, currency="usd", **times)

    assert names(event) == ["Group", *(kind["name"] for kind in many)]
    group = event["ticketTypes"][0]
    assert {name: group[name] for name in full} == full
    assert (group["currency"], group["taken"]) == ("usd", 0)
    assert event["price"] == 0
    assert client("GET", f"/events/{event['eventId']}", by=host).json == event


def test_an_event_without_types_has_one_at_its_price(client: Client, host: Account) -> None:
    event = client.event(host, price=2500)

    assert names(event) == ["General admission"]
    assert event["ticketTypes"][0]["price"] == 2500
    assert counted(client, event) == [None]


def test_a_price_besides_types_is_refused(client: Client, host: Account) -> None:
    for price in (0, 2500):
        reply = client("POST", "/events", event_body(ticketTypes=[EARLY], price=price), by=host)

        assert (reply.status, reply.faulty_fields) == (400, {"price"})


@pytest.mark.parametrize(
    ("types", "faulty"),
    [
        ([], "ticketTypes"),
        ([EARLY] * 51, "ticketTypes"),
        ({}, "ticketTypes"),
        (None, "ticketTypes"),
        ([5], "ticketTypes[0]"),
        ([EARLY, {"name": "Free"}], "ticketTypes[1].price"),
        ([{"price": 0}], "ticketTypes[0].name"),
        ([EARLY, {**EARLY, "ticketTypeId": "x"}], "ticketTypes[1].ticketTypeId"),
        ([EARLY, {**EARLY, "price": 49}], "ticketTypes[1].price"),
        ([{**EARLY, "saleEndsAt": timedelta(days=31)}], "ticketTypes[0].saleEndsAt"),
        ([{**EARLY, "saleStartsAt": timedelta(days=31)}], "ticketTypes[0].saleStartsAt"),
        ([{**EARLY, "minPerBooking": 3, "maxPerBooking": 2}], "ticketTypes[0].minPerBooking"),
    ],
)
def test_a_bad_type_of_a_new_event_is_named(client: Client, host: Account, types: Any, faulty: str) -> None:
    before = contents(client)
    body = {**event_body(), "ticketTypes": types}
    if isinstance(types, list):
        body["ticketTypes"] = [with_times(kind) for kind in types]

    reply = client("POST", "/events", body, by=host)

    assert (reply.status, reply.faulty_fields) == (400, {faulty})
    assert contents(client) == before


def with_times(kind: Any) -> Any:
    """Replace each duration by the time that is this far from now."""
    if not isinstance(kind, dict):
        return kind
    return {
        name: in_days(member / timedelta(days=1)) if isinstance(member, timedelta) else member
        for name, member in kind.items()
    }


BAD_MEMBERS: list[tuple[str, Any]] = [
    *(("name", bad) for bad in ("", " ", "\u200b", None, 5, "x" * 201, "a\0b", "\ud800")),
    *(("description", bad) for bad in (5, "x" * 501, "\udfff")),
    *(("price", bad) for bad in (-1, 1, 49, 10**12, 2**63, 25.5, "2500", True, None)),
    *(("capacity", bad) for bad in (0, -1, 1_000_001, 1.5, "2", True)),
    *(("minPerBooking", bad) for bad in (0, -1, 101, 1.5, "2", True, None)),
    *(("maxPerBooking", bad) for bad in (0, -1, 101, 1.5, "2", True, None)),
    *(("saleStartsAt", bad) for bad in ("tomorrow", "2030-01-01", 0, timedelta(days=31))),
    *(("saleEndsAt", bad) for bad in ("tomorrow", "2030-01-01", 0, timedelta(days=31))),
    *(("codeRequired", bad) for bad in ("true", 1, None)),
    ("currency", "eur"),
]


@pytest.mark.parametrize(("member", "bad"), BAD_MEMBERS, ids=str)
def test_a_bad_member_of_a_type_is_named(client: Client, host: Account, member: str, bad: Any) -> None:
    event = publish(client, host, EARLY)
    before = contents(client)

    for reply in (
        client("POST", path_of(event), {**REGULAR, member: bad}, by=host),
        client("PATCH", path_of(event, 0), {member: bad}, by=host),
    ):
        assert (reply.status, reply.faulty_fields) == (400, {member}), reply.text
    assert contents(client) == before


def test_an_added_type_can_be_booked(client: Client, host: Account) -> None:
    event = client.event(host, maxPerAttendee=4)

    reply = add(client, host, event, name=" VIP ", capacity=2)

    assert reply.status == 201
    event = shown(client, event)
    assert event["ticketTypes"][1] == reply.json
    assert (reply.json["name"], reply.json["availability"]) == ("VIP", "on-sale")
    assert reply.headers["location"] == f"{path_of(event)}/{reply.json['ticketTypeId']}"
    assert book(client, event, 1, 2).status == 201
    assert book(client, event, 1).problem == "sold-out"
    assert book(client, event, 0).status == 201


def test_a_first_counter_starts_with_the_tickets_booked_so_far(client: Client, host: Account) -> None:
    added, limited = client.event(host), client.event(host)
    for event in (added, limited):
        client.book(client.attendee(), event["eventId"])
    attendee = client.attendee()
    cancelled = client.book(attendee, added["eventId"]).json["bookingId"]

    add(client, host, added)
    assert patch(client, host, limited, 0, capacity=2).json["taken"] == 1
    client("DELETE", f"/bookings/{cancelled}", by=attendee)

    assert (counted(client, added), counted(client, limited)) == ([1, 0], [1])
    assert [kind["taken"] for kind in shown(client, added)["ticketTypes"]] == [1, 0]
    assert client.book(client.attendee(), limited["eventId"]).status == 201
    assert client.book(client.attendee(), limited["eventId"]).problem == "sold-out"
    assert taken(client, added["eventId"]) == 1


def test_an_event_has_at_most_50_types(client: Client, host: Account) -> None:
    event = publish(client, host, *[EARLY] * 49)
    assert add(client, host, event).status == 201
    assert add(client, host, event).problem == "too-many-ticket-types"

    remove(client, host, event, 3)

    assert add(client, host, event).status == 201


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Late bird"},
        {"description": "For the rest"},
        {"description": None},
        {"price": 0},
        {"capacity": 5},
        {"capacity": None},
        {"saleStartsAt": "2029-12-01T00:00:00Z"},
        {"saleEndsAt": None},
        {"minPerBooking": 2, "maxPerBooking": 3},
        {"codeRequired": True},
    ],
)
def test_a_change_of_a_type_keeps_the_rest(client: Client, host: Account, change: dict[str, Any]) -> None:
    full = {**EARLY, "description": "For the first", "capacity": 9, "saleEndsAt": "2030-01-01T00:00:00Z"}
    times = {"startDateTime": "2030-06-05T17:30:00Z", "endDateTime": "2030-06-05T20:00:00Z"}
    event = publish(client, host, full, REGULAR, **times)
    before, first = event["ticketTypes"][0], revision(client, event)

    reply = patch(client, host, event, 0, **change)

    merged = {**before, **change, "availability": reply.json["availability"]}
    assert reply.status == 200
    assert reply.json == {name: member for name, member in merged.items() if member is not None}
    assert shown(client, event)["ticketTypes"] == [reply.json, event["ticketTypes"][1]]
    assert revision(client, event) == first + 1


def test_tickets_keep_the_price_at_which_they_were_booked(client: Client, host: Account) -> None:
    event = publish(client, host, EARLY, REGULAR)
    attendee = client.attendee()
    booking = book(client, event, 0, by=attendee).json

    patch(client, host, event, 0, price=9000)

    kept = client("GET", f"/bookings/{booking['bookingId']}", by=attendee).json
    assert (kept["amount"], kept["items"]) == (1500, booking["items"])
    assert book(client, event, 0).json["amount"] == 9000


def test_the_capacity_of_a_type_stays_above_what_is_taken(client: Client, host: Account) -> None:
    event = publish(client, host, {**EARLY, "capacity": 5}, REGULAR, maxPerAttendee=4)
    book(client, event, 0, 3)
    before = contents(client)

    below = patch(client, host, event, 0, capacity=2, name="Smaller")

    assert (below.status, below.problem) == (409, "capacity-below-taken")
    assert contents(client) == before
    assert patch(client, host, event, 0, capacity=3).json["availability"] == "sold-out"


def test_a_type_without_tickets_is_deleted(client: Client, host: Account) -> None:
    event = publish(client, host, EARLY, REGULAR)
    first = revision(client, event)

    assert remove(client, host, event, 0).status == 204

    after = shown(client, event)
    assert (names(after), after["price"]) == (["Regular"], 2500)
    assert book(client, event, 0).faulty_fields == {"items[0].ticketTypeId"}
    assert client.book(client.attendee(), event["eventId"]).status == 201
    assert revision(client, event) == first + 1
    for reply in (remove(client, host, event, 0), patch(client, host, event, 0, price=0)):
        assert (reply.status, reply.problem) == (404, "no-such-ticket-type")


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_type_with_tickets_is_archived(client: Client, host: Account, *, is_cancelled: bool) -> None:
    event = publish(client, host, EARLY, REGULAR)
    attendee = client.attendee()
    booking = book(client, event, 0, by=attendee).json["bookingId"]
    if is_cancelled:
        client("DELETE", f"/bookings/{booking}", by=attendee)

    assert remove(client, host, event, 0).status == 204

    after = shown(client, event)
    assert [kind["availability"] for kind in after["ticketTypes"]] == ["archived", "on-sale"]
    assert after["price"] == 2500
    assert book(client, event, 0).faulty_fields == {"items[0].ticketTypeId"}
    assert client("GET", f"/bookings/{booking}", by=attendee).json["items"][0]["name"] == "Early bird"
    assert patch(client, host, event, 0, price=0).problem == "ticket-type-archived"
    before = contents(client)
    assert remove(client, host, event, 0).status == 204
    assert contents(client) == before


def test_the_last_type_that_can_be_booked_stays(client: Client, host: Account) -> None:
    event = publish(client, host, EARLY, REGULAR)
    book(client, event, 0)
    remove(client, host, event, 0)

    last = remove(client, host, event, 1)

    assert (last.status, last.problem) == (409, "last-ticket-type")
    assert shown(client, event)["onSale"]


def test_the_price_of_an_event_is_that_of_its_only_open_type(client: Client, host: Account) -> None:
    event = publish(client, host, EARLY, REGULAR)
    book(client, event, 0)
    remove(client, host, event, 0)
    path = f"/events/{event['eventId']}"

    assert client("PATCH", path, {"price": 3000}, by=host).json["price"] == 3000
    assert [kind["price"] for kind in shown(client, event)["ticketTypes"]] == [1500, 3000]
    assert client("PUT", path, event_body(title="Free"), by=host).json["price"] == 0
    assert [kind["price"] for kind in shown(client, event)["ticketTypes"]] == [1500, 0]


def test_an_event_with_several_types_has_no_price_to_change(client: Client, host: Account) -> None:
    event = publish(client, host, EARLY, REGULAR)
    path = f"/events/{event['eventId']}"

    for reply in (
        client("PATCH", path, {"price": 1500}, by=host),
        client("PUT", path, event_body(price=0), by=host),
    ):
        assert (reply.status, reply.faulty_fields) == (400, {"price"})
    put = client("PUT", path, event_body(title="Blues"), by=host)
    assert (put.status, put.json["title"], put.json["ticketTypes"]) == (200, "Blues", event["ticketTypes"])
    assert client("PUT", path, event_body(ticketTypes=[EARLY]), by=host).faulty_fields == {"ticketTypes"}


@pytest.mark.parametrize(
    ("change", "faulty"),
    [
        ({"currency": "huf"}, {"ticketTypes[0].price", "ticketTypes[2].price"}),
        ({"currency": "bhd"}, {"ticketTypes[0].price", "ticketTypes[2].price"}),
        ({"endDateTime": "2030-06-05T18:00:00Z"}, {"ticketTypes[2].saleEndsAt"}),
        ({"saleStartsAt": "2030-04-01T00:00:00Z"}, {"ticketTypes[0].saleEndsAt"}),
        ({"saleEndsAt": "2030-05-01T00:00:00Z"}, {"ticketTypes[1].saleStartsAt"}),
        ({"saleStartsAt": "2030-02-01T00:00:00Z", "saleEndsAt": "2030-05-15T00:00:00Z"}, set()),
        ({"currency": "usd"}, set()),
    ],
)
def test_a_changed_event_still_fits_its_types(
    client: Client, host: Account, change: dict[str, Any], faulty: set[str]
) -> None:
    event = publish(
        client,
        host,
        {"name": "Early bird", "price": 1500, "saleEndsAt": "2030-03-01T00:00:00Z"},
        {"name": "Late bird", "price": 0, "saleStartsAt": "2030-05-10T00:00:00Z"},
        {"name": "Door", "price": 3000, "saleEndsAt": "2030-06-05T20:00:00Z"},
        startDateTime="2030-06-05T17:30:00Z",
        endDateTime="2030-06-05T20:00:00Z",
    )
    before = contents(client)

    reply = client("PATCH", f"/events/{event['eventId']}", change, by=host)

    assert (reply.status, reply.faulty_fields) == (400 if faulty else 200, faulty)
    if faulty:
        assert contents(client) == before


def test_archived_types_do_not_limit_changes(client: Client, host: Account) -> None:
    event = publish(client, host, {**EARLY, "price": 50, "saleEndsAt": in_days(30)}, REGULAR)
    book(client, event, 0)
    remove(client, host, event, 0)
    times = {"startDateTime": in_days(20), "endDateTime": in_days(21)}

    reply = client(
        "PATCH", f"/events/{event['eventId']}", {"currency": "chf", "price": 200, **times}, by=host
    )

    assert reply.status == 200, reply.text


def test_a_type_with_only_an_end_starts_with_the_event(client: Client, host: Account) -> None:
    event = client.event(host, saleStartsAt=in_days(10))

    assert add(client, host, event, saleEndsAt=in_days(9)).faulty_fields == {"saleEndsAt"}
    assert add(client, host, event, saleStartsAt=in_days(8), saleEndsAt=in_days(9)).status == 201


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_types_honour_the_version_of_their_event(client: Client, host: Account, method: str) -> None:
    event = publish(client, host, EARLY, REGULAR)
    tag = client("GET", f"/events/{event['eventId']}").headers["etag"]
    body = {"POST": REGULAR, "PATCH": {"price": 0}, "DELETE": None}[method]
    path = path_of(event) if method == "POST" else path_of(event, 1)

    done = client(method, path, body, by=host, headers={"If-Match": tag})
    stale = client(
        method, path_of(event, 0) if method != "POST" else path, body, by=host, headers={"If-Match": tag}
    )

    assert done.status in {200, 201, 204}
    assert (stale.status, stale.problem) == (412, "stale-version")
    if method != "DELETE":
        again = client(
            "PATCH", path_of(event, 0), {"price": 9000}, by=host, headers={"If-Match": done.headers["etag"]}
        )
        assert again.status == 200
    assert client("GET", f"/events/{event['eventId']}").headers["etag"] != tag


def test_a_patch_without_a_change_makes_no_new_version(client: Client, host: Account) -> None:
    event = publish(client, host, EARLY, REGULAR)
    before = contents(client)

    for body in ({}, EARLY, {"capacity": None, "description": " "}):
        assert client("PATCH", path_of(event, 0), body, by=host).status == 200
    assert contents(client) == before


@pytest.mark.parametrize("state", ["cancelled", "deleted", "ended"])
def test_types_of_an_event_that_is_over_stay(client: Client, host: Account, state: str) -> None:
    event = publish(client, host, EARLY, REGULAR)
    if state == "cancelled":
        client("POST", f"/events/{event['eventId']}/cancel", by=host)
    elif state == "deleted":
        client("DELETE", f"/events/{event['eventId']}", by=host)
    else:
        rows(
            client,
            "UPDATE events SET starts_at = now() - interval '2 hours', ends_at = now() - interval '1 hour'"
            " WHERE event_id = :id",
            id=event["eventId"],
        )
    before = contents(client)

    for reply in (
        add(client, host, event),
        patch(client, host, event, 0, price=0),
        remove(client, host, event, 0),
    ):
        problem = {"cancelled": "event-cancelled", "deleted": "no-such-event", "ended": "event-ended"}[state]
        assert reply.problem == problem
    assert contents(client) == before


def test_a_type_is_found_by_its_own_event_only(client: Client, host: Account) -> None:
    event, other = publish(client, host, EARLY, REGULAR), publish(client, host, EARLY, REGULAR)
    path = f"{path_of(event)}/{other['ticketTypes'][0]['ticketTypeId']}"

    for method, body in (("PATCH", {"price": 0}), ("DELETE", None)):
        reply = client(method, path, body, by=host)

        assert (reply.status, reply.problem) == (404, "no-such-ticket-type")


def test_a_changed_type_makes_a_quote_stale(client: Client, host: Account) -> None:
    event = publish(client, host, EARLY, REGULAR)
    items = [{"ticketTypeId": event["ticketTypes"][0]["ticketTypeId"], "quantity": 1}]
    body, attendee = {"eventId": event["eventId"], "items": items}, client.attendee()
    changes: list[Callable[[], Reply]] = [
        lambda: patch(client, host, event, 0, price=2000),
        lambda: add(client, host, event),
        lambda: remove(client, host, event, 1),
        lambda: client("PATCH", f"/events/{event['eventId']}", {"maxPerAttendee": 2}, by=host),
    ]
    for change in changes:
        quoted = client("POST", "/bookings/quote", body, by=attendee).headers["etag"]
        assert change().status in {200, 201, 204}

        reply = client("POST", "/bookings", body, by=attendee, headers={"If-Match": quoted})

        assert (reply.status, reply.problem) == (412, "stale-version")


@pytest.fixture
def without_stripe(wiring: Wiring) -> Iterator[Client]:
    with using(Wiring(replace(wiring.settings, stripe_api_key=None))) as without:
        yield Client(without)


def test_without_payments_set_up_types_are_free(without_stripe: Client) -> None:
    host = without_stripe.host()
    event = without_stripe.event(host)

    assert add(without_stripe, host, event).faulty_fields == {"price"}
    assert add(without_stripe, host, event, price=0).status == 201


@pytest.mark.parametrize("maximum", [1, 3, 100])
def test_an_attendee_can_have_as_many_tickets_as_the_event_allows(
    client: Client, host: Account, maximum: int
) -> None:
    event = client.event(host, maxPerAttendee=maximum)

    too_many = client(
        "POST", "/bookings", {"eventId": event["eventId"], "quantity": maximum}, by=client.attendee()
    )

    assert event["maxPerAttendee"] == maximum
    assert too_many.status == 201


def test_types_are_inserted_and_read_together(client: Client, host: Account) -> None:
    counts = []
    for number in (1, 50):
        with executed_statements(client) as executed:
            publish(client, host, *[EARLY] * number)
        counts.append(len(executed))

    assert counts[0] == counts[1]
