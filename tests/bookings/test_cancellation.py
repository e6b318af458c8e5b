"""Giving a place back: who may, until when, and that it is free at once."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.client import Account, Client, Reply
from tests.rows import domain_events, rows, taken

HOUR = timedelta(hours=1)


def cancel(client: Client, by: Account | None, booking_id: str, **headers: str) -> Reply:
    return client("DELETE", f"/bookings/{booking_id}", by=by, headers=headers)


def booked(client: Client, attendee: Account, event_id: str) -> str:
    return str(client.book(attendee, event_id).json["bookingId"])


def test_a_place_given_back_is_free_at_once(client: Client) -> None:
    attendee, other, event = client.attendee(), client.attendee(), client.event(client.host(), capacity=1)
    booking_id = booked(client, attendee, event["eventId"])
    assert client.book(other, event["eventId"]).problem == "sold-out"

    reply = cancel(client, attendee, booking_id)

    assert (reply.status, reply.text) == (204, "")
    assert taken(client, event["eventId"]) == 0
    assert client.book(other, event["eventId"]).status == 201


@pytest.mark.parametrize("ender", ["attendee", "host"])
def test_attendee_and_host_can_cancel_and_the_fact_says_who_did(client: Client, ender: str) -> None:
    people = {"attendee": client.attendee(), "host": client.host()}
    event = client.event(people["host"])
    booking_id = booked(client, people["attendee"], event["eventId"])

    assert cancel(client, people[ender], booking_id).status == 204

    cancelled = client("GET", f"/bookings/{booking_id}", by=people["attendee"]).json
    assert cancelled["status"] == "cancelled"
    [domain_event] = domain_events(client, event["eventId"], "booking-cancelled")
    assert domain_event.body == {name: value for name, value in cancelled.items() if name != "event"} | {
        "reason": ender
    }


def test_cancelling_again_is_the_same_as_cancelling_once(client: Client) -> None:
    host, attendee = client.host(), client.attendee()
    event = client.event(host)
    booking_id = booked(client, attendee, event["eventId"])
    booked(client, client.attendee(), event["eventId"])
    cancel(client, attendee, booking_id)
    once = client("GET", f"/bookings/{booking_id}", by=attendee)

    for ender in (attendee, host):
        assert cancel(client, ender, booking_id).status == 204

    again = client("GET", f"/bookings/{booking_id}", by=attendee)
    assert again.json == once.json
    assert taken(client, event["eventId"]) == 1
    assert len(domain_events(client, event["eventId"], "booking-cancelled")) == 1


def test_a_booking_is_not_there_for_others(client: Client) -> None:
    attendee, event = client.attendee(), client.event(client.host())
    booking_id = booked(client, attendee, event["eventId"])

    for other in (client.attendee(), client.host()):
        reply = cancel(client, other, booking_id)
        assert (reply.status, reply.problem) == (404, "no-such-booking")
    assert cancel(client, None, booking_id).status == 401
    assert taken(client, event["eventId"]) == 1


@pytest.mark.parametrize(
    ("booking_id", "status"), [("0198b2f3-7c1a-7b55-9d41-2f6d0c8a1e90", 404), ("17", 400)]
)
def test_what_was_never_booked_cannot_be_cancelled(client: Client, booking_id: str, status: int) -> None:
    assert cancel(client, client.attendee(), booking_id).status == status


@pytest.mark.parametrize("lasts", [2 * HOUR, HOUR / 2])
def test_a_place_cannot_be_given_back_once_the_event_has_begun(client: Client, lasts: timedelta) -> None:
    host, attendee = client.host(), client.attendee()
    event_id = client.past_event(host, started_ago=HOUR, lasts=lasts)
    booking_id = client.book_as_of(attendee, event_id, datetime.now(UTC) - 2 * HOUR)

    for ender in (attendee, host):
        reply = cancel(client, ender, booking_id)
        assert (reply.status, reply.problem) == (409, "event-started")
    assert taken(client, event_id) == 1


def test_what_was_cancelled_in_time_is_cancelled_also_once_the_event_has_begun(client: Client) -> None:
    attendee, event = client.attendee(), client.event(client.host())
    booking = client.book(attendee, event["eventId"])
    cancel(client, attendee, booking.json["bookingId"])
    rows(client, "UPDATE events SET starts_at = now() - interval '1 minute'")

    for headers in ({}, {"If-Match": booking.headers["etag"]}):
        assert cancel(client, attendee, booking.json["bookingId"], **headers).status == 204
    assert len(domain_events(client, event["eventId"], "booking-cancelled")) == 1


def test_a_place_that_was_given_back_can_be_booked_again(client: Client) -> None:
    attendee, event = client.attendee(), client.event(client.host())
    first = booked(client, attendee, event["eventId"])
    cancel(client, attendee, first)

    again = client.book(attendee, event["eventId"])

    assert again.status == 201
    assert again.json["bookingId"] != first
    assert taken(client, event["eventId"]) == 1
    assert cancel(client, attendee, first).status == 204, "the first booking has ended, whatever came later"
    assert taken(client, event["eventId"]) == 1


def test_a_booking_that_is_no_longer_as_it_was_known_is_not_cancelled(client: Client) -> None:
    attendee, event = client.attendee(), client.event(client.host())
    booking = client.book(attendee, event["eventId"])
    booking_id = booking.json["bookingId"]

    for stale in ('"2-0123456789abcdef"', '"nonsense"', f"W/{booking.headers['etag']}"):
        reply = cancel(client, attendee, booking_id, **{"If-Match": stale})
        assert (reply.status, reply.problem) == (412, "stale-version")
    assert taken(client, event["eventId"]) == 1

    assert cancel(client, attendee, booking_id, **{"If-Match": booking.headers["etag"]}).status == 204


def test_any_version_is_as_good_as_none(client: Client) -> None:
    attendee, event = client.attendee(), client.event(client.host())

    assert (
        cancel(client, attendee, booked(client, attendee, event["eventId"]), **{"If-Match": "*"}).status
        == 204
    )


def test_one_cancellation_touches_no_other_booking(client: Client) -> None:
    host, attendee, other = client.host(), client.attendee(), client.attendee()
    event, another = client.event(host), client.event(host)
    mine = booked(client, attendee, event["eventId"])
    for event_id, who in ((event["eventId"], other), (another["eventId"], attendee)):
        booked(client, who, event_id)

    cancel(client, attendee, mine)

    assert taken(client, event["eventId"]) == 1
    assert taken(client, another["eventId"]) == 1
    assert [
        (booking["eventId"], booking["status"])
        for booking in client("GET", "/bookings?status=confirmed", by=attendee).json
    ] == [(another["eventId"], "confirmed")]
