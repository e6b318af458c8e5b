"""Idempotency: a request that is sent twice is executed once and gets the same response twice."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from chalicelib.platform.http import idempotency
from tests.bookings.ticket_transfers import give
from tests.client import Client, Reply, event_body
from tests.database_contents import contents, count
from tests.rows import rows, taken

Send = partial[Reply]


def registration(**members: Any) -> dict[str, Any]:
    return {
        "name": "Ada",
        "email": "ada@example.com",
        "password": "correct horse battery",
        "role": "attendee",
        **members,
    }


def registering(client: Client) -> Send:
    return partial(client, "POST", "/auth/register", registration())


def publishing(client: Client) -> Send:
    return partial(client, "POST", "/events", event_body(), by=client.host())


def adding_a_ticket_type(client: Client) -> Send:
    host = client.host()
    path = f"/events/{client.event(host)['eventId']}/ticket-types"
    return partial(client, "POST", path, {"name": "Early bird", "price": 1500}, by=host)


def creating_a_code(client: Client) -> Send:
    host = client.host()
    path = f"/events/{client.event(host)['eventId']}/codes"
    return partial(client, "POST", path, {"code": "EARLYBIRD", "kind": "percent", "value": 20}, by=host)


def creating_a_door_key(client: Client) -> Send:
    host = client.host()
    path = f"/events/{client.event(host)['eventId']}/door-keys"
    return partial(client, "POST", path, {"name": "North gate"}, by=host)


def booking(client: Client) -> Send:
    event = client.event(client.host())
    return partial(client, "POST", "/bookings", {"eventId": event["eventId"]}, by=client.attendee())


def offering_a_ticket(client: Client) -> Send:
    given = give(client)
    return partial(client, "POST", f"{given.path}/transfer", {"email": "ada@example.com"}, by=given.booker)


each_creation = pytest.mark.parametrize(
    ("creating", "table"),
    [
        (registering, "users"),
        (publishing, "events"),
        (adding_a_ticket_type, "ticket_types"),
        (creating_a_code, "codes"),
        (creating_a_door_key, "door_keys"),
        (booking, "bookings"),
        (offering_a_ticket, "ticket_transfers"),
    ],
    ids=["register", "publish", "add a type", "create a code", "create a door key", "book", "offer"],
)
REPEATABLE = {"events", "ticket_types", "door_keys"}
"""The tables of resources that can be created again with the same body."""

KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


def age_keys_by_a_day(client: Client, *, but: str = "0 seconds") -> None:
    """Make all keys one day older, except for `but`, because the app's clock cannot be set."""
    rows(
        client,
        "UPDATE idempotency_keys SET created_at = created_at - interval '24 hours' + CAST(:but AS interval)",
        but=but,
    )


@each_creation
def test_a_repeated_request_gets_the_first_response(
    client: Client, creating: Callable[[Client], Send], table: str
) -> None:
    send = creating(client)
    before = count(client, table)

    first = send(headers=KEY)
    after_first = contents(client)
    second, third = send(headers=KEY), send(headers=KEY)

    assert first.status == second.status == third.status == 201
    assert first.text == second.text == third.text
    assert "idempotent-replayed" not in first.headers
    for again in (second, third):
        assert again.headers["idempotent-replayed"] == "true"
        own = {"x-request-id", "idempotent-replayed"}
        assert {name: value for name, value in again.headers.items() if name not in own} == {
            name: value for name, value in first.headers.items() if name not in own
        }
    assert contents(client) == after_first
    assert count(client, table) == before + 1


@each_creation
def test_without_the_key_a_request_is_executed_again(
    client: Client, creating: Callable[[Client], Send], table: str
) -> None:
    send = creating(client)
    send(headers=KEY)
    made = count(client, table)

    again = [send(), send(headers={"Idempotency-Key": "another"})]

    if table in REPEATABLE:
        assert [reply.status for reply in again] == [201, 201]
        assert count(client, table) == made + 2
    else:
        assert [reply.status for reply in again] == [409, 409]
        assert count(client, table) == made


@each_creation
def test_another_body_with_the_same_key_is_refused(
    client: Client, creating: Callable[[Client], Send], table: str
) -> None:
    send = creating(client)
    first = send(headers=KEY)
    other = {
        "users": registration(name="Somebody else"),
        "events": event_body(title="Something else"),
        "ticket_types": {"name": "Something else", "price": 0},
        "codes": {"code": "ELSE", "kind": "access"},
        "door_keys": {"name": "South gate"},
        "bookings": {"eventId": client.event(client.host())["eventId"]},
        "ticket_transfers": {"email": "else@example.com"},
    }[table]
    before = contents(client)

    second = client("POST", send.args[1], other, by=send.keywords.get("by"), headers=KEY)

    assert (second.status, second.problem) == (422, "idempotency-key-reused")
    assert contents(client) == before
    assert send(headers=KEY).text == first.text


