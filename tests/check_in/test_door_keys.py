"""Door keys: what a scanner may do with one, until when, and that its secret stays secret."""

from datetime import datetime, timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest

from chalicelib.check_in.door_keys import MAX_KEYS
from tests.check_in.doors import Door
from tests.client import Client, Reply
from tests.rows import rows, value

KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


def create(door: Door, headers: dict[str, str] | None = None, **members: Any) -> Reply:
    body = {"name": "North gate", **members}
    return door.client("POST", f"/events/{door.event_id}/door-keys", body, by=door.host, headers=headers)


def revoke(door: Door, door_key_id: str) -> Reply:
    return door.client("DELETE", f"/events/{door.event_id}/door-keys/{door_key_id}", by=door.host)


def everything(client: Client) -> str:
    """Return all rows of the tables that a creation writes, as text."""
    tables = ("door_keys", "idempotency_keys", "outbox", "check_ins")
    parts = (f"(SELECT json_agg(t)::text FROM {table} t)" for table in tables)  # noqa: S608 (our own tables)
    return str(value(client, f"SELECT concat({', '.join(parts)})"))


def test_a_door_key_scans_tickets_of_its_event(door: Door) -> None:
    made = create(door).json

    reply = door.scan(door.ticket(), by=made["key"])

    assert reply.status == 200
    assert str(value(door.client, "SELECT door_key_id FROM check_ins")) == made["doorKeyId"]


def test_a_door_key_expires_12_hours_after_the_event(door: Door) -> None:
    made = create(door).json

    ends_at = datetime.fromisoformat(door.client("GET", f"/events/{door.event_id}").json["endDateTime"])
    assert datetime.fromisoformat(made["expiresAt"]) == ends_at + timedelta(hours=12)
    assert set(made) == {"doorKeyId", "name", "createdAt", "expiresAt", "key"}


@pytest.mark.parametrize(
    ("after_the_end", "status"),
    [(timedelta(days=30), 201), (timedelta(days=30, seconds=1), 400), (timedelta(hours=-6), 400)],
)
def test_the_end_of_a_door_key_has_limits(door: Door, after_the_end: timedelta, status: int) -> None:
    ends_at = datetime.fromisoformat(door.client("GET", f"/events/{door.event_id}").json["endDateTime"])

    reply = create(door, expiresAt=(ends_at + after_the_end).isoformat())

    assert reply.status == status
    assert status == 201 or reply.faulty_fields == {"expiresAt"}


def test_after_the_event_a_door_key_needs_an_end_of_its_own(client: Client) -> None:
    host = client.host()
    past = client.past_event(host, started_ago=timedelta(days=2), lasts=timedelta(hours=1))
    door = Door(client, host, past)

    assert create(door).faulty_fields == {"expiresAt"}
    assert create(door, expiresAt=timedelta(days=1)).status == 201


@pytest.mark.parametrize(("ended", "problem"), [(31, "event-ended"), (None, "event-cancelled")])
def test_an_event_that_is_over_gets_no_door_key(client: Client, ended: int | None, problem: str) -> None:
    door = Door.open(client)
    if ended:
        event_id = client.past_event(door.host, started_ago=timedelta(days=ended), lasts=timedelta(hours=1))
        door = Door(client, door.host, event_id)
    else:
        client("POST", f"/events/{door.event_id}/cancel", {}, by=door.host)

    assert create(door).problem == problem


def test_the_list_does_not_show_secrets(door: Door) -> None:
    first, second = create(door).json, create(door, name="South gate").json
    revoke(door, first["doorKeyId"])

    listed = door.client("GET", f"/events/{door.event_id}/door-keys", by=door.host).json

    assert [key["name"] for key in listed] == ["South gate", "North gate"]
    assert [set(second) - set(key) for key in listed] == [{"key"}, {"key"}]
    assert ["revokedAt" in key for key in listed] == [False, True]


def test_a_revoked_door_key_is_refused_immediately(door: Door) -> None:
    made, ticket_id = create(door).json, door.ticket()

    replies = [revoke(door, made["doorKeyId"]) for _ in range(2)]

    assert [reply.status for reply in replies] == [204, 204]
    assert door.scan(ticket_id, by=made["key"]).problem == "invalid-token"
    assert door.status(ticket_id) == "valid"


