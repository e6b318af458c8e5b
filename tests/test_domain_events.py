"""Domain events are as docs/facts.md tells strangers that they are."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from sqlalchemy import select

from chalicelib.events import sale_start
from chalicelib.platform.messaging.outbox import outbox
from chalicelib.platform.messaging.ports import DomainEvent
from chalicelib.platform.messaging.queues import DOMAIN_EVENTS_TOPIC, QUEUES
from tests.client import PASSWORD, Client, in_days
from tests.notifications import examples
from tests.notifications.examples import BOOKING_BODY, PAID
from tests.payments.purchases import Hold, expire, hold
from tests.payments.webhook_delivery import event, intent_of, send

DOCUMENT = (Path(__file__).parent.parent / "docs" / "facts.md").read_text(encoding="utf-8")
ENVELOPE = json.loads(
    re.findall(r"^## The envelope$.*?^```json$(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)[0]
)
BODIES: dict[str, Any] = {
    name: json.loads(schema)
    for name, schema in re.findall(
        r"^### `([a-z-]+)`$(?:(?!^###).)*?^```json$(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL
    )
}
OPTIONAL = {
    "booking-confirmed": {"paymentReference"},
    "booking-cancelled": {"expiresAt"},
    "booking-expired": {"expiresAt"},
}
"""Members that are not in every body of a type."""


def closed(schema: Any) -> Any:
    """The schema without room for members that it does not name: what is written is documented."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {name: closed(part) for name, part in schema.items()}
    return {**parts, "additionalProperties": False} if "properties" in schema else parts


def faults(schema: Any, value: Any) -> list[str]:
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    return [error.message for error in validator.iter_errors(value)]


@pytest.fixture
def messages(client: Client) -> list[dict[str, Any]]:
    """Every domain event that a walk through the API writes, as a stranger receives it."""
    walk(client)
    with client.wiring.database.transaction() as connection:
        rows = connection.execute(select(outbox).order_by(outbox.c.position)).all()
    return [
        DomainEvent(
            domain_event_id=row.domain_event_id,
            type=row.type,
            version=row.version,
            subject=row.subject,
            time=row.occurred_at,
            body=row.body,
        ).as_message()
        for row in rows
    ]


def walk(client: Client) -> None:
    for step in (accounts, changes, sale, ends_of_bookings, ends_of_events, leaving):
        step(client)
    for step in (unpaid, paid_back, paid_too_late, taken_back):
        step(client)


def accounts(client: Client) -> None:
    for role in ("host", "attendee"):
        body = {"name": "Ada", "email": f"{role}@Example.com", "password": PASSWORD, "role": role}
        assert client("POST", "/auth/register", body).status == 201
    user = client.attendee()
    assert client("POST", "/auth/verify-email/resend", by=user).status == 202
    assert client("PATCH", "/users/me", {"email": "new@example.com"}, by=user).status == 200
    for email in (user.email, "nobody@example.com"):
        assert client("POST", "/auth/forgot-password", {"email": email}).status == 202


def changes(client: Client) -> None:
    host = client.host()
    path = f"/events/{client.event(host, status='draft')['eventId']}"
    for change in (
        {"title": "Not yet told"},
        {"status": "published"},
        {"title": "Blues", "location": "Hof", "timezone": "Asia/Tokyo"},
        {"startDateTime": in_days(40), "endDateTime": in_days(41)},
        {"location": None},
        {"description": "Not told"},
    ):
        assert client("PATCH", path, change, by=host).status == 200


def sale(client: Client) -> None:
    client.event(client.host(), saleStartsAt=in_days(1), location="Hof")
    assert sale_start.announce(client.wiring.database, datetime.now(UTC) + timedelta(days=2)) == 1


def ends_of_bookings(client: Client) -> None:
    host, attendee = client.host(), client.attendee()
    event = client.event(host)
    for who in (attendee, host):
        booking = client.book(attendee, event["eventId"]).json
        assert client("DELETE", f"/bookings/{booking['bookingId']}", by=who).status == 204


def ends_of_events(client: Client) -> None:
    host, attendee = client.host(), client.attendee()
    for method, ending in (("POST", "/cancel"), ("DELETE", "")):
        event_id = client.event(host)["eventId"]
        client.book(attendee, event_id)
        assert client(method, f"/events/{event_id}{ending}", by=host).status < 300


