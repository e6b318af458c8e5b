"""Retries of a booking with the same Idempotency-Key get the first response."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from tests.client import Account, Client, Reply
from tests.concurrency import until_waiting
from tests.rows import alter, domain_events, rows, taken

KEY = {"Idempotency-Key": "a key"}


def test_a_retry_gets_the_first_response(client: Client) -> None:
    attendee, event = client.attendee(), client.event(client.host())

    first, again = (client.book(attendee, event["eventId"], **KEY) for _ in range(2))

    assert (again.status, again.text) == (first.status, first.text) == (201, first.text)
    for header in ("location", "etag"):
        assert again.headers[header] == first.headers[header]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert taken(client, event["eventId"]) == 1
    assert len(domain_events(client, event["eventId"], "booking-confirmed")) == 1


def sell_out(client: Client, _: Account, event: Any) -> None:
    client.book(client.attendee(), event["eventId"])


def cancel_booking(client: Client, attendee: Account, _: Any) -> None:
    [booking] = client("GET", "/bookings", by=attendee).json
    client("DELETE", f"/bookings/{booking['bookingId']}", by=attendee)


def delete_event(client: Client, _: Account, event: Any) -> None:
    rows(client, "UPDATE events SET deleted_at = now() WHERE event_id = :id", id=event["eventId"])


@pytest.mark.parametrize("change", [sell_out, cancel_booking, delete_event])
def test_a_retry_gets_the_first_response_after_changes(client: Client, change: Any) -> None:
    attendee, event = client.attendee(), client.event(client.host(), capacity=2)
    first = client.book(attendee, event["eventId"], **KEY)
    change(client, attendee, event)

    again = client.book(attendee, event["eventId"], **KEY)

    assert (again.status, again.json) == (201, first.json)


def test_a_key_of_another_request_is_refused(client: Client) -> None:
    host, attendee = client.host(), client.attendee()
    event, another = client.event(host), client.event(host)
    client.book(attendee, event["eventId"], **KEY)

    reply = client.book(attendee, another["eventId"], **KEY)

    assert (reply.status, reply.problem) == (422, "idempotency-key-reused")
    assert taken(client, another["eventId"]) == 0


def test_two_attendees_can_use_the_same_key(client: Client) -> None:
    event = client.event(client.host())

    replies = [client.book(attendee, event["eventId"], **KEY) for attendee in client.attendees(2)]

    assert [reply.status for reply in replies] == [201, 201]
    assert replies[0].json["bookingId"] != replies[1].json["bookingId"]
    assert taken(client, event["eventId"]) == 2


def test_a_refusal_is_not_stored_so_a_retry_can_succeed(client: Client) -> None:
    attendee, other, event = client.attendee(), client.attendee(), client.event(client.host(), capacity=1)
    booking = client.book(other, event["eventId"]).json
    assert client.book(attendee, event["eventId"], **KEY).problem == "sold-out"
    client("DELETE", f"/bookings/{booking['bookingId']}", by=other)

    reply = client.book(attendee, event["eventId"], **KEY)

    assert reply.status == 201
    assert "idempotent-replayed" not in reply.headers


@pytest.mark.parametrize(("age", "outcome"), [(timedelta(hours=23), 201), (timedelta(hours=25), 409)])
def test_a_key_is_valid_for_a_day(client: Client, age: timedelta, outcome: int) -> None:
    attendee, event = client.attendee(), client.event(client.host())
    client.book(attendee, event["eventId"], **KEY)
    rows(client, "UPDATE idempotency_keys SET created_at = created_at - CAST(:age AS interval)", age=age)

    assert client.book(attendee, event["eventId"], **KEY).status == outcome


def test_a_key_can_be_reused_after_a_day(client: Client) -> None:
    host, attendee = client.host(), client.attendee()
    client.book(attendee, client.event(host)["eventId"], **KEY)
    rows(client, "UPDATE idempotency_keys SET created_at = created_at - interval '25 hours'")
    another = client.event(host)

    first, again = (client.book(attendee, another["eventId"], **KEY) for _ in range(2))

    assert (first.status, first.json["eventId"]) == (201, another["eventId"])
    assert again.json == first.json


@pytest.mark.parametrize("key", ["", "x" * 256, "smiley 😀", "tab\there"])
def test_an_invalid_key_is_named(client: Client, key: str) -> None:
    attendee, event = client.attendee(), client.event(client.host())

    reply = client.book(attendee, event["eventId"], **{"Idempotency-Key": key})

    assert (reply.status, reply.faulty_fields) == (400, {"Idempotency-Key"})
    assert taken(client, event["eventId"]) == 0


def test_a_retry_during_the_booking_of_the_last_place_is_replayed(client: Client) -> None:
    attendee, event = client.attendee(), client.event(client.host(), capacity=1)
    first = client.book(attendee, event["eventId"], **KEY)
    # Undo the first request, and keep its rows so that they can all appear in one commit.
    tables = ("bookings", "tickets", "idempotency_keys")
    for table in reversed(tables):
        alter(client, f"CREATE TABLE kept_{table} AS TABLE {table}")
        rows(client, f"DELETE FROM {table}")  # noqa: S608 (its name is one of those above)
    rows(client, "UPDATE places SET taken = 0")

    with ThreadPoolExecutor(1) as thread, client.wiring.database.transaction() as connection:
        # The retry waits here for the event, after it has looked for its key.
        connection.execute(text("LOCK TABLE ticket_types"))
        again = thread.submit(client.book, attendee, event["eventId"], **KEY)
        until_waiting(client, 1, again)
        for table in tables:
            connection.execute(text(f"INSERT INTO {table} TABLE kept_{table}"))
        connection.execute(text("UPDATE places SET taken = 1"))

    reply: Reply = again.result()
    assert (reply.status, reply.text) == (201, first.text)
