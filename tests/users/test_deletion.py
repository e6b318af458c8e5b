"""Account deletion: personal data is erased, future bookings are cancelled, past bookings stay."""

import re
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from chalicelib.platform.database.engine import metadata
from tests.client import PASSWORD, Account, Client
from tests.concurrency import run_concurrently
from tests.database_contents import count
from tests.rows import domain_events, rows, taken, value

HOUR = timedelta(hours=1)


def delete_account(client: Client, account: Account) -> None:
    assert client("DELETE", f"/users/{account.user_id}", by=account).status == 204


def book(client: Client, attendee: Account, event_id: str) -> str:
    return str(client.book(attendee, event_id).json["bookingId"])


def booking_status(client: Client, booking_id: str) -> str:
    return str(value(client, "SELECT status FROM bookings WHERE booking_id = :id", id=booking_id))


def test_name_email_and_credentials_are_erased(client: Client) -> None:
    ada = client.account("attendee", "Ada Lovelace", "ada@example.com")

    delete_account(client, ada)

    [row] = rows(client, "SELECT * FROM users")
    assert (row.name, row.email, row.words) == (None, None, "")
    assert str(row.user_id) == ada.user_id
    assert count(client, "credentials") == 0


def test_no_table_keeps_personal_data_of_a_deleted_account(client: Client) -> None:
    registration = {
        "name": "Ada Lovelace",
        "email": "ada@lovelace.org",
        "password": PASSWORD,
        "role": "attendee",
    }
    token = client("POST", "/auth/register", registration, headers={"Idempotency-Key": "a"}).json["token"]
    change = {"email": "countess@lovelace.org", "currentPassword": PASSWORD}
    assert client("PATCH", "/users/me", change, by=token).status == 200
    event = client.event(client.host())
    client("POST", "/bookings", {"eventId": event["eventId"]}, by=token, headers={"Idempotency-Key": "b"})

    assert client("DELETE", "/users/me", by=token).status == 204
    rows(client, "DELETE FROM outbox")  # as the relay does after publishing

    for table in metadata.sorted_tables:
        kept = str(value(client, f"SELECT json_agg(t)::text FROM {table.name} t"))  # noqa: S608 (ours)
        assert not re.search("lovelace|countess", kept, re.IGNORECASE), table.name


@pytest.mark.parametrize("path", ["/users/me", "/users", "/bookings", "/events"])
def test_tokens_of_a_deleted_account_are_refused(client: Client, path: str) -> None:
    ada = client.attendee()
    delete_account(client, ada)

    reply = client("GET", path, by=ada)

    assert (reply.status, reply.problem) == (401, "invalid-token")


def test_a_deleted_account_cannot_be_deleted_again(client: Client) -> None:
    ada = client.attendee()
    delete_account(client, ada)

    assert client("DELETE", "/users/me", by=ada).status == 401


def test_a_deleted_account_cannot_log_in(client: Client) -> None:
    ada = client.attendee()
    delete_account(client, ada)

    assert client("POST", "/auth/login", {"email": ada.email, "password": PASSWORD}).status == 401


def test_the_email_can_be_registered_again_as_a_new_account(client: Client) -> None:
    ada = client.account("attendee", "Ada", "ada@example.com")
    client.book(ada, client.event(client.host())["eventId"])
    delete_account(client, ada)

    body = {"name": "Ada", "email": "ada@example.com", "password": PASSWORD, "role": "attendee"}
    again = client("POST", "/auth/register", body)

    assert again.status == 201
    assert again.json["user"]["userId"] != ada.user_id
    assert client("GET", "/bookings", by=again.json["token"]).json == []
    assert client("GET", "/users/me", by=ada).status == 401


def test_deleting_an_attendee_frees_their_places(client: Client) -> None:
    host, ada, grace = client.host(), client.attendee(), client.attendee()
    events = [client.event(host, capacity=2)["eventId"] for _ in range(3)]
    bookings = [book(client, ada, event_id) for event_id in events]
    for event_id in events:
        book(client, grace, event_id)

    delete_account(client, ada)

    assert {booking_status(client, booking_id) for booking_id in bookings} == {"cancelled"}
    assert [taken(client, event_id) for event_id in events] == [1, 1, 1]
    assert client.book(client.attendee(), events[0]).status == 201
    for event_id, booking_id in zip(events, bookings, strict=True):
        [domain_event] = domain_events(client, event_id, "booking-cancelled")
        assert (domain_event.body["bookingId"], domain_event.body["reason"]) == (
            booking_id,
            "account-deleted",
        )


@pytest.mark.parametrize("lasts", [HOUR, 5 * HOUR], ids=["ended", "running"])
def test_bookings_of_started_events_stay(client: Client, lasts: timedelta) -> None:
    host, ada = client.host(), client.attendee()
    event_id = client.past_event(host, started_ago=2 * HOUR, lasts=lasts)
    booking_id = client.book_as_of(ada, event_id, datetime.now(UTC) - 3 * HOUR)

    delete_account(client, ada)

    assert booking_status(client, booking_id) == "confirmed"
    assert taken(client, event_id) == 1