@each_creation
def test_a_key_expires_after_24_hours(client: Client, creating: Callable[[Client], Send], table: str) -> None:
    send = creating(client)
    send(headers=KEY)
    made = count(client, table)

    age_keys_by_a_day(client, but="1 minute")
    assert send(headers=KEY).headers["idempotent-replayed"] == "true"
    age_keys_by_a_day(client)
    again = send(headers=KEY)

    assert "idempotent-replayed" not in again.headers
    assert again.status == (201 if table in REPEATABLE else 409)
    assert count(client, table) == (made + 1 if table in REPEATABLE else made)


def test_an_expired_key_can_be_reused(client: Client) -> None:
    host = client.host()
    client("POST", "/events", event_body(), by=host, headers=KEY)
    age_keys_by_a_day(client)
    publish_another = partial(client, "POST", "/events", event_body(title="New"), by=host, headers=KEY)

    second, third = publish_another(), publish_another()

    assert second.json["title"] == "New"
    assert third.text == second.text
    assert count(client, "events") == 2


def test_a_refusal_is_not_stored(client: Client) -> None:
    host, attendee = client.host(), client.attendee()
    event = client.event(host, capacity=1)
    other = client.attendee()
    other_booking = client.book(other, event["eventId"]).json["bookingId"]
    book = partial(client, "POST", "/bookings", {"eventId": event["eventId"]}, by=attendee, headers=KEY)
    client.account("host", email="ada@example.com")

    assert book().problem == "sold-out"
    assert client("POST", "/auth/register", registration(), headers=KEY).problem == "email-taken"
    assert client("POST", "/events", event_body(capacity=0), by=host, headers=KEY).status == 400
    assert count(client, "idempotency_keys") == 0

    client("DELETE", f"/bookings/{other_booking}", by=other)
    assert book().status == 201
    assert client("POST", "/events", event_body(), by=host, headers=KEY).status == 201
    assert client("POST", "/auth/register", registration(email="new@example.com"), headers=KEY).status == 201


def test_a_booking_is_replayed_after_its_event_is_gone(client: Client) -> None:
    host = client.host()
    event = client.event(host, capacity=1)
    book = partial(
        client, "POST", "/bookings", {"eventId": event["eventId"]}, by=client.attendee(), headers=KEY
    )
    first = book()
    assert client.book(client.attendee(), event["eventId"]).problem == "sold-out"

    assert (book().status, book().text) == (201, first.text)
    client("POST", f"/events/{event['eventId']}/cancel", by=host)
    assert (book().status, book().text) == (201, first.text)
    client("DELETE", f"/events/{event['eventId']}", by=host)
    assert (book().status, book().text) == (201, first.text)
    assert taken(client, event["eventId"]) == 0


def test_two_callers_can_use_the_same_key(client: Client) -> None:
    body = event_body()
    event = client.event(client.host())

    events = [client("POST", "/events", body, by=client.host(), headers=KEY) for _ in range(2)]
    bookings = [client.book(client.attendee(), event["eventId"], **KEY) for _ in range(2)]

    for replies in (events, bookings):
        assert [reply.status for reply in replies] == [201, 201]
        assert replies[0].text != replies[1].text
        assert all("idempotent-replayed" not in reply.headers for reply in replies)


def test_two_people_can_register_with_the_same_key(client: Client) -> None:
    ada = client("POST", "/auth/register", registration(), headers=KEY)
    grace = client("POST", "/auth/register", registration(email="grace@example.com"), headers=KEY)

    assert (ada.status, grace.status) == (201, 201)
    assert grace.json["user"]["email"] == "grace@example.com"
    assert grace.json["token"] != ada.json["token"]


def test_a_key_without_the_password_returns_no_token(client: Client) -> None:
    client("POST", "/auth/register", registration(), headers=KEY)

    guessed = client("POST", "/auth/register", registration(password="a mere guess"), headers=KEY)

    assert (guessed.status, guessed.problem) == (422, "idempotency-key-reused")


def test_a_replay_needs_an_existing_account(client: Client) -> None:
    host = client.host()
    publish = partial(client, "POST", "/events", event_body(), by=host, headers=KEY)
    publish()
    client("DELETE", "/users/me", by=host)

    assert publish().problem == "invalid-token"


def test_only_expired_keys_are_purged(client: Client) -> None:
    host = client.host()
    for number in range(5):
        client("POST", "/events", event_body(), by=host, headers={"Idempotency-Key": f"old {number}"})
    age_keys_by_a_day(client)
    client("POST", "/events", event_body(), by=host, headers={"Idempotency-Key": "new"})
    [young] = rows(client, "SELECT key FROM idempotency_keys ORDER BY created_at DESC LIMIT 1")

    purged = idempotency.purge(client.wiring.database, datetime.now(UTC), batch_size=2)

    assert purged == 5
    assert rows(client, "SELECT key FROM idempotency_keys") == [young]
    assert idempotency.purge(client.wiring.database, datetime.now(UTC), batch_size=2) == 0


def test_keys_and_requests_are_stored_as_hashes(client: Client) -> None:
    registering(client)(headers=KEY)

    [row] = rows(client, "SELECT k::text AS stored FROM idempotency_keys k")

    for secret in (KEY["Idempotency-Key"], "correct horse", "eyJ"):
        assert secret not in row.stored
