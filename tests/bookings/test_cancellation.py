"""Cancellation of a booking: permissions, deadline and the freed place."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.client import Account, Client, Reply
from tests.rows import domain_events, rows, taken

HOUR = timedelta(hours=1)


def cancel(client: Client, by: Account | None, booking_id: str, **headers: str) -> Reply:
    return client("DELETE", f"/bookings/{booking_id}", by=by, headers=headers)


def book(client: Client, attendee: Account, event_id: str) -> str:
    return str(client.book(attendee, event_id).json["bookingId"])


def test_a_cancelled_place_is_free_immediately(client: Client) -> None:
    attendee, other, event = client.attendee(), client.attendee(), client.event(client.host(), capacity=1)
    booking_id = book(client, attendee, event["eventId"])
    assert client.book(other, event["eventId"]).problem == "sold-out"

    reply = cancel(client, attendee, booking_id)

    assert (reply.status, reply.text) == (204, "")
    assert taken(client, event["eventId"]) == 0
    assert client.book(other, event["eventId"]).status == 201


@pytest.mark.parametrize("canceller", ["attendee", "host"])
def test_attendee_and_host_can_cancel_and_the_reason_is_recorded(client: Client, canceller: str) -> None:
    accounts = {"attendee": client.attendee(), "host": client.host()}
    event = client.event(accounts["host"])
    booking_id = book(client, accounts["attendee"], event["eventId"])

    assert cancel(client, accounts[canceller], booking_id).status == 204

    cancelled = client("GET", f"/bookings/{booking_id}", by=accounts["attendee"]).json
    assert cancelled["status"] == "cancelled"
    [domain_event] = domain_events(client, event["eventId"], "booking-cancelled")
    tickets = rows(client, "SELECT ticket_id, ticket_type_id FROM tickets")
    lost = [{"ticketId": str(row.ticket_id), "ticketTypeId": str(row.ticket_type_id)} for row in tickets]
    shown = {name: value for name, value in cancelled.items() if name not in {"event", "refunded"}}
    assert (cancelled["quantity"], len(lost)) == (0, 1)
    assert domain_event.body == shown | {"reason": canceller, "quantity": 1, "tickets": lost}


def test_cancellation_is_idempotent(client: Client) -> None:
    host, attendee = client.host(), client.attendee()
    event = client.event(host)
    booking_id = book(client, attendee, event["eventId"])
    book(client, client.attendee(), event["eventId"])
    cancel(client, attendee, booking_id)
    before = client("GET", f"/bookings/{booking_id}", by=attendee)

    for canceller in (attendee, host):
        assert cancel(client, canceller, booking_id).status == 204

    after = client("GET", f"/bookings/{booking_id}", by=attendee)
    assert after.json == before.json
    assert taken(client, event["eventId"]) == 1
    assert len(domain_events(client, event["eventId"], "booking-cancelled")) == 1


def test_others_cannot_cancel_a_booking(client: Client) -> None:
    attendee, event = client.attendee(), client.event(client.host())
    booking_id = book(client, attendee, event["eventId"])

    for other in (client.attendee(), client.host()):
        reply = cancel(client, other, booking_id)
        assert (reply.status, reply.problem) == (404, "no-such-booking")
    assert cancel(client, None, booking_id).status == 401
    assert taken(client, event["eventId"]) == 1


@pytest.mark.parametrize(
    ("booking_id", "status"), [("0198b2f3-7c1a-7b55-9d41-2f6d0c8a1e90", 404), ("17", 400)]
)
def test_an_unknown_booking_cannot_be_cancelled(client: Client, booking_id: str, status: int) -> None:
    assert cancel(client, client.attendee(), booking_id).status == status


@pytest.mark.parametrize("lasts", [2 * HOUR, HOUR / 2])
def test_bookings_of_started_events_cannot_be_cancelled(client: Client, lasts: timedelta) -> None:
    host, attendee = client.host(), client.attendee()
    event_id = client.past_event(host, started_ago=HOUR, lasts=lasts)
    booking_id = client.book_as_of(attendee, event_id, datetime.now(UTC) - 2 * HOUR)

    for canceller in (attendee, host):
        reply = cancel(client, canceller, booking_id)
        assert (reply.status, reply.problem) == (409, "event-started")
    assert taken(client, event_id) == 1


def test_a_retry_succeeds_after_the_event_has_started(client: Client) -> None:
    attendee, event = client.attendee(), client.event(client.host())
    booking = client.book(attendee, event["eventId"])
    cancel(client, attendee, booking.json["bookingId"])
    rows(client, "UPDATE events SET starts_at = now() - interval '1 minute'")

    for headers in ({}, {"If-Match": booking.headers["etag"]}):
        assert cancel(client, attendee, booking.json["bookingId"], **headers).status == 204
    assert len(domain_events(client, event["eventId"], "booking-cancelled")) == 1


def test_a_cancelled_place_can_be_booked_again(client: Client) -> None:
    attendee, event = client.attendee(), client.event(client.host())
    first = book(client, attendee, event["eventId"])
    cancel(client, attendee, first)

    again = client.book(attendee, event["eventId"])

    assert again.status == 201
    assert again.json["bookingId"] != first
    assert taken(client, event["eventId"]) == 1
    assert cancel(client, attendee, first).status == 204, "the first booking stays cancelled"
    assert taken(client, event["eventId"]) == 1


def test_a_stale_version_of_a_booking_is_not_cancelled(client: Client) -> None:
    attendee, event = client.attendee(), client.event(client.host())
    booking = client.book(attendee, event["eventId"])
    booking_id = booking.json["bookingId"]

    for stale in ('"2-0123456789abcdef"', '"nonsense"', f"W/{booking.headers['etag']}"):
        reply = cancel(client, attendee, booking_id, **{"If-Match": stale})
        assert (reply.status, reply.problem) == (412, "stale-version")
    assert taken(client, event["eventId"]) == 1

    assert cancel(client, attendee, booking_id, **{"If-Match": booking.headers["etag"]}).status == 204


def test_if_match_with_a_star_matches_any_version(client: Client) -> None:
    attendee, event = client.attendee(), client.event(client.host())

    assert (
        cancel(client, attendee, book(client, attendee, event["eventId"]), **{"If-Match": "*"}).status == 204
    )


def test_a_cancellation_does_not_change_other_bookings(client: Client) -> None:
    host, attendee, other = client.host(), client.attendee(), client.attendee()
    event, other_event = client.event(host), client.event(host)
    mine = book(client, attendee, event["eventId"])
    book(client, other, event["eventId"])
    book(client, attendee, other_event["eventId"])

    cancel(client, attendee, mine)

    assert taken(client, event["eventId"]) == 1
    assert taken(client, other_event["eventId"]) == 1
    assert [
        (booking["eventId"], booking["status"])
        for booking in client("GET", "/bookings?status=confirmed", by=attendee).json
    ] == [(other_event["eventId"], "confirmed")]
