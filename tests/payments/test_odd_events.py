"""Signed bodies that are not what Stripe sends: refused with 400, and nothing is changed by them."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.objects import new_id
from tests.client import Client
from tests.database_contents import contents
from tests.payments.purchases import bought, hold, ledger
from tests.payments.webhook_delivery import event, intent_of, send

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
def test_what_is_no_event_is_refused(client: Client, body: bytes) -> None:
    before = contents(client)

    reply = send(client, body)

    assert (reply.status, reply.problem) == (400, "not-an-event")
    assert contents(client) == before


def variants(told: dict[str, Any], *path: str) -> Iterator[dict[str, Any]]:
    """The event with everything odd in one place of it, and with nothing there."""
    for odd in [*ODD, ...]:
        changed = {**copy.deepcopy(told), "id": new_id("evt")}
        place = changed
        for step in path[:-1]:
            place = place[step]
        if odd is ...:
            del place[path[-1]]
        else:
            place[path[-1]] = odd
        yield changed


def breaks_nothing(client: Client, told: dict[str, Any], *path: str) -> None:
    """Whatever is odd, it is refused or recorded, and neither is a fault of ours."""
    for changed in variants(told, *path):
        before = contents(client)
        reply = send(client, changed)
        shown = f"{path}: {ascii(changed)[-200:]}"
        assert reply.status in {200, 400}, shown
        if reply.status == 400:
            assert reply.problem == "not-an-event"
            assert contents(client) == before, shown


@pytest.mark.parametrize("member", ["id", "type", "created", "livemode", "account", "data"])
def test_an_odd_event_is_no_fault_of_ours(client: Client, member: str) -> None:
    told = event("payment_intent.succeeded", intent_of(client, hold(client)))

    breaks_nothing(client, told, member)


@pytest.mark.parametrize("member", ["id", "type"])
def test_an_event_without_a_name_of_plain_text_is_refused(client: Client, member: str) -> None:
    told = event("payment_intent.succeeded", intent_of(client, hold(client)))

    taken = [changed for changed in variants(told, member) if send(client, changed).status == 200]

    assert [changed[member] for changed in taken] == ["-1", "1e9"]


@pytest.mark.parametrize("member", ["id", "amount", "amount_received", "currency", "status"])
def test_an_odd_payment_confirms_nothing(client: Client, member: str) -> None:
    held = hold(client)
    told = event("payment_intent.succeeded", intent_of(client, held))

    breaks_nothing(client, told, "data", "object", member)

    assert ledger(client, held).status == "requires_payment"


@pytest.mark.parametrize("member", ["bookingId", "attempt"])
def test_odd_metadata_are_somebody_elses(client: Client, member: str) -> None:
    held = hold(client)
    told = event("payment_intent.succeeded", intent_of(client, held, id="pi_somebody_elses"))

    breaks_nothing(client, told, "data", "object", "metadata", member)

    assert ledger(client, held).status == "requires_payment"


@pytest.mark.parametrize(
    "failure",
    [*ODD, *({"decline_code": odd} for odd in ODD), *({"code": o} for o in ODD)],
    ids=lambda value: ascii(value)[:40],
)
def test_an_odd_reason_for_a_failure_is_no_fault_of_ours(client: Client, failure: Any) -> None:
    held = hold(client)
    of = intent_of(client, held, status="requires_payment_method", last_payment_error=failure)

    assert send(client, event("payment_intent.payment_failed", of)).status in {200, 400}


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
def test_an_odd_charge_refund_or_dispute_is_no_fault_of_ours(
    client: Client, stripe: StripeFake, kind: str, members: tuple[str, ...]
) -> None:
    paid = bought(client, stripe)
    if kind == "charge.refunded":
        of = stripe.charge(paid.intent_id) | {"amount_refunded": 2500}
    elif kind.startswith("refund"):
        of = stripe.refund(paid.intent_id)
    else:
        of = stripe.dispute(paid.intent_id)
    told = event(kind, of)

    for member in members:
        breaks_nothing(client, told, "data", "object", member)
