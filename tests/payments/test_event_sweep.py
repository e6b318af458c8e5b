"""The sweep of Stripe's events: what changed at Stripe is found, although its webhook never arrived."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app import app
from chalicelib.payments import event_sweep
from infra.local.lambda_runner import Context
from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.faults import ALWAYS, Fault
from tests.client import Client
from tests.conftest import Lines
from tests.payments.purchases import (
    Hold,
    buy,
    deliver_webhooks,
    differences,
    domain_event_types,
    drop_webhooks,
    expire,
    get_booking,
    hold,
    reconcile,
    status,
    sweep,
)
from tests.payments.webhook_delivery import recorded
from tests.rows import domain_events, rows, value

EVENTS = "GET /v1/events"


@pytest.fixture
def paid(client: Client, stripe: StripeFake) -> Hold:
    """A paid booking, of which all events so far are recorded or swept."""
    bought = buy(client, stripe)
    sweep(client)
    return bought


def mark(client: Client) -> Any:
    return value(client, "SELECT swept_until FROM stripe_sweeps")


def test_a_refund_in_the_dashboard_is_found_without_its_webhook(
    client: Client, stripe: StripeFake, paid: Hold
) -> None:
    stripe.refund(paid.intent_id)
    drop_webhooks(stripe)

    assert sweep(client) == 2

    assert status(client, paid) == ("cancelled", "refunded")
    assert domain_event_types(client, paid).count("booking-cancelled") == 1
    assert differences(client, paid) == []


def test_a_partial_refund_is_found_without_its_webhook(
    client: Client, stripe: StripeFake, paid: Hold
) -> None:
    stripe.refund(paid.intent_id, 1000)
    drop_webhooks(stripe)

    sweep(client)
    reconcile(client)

    assert get_booking(client, paid)["refunded"] == 1000
    assert status(client, paid) == ("confirmed", "partly_refunded")


@pytest.mark.parametrize("won", [True, False])
def test_a_dispute_is_found_without_its_webhooks(
    client: Client,
    stripe: StripeFake,
    paid: Hold,
    won: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    stripe.settle_dispute(stripe.dispute(paid.intent_id)["id"], won=won)
    drop_webhooks(stripe)

    sweep(client)

    assert status(client, paid) == (("confirmed", "paid") if won else ("cancelled", "refunded"))
    assert len(domain_events(client, paid.event_id, "payment-disputed", "payment-dispute-closed")) == 2


def test_a_payment_is_found_without_its_webhook(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    stripe.confirm(held.intent_id)
    drop_webhooks(stripe)

    assert sweep(client) == 1

    assert status(client, held) == ("confirmed", "paid")


def test_an_event_counts_once_by_webhook_and_by_sweep(client: Client, stripe: StripeFake, paid: Hold) -> None:
    stripe.refund(paid.intent_id)
    before = len(recorded(client))

    assert sweep(client) == 2
    deliver_webhooks(stripe)
    assert sweep(client) == 0

    new = recorded(client)[before:]
    assert sorted(kind for kind, _ in new if kind in {"refund.created", "charge.refunded"}) == [
        "charge.refunded",
        "refund.created",
    ]
    assert domain_event_types(client, paid).count("booking-cancelled") == 1


def test_all_pages_are_read(client: Client, stripe: StripeFake, paid: Hold) -> None:
    for _ in range(60):
        stripe.refund(paid.intent_id, 10)  # two events each
    drop_webhooks(stripe)

    assert sweep(client) == 120

    assert get_booking(client, paid)["refunded"] == 600


def test_events_of_other_programs_are_recorded_as_foreign(
    client: Client, stripe: StripeFake, paid: Hold
) -> None:
    foreign = stripe.create(9900)["id"]
    stripe.confirm(foreign)
    stripe.refund(foreign)
    drop_webhooks(stripe)

    sweep(client)

    assert {outcome for _, outcome in recorded(client)[-3:]} == {"foreign"}
    assert status(client, paid) == ("confirmed", "paid")


@pytest.mark.parametrize("kind", ["reset", "limit", "error"])
def test_the_mark_stays_while_stripe_is_unreachable(
    client: Client, stripe: StripeFake, paid: Hold, kind: Any
) -> None:
    before = mark(client)
    stripe.refund(paid.intent_id)
    drop_webhooks(stripe)
    stripe.faults.calls = [Fault(kind, ALWAYS, route=EVENTS)]

    assert sweep(client) == 0
    assert mark(client) == before

    stripe.faults.calls = []
    assert sweep(client) == 2
    assert mark(client) > before


def test_a_sweep_continues_from_its_mark(client: Client, stripe: StripeFake, paid: Hold) -> None:
    stripe.refund(paid.intent_id)
    drop_webhooks(stripe)
    later = timedelta(days=2)

    rows(client, "UPDATE stripe_sweeps SET swept_until = swept_until + interval '1 hour'")
    assert sweep(client, later) == 0  # the refund is before the mark
    rows(client, "UPDATE stripe_sweeps SET swept_until = swept_until - interval '3 days'")
    assert sweep(client, later) == 2  # as after a restore of the database

    assert mark(client) > datetime.now(UTC) + timedelta(days=1)


def test_an_interrupted_sweep_keeps_what_it_has_done(client: Client, paid: Hold) -> None:
    rows(client, "UPDATE stripe_sweeps SET swept_until = now() - interval '20 hours'")
    turns = iter([True, True, False])

    event_sweep.sweep(
        client.wiring.database,
        lambda: client.wiring.payments,
        livemode=False,
        now=datetime.now(UTC),
        keep_going=lambda: next(turns),
    )

    behind = datetime.now(UTC) - mark(client)
    assert timedelta(hours=7.9) < behind < timedelta(hours=8.1)
    assert status(client, paid) == ("confirmed", "paid")


def test_events_are_not_asked_for_beyond_stripes_retention(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    rows(client, "UPDATE payments SET created_at = now() - interval '1 year'")
    stripe.confirm(held.intent_id)
    drop_webhooks(stripe)

    assert sweep(client) == 1

    assert status(client, held) == ("confirmed", "paid")


def test_the_schedule_of_the_reconciler_sweeps(client: Client, stripe: StripeFake, paid: Hold) -> None:
    stripe.refund(paid.intent_id)
    drop_webhooks(stripe)
    rows(client, "UPDATE stripe_sweeps SET swept_until = now() - interval '1 minute'")

    scheduled = dict.fromkeys(("version", "id", "detail-type", "source", "account", "time", "region"), "")
    context = Context("reconcile_payments", 60, threading.Event())
    app.handler_map["reconcile_payments"]({**scheduled, "resources": [], "detail": {}}, context)

    assert status(client, paid) == ("cancelled", "refunded")


def counted(lines: list[dict[str, Any]]) -> tuple[int, int]:
    """How many webhooks were missed, and how many payments were confirmed without one."""
    return (
        sum(line.get("WebhooksMissed", 0) for line in lines),
        sum(line.get("PaymentsReconciled", 0) for line in lines),
    )


def test_payments_confirmed_without_a_webhook_are_counted(
    client: Client, stripe: StripeFake, log: Lines
) -> None:
    by_webhook, by_sweep, by_check, by_expiry = (hold(client) for _ in range(4))
    log()

    stripe.confirm(by_webhook.intent_id)
    deliver_webhooks(stripe)
    assert counted(log()) == (0, 0)

    stripe.confirm(by_sweep.intent_id)
    drop_webhooks(stripe)
    sweep(client, event_sweep.IN_FLIGHT + timedelta(seconds=1))
    swept = log()
    assert counted(swept) == (1, 1)
    assert {line["bookingId"] for line in swept if line["level"] == "warning"} == {by_sweep.booking_id}

    stripe.confirm(by_check.intent_id)
    drop_webhooks(stripe)
    reconcile(client)
    assert counted(log()) == (0, 1)

    stripe.confirm(by_expiry.intent_id)
    drop_webhooks(stripe)
    expire(client)
    assert counted(log()) == (0, 1)


def test_a_webhook_that_may_be_on_its_way_is_not_counted(
    client: Client, stripe: StripeFake, log: Lines
) -> None:
    held = hold(client)
    log()
    stripe.confirm(held.intent_id)
    drop_webhooks(stripe)

    assert sweep(client) == 1

    assert counted(log()) == (0, 0)
