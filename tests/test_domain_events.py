"""Every domain event is recorded as its class and docs/domain-events.md say."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jsonschema_rs
import pytest
from sqlalchemy import Integer, Text, Uuid, column, literal, select, table

from chalicelib import domain_events
from chalicelib.domain_events import (
    BookingConfirmed,
    DailyDigestDue,
    EventChanged,
    PasswordResetRequested,
    UserRegistered,
)
from chalicelib.events import sale_start
from chalicelib.notifications import digest
from chalicelib.notifications.subscriptions import types_of
from chalicelib.platform.messaging.bodies import DomainEventBody, members
from chalicelib.platform.messaging.outbox import outbox
from chalicelib.platform.messaging.ports import DomainEvent
from chalicelib.platform.messaging.queues import QUEUES
from chalicelib.users.addresses import subject_of
from infra import domain_event_docs
from infra.domain_event_docs import ENVELOPE
from tests.bookings.ticket_transfers import give
from tests.client import PASSWORD, Client, in_days
from tests.events.announcements import announce_changes
from tests.notifications import examples
from tests.notifications.examples import BOOKING_BODY, PAID
from tests.notifications.orders import add_code, cancel_ticket, event_with_types, order
from tests.payments import orders
from tests.payments.purchases import Hold, cancel, expire, hold
from tests.payments.webhook_delivery import event, intent_of, send
from tests.rows import domain_events as recorded
from tests.rows import rows
from tests.users.verification_emails import verify_pending

SCHEMAS = {body.type: domain_event_docs.schema(body) for body in domain_events.ALL}


def closed(schema: Any) -> Any:
    """The schema without room for undocumented members."""
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
    """Every domain event that a walk through the API records, as a subscriber receives it."""
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
    for step in (accounts, changes, sale, cancelled_bookings, box_office, cancelled_events, deleted_accounts):
        step(client)
    for step in (several_types, unpaid, several_tickets, refunded, paid_too_late, taken_back, given_away):
        step(client)


def accounts(client: Client) -> None:
    for role in ("host", "attendee"):
        body = {"name": "Ada", "email": f"{role}@Example.com", "password": PASSWORD, "role": role}
        assert client("POST", "/auth/register", body).status == 201
    user = client.attendee()
    assert client("POST", "/auth/verify-email/resend", by=user).status == 202
    change = {"email": "new@example.com", "currentPassword": PASSWORD}
    assert client("PATCH", "/users/me", change, by=user).status == 200
    verify_pending(client, user, "new@example.com")
    change = {"password": "another password", "currentPassword": PASSWORD}
    assert client("PATCH", "/users/me", change, by=user).status == 200
    for email in (user.email, "nobody@example.com"):
        assert client("POST", "/auth/forgot-password", {"email": email}).status == 202


def changes(client: Client) -> None:
    host = client.host()
    path = f"/events/{client.event(host, status='draft')['eventId']}"
    for change in (
        {"title": "Not yet published"},
        {"status": "published"},
        {"title": "Blues", "location": "Hof", "timezone": "Asia/Tokyo"},
        {"startDateTime": in_days(40), "endDateTime": in_days(41)},
        {"location": None},
        {"description": "Not reported"},
    ):
        assert client("PATCH", path, change, by=host).status == 200
        announce_changes(client.wiring.database)


def sale(client: Client) -> None:
    client.event(client.host(), saleStartsAt=in_days(1), location="Hof")
    assert sale_start.announce(client.wiring.database, datetime.now(UTC) + timedelta(days=2)) == 1
    assert digest.announce(client.wiring.database, datetime.now(UTC))


def cancelled_bookings(client: Client) -> None:
    host, attendee = client.host(), client.attendee()
    event = client.event(host)
    for who in (attendee, host):
        booking = client.book(attendee, event["eventId"]).json
        assert client("DELETE", f"/bookings/{booking['bookingId']}", by=who).status == 204


def box_office(client: Client) -> None:
    host = client.host()
    event_id = client.event(host, price=2500)["eventId"]
    for paid_by in ("cash", "card", "free"):
        body = {"name": "Ada", "paidBy": paid_by, "quantity": 2}
        sold = client("POST", f"/events/{event_id}/box-office", body, by=host).json
        ticket = client("GET", f"/bookings/{sold['bookingId']}/tickets", by=host).json[0]
        for path in (f"/tickets/{ticket['ticketId']}", f"/bookings/{sold['bookingId']}"):
            assert client("DELETE", path, by=host).status == 204


def cancelled_events(client: Client) -> None:
    host, attendee = client.host(), client.attendee()
    for method, path, body in (("POST", "/cancel", {"reason": "Rain."}), ("DELETE", "", None)):
        event_id = client.event(host)["eventId"]
        client.book(attendee, event_id)
        assert client(method, f"/events/{event_id}{path}", body, by=host).status < 300


def deleted_accounts(client: Client) -> None:
    host, attendee = client.host(), client.attendee()
    client.book(attendee, client.event(host)["eventId"])
    for who in (attendee, host):
        assert client("DELETE", "/users/me", by=who).status == 204


def several_types(client: Client) -> None:
    host, attendee = client.host(), client.attendee()
    free, [day, weekend] = event_with_types(client, host)
    priced, [early, late] = event_with_types(client, host, price=2500)
    for _ in range(2):
        cancel_ticket(client, order(client, attendee, free, {day: 1, weekend: 2}), "host")
    given = order(client, attendee, priced, {early: 1, late: 2}, code=add_code(client, host, priced, 100))
    cancel_ticket(client, given)
    assert client("DELETE", f"/bookings/{given}", by=attendee).status == 204
    order(client, attendee, priced, {early: 1, late: 2}, code=add_code(client, host, priced, 10))
    assert expire(client) == 1


def unpaid(client: Client) -> None:
    held = hold(client)
    failed = intent_of(client, held, status="requires_payment_method", last_payment_error={"code": "expired"})
    happens(client, "payment_intent.payment_failed", failed)
    assert expire(client) == 1


def several_tickets(client: Client) -> None:
    on_sale = orders.sale(client, 2500)
    for code in (orders.CODE, None):
        held = orders.order(client, on_sale, 3, code=code)
        happens(client, "payment_intent.succeeded", intent_of(client, held))
        orders.cancel_ticket(client, held, 0)
        orders.cancel_ticket(client, held, 1, by=held.host)
        cancel(client, held)
    orders.order(client, on_sale, 1, code=orders.CODE)
    assert expire(client) == 1


def bought(client: Client) -> Hold:
    held = hold(client)
    happens(client, "payment_intent.succeeded", intent_of(client, held))
    return held


def refunded(client: Client) -> None:
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
    for outcome in ("won", "lost"):
        held = bought(client)
        for kind, status in (("created", "needs_response"), ("closed", outcome)):
            of = {
                "payment_intent": held.intent_id, "status": status, "reason": "fraudulent",
                "amount": 2500, "currency": "eur",
            }  # fmt: skip
            happens(client, f"charge.dispute.{kind}", of)


def given_away(client: Client) -> None:
    given = give(client)
    given.transfer()
    assert given.reissue(given.host).status == 200


def happens(client: Client, kind: str, of: dict[str, Any]) -> None:
    assert send(client, event(kind, of)).status == 200


def test_every_domain_event_is_recorded(messages: list[dict[str, Any]]) -> None:
    assert {message["type"] for message in messages} == set(SCHEMAS)


def test_domain_events_match_their_schemas(messages: list[dict[str, Any]]) -> None:
    for message in messages:
        assert faults(closed(ENVELOPE), message) == []
        assert faults(closed(SCHEMAS[message["type"]]), message["body"]) == []


def test_domain_events_match_their_classes(messages: list[dict[str, Any]]) -> None:
    for message in messages:
        domain_event = DomainEvent.from_message(message)
        assert domain_events.parse(domain_event).as_json() == domain_event.body


def test_every_documented_value_occurs(messages: list[dict[str, Any]]) -> None:
    for name, schema in SCHEMAS.items():
        bodies = [message["body"] for message in messages if message["type"] == name]
        assert set().union(*bodies) == set(schema["properties"])
        for member, rule in schema["properties"].items():
            if "enum" in rule:
                assert {body[member] for body in bodies if member in body} == set(rule["enum"])
    changed = [set(message["body"]["changed"]) for message in messages if message["type"] == "event-changed"]
    assert set().union(*changed) == set(SCHEMAS["event-changed"]["properties"]["changed"]["properties"])


def test_optional_members_are_absent_when_none(messages: list[dict[str, Any]]) -> None:
    for body in domain_events.ALL:
        bodies = [message["body"] for message in messages if message["type"] == body.type]
        for member in members(body):
            if member.optional:
                assert not all(member.name in one for one in bodies)
                assert all(one.get(member.name, "present") is not None for one in bodies)


def test_booking_procedure_writes_the_body_of_its_class(client: Client) -> None:
    free = client.event(client.host())
    booking = client.book(client.attendee(), free["eventId"]).json

    with client.wiring.database.transaction() as connection:
        query = select(outbox.c.body, outbox.c.version).where(outbox.c.type == BookingConfirmed.type)
        [row] = connection.execute(query).all()

    assert row.version == BookingConfirmed.version
    assert BookingConfirmed.from_json(row.body).as_json() == row.body
    assert row.body["bookingId"] == booking["bookingId"]
    assert row.body["reference"] == booking["reference"]
    assert row.body["items"] == booking["items"]


@pytest.mark.parametrize("percent", [None, 100])
def test_domain_events_of_an_order_name_its_tickets(client: Client, percent: int | None) -> None:
    host, attendee = client.host(), client.attendee()
    price = 0 if percent is None else 2500
    event_id, [day, weekend] = event_with_types(client, host, price=price)
    more = {} if percent is None else {"code": add_code(client, host, event_id, percent)}
    booking_id = order(client, attendee, event_id, {weekend: 2, day: 2}, **more)
    cancel_ticket(client, booking_id)
    assert client("DELETE", f"/bookings/{booking_id}", by=attendee).status == 204

    bodies = {one.type: one.body for one in recorded(client, event_id) if "bookingId" in one.body}

    confirmed, fewer, cancelled = bodies.values()
    assert list(bodies) == ["booking-confirmed", "tickets-cancelled", "booking-cancelled"]
    assert [body["quantity"] for body in bodies.values()] == [4, 1, 3]
    assert sorted(fewer["tickets"] + cancelled["tickets"], key=str) == sorted(confirmed["tickets"], key=str)
    for body in bodies.values():
        assert sum(item["quantity"] for item in body["items"]) == len(body["tickets"]) == body["quantity"]
        assert body.get("discount", 0) == sum(item["quantity"] * item["unitPrice"] for item in body["items"])
    assert [item["name"] for item in confirmed["items"]] == ["Day ticket", "Weekend ticket"]


def test_subject_is_the_event_the_user_or_the_address(messages: list[dict[str, Any]]) -> None:
    for message in messages:
        if message["type"] == DailyDigestDue.type:
            continue
        body = message["body"]
        user_id = body.get("userId")
        if "email" in body:
            assert message["subject"] == str(subject_of(body["email"], user_id and UUID(user_id)))
        else:
            assert message["subject"] == body.get("eventId", user_id)


def test_requests_for_different_addresses_of_an_account_all_wait(client: Client) -> None:
    ada = client.attendee()
    for email in ("first@example.com", "second@example.com"):
        client("PATCH", "/users/me", {"email": email, "currentPassword": PASSWORD}, by=ada)

    asked = rows(client, "SELECT body FROM outbox WHERE type = 'email-verification-requested'")

    assert {row.body["email"] for row in asked} >= {"first@example.com", "second@example.com"}


def test_every_subscribed_type_is_documented() -> None:
    subscribed = {kind for queue in QUEUES for kind in types_of(queue)}

    assert subscribed <= set(SCHEMAS)


def test_messages_survive_the_round_trip(messages: list[dict[str, Any]]) -> None:
    for message in messages:
        assert DomainEvent.from_message(json.loads(json.dumps(message))).as_message() == message


@pytest.mark.parametrize(("name", "schema"), [("envelope", ENVELOPE), *SCHEMAS.items()])
def test_schemas_are_valid_and_allow_new_members(name: str, schema: Any) -> None:
    jsonschema_rs.meta.validate(schema)

    assert name
    assert "additionalProperties" not in json.dumps(schema)


@pytest.mark.parametrize(
    ("name", "body"), [*examples.BODIES.items(), ("booking-confirmed", {**BOOKING_BODY, **PAID})]
)
def test_examples_of_other_tests_match_their_schemas(name: str, body: dict[str, Any]) -> None:
    assert faults(closed(SCHEMAS[name]), body) == []


@pytest.mark.parametrize("name", examples.BODIES)
def test_unknown_members_are_ignored(name: str) -> None:
    source = examples.domain_event(name)

    with_more = domain_events.parse(replace(source, body={**source.body, "dressCode": "black tie"}))

    assert with_more == domain_events.parse(source)


@pytest.mark.parametrize("name", examples.BODIES)
def test_a_body_without_a_required_member_is_refused(name: str) -> None:
    source = examples.domain_event(name)

    for member in SCHEMAS[name]["required"]:
        less = {key: value for key, value in source.body.items() if key != member}
        with pytest.raises(ValueError, match=member):
            domain_events.parse(replace(source, body=less))


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("bookingId", "no UUID"),
        ("bookingId", 7),
        ("amount", "2500"),
        ("amount", True),
        ("amount", None),
        ("currency", 7),
        ("createdAt", "yesterday"),
        ("createdAt", 1800000000),
        ("items", None),
        ("items", "Day ticket"),
        ("items", {}),
        ("items", [None]),
        ("items", ["Day ticket"]),
        ("items", [7]),
        ("items", [[]]),
        ("items", [{}]),
        ("items", [BOOKING_BODY["items"][0], []]),
        ("items", [{**BOOKING_BODY["items"][0], "quantity": "2"}]),
        ("items", [{**BOOKING_BODY["items"][0], "ticketTypeId": "no UUID"}]),
        ("tickets", [{**BOOKING_BODY["tickets"][0], "ticketId": None}]),
    ],
)
def test_a_member_of_another_type_is_refused(member: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        domain_events.parse(examples.domain_event("booking-confirmed", **{member: value}))


def test_an_unknown_reason_is_read_as_it_is() -> None:
    body = domain_events.parse(examples.domain_event("booking-cancelled", reason="earthquake"))

    assert body.as_json()["reason"] == "earthquake"


@pytest.mark.parametrize("unknown", [{"type": "weather-changed"}, {"version": 2}])
def test_an_unknown_type_or_version_is_refused(unknown: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="unknown domain event"):
        domain_events.parse(replace(examples.domain_event("event-published"), **unknown))


def test_changes_are_typed() -> None:
    changed = examples.changed(startDateTime=("2027-06-05T17:30:00Z", "2027-06-05T18:30:00Z"))

    body = domain_events.parse(changed)

    assert isinstance(body, EventChanged)
    assert body.changed.title is None
    assert body.changed.start_date_time is not None
    assert body.changed.start_date_time.from_ == datetime(2027, 6, 5, 17, 30, tzinfo=UTC)


def test_system_times_have_milliseconds_and_user_times_do_not() -> None:
    confirmed = domain_events.parse(examples.domain_event("booking-confirmed"))
    published = domain_events.parse(examples.domain_event("event-published"))

    assert confirmed.as_json()["createdAt"] == "2027-05-01T07:50:00.000Z"
    assert published.as_json()["startDateTime"] == "2027-06-05T17:30:00Z"


def test_a_field_without_a_column_is_refused() -> None:
    rows = table("rows", column("user_id", Integer))

    with pytest.raises(LookupError, match=r"UserRegistered\.role has no column"):
        UserRegistered.json_column(rows)


def test_a_column_without_a_field_is_refused() -> None:
    rows = table("rows", column("email", Text))

    with pytest.raises(LookupError, match="no fields name"):
        PasswordResetRequested.json_column(rows, name=rows.c.email)


def test_optional_and_nullable_fields_do_not_mix_in_sql() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Mixed(DomainEventBody, name="mixed"):
        always: str | None
        sometimes: str | None = None

    rows = table("rows", column("always", Text), column("sometimes", Text))

    with pytest.raises(TypeError, match="Mixed"):
        Mixed.json_column(rows)


def test_a_column_renders_what_the_class_renders(client: Client) -> None:
    user_id = UUID("019b2f3e-7c1a-7b55-9d41-000000000001")
    rows = select(literal(user_id, Uuid).label("user_id"), literal("host").label("role")).subquery("rows")

    with client.wiring.database.transaction() as connection:
        body = connection.execute(select(UserRegistered.json_column(rows))).scalar_one()

    assert body == UserRegistered(user_id=user_id, role="host").as_json()


def test_every_class_is_listed() -> None:
    def concrete(base: type[DomainEventBody]) -> set[type[DomainEventBody]]:
        found = {one for sub in base.__subclasses__() for one in {sub, *concrete(sub)}}
        return {one for one in found if "type" in vars(one) and one.__module__ == domain_events.__name__}

    assert concrete(DomainEventBody) == set(domain_events.ALL)