def leaving(client: Client) -> None:
    host, attendee = client.host(), client.attendee()
    client.book(attendee, client.event(host)["eventId"])
    for who in (attendee, host):
        assert client("DELETE", "/users/me", by=who).status == 204


def unpaid(client: Client) -> None:
    held = hold(client)
    failed = intent_of(client, held, status="requires_payment_method", last_payment_error={"code": "expired"})
    happens(client, "payment_intent.payment_failed", failed)
    assert expire(client) == 1


def bought(client: Client) -> Hold:
    held = hold(client)
    happens(client, "payment_intent.succeeded", intent_of(client, held))
    return held


def paid_back(client: Client) -> None:
    for who, method, path in (
        ("attendee", "DELETE", "/bookings/{0.booking_id}"),
        ("host", "DELETE", "/bookings/{0.booking_id}"),
        ("host", "POST", "/events/{0.event_id}/cancel"),
        ("host", "DELETE", "/events/{0.event_id}"),
        ("attendee", "DELETE", "/users/me"),
    ):
        held = bought(client)
        assert client(method, path.format(held), by=getattr(held, who)).status < 300


def paid_too_late(client: Client) -> None:
    held = hold(client)
    succeeded = intent_of(client, held)
    assert client("DELETE", f"/bookings/{held.booking_id}", by=held.attendee).status == 204
    happens(client, "payment_intent.succeeded", succeeded)


def taken_back(client: Client) -> None:
    held = bought(client)
    of = {"payment_intent": held.intent_id, "currency": "eur", "amount_refunded": 2500}
    happens(client, "charge.refunded", of)
    for end in ("won", "lost"):
        held = bought(client)
        for kind, status in (("created", "needs_response"), ("closed", end)):
            of = {"payment_intent": held.intent_id, "status": status, "reason": "fraudulent"}
            happens(client, f"charge.dispute.{kind}", of)


def happens(client: Client, kind: str, of: dict[str, Any]) -> None:
    assert send(client, event(kind, of)).status == 200


def test_every_type_of_fact_is_written_on_the_walk(messages: list[dict[str, Any]]) -> None:
    assert {message["type"] for message in messages} == set(BODIES)


def test_every_fact_is_as_it_is_documented(messages: list[dict[str, Any]]) -> None:
    for message in messages:
        assert faults(closed(ENVELOPE), message) == []
        assert faults(closed(BODIES[message["type"]]), message["body"]) == []


def test_every_value_that_is_documented_occurs(messages: list[dict[str, Any]]) -> None:
    for name in set(BODIES):
        bodies = [message["body"] for message in messages if message["type"] == name]
        for member, rule in BODIES[name]["properties"].items():
            if "enum" in rule:
                assert {body[member] for body in bodies} == set(rule["enum"])
    members = [set(message["body"]["changed"]) for message in messages if message["type"] == "event-changed"]
    assert set().union(*members) == set(BODIES["event-changed"]["properties"]["changed"]["properties"])


def test_facts_about_one_event_have_it_as_their_subject(messages: list[dict[str, Any]]) -> None:
    for message in messages:
        subject = message["body"].get("eventId") or message["body"].get("userId")
        assert subject in {message["subject"], None}


def test_every_type_that_is_subscribed_to_is_documented() -> None:
    subscribed = {
        kind for queue in QUEUES if queue.topic == DOMAIN_EVENTS_TOPIC for kind in queue.domain_events
    }

    assert subscribed <= set(BODIES)


def test_a_fact_survives_the_way_to_a_stranger_and_back(messages: list[dict[str, Any]]) -> None:
    for message in messages:
        assert DomainEvent.from_message(json.loads(json.dumps(message))).as_message() == message


@pytest.mark.parametrize(("name", "schema"), [("envelope", ENVELOPE), *BODIES.items()])
def test_every_schema_is_one_and_leaves_room_for_new_members(name: str, schema: Any) -> None:
    jsonschema_rs.meta.validate(schema)

    assert "additionalProperties" not in json.dumps(schema)
    assert set(schema["properties"]) - set(schema["required"]) == OPTIONAL.get(name, set())


@pytest.mark.parametrize(
    ("name", "body"), [*examples.BODIES.items(), ("booking-confirmed", {**BOOKING_BODY, **PAID})]
)
def test_what_letters_are_tried_on_is_as_it_is_documented(name: str, body: dict[str, Any]) -> None:
    assert faults(closed(BODIES[name]), body) == []
