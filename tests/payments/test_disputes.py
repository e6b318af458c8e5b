"""Disputes: notification of the host, lost places, and refunds that are due."""

import itertools

import pytest

from infra.stripe_fake.fake import StripeFake
from tests.client import Client
from tests.payments.purchases import (
    buy,
    cancel,
    deliver_webhooks,
    differences,
    domain_event_types,
    get_booking,
    hold,
    integrity,
    payment_row,
    process_refund,
    reconcile,
    status,
)
from tests.rows import domain_events, taken


def test_a_dispute_notifies_the_host_and_is_shown_to_both(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe)

    stripe.dispute(paid.intent_id, "product_not_received")
    deliver_webhooks(stripe)

    assert status(client, paid) == ("confirmed", "paid")
    [domain_event] = domain_events(client, paid.event_id, "payment-disputed")
    assert (domain_event.body["hostId"], domain_event.body["reason"]) == (
        paid.host.user_id,
        "product_not_received",
    )
    for account in (paid.attendee, paid.host):
        assert get_booking(client, paid, by=account)["payment"]["dispute"] == "open"
    assert integrity(client, paid)["money"][0]["disputed"] == 2500
    assert differences(client, paid) == []


@pytest.mark.parametrize("won", [True, False])
@pytest.mark.parametrize("order", list(itertools.permutations(range(2))), ids=str)
def test_a_lost_dispute_cancels_in_any_order_of_events(
    client: Client,
    stripe: StripeFake,
    order: tuple[int, ...],
    won: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    paid = buy(client, stripe)
    disputed = stripe.dispute(paid.intent_id)
    stripe.settle_dispute(disputed["id"], won=won)
    events = [stripe.events(f"charge.dispute.{kind}")[0]["id"] for kind in ("created", "closed")]

    for index in order:
        assert stripe.deliver(events[index]) == [200]
    deliver_webhooks(stripe)

    assert status(client, paid) == (("confirmed", "paid") if won else ("cancelled", "refunded"))
    assert payment_row(client, paid).dispute == ("won" if won else "lost")
    assert taken(client, paid.event_id) == (1 if won else 0)
    [closed] = domain_events(client, paid.event_id, "payment-dispute-closed")
    assert closed.body["outcome"] == ("won" if won else "lost")
    cancelled = domain_events(client, paid.event_id, "booking-cancelled")
    assert [domain_event.body["reason"] for domain_event in cancelled] == ([] if won else ["dispute-lost"])
    assert differences(client, paid) == []


def test_a_won_dispute_retries_the_blocked_refund(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe)
    disputed = stripe.dispute(paid.intent_id)
    deliver_webhooks(stripe)
    cancel(client, paid)

    for _ in range(6):
        process_refund(client, paid)
    assert differences(client, paid) == ["refund-failed"]
    stripe.settle_dispute(disputed["id"], won=True)
    deliver_webhooks(stripe)
    reconcile(client)

    assert status(client, paid) == ("cancelled", "refunded")
    assert differences(client, paid) == []
    assert len(stripe.refunds(paid.intent_id)) == 1


def test_a_lost_dispute_settles_a_due_refund(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe)
    disputed = stripe.dispute(paid.intent_id)
    cancel(client, paid)
    process_refund(client, paid)

    stripe.settle_dispute(disputed["id"], won=False)
    deliver_webhooks(stripe)

    assert status(client, paid) == ("cancelled", "refunded")
    assert domain_event_types(client, paid).count("booking-cancelled") == 1
    assert reconcile(client) == 0
    assert stripe.refunds(paid.intent_id) == []
    assert differences(client, paid) == []


def test_a_dispute_of_a_refunded_payment_is_only_recorded(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe)
    disputed = stripe.dispute(paid.intent_id)
    stripe.settle_dispute(disputed["id"], won=True)
    cancel(client, paid)
    process_refund(client, paid)
    deliver_webhooks(stripe)

    assert status(client, paid) == ("cancelled", "refunded")
    assert len(domain_events(client, paid.event_id, "payment-disputed", "payment-dispute-closed")) == 2


def test_a_redelivered_dispute_is_recorded_once(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe)
    disputed = stripe.dispute(paid.intent_id)
    stripe.settle_dispute(disputed["id"], won=False)
    deliver_webhooks(stripe)
    before = domain_event_types(client, paid)

    for dispute_event in stripe.events("charge.dispute.created", "charge.dispute.closed"):
        stripe.deliver(dispute_event["id"])

    assert domain_event_types(client, paid) == before


def test_a_lost_dispute_frees_the_place(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe, capacity=1)
    disputed = stripe.dispute(paid.intent_id)
    stripe.settle_dispute(disputed["id"], won=False)
    deliver_webhooks(stripe)

    hold(client, host=paid.host, event_id=paid.event_id)
