"""Permissions: each operation refuses each wrong caller."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import urlencode
from uuid import uuid4

import pytest

import app
from chalicelib.notifications.models import TOPICS
from chalicelib.platform.http.operation import Operation
from chalicelib.platform.http.validation import FORM_TYPE
from chalicelib.platform.security import new_access_key
from tests.api.conftest import World, make_world
from tests.api.operations import OPERATIONS, each, name
from tests.api.resources import email_token, refresh_token, stripe_event, transfer_token, unsubscribe_token
from tests.check_in.doors import Door
from tests.client import PASSWORD, Account, Client, event_body, in_days
from tests.database_contents import contents
from tests.forged_tokens import claims, token
from tests.rows import rows

SCOPE = "scope:check-in"
OF_HOSTS = {"host", SCOPE}
"""Who may call a route that is for hosts, but not for attendees."""

BODIES: dict[str, Callable[[World], dict[str, Any]]] = {
    "POST /auth/register": lambda _: {
        "name": "Eve",
        "email": "eve@example.com",
        "password": "correct horse",
        "role": "host",
    },
    "POST /auth/login": lambda world: {"email": world.host.email, "password": PASSWORD},
    "POST /auth/refresh": lambda world: {"refreshToken": refresh_token(world.client)},
    "POST /auth/logout": lambda _: {"refreshToken": "of another session"},
    "PUT /users/{userId}": lambda _: {
        "name": "Eve",
        "email": "eve@example.com",
        "currentPassword": PASSWORD,
    },
    "PATCH /users/{userId}": lambda _: {"email": "eve@example.com", "currentPassword": PASSWORD},
    "POST /events": lambda _: event_body(title="Eve's"),
    "PUT /events/{eventId}": lambda _: event_body(title="Eve's"),
    "PATCH /events/{eventId}": lambda _: {"title": "Eve's"},
    "POST /events/{eventId}/cancel": lambda _: {"reason": "Rain."},
    "POST /events/{eventId}/ticket-types": lambda _: {"name": "Eve's", "price": 0},
    "PATCH /events/{eventId}/ticket-types/{ticketTypeId}": lambda _: {"name": "Eve's"},
    "POST /events/{eventId}/codes": lambda _: {"code": "EVE", "kind": "access"},
    "PATCH /events/{eventId}/codes/{codeId}": lambda _: {"value": 100},
    "POST /events/{eventId}/box-office": lambda _: {"name": "Eve", "paidBy": "cash"},
    "POST /events/{eventId}/door-keys": lambda _: {"name": "Eve's"},
    "POST /events/{eventId}/check-ins": lambda world: {"code": world.code, "nonce": str(uuid4())},
    "POST /events/{eventId}/check-ins/batch": lambda world: {
        "scans": [{"code": world.code, "nonce": str(uuid4()), "at": in_days(0)}]
    },
    "POST /bookings": lambda world: {"eventId": world.event["eventId"]},
    "POST /bookings/quote": lambda world: {"eventId": world.event["eventId"]},
    "POST /auth/verify-email": lambda world: {"token": email_token(world.client, "verify-email")},
    "POST /auth/forgot-password": lambda world: {"email": world.host.email},
    "POST /auth/reset-password": lambda world: {
        "token": email_token(world.client, "reset-password"),
        "password": "another password",
    },
    "POST /reset-password": lambda _: {"password": "another password"},
    "PATCH /tickets/{ticketId}": lambda _: {"holderName": "Eve"},
    "POST /tickets/{ticketId}/transfer": lambda _: {"email": "eve@example.com"},
    "POST /tickets/claim": lambda world: {"token": transfer_token(world.client)},
    "PUT /users/{userId}/preferences": lambda _: {
        "email": dict.fromkeys(TOPICS, False),
    },
}
"""A valid body for each operation that has one."""

QUERIES: dict[str, Callable[[World], str]] = {
    "GET /verify-email": lambda world: email_token(world.client, "verify-email"),
    "POST /verify-email": lambda world: email_token(world.client, "verify-email"),
    "GET /reset-password": lambda world: email_token(world.client, "reset-password"),
    "POST /reset-password": lambda world: email_token(world.client, "reset-password"),
    "GET /claim-ticket": lambda world: transfer_token(world.client),
    "POST /claim-ticket": lambda world: transfer_token(world.client),
    "GET /unsubscribe": lambda world: unsubscribe_token(world.client, world.attendee),
    "POST /unsubscribe": lambda world: unsubscribe_token(world.client, world.attendee),
}
"""A valid token for each operation that needs one in its query."""

OTHERS: dict[str, tuple[int, str] | Literal["public", "own"]] = {
    "GET /users/{userId}": "public",
    "PUT /users/{userId}": (403, "forbidden"),
    "PATCH /users/{userId}": (403, "forbidden"),
    "DELETE /users/{userId}": (403, "forbidden"),
    "GET /events/{eventId}": "public",
    "PUT /events/{eventId}": (403, "not-your-event"),
    "PATCH /events/{eventId}": (403, "not-your-event"),
    "DELETE /events/{eventId}": (403, "not-your-event"),
    "POST /events/{eventId}/cancel": (403, "not-your-event"),
    "POST /events/{eventId}/ticket-types": (403, "not-your-event"),
    "PATCH /events/{eventId}/ticket-types/{ticketTypeId}": (403, "not-your-event"),
    "DELETE /events/{eventId}/ticket-types/{ticketTypeId}": (403, "not-your-event"),
    "POST /events/{eventId}/codes": (403, "not-your-event"),
    "GET /events/{eventId}/codes": (403, "not-your-event"),
    "PATCH /events/{eventId}/codes/{codeId}": (403, "not-your-event"),
    "DELETE /events/{eventId}/codes/{codeId}": (403, "not-your-event"),
    "POST /events/{eventId}/box-office": (403, "not-your-event"),
    "GET /events/{eventId}/box-office": (403, "not-your-event"),
    "GET /events/{eventId}/attendees": (403, "not-your-event"),
    "GET /events/{eventId}/attendees.csv": (403, "not-your-event"),
    "POST /events/{eventId}/door-keys": (403, "not-your-event"),
    "GET /events/{eventId}/door-keys": (403, "not-your-event"),
    "DELETE /events/{eventId}/door-keys/{doorKeyId}": (403, "not-your-event"),
    "POST /events/{eventId}/check-ins": (403, "not-your-event"),
    "DELETE /events/{eventId}/check-ins/{checkInId}": (403, "not-your-event"),
    "GET /events/{eventId}/attendance": (403, "not-your-event"),
    "POST /events/{eventId}/check-ins/batch": (403, "not-your-event"),
    "GET /events/{eventId}/door-list": (403, "not-your-event"),
    "GET /bookings/{bookingId}": (404, "no-such-booking"),
    "DELETE /bookings/{bookingId}": (404, "no-such-booking"),
    "POST /bookings/{bookingId}/payment": (404, "no-such-booking"),
    "DELETE /tickets/{ticketId}": (404, "no-such-ticket"),
    "GET /bookings/{bookingId}/tickets": (404, "no-such-booking"),
    "GET /bookings/{bookingId}/tickets.pdf": (404, "no-such-booking"),
    "GET /tickets/{ticketId}": (404, "no-such-ticket"),
    "GET /tickets/{ticketId}/pass.pkpass": (404, "no-such-ticket"),
    "GET /tickets/{ticketId}/qr.svg": (404, "no-such-ticket"),
    "PATCH /tickets/{ticketId}": (404, "no-such-ticket"),
    "POST /tickets/{ticketId}/transfer": (404, "no-such-ticket"),
    "DELETE /tickets/{ticketId}/transfer": (404, "no-such-ticket"),
    "POST /tickets/{ticketId}/reissue": (404, "no-such-ticket"),
    "GET /events/{eventId}/integrity": (403, "not-your-event"),
    "PUT /events/{eventId}/interest": "own",
    "DELETE /events/{eventId}/interest": "own",
    "PUT /users/{userId}/follow": "own",
    "DELETE /users/{userId}/follow": "own",
    "GET /users/{userId}/following": (403, "forbidden"),
    "GET /users/{userId}/followers": (403, "forbidden"),
    "GET /users/{userId}/interests": (403, "forbidden"),
    "GET /users/{userId}/preferences": (403, "forbidden"),
    "PUT /users/{userId}/preferences": (403, "forbidden"),
    "POST /notifications/{notificationId}/read": (404, "no-such-notification"),
    "GET /door/{eventId}": "public",
}
"""The refusal of another account with the right role, for each operation on one resource.

