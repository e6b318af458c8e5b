"""Availability: whether tickets can be booked now, or why not, and the filter `onSale`."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.client import Account, Client
from tests.events.test_ticket_types import book, path_of, remove
from tests.rows import rows

DAY = timedelta(days=1)


def kind(name: str = "A", **members: Any) -> dict[str, Any]:
    """A ticket type. A duration stands for the time that is this far from now."""
    now = datetime.now(UTC)
    return {"name": name, "price": 0} | {
        member: (now + value).isoformat(timespec="seconds") if isinstance(value, timedelta) else value
        for member, value in members.items()
    }


def check(client: Client, event: Any, availability: str, *types: str) -> None:
    """Check what an event shows, and that the filter agrees with it and with the booking procedure."""
    shown = client("GET", f"/events/{event['eventId']}").json
    assert shown["availability"] == availability
    assert [kind["availability"] for kind in shown["ticketTypes"]] == list(types)
    assert shown["onSale"] == (availability == "on-sale")
    for query in ("", "&status=published&status=cancelled", f"&hostId={event['hostId']}", "&q=jazz"):
        for wanted in ("true", "false"):
            path = f"/events?onSale={wanted}&from=2020-01-01T00:00:00Z{query}"
            listed = [found["eventId"] for found in client("GET", path).json]
            is_listed = shown["onSale"] == (wanted == "true")
            if shown["status"] == "published" or "cancelled" in query:
                assert (event["eventId"] in listed) == is_listed, path
    for number, of_type in enumerate(types):
        smallest = shown["ticketTypes"][number]["minPerBooking"]
        quote = quote_of(client, event, number, smallest)
        assert (quote.status == 200) == (of_type == "on-sale"), quote.text


def quote_of(client: Client, event: Any, number: int, quantity: int) -> Any:
    items = [{"ticketTypeId": event["ticketTypes"][number]["ticketTypeId"], "quantity": quantity}]
    body = {"eventId": event["eventId"], "items": items}
    return client("POST", "/bookings/quote", body, by=client.attendee())


@pytest.fixture
def host(client: Client) -> Account:
    host = client.host()
    client.event(host, title="Jazz, sold out", capacity=1)
    [other] = client("GET", "/events").json
    client.book(client.attendee(), other["eventId"])
    return host


@pytest.mark.parametrize(
    ("types", "members", "shown"),
    [
        ([{}], {}, ["on-sale"]),
        ([{"saleEndsAt": DAY}, {"saleStartsAt": DAY}], {}, ["on-sale", "not-started"]),
        ([{"saleEndsAt": -DAY}, {}], {}, ["ended", "on-sale"]),
        ([{"saleEndsAt": -DAY}, {"saleStartsAt": DAY}], {}, ["ended", "not-started"]),
        ([{"saleEndsAt": -DAY}], {}, ["ended"]),
        ([{}, {"saleStartsAt": -DAY}], {"saleStartsAt": 2 * DAY}, ["not-started", "on-sale"]),
        ([{}, {"saleEndsAt": DAY}], {"saleEndsAt": -DAY}, ["ended", "on-sale"]),
        ([{}], {"saleStartsAt": DAY}, ["not-started"]),
        ([{}], {"saleEndsAt": -DAY}, ["ended"]),
        ([{"minPerBooking": 3}], {"capacity": 2, "maxPerAttendee": 3}, ["sold-out"]),
        ([{"minPerBooking": 3}, {}], {"capacity": 2, "maxPerAttendee": 3}, ["sold-out", "on-sale"]),
        ([{"minPerBooking": 2, "capacity": 1}], {"maxPerAttendee": 3}, ["sold-out"]),
    ],
)
def test_a_type_is_on_sale_in_its_own_window(
    client: Client, host: Account, types: list[dict[str, Any]], members: dict[str, Any], shown: list[str]
) -> None:
    event = client.event(host, ticketTypes=[kind(**members_of) for members_of in types], **members)

    order = ("on-sale", "not-started", "sold-out", "ended")
    check(client, event, next(name for name in order if name in shown), *shown)


def test_a_sold_out_type_leaves_the_others(client: Client, host: Account) -> None:
    event = client.event(host, ticketTypes=[kind(capacity=1), kind(capacity=2)], capacity=3)
    check(client, event, "on-sale", "on-sale", "on-sale")

    book(client, event, 0)
    check(client, event, "on-sale", "sold-out", "on-sale")
    book(client, event, 1)
    attendee = client.attendee()
    last = book(client, event, 1, by=attendee)
    check(client, event, "sold-out", "sold-out", "sold-out")
    client("DELETE", f"/bookings/{last.json['bookingId']}", by=attendee)
    check(client, event, "on-sale", "sold-out", "on-sale")


def test_a_full_event_is_sold_out_for_all_its_types(client: Client, host: Account) -> None:
    types = [kind(), kind(capacity=5), kind(saleStartsAt=DAY)]
    event = client.event(host, ticketTypes=types, capacity=1)

    book(client, event, 0)

    check(client, event, "not-started", "sold-out", "sold-out", "not-started")


def test_the_window_of_a_type_can_be_opened_and_closed(client: Client, host: Account) -> None:
    event = client.event(host, ticketTypes=[kind(saleStartsAt=DAY)])
    check(client, event, "not-started", "not-started")

    client("PATCH", path_of(event, 0), {"saleStartsAt": None}, by=host)
    check(client, event, "on-sale", "on-sale")
    ended = {"saleEndsAt": (datetime.now(UTC) - DAY).isoformat()}
    client("PATCH", path_of(event, 0), ended, by=host)
    check(client, event, "ended", "ended")


def test_an_archived_type_counts_no_more(client: Client, host: Account) -> None:
    event = client.event(host, ticketTypes=[kind(), kind(saleStartsAt=DAY)])
    book(client, event, 0)

    remove(client, host, event, 0)

    check(client, event, "not-started", "archived", "not-started")


def test_a_cancelled_event_has_ended(client: Client, host: Account) -> None:
    event = client.event(host, ticketTypes=[kind(), kind(saleStartsAt=DAY)])

    client("POST", f"/events/{event['eventId']}/cancel", by=host)

    check(client, event, "ended", "ended", "ended")


def test_a_past_event_has_ended(client: Client, host: Account) -> None:
    event = client.event(host, ticketTypes=[kind()])
    rows(
        client,
        "UPDATE events SET starts_at = now() - interval '2 hours', ends_at = now() - interval '1 hour'"
        " WHERE event_id = :id",
        id=event["eventId"],
    )

    check(client, event, "ended", "ended")


def test_a_draft_is_not_on_sale_yet(client: Client, host: Account) -> None:
    draft = client.event(host, ticketTypes=[kind(), kind(saleEndsAt=-DAY)], status="draft")

    assert draft["availability"] == "not-started"
    assert [of_type["availability"] for of_type in draft["ticketTypes"]] == ["not-started"] * 2
    assert not draft["onSale"]


def test_reserved_places_are_not_on_sale(client: Client, host: Account) -> None:
    event = client.event(host, ticketTypes=[kind(capacity=3)], capacity=5)

    rows(client, "UPDATE pools SET reserved = 3 WHERE event_id = :id", id=event["eventId"])
    check(client, event, "sold-out", "sold-out")
    rows(client, "UPDATE pools SET reserved = 0 WHERE event_id = :id", id=event["eventId"])
    rows(client, "UPDATE places SET reserved = 5 WHERE event_id = :id", id=event["eventId"])
    check(client, event, "sold-out", "sold-out")


def test_a_type_that_requires_a_code_is_on_sale(client: Client, host: Account) -> None:
    event = client.event(host, ticketTypes=[kind(codeRequired=True)])

    assert (event["availability"], event["onSale"]) == ("on-sale", True)
