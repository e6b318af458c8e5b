"""Facts are as docs/facts.md tells strangers that they are."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from sqlalchemy import select

from chalicelib.events import sales
from chalicelib.outbox import outbox
from chalicelib.ports import Fact
from chalicelib.topology import FACTS_TOPIC, QUEUES
from tests.client import PASSWORD, Client, in_days
from tests.notifications import examples
from tests.notifications.examples import BOOKING_BODY, PAID

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
UNWALKED_TYPES = {
    "booking-expired",
    *("payment-failed", "payment-refund-due", "payment-disputed", "payment-dispute-closed"),
}
UNWALKED_VALUES = {("booking-cancelled", "reason"): {"refunded", "dispute-lost"}}
"""What needs money to change hands, which the walk does not do."""


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
    """Every fact that a walk through the API writes, as a stranger receives it."""
    walk(client)
    with client.wiring.database.transaction() as session:
        rows = session.execute(select(outbox).order_by(outbox.c.position)).all()
    return [
        Fact(
            fact_id=row.fact_id,
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
    assert sales.start(client.wiring.database, datetime.now(UTC) + timedelta(days=2)) == 1


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


def test_every_type_of_fact_is_written_on_the_walk(messages: list[dict[str, Any]]) -> None:
    assert {message["type"] for message in messages} == set(BODIES) - UNWALKED_TYPES


def test_every_fact_is_as_it_is_documented(messages: list[dict[str, Any]]) -> None:
    for message in messages:
        assert faults(closed(ENVELOPE), message) == []
        assert faults(closed(BODIES[message["type"]]), message["body"]) == []


def test_every_value_that_is_documented_occurs(messages: list[dict[str, Any]]) -> None:
    for name in set(BODIES) - UNWALKED_TYPES:
        bodies = [message["body"] for message in messages if message["type"] == name]
        for member, rule in BODIES[name]["properties"].items():
            if "enum" in rule:
                values = set(rule["enum"]) - UNWALKED_VALUES.get((name, member), set())
                assert {body[member] for body in bodies} == values
    members = [set(message["body"]["changed"]) for message in messages if message["type"] == "event-changed"]
    assert set().union(*members) == set(BODIES["event-changed"]["properties"]["changed"]["properties"])


def test_facts_about_one_event_have_it_as_their_subject(messages: list[dict[str, Any]]) -> None:
    for message in messages:
        subject = message["body"].get("eventId") or message["body"].get("userId")
        assert subject in {message["subject"], None}


def test_every_type_that_is_subscribed_to_is_documented() -> None:
    subscribed = {kind for queue in QUEUES if queue.topic == FACTS_TOPIC for kind in queue.facts}

    assert subscribed <= set(BODIES)


def test_a_fact_survives_the_way_to_a_stranger_and_back(messages: list[dict[str, Any]]) -> None:
    for message in messages:
        assert Fact.from_message(json.loads(json.dumps(message))).as_message() == message


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
