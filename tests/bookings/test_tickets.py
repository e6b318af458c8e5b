"""Tickets of bookings: who sees them, and who holds them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import ANY

import pytest

from tests.client import Account, Client, Reply
from tests.notifications.orders import add_code, cancel_ticket, event_with_types, order
from tests.rows import executed_statements, rows, value

GRACE = {"holderName": "Grace Hopper", "holderEmail": "grace@example.com"}


class Order:
    """An attendee's order of three tickets."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.host, self.attendee = client.host(), client.attendee()
        self.event_id, [self.day, self.weekend] = event_with_types(client, self.host, price=2500)
        code = add_code(client, self.host, self.event_id, 100)
        self.booking_id = order(
            client, self.attendee, self.event_id, {self.weekend: 2, self.day: 1}, code=code
        )
        self.ticket_ids = [ticket["ticketId"] for ticket in self.tickets(self.attendee).json]

    @property
    def path(self) -> str:
        return f"/tickets/{self.ticket_ids[0]}"

    def tickets(self, by: Account, query: str = "") -> Reply:
        return self.client("GET", f"/bookings/{self.booking_id}/tickets{query}", by=by)

    def get(self, by: Account) -> Reply:
        return self.client("GET", self.path, by=by)

    def name(self, holder: Any, by: Account | None = None, **headers: str) -> Reply:
        sent = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.client("PATCH", self.path, holder, by=by or self.attendee, headers=sent)

    def start(self) -> None:
        now = datetime.now(UTC)
        rows(self.client, "UPDATE events SET starts_at = :at", at=now - timedelta(minutes=1))


@pytest.fixture
def booked(client: Client) -> Order:
    return Order(client)


@pytest.mark.parametrize("role", ["attendee", "host"])
def test_the_tickets_of_an_order_are_listed(booked: Order, role: str) -> None:
    listed = booked.tickets(getattr(booked, role)).json

    assert [(ticket["name"], ticket["ticketTypeId"]) for ticket in listed] == [
        ("Day ticket", booked.day),
        ("Weekend ticket", booked.weekend),
        ("Weekend ticket", booked.weekend),
    ]
    for ticket in listed:
        assert booked.client("GET", f"/tickets/{ticket['ticketId']}", by=booked.attendee).json == {
            **ticket,
            "code": ANY,
        }
        assert ("code" in ticket) == (role == "attendee")
        booking = booked.client("GET", f"/bookings/{booked.booking_id}", by=booked.attendee).json
        assert {name: ticket[name] for name in ("bookingId", "eventId", "currency", "createdAt")} == {
            name: booking[name] for name in ("bookingId", "eventId", "currency", "createdAt")
        }
        assert (ticket["price"], ticket["status"], ticket["updatedAt"]) == (0, "valid", booking["updatedAt"])
        assert "holderName" not in ticket


def test_tickets_are_listed_in_pages(booked: Order) -> None:
    first = booked.tickets(booked.attendee, "?limit=2")

    pages = list(booked.client.pages(f"/bookings/{booked.booking_id}/tickets?limit=1", booked.attendee))

    assert first.headers["x-total-count"] == "3"
    assert [ticket["ticketId"] for ticket in pages] == booked.ticket_ids


def test_a_list_of_tickets_is_two_statements(booked: Order) -> None:
    with executed_statements(booked.client) as executed:
        booked.tickets(booked.attendee)

    assert len([one for one in executed if "tickets" in one]) == 2


def test_a_cancelled_ticket_says_so(booked: Order) -> None:
    cancel_ticket(booked.client, booked.booking_id)

    statuses = [ticket["status"] for ticket in booked.tickets(booked.attendee).json]

    assert statuses == ["cancelled", "valid", "valid"]
    assert booked.name(GRACE).problem == "ticket-cancelled"


def test_a_holder_is_named_changed_and_removed(booked: Order) -> None:
    before = booked.get(booked.attendee).json

    named = booked.name(GRACE)

    assert named.status == 200
    assert named.json == {**before, **GRACE, "updatedAt": named.json["updatedAt"]}
    assert {**booked.get(booked.host).json, "code": before["code"]} == named.json
    assert booked.name({"holderName": "Ada"}).json["holderEmail"] == GRACE["holderEmail"]
    removed = booked.name({"holderName": None, "holderEmail": None}).json
    assert {**removed, "updatedAt": before["updatedAt"]} == before


def test_a_change_without_members_changes_nothing(booked: Order) -> None:
    before = booked.get(booked.attendee)

    after = booked.name({})

    assert (after.status, after.json, after.headers["etag"]) == (200, before.json, before.headers["etag"])