def test_revoking_again_keeps_the_time(door: Door) -> None:
    made = create(door).json
    revoke(door, made["doorKeyId"])
    before = value(door.client, "SELECT revoked_at FROM door_keys")

    revoke(door, made["doorKeyId"])

    assert value(door.client, "SELECT revoked_at FROM door_keys") == before


@pytest.mark.parametrize("of", ["no event", "another event"])
def test_unknown_door_keys_cannot_be_revoked(door: Door, of: str) -> None:
    other = create(Door.open(door.client)).json["doorKeyId"] if of == "another event" else str(uuid4())

    assert revoke(door, other).problem == "no-such-door-key"
    assert value(door.client, "SELECT count(*) FROM door_keys WHERE revoked_at IS NOT NULL") == 0


def test_an_event_has_at_most_100_door_keys(door: Door) -> None:
    first = create(door).json
    rows(
        door.client,
        "INSERT INTO door_keys (door_key_id, event_id, name, key_hash, created_at, expires_at, revoked_at)"
        " SELECT uuidv7(), event_id, name, sha256(n::text::bytea), created_at,"
        " CASE mod(n, 3) WHEN 1 THEN created_at ELSE expires_at END,"
        " CASE mod(n, 3) WHEN 2 THEN created_at END"
        " FROM door_keys, generate_series(1, 3 * CAST(:live AS integer)) n",
        live=MAX_KEYS - 1,
    )

    full = create(door)
    revoke(door, first["doorKeyId"])
    again = create(door)

    assert (full.status, full.problem) == (409, "too-many-door-keys")
    assert again.status == 201


def test_a_key_is_shown_once_and_stored_as_a_hash(door: Door, log: StringIO) -> None:
    made = [create(door).json, create(door, headers=KEY).json]
    for key in made:
        door.scan(door.ticket(), by=key["key"])
        door.scan("", by=key["key"], code="forged")

    logged, stored = log.getvalue(), everything(door.client)
    assert "/check-ins" in logged
    for key in made:
        secret = key["key"].removeprefix("key_")
        assert secret not in logged
        assert secret not in stored
        assert key["doorKeyId"] in stored


def test_a_replay_has_the_same_key(door: Door) -> None:
    first, again = create(door, headers=KEY), create(door, headers=KEY)

    assert again.text == first.text
    assert again.headers["idempotent-replayed"] == "true"
    assert value(door.client, "SELECT count(*) FROM door_keys") == 1
    assert door.scan(door.ticket(), by=again.json["key"]).status == 200


def test_an_idempotency_key_that_is_used_again_later_makes_another_key(door: Door) -> None:
    first = create(door, headers=KEY)
    rows(door.client, "UPDATE idempotency_keys SET created_at = created_at - interval '24 hours'")

    later = create(door, headers=KEY)

    assert later.status == 201
    assert later.json["key"] != first.json["key"]


def test_keys_are_not_the_same_with_the_same_idempotency_key(client: Client) -> None:
    keys = {create(Door.open(client), headers=KEY).json["key"] for _ in range(3)}

    assert len(keys) == 3
    assert all(len(key) == len("key_") + 43 for key in keys)


def test_a_door_key_cannot_be_used_as_an_account(door: Door) -> None:
    key = create(door).json["key"]
    before = value(door.client, "SELECT count(*) FROM door_keys")

    for method, path in (("GET", "/users/me"), ("GET", "/events"), ("DELETE", f"/events/{door.event_id}")):
        assert door.client(method, path, by=key).problem == "invalid-token"
    made = door.client("POST", f"/events/{door.event_id}/door-keys", {"name": "x"}, by=key)

    assert (made.status, made.problem) == (401, "invalid-token")
    assert value(door.client, "SELECT count(*) FROM door_keys") == before


@pytest.mark.parametrize(
    "spoil", [str.upper, lambda key: key[:-1], lambda key: key + "A", lambda key: f"{key} "]
)
def test_spoilt_door_keys_are_refused(door: Door, spoil: Any) -> None:
    key = create(door).json["key"]
    spoilt = spoil(key)

    status = door.scan(door.ticket(), by=spoilt).status

    assert status == (200 if spoilt.strip() == key else 401)