def test_a_host_sees_bookings_of_a_deleted_account_without_name(client: Client) -> None:
    host, ada = client.host(), client.account("attendee", "Ada", "ada@example.com")
    booking_id = book(client, ada, client.event(host)["eventId"])
    assert client("GET", f"/bookings/{booking_id}", by=host).json["attendee"] == {
        "name": "Ada",
        "email": "ada@example.com",
    }

    delete_account(client, ada)

    booking = client("GET", f"/bookings/{booking_id}", by=host).json
    assert booking["attendee"] == {}
    assert client("GET", "/bookings", by=host).json == [booking]


def test_deleting_a_host_cancels_their_events_and_bookings(client: Client) -> None:
    host, ada, grace = client.host(), client.attendee(), client.attendee()
    events = [client.event(host)["eventId"] for _ in range(2)]
    bookings = [book(client, by, event_id) for by in (ada, grace) for event_id in events]

    delete_account(client, host)

    for event_id in events:
        event = client("GET", f"/events/{event_id}").json
        assert (event["status"], event["onSale"], event["numberOfAttendees"]) == ("cancelled", False, 0)
        assert taken(client, event_id) == 0
        types = [domain_event.type for domain_event in domain_events(client, event_id)]
        assert types.count("event-cancelled") == 1
        assert types.count("booking-cancelled") == 2
    assert {booking_status(client, booking_id) for booking_id in bookings} == {"cancelled"}
    assert client.book(client.attendee(), events[0]).problem == "event-cancelled"


def test_deleting_a_host_cancels_a_running_event(client: Client) -> None:
    host, ada = client.host(), client.attendee()
    event_id = client.past_event(host, started_ago=HOUR, lasts=2 * HOUR)
    booking_id = client.book_as_of(ada, event_id, datetime.now(UTC) - 2 * HOUR)

    delete_account(client, host)

    assert client("GET", f"/events/{event_id}").json["status"] == "cancelled"
    assert booking_status(client, booking_id) == "cancelled"


def test_past_events_of_a_deleted_host_stay_with_their_bookings(client: Client) -> None:
    host, ada = client.host(), client.attendee()
    event_id = client.past_event(host, started_ago=2 * HOUR, lasts=HOUR)
    booking_id = client.book_as_of(ada, event_id, datetime.now(UTC) - 3 * HOUR)
    before = client("GET", f"/events/{event_id}").json

    delete_account(client, host)

    assert client("GET", f"/events/{event_id}").json == before | {"host": {"userId": host.user_id}}
    assert client("GET", f"/bookings/{booking_id}", by=ada).json["status"] == "confirmed"
    assert taken(client, event_id) == 1


def test_deleting_a_host_deletes_their_drafts(client: Client) -> None:
    host = client.host()
    draft = client.event(host, status="draft")["eventId"]

    delete_account(client, host)

    assert value(client, "SELECT deleted_at IS NOT NULL FROM events WHERE event_id = :id", id=draft)
    assert client("GET", f"/events/{draft}", by=client.host()).status == 404
    assert domain_events(client, draft) == []


def test_events_cancelled_or_deleted_before_do_not_change(client: Client) -> None:
    host = client.host()
    cancelled, deleted = client.event(host)["eventId"], client.event(host)["eventId"]
    client("POST", f"/events/{cancelled}/cancel", by=host)
    client("DELETE", f"/events/{deleted}", by=host)
    before = rows(client, "SELECT * FROM events ORDER BY event_id")

    delete_account(client, host)

    assert rows(client, "SELECT * FROM events ORDER BY event_id") == before
    assert len(domain_events(client, cancelled, "event-cancelled")) == 1


def test_events_and_bookings_of_others_do_not_change(client: Client) -> None:
    host, other_host, ada = client.host(), client.host(), client.attendee()
    event_id = client.event(other_host)["eventId"]
    booking_id = book(client, ada, event_id)

    delete_account(client, host)
    delete_account(client, client.attendee())

    assert client("GET", f"/events/{event_id}").json["status"] == "published"
    assert booking_status(client, booking_id) == "confirmed"
    assert taken(client, event_id) == 1


def test_bookings_concurrent_with_the_deletion_are_cancelled(client: Client) -> None:
    host, ada = client.host(), client.attendee()
    events = [client.event(host)["eventId"] for _ in range(6)]

    run_concurrently(
        [
            *(partial(client.book, ada, event_id) for event_id in events),
            partial(client, "DELETE", "/users/me", by=ada),
        ]
    )

    assert count(client, "credentials") == 1  # the host's
    assert [taken(client, event_id) for event_id in events] == [0] * 6
    assert rows(client, "SELECT 1 FROM bookings WHERE status <> 'cancelled'") == []
