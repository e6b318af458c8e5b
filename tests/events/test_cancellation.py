"""Cancelling and deleting an event, and the effect on its bookings."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.client import Account, Client, Reply
from tests.rows import domain_events, rows, taken, value

HOUR = timedelta(hours=1)
WAYS = [("POST", "/cancel", "event-cancelled"), ("DELETE", "", "event-deleted")]


def cancel(client: Client, host: Account, event_id: str, **headers: str) -> Reply:
    return client("POST", f"/events/{event_id}/cancel", by=host, headers=headers)


def delete(client: Client, host: Account, event_id: str, **headers: str) -> Reply:
    return client("DELETE", f"/events/{event_id}", by=host, headers=headers)


def book(client: Client, event: Any, times: int) -> list[str]:
    return [client.book(attendee, event["eventId"]).json["bookingId"] for attendee in client.attendees(times)]


def statuses(client: Client, event_id: str) -> list[str]:
    return [
        row.status for row in rows(client, "SELECT status FROM bookings WHERE event_id = :id", id=event_id)
    ]


def test_a_cancelled_event_is_shown_as_cancelled_and_empty(client: Client) -> None:
    host = client.host()
    event = client.event(host)
    book(client, event, 3)

    reply = cancel(client, host, event["eventId"])

    assert reply.status == 200
    assert reply.json == event | {
        "status": "cancelled",
        "numberOfAttendees": 0,
        "ticketTypes": [event["ticketTypes"][0] | {"availability": "ended"}],
        "availability": "ended",
        "onSale": False,
        "updatedAt": reply.json["updatedAt"],
    }
    assert client("GET", f"/events/{event['eventId']}", by=host).headers["etag"] == reply.headers["etag"]


def test_the_reason_is_shown_and_sent_to_attendees(client: Client) -> None:
    host = client.host()
    event = client.event(host)
    path = f"/events/{event['eventId']}"

    reply = client("POST", f"{path}/cancel", {"reason": " The hall burnt down. "}, by=host)
    again = client("POST", f"{path}/cancel", {"reason": "Another"}, by=host)

    assert reply.status == again.status == 200
    for shown in (reply, again, client("GET", path)):
        assert shown.json["cancellationReason"] == "The hall burnt down."
    [recorded] = domain_events(client, event["eventId"], "event-cancelled")
    assert recorded.body["reason"] == "The hall burnt down."


@pytest.mark.parametrize("body", [None, {}, {"reason": None}, {"reason": " "}])
def test_the_reason_is_optional(client: Client, body: Any) -> None:
    host = client.host()
    event = client.event(host)

    reply = client("POST", f"/events/{event['eventId']}/cancel", body, by=host)

    assert (reply.status, reply.json["status"]) == (200, "cancelled")
    assert "cancellationReason" not in reply.json
    [recorded] = domain_events(client, event["eventId"], "event-cancelled")
    assert "reason" not in recorded.body


@pytest.mark.parametrize(
    ("body", "field"),
    [({"reason": "x" * 501}, "reason"), ({"reason": 1}, "reason"), ({"why": "rain"}, "why")],
)
def test_a_bad_reason_is_refused(client: Client, body: Any, field: str) -> None:
    host = client.host()
    event = client.event(host)
    path = f"/events/{event['eventId']}"

    reply = client("POST", f"{path}/cancel", body, by=host)

    assert (reply.status, reply.faulty_fields) == (400, {field})
    assert client("GET", path).json["status"] == "published"


@pytest.mark.parametrize(("method", "suffix", "reason"), WAYS)
def test_all_bookings_of_the_event_are_cancelled_and_recorded(
    client: Client, method: str, suffix: str, reason: str
) -> None:
    host = client.host()
    event, other_event = client.event(host), client.event(host)
    ids = book(client, event, 3)
    book(client, other_event, 2)

    assert client(method, f"/events/{event['eventId']}{suffix}", by=host).status in {200, 204}

    assert statuses(client, event["eventId"]) == ["cancelled"] * 3
    assert taken(client, event["eventId"]) == 0
    bodies = [
        domain_event.body for domain_event in domain_events(client, event["eventId"], "booking-cancelled")
    ]
    assert sorted(body["bookingId"] for body in bodies) == sorted(ids)
    for body in bodies:
        assert body["reason"] == reason
        assert body["status"] == "cancelled"
        assert body["eventId"] == event["eventId"]
    assert statuses(client, other_event["eventId"]) == ["confirmed"] * 2
    assert taken(client, other_event["eventId"]) == 2


@pytest.mark.parametrize(("method", "suffix"), [("POST", "/cancel"), ("DELETE", "")])
def test_bookings_cancelled_before_do_not_change(client: Client, method: str, suffix: str) -> None:
    host, attendee = client.host(), client.attendee()
    event = client.event(host)
    booking_id = client.book(attendee, event["eventId"]).json["bookingId"]
    client("DELETE", f"/bookings/{booking_id}", by=attendee)

    client(method, f"/events/{event['eventId']}{suffix}", by=host)

    [domain_event] = domain_events(client, event["eventId"], "booking-cancelled")
    assert domain_event.body["reason"] == "attendee"
    assert taken(client, event["eventId"]) == 0


def test_cancelling_an_event_is_idempotent(client: Client) -> None:
    host = client.host()
    event = client.event(host)
    book(client, event, 2)
    first = cancel(client, host, event["eventId"])
    recorded = domain_events(client, event["eventId"])

    again = cancel(client, host, event["eventId"])

    assert (again.status, again.json) == (200, first.json)
    assert again.headers["etag"] == first.headers["etag"]
    assert domain_events(client, event["eventId"]) == recorded


def test_a_cancelled_event_can_be_deleted(client: Client) -> None:
    host = client.host()
    event = client.event(host)
    book(client, event, 1)
    cancel(client, host, event["eventId"])

    assert delete(client, host, event["eventId"]).status == 204
    assert client("GET", f"/events/{event['eventId']}").status == 404
    assert len(domain_events(client, event["eventId"], "booking-cancelled")) == 1


def test_a_deleted_event_cannot_be_deleted_again(client: Client) -> None:
    host = client.host()
    event = client.event(host)

    assert delete(client, host, event["eventId"]).status == 204
    assert delete(client, host, event["eventId"]).problem == "no-such-event"


def test_a_draft_can_be_deleted_but_not_cancelled(client: Client) -> None:
    host = client.host()
    draft = client.event(host, status="draft")

    reply = cancel(client, host, draft["eventId"])
    assert (reply.status, reply.problem) == (409, "not-published")
    assert client("GET", f"/events/{draft['eventId']}", by=host).json == draft

    assert delete(client, host, draft["eventId"]).status == 204
    assert client("GET", f"/events/{draft['eventId']}", by=host).status == 404


def test_a_running_event_can_be_cancelled_with_its_bookings(client: Client) -> None:
    host = client.host()
    event_id = client.past_event(host, started_ago=HOUR, lasts=2 * HOUR)
    client.book(client.attendee(), event_id)

    assert cancel(client, host, event_id).status == 200
    assert statuses(client, event_id) == ["cancelled"]
    assert taken(client, event_id) == 0


def test_a_past_event_can_be_deleted_and_keeps_its_bookings(client: Client) -> None:
    host, attendee = client.host(), client.attendee()
    event_id = client.past_event(host, started_ago=2 * HOUR, lasts=HOUR)
    booking_id = client.book_as_of(attendee, event_id, datetime.now(UTC) - 3 * HOUR)

    reply = cancel(client, host, event_id)
    assert (reply.status, reply.problem) == (409, "event-ended")

    assert delete(client, host, event_id).status == 204
    assert client("GET", f"/bookings/{booking_id}", by=attendee).json["status"] == "confirmed"
    assert taken(client, event_id) == 1
    assert domain_events(client, event_id, "booking-cancelled") == []


def test_cancelled_and_deleted_events_cannot_be_booked(client: Client) -> None:
    host = client.host()
    cancelled, deleted = client.event(host), client.event(host)
    cancel(client, host, cancelled["eventId"])
    delete(client, host, deleted["eventId"])

    assert client.book(client.attendee(), cancelled["eventId"]).problem == "event-cancelled"
    assert client.book(client.attendee(), deleted["eventId"]).problem == "no-such-event"


@pytest.mark.parametrize(("method", "suffix"), [("POST", "/cancel"), ("DELETE", "")])
def test_a_stale_version_is_neither_cancelled_nor_deleted(client: Client, method: str, suffix: str) -> None:
    host = client.host()
    event = client.event(host)
    path = f"/events/{event['eventId']}"
    known = {"If-Match": client("GET", path, by=host).headers["etag"]}
    changed = client("PATCH", path, {"title": "Changed"}, by=host)

    stale = client(method, path + suffix, by=host, headers=known)
    assert (stale.status, stale.problem) == (412, "stale-version")
    assert client("GET", path, by=host).json == changed.json

    current = client(method, path + suffix, by=host, headers={"If-Match": changed.headers["etag"]})
    assert current.status in {200, 204}


def test_deleting_an_event_keeps_its_rows_and_bookings(client: Client) -> None:
    host = client.host()
    event = client.event(host)
    book(client, event, 2)

    delete(client, host, event["eventId"])

    assert value(client, "SELECT count(*) FROM events WHERE event_id = :id", id=event["eventId"]) == 1
    assert len(statuses(client, event["eventId"])) == 2