@pytest.mark.parametrize(
    ("holder", "field"),
    [
        ({"holderName": ""}, "holderName"),
        ({"holderName": " \u200b"}, "holderName"),
        ({"holderName": "x" * 201}, "holderName"),
        ({"holderName": 7}, "holderName"),
        ({"holderName": "a\0"}, "holderName"),
        ({"holderEmail": "nobody"}, "holderEmail"),
        ({"holderEmail": ""}, "holderEmail"),
        ({"holderEmail": ["a@example.com"]}, "holderEmail"),
        ({"holderEmail": f"{'x' * 250}@example.com"}, "holderEmail"),
        ({"status": "used"}, "status"),
        ({"price": 0}, "price"),
    ],
)
def test_a_bad_holder_is_refused(booked: Order, holder: dict[str, Any], field: str) -> None:
    reply = booked.name(holder)

    assert (reply.status, reply.faulty_fields) == (400, {field})
    assert "holderName" not in booked.get(booked.attendee).json


def test_only_the_newest_version_is_changed(booked: Order) -> None:
    tag = booked.get(booked.attendee).headers["etag"]

    assert booked.name(GRACE, If_Match=tag).status == 200
    assert booked.name({"holderName": "Ada"}, If_Match=tag).status == 412
    assert booked.get(booked.attendee).json["holderName"] == GRACE["holderName"]


def test_a_holder_is_named_until_the_event_starts(booked: Order) -> None:
    assert booked.name(GRACE).status == 200
    booked.start()

    assert booked.name({"holderName": "Ada"}).problem == "event-started"
    assert booked.get(booked.attendee).json["holderName"] == GRACE["holderName"]


def test_a_held_ticket_can_be_named(client: Client) -> None:
    attendee = client.attendee()
    booking = client.book(attendee, client.event(client.host(), price=2500)["eventId"]).json
    [ticket] = client("GET", f"/bookings/{booking['bookingId']}/tickets", by=attendee).json

    assert (ticket["status"], ticket["price"]) == ("held", 2500)
    assert client("PATCH", f"/tickets/{ticket['ticketId']}", GRACE, by=attendee).status == 200


def test_a_holder_with_a_verified_address_sees_their_own_ticket(booked: Order) -> None:
    grace = booked.client.account("attendee", "Grace", "Grace@Example.com")
    booked.name(GRACE)
    assert booked.get(grace).problem == "no-such-ticket"
    assert booked.tickets(grace).problem == "no-such-booking"

    booked.client.verify([grace])

    seen = booked.get(grace)
    assert seen.status == 200
    assert "holderName" not in seen.json
    assert "holderEmail" not in seen.json
    assert booked.tickets(grace).json == [seen.json]
    for ticket_id in booked.ticket_ids[1:]:
        assert booked.client("GET", f"/tickets/{ticket_id}", by=grace).problem == "no-such-ticket"
    assert booked.client("GET", f"/bookings/{booked.booking_id}", by=grace).problem == "no-such-booking"
    booked.name({"holderEmail": None})
    assert booked.get(grace).problem == "no-such-ticket"


def test_only_the_booker_names_the_holder(booked: Order) -> None:
    grace = booked.client.account("attendee", "Grace", GRACE["holderEmail"])
    booked.client.verify([grace])
    booked.name(GRACE)

    for other in (grace, booked.host):
        assert booked.name({"holderName": "Eve"}, by=other).problem == "not-your-ticket"
    for stranger in (booked.client.attendee(), booked.client.host()):
        assert booked.name({"holderName": "Eve"}, by=stranger).problem == "no-such-ticket"
    assert booked.get(booked.attendee).json["holderName"] == GRACE["holderName"]


def test_an_unknown_ticket_is_404(client: Client) -> None:
    unknown, attendee = "019b2f3e-7c1a-7b55-9d41-2f6d0c8a1e90", client.attendee()

    assert client("GET", f"/tickets/{unknown}", by=attendee).problem == "no-such-ticket"
    assert client("PATCH", f"/tickets/{unknown}", GRACE, by=attendee).problem == "no-such-ticket"
    assert client("GET", f"/bookings/{unknown}/tickets", by=attendee).problem == "no-such-booking"


def test_a_deleted_account_leaves_no_holders(booked: Order) -> None:
    booked.name(GRACE)
    other = Order(booked.client)
    other.name(GRACE)
    booked.start()

    assert booked.client("DELETE", "/users/me", by=booked.attendee).status == 204

    assert value(booked.client, "SELECT count(*) FROM tickets WHERE holder_name IS NOT NULL") == 1
    assert other.get(other.attendee).json["holderEmail"] == GRACE["holderEmail"]
