"""Booking a place, giving it back, and seeing it."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from tests.client import Client


def taken(client: Client, event_id: str) -> int:
    return int(client("GET", f"/events/{event_id}").json["numberOfAttendees"])


def test_a_booking_of_a_free_event_is_confirmed_at_once(client: Client) -> None:
    attendee, event = client.attendee(), client.event(client.host())

    reply = client.book(attendee, event["eventId"])

    assert reply.status == 201
    assert reply.json | {"bookingId": "", "createdAt": "", "updatedAt": ""} == {
        "bookingId": "",
        "userId": attendee.user_id,
        "eventId": event["eventId"],
        "status": "confirmed",
        "quantity": 1,
        "amount": 0,
        "currency": "eur",
        "createdAt": "",
        "updatedAt": "",
    }
    assert reply.headers["location"] == f"/bookings/{reply.json['bookingId']}"
    assert taken(client, event["eventId"]) == 1


def test_a_booking_writes_its_fact_in_the_same_transaction(client: Client) -> None:
    event = client.event(client.host())
    booking = client.book(client.attendee(), event["eventId"]).json

    with client.wiring.database.transaction() as connection:
        domain_event = connection.execute(text("SELECT * FROM outbox WHERE type = 'booking-confirmed'")).one()

    assert str(domain_event.subject) == event["eventId"]
    assert domain_event.body == booking


def test_a_second_booking_of_the_same_event_is_refused(client: Client) -> None:
    attendee, event = client.attendee(), client.event(client.host())
    client.book(attendee, event["eventId"])

    assert client.book(attendee, event["eventId"]).problem == "already-booked"
    assert taken(client, event["eventId"]) == 1


def test_who_has_a_place_is_told_so_even_when_it_is_sold_out(client: Client) -> None:
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
def test_an_event_that_is_not_on_sale_is_refused_by_the_reason(
    client: Client, members: dict[str, str], problem: str
) -> None:
    event = client.event(client.host(), **members)

    reply = client.book(client.attendee(), event["eventId"])

    assert reply.problem == problem


def test_an_event_that_has_ended_is_refused(client: Client) -> None:
    event_id = client.past_event(client.host(), started_ago=timedelta(hours=2), lasts=timedelta(hours=1))

    assert client.book(client.attendee(), event_id).problem == "event-ended"


@pytest.mark.parametrize(
    ("body", "faulty"),
    [
        ({}, {"eventId"}),
        ({"eventId": None}, {"eventId"}),
        ({"eventId": "17"}, {"eventId"}),
        ({"eventId": ["0198b2f3-7c1a-7b55-9d41-2f6d0c8a1e90"]}, {"eventId"}),
        ({"eventId": "0198b2f3-7c1a-7b55-9d41-2f6d0c8a1e90", "quantity": 2}, {"quantity"}),
        ({"eventId": "0198b2f3-7c1a-7b55-9d41-2f6d0c8a1e90", "userId": "somebody"}, {"userId"}),
    ],
)
def test_what_is_wrong_with_a_request_is_named(
    client: Client, body: dict[str, Any], faulty: set[str]
) -> None:
    reply = client("POST", "/bookings", body, by=client.attendee())

    assert (reply.status, reply.faulty_fields) == (400, faulty)


def test_an_event_that_never_was_cannot_be_booked(client: Client) -> None:
    reply = client.book(client.attendee(), "0198b2f3-7c1a-7b55-9d41-2f6d0c8a1e90")

    assert (reply.status, reply.problem) == (404, "no-such-event")


def test_only_attendees_book(client: Client) -> None:
    host = client.host()
    event = client.event(host)

    assert client.book(host, event["eventId"]).status == 403
    assert client("POST", "/bookings", {"eventId": event["eventId"]}).status == 401
    assert taken(client, event["eventId"]) == 0


def test_an_event_that_has_begun_can_be_booked_until_it_ends(client: Client) -> None:
    event_id = client.past_event(client.host(), started_ago=timedelta(hours=1), lasts=timedelta(hours=2))

    assert client.book(client.attendee(), event_id).status == 201