"own" operations change only the caller's own interest or follow, at any event or host.
"""


@dataclass(frozen=True)
class BadToken:
    name: str
    token: str


def for_whom(*auth: str) -> pytest.MarkDecorator:
    return each([operation for operation in OPERATIONS if operation.auth in auth])


def path(operation: Operation, world: World, *, user: str = "me", event: str | None = None) -> str:
    """Return the path of an operation on existing resources."""
    ids = {"userId": world.host.user_id if operation.path.endswith("/follow") else user}
    if event:
        ids["eventId"] = event
    if operation.path.endswith("/payment"):
        ids["bookingId"] = world.hold["bookingId"]
    filled = world.path(operation, **ids)
    return f"{filled}?token={QUERIES[name(operation)](world)}" if name(operation) in QUERIES else filled


def event_of(operation: Operation, world: World) -> str:
    """Return the id of the event in the path of an operation."""
    return path(operation, world).split("/")[2]


def body(operation: Operation, world: World) -> dict[str, Any] | None:
    """Return a valid body. A new operation fails here: add its body above."""
    return BODIES[name(operation)](world) if operation.body else None


@pytest.fixture(scope="module")
def deleted(world: World) -> dict[str, Account]:
    """Deleted accounts by role."""
    accounts = {"host": world.client.host(), "attendee": world.client.attendee()}
    for account in accounts.values():
        world.client("DELETE", "/users/me", by=account)
    return accounts


@pytest.fixture(scope="module")
def changed(world: World) -> dict[str, Account]:
    """Accounts by role whose password was changed after their token was issued."""
    accounts = {"host": world.client.host(), "attendee": world.client.attendee()}
    for account in accounts.values():
        rows(
            world.client,
            "UPDATE credentials SET token_version = 2 WHERE user_id = :user_id",
            user_id=account.user_id,
        )
    return accounts


@pytest.fixture(scope="module")
def refreshing(world: World) -> str:
    """A refresh token."""
    return refresh_token(world.client)


def bad_tokens(
    operation: Operation,
    world: World,
    deleted: dict[str, Account],
    changed: dict[str, Account],
    refreshing: str,
) -> Iterator[BadToken]:
    """Yield tokens that are each invalid for one reason."""
    role: Literal["host", "attendee"] = "host" if operation.auth in OF_HOSTS else "attendee"
    user_id = (world.host if role == "host" else world.attendee).user_id
    good = claims(user_id, role)
    yield BadToken("expired", token(claims(user_id, role, exp=timedelta(minutes=-1))))
    yield BadToken("signed by another", token(good, secret=b"a guess at the secret, of 32 bytes or more"))
    yield BadToken("not signed", token(good, algorithm="none"))
    yield BadToken("for another API", token(claims(user_id, role, aud="another-api")))
    yield BadToken("of an unknown user", token(claims(str(uuid4()), role)))
    yield BadToken("of a deleted account", deleted[role].token)
    yield BadToken("of an earlier password", changed[role].token)
    yield BadToken("a refresh token", refreshing)


def test_every_route_declares_its_callers() -> None:
    served = {
        f"{method} {path}"
        for path, methods in app.app.routes.items()
        for method in methods
        if method != "HEAD"
    }

    assert {name(operation) for operation in OPERATIONS} == served


@for_whom("required", "host", "attendee", "self", SCOPE)
def test_without_a_token_nothing_is_done(operation: Operation, world: World) -> None:
    before = contents(world.client)

    reply = world.client(operation.method, path(operation, world), body(operation, world))

    assert (reply.status, reply.problem) == (401, "unauthenticated")
    assert reply.headers["www-authenticate"] == 'Bearer realm="event-booking"'
    assert contents(world.client) == before


@for_whom("optional", "required", "host", "attendee", "self", SCOPE)
def test_with_a_bad_token_nothing_is_done(
    operation: Operation,
    world: World,
    deleted: dict[str, Account],
    changed: dict[str, Account],
    refreshing: str,
) -> None:
    target, sent = path(operation, world), body(operation, world)
    before = contents(world.client)

    for bad in bad_tokens(operation, world, deleted, changed, refreshing):
        reply = world.client(operation.method, target, sent, by=bad.token)

        assert (reply.status, reply.problem) == (401, "invalid-token"), bad.name
        assert reply.headers["www-authenticate"].endswith('error="invalid_token"'), bad.name
    assert contents(world.client) == before


def test_an_access_token_is_not_a_refresh_token(world: World) -> None:
    before = contents(world.client)

    for good in (world.host.token[:200], token(claims("x", "host"))[:200]):
        reply = world.client("POST", "/auth/refresh", {"refreshToken": good})

        assert (reply.status, reply.problem) == (401, "invalid-refresh-token")
    assert contents(world.client) == before


@for_whom("none", "optional")
def test_public_operations_need_no_token(operation: Operation, client: Client) -> None:
    world = make_world(client)
    target, sent = path(operation, world), body(operation, world)

    if operation.media_type == FORM_TYPE:
        form = {"Content-Type": FORM_TYPE}
        reply = client(operation.method, target, raw=urlencode(sent or {}).encode(), headers=form)
    elif name(operation) == "POST /webhooks/stripe":
        raw, signed = stripe_event()
        reply = client(operation.method, target, raw=raw, headers=signed)
    else:
        reply = client(operation.method, target, sent)

    assert reply.status in operation.responses


@for_whom("optional", "required", "host", "attendee", "self", SCOPE)
def test_the_right_caller_is_allowed(operation: Operation, client: Client) -> None:
    """Otherwise the refusals in this file could have another reason."""
    world = make_world(client)
    caller = world.host if operation.auth in OF_HOSTS else world.attendee
    if name(operation) == "GET /users/{userId}/followers":
        caller = world.host
    if name(operation) in {"POST /bookings", "POST /bookings/quote"}:
        caller = client.attendee()  # the other attendee has a booking already
    if name(operation) == "DELETE /tickets/{ticketId}/transfer":
        client("POST", f"/tickets/{world.ticket_id}/transfer", {"email": "eve@example.com"}, by=caller)

    reply = client(operation.method, path(operation, world), body(operation, world), by=caller)

    assert reply.status in operation.responses


@for_whom("host", "attendee", SCOPE)
def test_the_wrong_role_is_refused(operation: Operation, world: World) -> None:
    other = world.attendee if operation.auth in OF_HOSTS else world.host
    before = contents(world.client)

    reply = world.client(operation.method, path(operation, world), body(operation, world), by=other)

    assert (reply.status, reply.problem) == (403, "forbidden")
    assert contents(world.client) == before


@for_whom(SCOPE)
def test_a_door_key_of_the_event_is_allowed(operation: Operation, client: Client) -> None:
    world = make_world(client)
    key = Door(client, world.host, event_of(operation, world)).create_key()["key"]

    reply = client(operation.method, path(operation, world), body(operation, world), by=key)

    assert reply.status in operation.responses, reply.text


@for_whom(SCOPE)
def test_a_door_key_of_another_event_is_refused(operation: Operation, world: World) -> None:
    keys = [Door.open(world.client, host).create_key()["key"] for host in (world.host, None)]
    before = contents(world.client)

    for key in keys:
        reply = world.client(operation.method, path(operation, world), body(operation, world), by=key)

        assert (reply.status, reply.problem) == (403, "wrong-door")
    assert contents(world.client) == before


@for_whom(SCOPE)
@pytest.mark.parametrize("bad", ["expired", "revoked", "unknown"])
def test_with_a_bad_door_key_nothing_is_done(operation: Operation, world: World, bad: str) -> None:
    made = Door(world.client, world.host, event_of(operation, world)).create_key()
    changed = {"expired": "expires_at = created_at", "revoked": "revoked_at = created_at"}
    if bad in changed:
        sql = f"UPDATE door_keys SET {changed[bad]} WHERE door_key_id = :id"  # noqa: S608 (our own columns)
        rows(world.client, sql, id=made["doorKeyId"])
    key = made["key"] if bad in changed else new_access_key()[0]
    before = contents(world.client)

    reply = world.client(operation.method, path(operation, world), body(operation, world), by=key)

    assert (reply.status, reply.problem) == (401, "invalid-token")
    assert contents(world.client) == before


@for_whom("optional", "required", "host", "attendee", "self")
def test_a_door_key_is_only_for_the_door(operation: Operation, world: World) -> None:
    key = world.door_key["key"]
    target, sent = path(operation, world, event=world.door.event_id), body(operation, world)
    before = contents(world.client)

    reply = world.client(operation.method, target, sent, by=key)

    assert (reply.status, reply.problem) == (401, "invalid-token")
    assert contents(world.client) == before


@each([operation for operation in OPERATIONS if OTHERS.get(name(operation), "own") != "own"])
def test_resources_of_others_are_protected(operation: Operation, world: World) -> None:
    allowed = OTHERS[name(operation)]
    required_role = "host" if operation.auth in OF_HOSTS else operation.auth
    roles = [required_role] if required_role in {"host", "attendee"} else ["host", "attendee"]
    others = {"host": world.client.host, "attendee": world.client.attendee}
    for role in roles:
        other = others[role]()
        before = contents(world.client)

        reply = world.client(
            operation.method,
            path(operation, world, user=world.attendee.user_id),
            body(operation, world),
            by=other,
        )

        if allowed == "public":
            assert reply.status == 200
        else:
            assert (reply.status, reply.problem) == allowed
        assert contents(world.client) == before


@each(
    [
        operation
        for operation in OPERATIONS
        if operation.path.startswith("/events/{eventId}")
        and name(operation) != "DELETE /events/{eventId}/interest"
    ]
)
def test_a_draft_is_hidden_from_everyone_but_its_host(operation: Operation, world: World) -> None:
    callers = [world.client.host()]
    callers += [world.attendee] if operation.auth not in {*OF_HOSTS, "attendee"} else []
    before = contents(world.client)

    for caller in [*callers, None] if operation.auth == "optional" else callers:
        reply = world.client(
            operation.method,
            path(operation, world, event=world.draft["eventId"]),
            body(operation, world),
            by=caller,
        )

        assert (reply.status, reply.problem) == (404, "no-such-event")
    assert contents(world.client) == before


def test_booking_lists_show_no_bookings_of_others(world: World) -> None:
    for other in (world.client.host(), world.client.attendee()):
        for query in ("", f"?eventId={world.event['eventId']}", "?status=confirmed"):
            assert world.client("GET", f"/bookings{query}", by=other).json == []


def test_event_lists_show_no_drafts_of_others(world: World) -> None:
    draft = world.draft["eventId"]
    for caller in (None, world.attendee, world.client.host()):
        for query in ("", f"?hostId={world.host.user_id}", "?onSale=false", "?q=jazz"):
            listed = world.client("GET", f"/events{query}", by=caller).json
            assert draft not in [event["eventId"] for event in listed]
    assert draft in [
        event["eventId"] for event in world.client("GET", "/events?mine=true", by=world.host).json
    ]


def test_only_hosts_can_list_their_own_events(world: World) -> None:
    assert world.client("GET", "/events?mine=true").problem == "unauthenticated"
    assert world.client("GET", "/events?mine=true", by=world.attendee).problem == "forbidden"


def test_every_path_with_an_id_has_an_entry() -> None:
    of_one_thing = {name(operation) for operation in OPERATIONS if re.search(r"\{\w+\}", operation.path)}

    assert set(OTHERS) == of_one_thing
    assert set(BODIES) == {name(operation) for operation in OPERATIONS if operation.body}
