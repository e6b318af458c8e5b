"""Booking a place at a free event."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from chalicelib.bookings.references import reference_of
from tests.client import Client
from tests.rows import domain_events, rows, value


def number_of_attendees(client: Client, event_id: str) -> int:
    return int(client("GET", f"/events/{event_id}").json["numberOfAttendees"])


def test_a_booking_of_a_free_event_is_confirmed_immediately(client: Client) -> None:
    attendee, event = client.attendee(), client.event(client.host())
    type_id = str(value(client, "SELECT ticket_type_id FROM ticket_types"))

    reply = client.book(attendee, event["eventId"])

    assert reply.status == 201
    assert reply.json | {"bookingId": "", "createdAt": "", "updatedAt": ""} == {
        "bookingId": "",
        "reference": reference_of(UUID(reply.json["bookingId"])),
        "userId": attendee.user_id,
        "eventId": event["eventId"],
        "status": "confirmed",
        "quantity": 1,
        "items": [
            {"ticketTypeId": type_id, "name": "General admission", "quantity": 1, "unitPrice": 0},
        ],
        "amount": 0,
        "refunded": 0,
        "currency": "eur",
        "createdAt": "",
        "updatedAt": "",
    }
    assert reply.headers["location"] == f"/bookings/{reply.json['bookingId']}"
    assert number_of_attendees(client, event["eventId"]) == 1


def test_a_booking_records_its_domain_event(client: Client) -> None:
    event = client.event(client.host())
    booking = client.book(client.attendee(), event["eventId"]).json

    [confirmed] = domain_events(client, event["eventId"], "booking-confirmed")
    [ticket] = rows(client, "SELECT ticket_id, ticket_type_id FROM tickets")
    made = {"ticketId": str(ticket.ticket_id), "ticketTypeId": str(ticket.ticket_type_id)}
    assert confirmed.body | {"refunded": 0} == booking | {"tickets": [made]}


def test_an_attendee_books_an_event_once(client: Client) -> None:
    attendee, event = client.attendee(), client.event(client.host())
    client.book(attendee, event["eventId"])

    assert client.book(attendee, event["eventId"]).problem == "already-booked"
    assert number_of_attendees(client, event["eventId"]) == 1


def test_already_booked_takes_precedence_over_sold_out(client: Client) -> None:
    attendee, event = client.attendee(), client.event(client.host(), capacity=1)
    client.book(attendee, event["eventId"])

    assert client.book(attendee, event["eventId"]).problem == "already-booked"
    assert client.book(client.attendee(), event["eventId"]).problem == "sold-out"


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"saleStartsAt": timedelta(days=1)}, "sale-not-started"),
        ({"saleEndsAt": timedelta(days=-1)}, "sale-ended"),
        ({"status": "draft"}, "no-such-event"),
    ],
)
def test_an_event_that_is_not_on_sale_is_refused_with_the_reason(
    client: Client, members: dict[str, str], problem: str
) -> None:
    event = client.event(client.host(), **members)

    reply = client.book(client.attendee(), event["eventId"])

    assert reply.problem == problem


def test_a_past_event_cannot_be_booked(client: Client) -> None:
    event_id = client.past_event(client.host(), started_ago=timedelta(hours=2), lasts=timedelta(hours=1))

    assert client.book(client.attendee(), event_id).problem == "event-ended"


@pytest.mark.parametrize(
    ("body", "faulty"),
    [
        ({}, {"eventId"}),
        ({"eventId": None}, {"eventId"}),
        ({"eventId": "17"}, {"eventId"}),
        ({"eventId": ["0198b2f3-7c1a-7b55-9d41-2f6d0c8a1e90"]}, {"eventId"}),
        ({"eventId": "0198b2f3-7c1a-7b55-9d41-2f6d0c8a1e90", "userId": "another user"}, {"userId"}),
    ],
)
def test_invalid_members_are_named(client: Client, body: dict[str, Any], faulty: set[str]) -> None:
    reply = client("POST", "/bookings", body, by=client.attendee())

    assert (reply.status, reply.faulty_fields) == (400, faulty)


def test_an_unknown_event_cannot_be_booked(client: Client) -> None:
    reply = client.book(client.attendee(), "0198b2f3-7c1a-7b55-9d41-2f6d0c8a1e90")

    assert (reply.status, reply.problem) == (404, "no-such-event")


def test_only_attendees_can_book(client: Client) -> None:
    host = client.host()
    event = client.event(host)

    assert client.book(host, event["eventId"]).status == 403
    assert client("POST", "/bookings", {"eventId": event["eventId"]}).status == 401
    assert number_of_attendees(client, event["eventId"]) == 0


def test_a_running_event_can_be_booked(client: Client) -> None:
    event_id = client.past_event(client.host(), started_ago=timedelta(hours=1), lasts=timedelta(hours=2))

    assert client.book(client.attendee(), event_id).status == 201
