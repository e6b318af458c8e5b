"""Signed bodies that Stripe would not send: recorded or refused with 400, and without effect."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.objects import new_id
from tests.client import Client
from tests.database_contents import contents
from tests.payments.purchases import buy, cancel, hold, pay, payment_row, process_refund
from tests.payments.webhook_delivery import event, intent_of, send
from tests.rows import rows

NOT_EVENTS: list[bytes] = [
    b"",
    b" ",
    b"{",
    b"\xff\xfe",
    b"\x80abc",
    b"null",
    b"true",
    b"1",
    b'"evt_1"',
    b"[]",
    b"{}",
    b"[" * 100_000,
    b'{"id":' * 20_000,
    b"9" * 10_000,
    b'{"id": "evt_1", "type": "x"}',
    b'{"id": "evt_1", "type": "x", "data": null}',
    b'{"id": "evt_1", "type": "x", "data": []}',
    b'{"id": "evt_1", "type": "x", "data": {}}',
    b'{"id": "evt_1", "data": {"object": {}}}',
    b'{"type": "x", "data": {"object": {}}}',
    b"payment_intent=pi_1&status=succeeded",
]
ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    2**31,
    2**60,
    2**63,
    10**400,
    float("inf"),
    float("nan"),
    1e300,
    "",
    "\0",
    "a\0b",
    "\udc80",
    "\U0001f3b7",
    "x" * 10_000,
    "-1",
    "1e9",
    [],
    [None],
    {},
    {"a": "b"},
]


@pytest.mark.parametrize("body", NOT_EVENTS, ids=lambda body: ascii(body)[:40])
def test_a_body_that_is_not_an_event_is_refused(client: Client, body: bytes) -> None:
    before = contents(client)

    reply = send(client, body)

    assert (reply.status, reply.problem) == (400, "not-an-event")
    assert contents(client) == before


def variants(original: dict[str, Any], *path: str) -> Iterator[dict[str, Any]]:
    """Return copies of an event with each odd value at a path, and one without the member."""
    for odd in [*ODD, ...]:
        changed = {**copy.deepcopy(original), "id": new_id("evt")}
        parent = changed
        for name in path[:-1]:
            parent = parent[name]
        if odd is ...:
            del parent[path[-1]]
        else:
            parent[path[-1]] = odd
        yield changed


def assert_no_server_error(client: Client, original: dict[str, Any], *path: str) -> None:
    """Send all variants of an event, and check that each is recorded, or refused without effect."""
    for changed in variants(original, *path):
        before = contents(client)
        reply = send(client, changed)
        shown = f"{path}: {ascii(changed)[-200:]}"
        assert reply.status in {200, 400}, shown
        if reply.status == 400:
            assert reply.problem == "not-an-event"
            assert contents(client) == before, shown


@pytest.mark.parametrize("member", ["id", "type", "created", "livemode", "account", "data"])
def test_an_odd_event_is_no_server_error(client: Client, member: str) -> None:
    original = event("payment_intent.succeeded", intent_of(client, hold(client)))

    assert_no_server_error(client, original, member)


@pytest.mark.parametrize("member", ["id", "type"])
def test_an_event_needs_an_id_and_a_type_of_plain_text(client: Client, member: str) -> None:
    original = event("payment_intent.succeeded", intent_of(client, hold(client)))

    accepted = [changed for changed in variants(original, member) if send(client, changed).status == 200]

    assert [changed[member] for changed in accepted] == ["-1", "1e9"]


@pytest.mark.parametrize("member", ["id", "amount", "amount_received", "currency", "status"])
def test_an_odd_payment_confirms_nothing(client: Client, member: str) -> None:
    held = hold(client)
    original = event("payment_intent.succeeded", intent_of(client, held))

    assert_no_server_error(client, original, "data", "object", member)

    assert payment_row(client, held).status == "requires_payment"


@pytest.mark.parametrize("member", ["bookingId", "attempt"])
def test_a_payment_with_odd_metadata_confirms_nothing(client: Client, member: str) -> None:
    held = hold(client)
    original = event("payment_intent.succeeded", intent_of(client, held, id="pi_foreign"))

    assert_no_server_error(client, original, "data", "object", "metadata", member)

    assert payment_row(client, held).status == "requires_payment"


@pytest.mark.parametrize(
    "failure",
    [*ODD, *({"decline_code": odd} for odd in ODD), *({"code": odd} for odd in ODD)],
    ids=lambda value: ascii(value)[:40],
)
def test_an_odd_failure_reason_is_no_server_error(client: Client, failure: Any) -> None:
    held = hold(client)
    intent = intent_of(client, held, status="requires_payment_method", last_payment_error=failure)

    assert send(client, event("payment_intent.payment_failed", intent)).status in {200, 400}


@pytest.mark.slow
@pytest.mark.parametrize("first", ["unknown", "known"])
def test_an_odd_report_of_our_refund_is_no_server_error(
    client: Client, stripe: StripeFake, first: str
) -> None:
    held = hold(client)
    pay(stripe, held, "pm_card_pendingRefund")
    cancel(client, held)
    process_refund(client, held)
    [made] = stripe.refunds(held.intent_id)
    if first == "unknown":
        rows(client, "UPDATE refunds SET stripe_refund_id = NULL")

    for member in ("id", "payment_intent", "amount", "currency", "status", "metadata"):
        assert_no_server_error(client, event("refund.updated", made), "data", "object", member)
    for member in ("refundId", "attempt"):
        assert_no_server_error(client, event("refund.updated", made), "data", "object", "metadata", member)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("charge.refunded", ("payment_intent", "amount_refunded", "currency")),
        ("refund.updated", ("id", "payment_intent", "amount", "currency", "status", "metadata")),
        ("charge.dispute.created", ("payment_intent", "status", "reason")),
        ("charge.dispute.closed", ("payment_intent", "status", "reason")),
    ],
)
def test_an_odd_charge_refund_or_dispute_is_no_server_error(
    client: Client, stripe: StripeFake, kind: str, members: tuple[str, ...]
) -> None:
    paid = buy(client, stripe)
    if kind == "charge.refunded":
        subject = stripe.charge(paid.intent_id) | {"amount_refunded": 2500}
    elif kind.startswith("refund"):
        subject = stripe.refund(paid.intent_id)
    else:
        subject = stripe.dispute(paid.intent_id)
    original = event(kind, subject)

    for member in members:
        assert_no_server_error(client, original, "data", "object", member)
