"""Odd headers, such as garbage, other scripts and very long values, cause no server error."""

import pytest

from tests.api.conftest import World
from tests.api.operations import short
from tests.client import Client, event_body
from tests.database_contents import contents, count

GARBAGE = ["", " ", "x", "ü", "\U0001f3b7", "\0", "\udc80", "a\tb", '"', "'; --", "*", ",", "x" * 100_000]


@pytest.mark.parametrize(
    "authorization",
    [
        *GARBAGE,
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Bearer a.b.c",
        "Bearer ü.ü.ü",
        "Bearer \udc80.\udc80.\udc80",
        f"Bearer {'x' * 100_000}",
        "Basic YWRhOnNlY3JldA==",
        "Digest username=ada",
        "Bearer: x",
        "Token x",
    ],
    ids=short,
)
def test_only_a_valid_token_is_accepted(world: World, authorization: str) -> None:
    before = contents(world.client)

    for method, path in (("GET", "/users/me"), ("GET", "/events"), ("DELETE", "/users/me")):
        reply = world.client(method, path, headers={"Authorization": authorization})
        assert reply.status == 401
        assert reply.problem in {"unauthenticated", "invalid-token"}
        assert reply.headers["www-authenticate"].startswith("Bearer ")

    assert contents(world.client) == before


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer"])
def test_the_token_scheme_is_case_insensitive(world: World, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {world.host.token}"}

    assert world.client("GET", "/users/me", headers=headers).status == 200


@pytest.mark.parametrize(
    "key", ["", "ü", "\U0001f3b7", "\0", "a\nb", "a\tb", "\x7f", "\udc80", "x" * 256], ids=short
)
def test_a_bad_idempotency_key_is_named(world: World, key: str) -> None:
    before = contents(world.client)
    registration = {"name": "Eve", "email": "eve@example.com", "password": "correct horse", "role": "host"}

    for path, body, by in (
        ("/events", event_body(), world.host),
        ("/bookings", {"eventId": world.event["eventId"]}, world.attendee),
        ("/auth/register", registration, None),
    ):
        reply = world.client("POST", path, body, by=by, headers={"Idempotency-Key": key})
        assert (reply.status, reply.faulty_fields) == (400, {"Idempotency-Key"})

    assert contents(world.client) == before


@pytest.mark.parametrize(
    "key", ["x", "x" * 255, " ", "~!@#$%^&*()", '"8e03978e-40d5-43dd-bc93-6894a57f9324"']
)
def test_any_printable_idempotency_key_is_accepted(client: Client, key: str) -> None:
    host, body = client.host(), event_body()

    for _ in range(2):
        reply = client("POST", "/events", body, by=host, headers={"Idempotency-Key": key})
        assert reply.status == 201

    assert count(client, "events") == 1


@pytest.mark.parametrize("tag", GARBAGE, ids=short)
def test_a_malformed_condition_is_not_met(world: World, tag: str) -> None:
    """If-Match protects a version, so a malformed one must not let a write through."""
    path = f"/events/{world.event['eventId']}"
    before = contents(world.client)

    assert world.client("GET", path, headers={"If-None-Match": tag}).status == (304 if tag == "*" else 200)
    if tag != "*":
        written = world.client("PATCH", path, {"title": "New"}, by=world.host, headers={"If-Match": tag})
        assert (written.status, written.problem) == (412, "stale-version")

    assert contents(world.client) == before


@pytest.mark.parametrize("value", GARBAGE, ids=short)
def test_unknown_headers_are_ignored(world: World, value: str) -> None:
    for header in ("Accept", "Accept-Language", "Cookie", "Origin", "X-Forwarded-For", "X-Anything", "Host"):
        assert world.client("GET", "/events", headers={header: value}).status == 200


def test_a_header_does_not_change_the_method(world: World) -> None:
    before = contents(world.client)

    for header in ("X-HTTP-Method-Override", "X-Method-Override"):
        path = f"/events/{world.event['eventId']}"
        assert world.client("GET", path, by=world.host, headers={header: "DELETE"}).status == 200

    assert contents(world.client) == before
