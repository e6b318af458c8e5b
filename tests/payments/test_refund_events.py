"""The effects of Stripe's events about refunds, in any order."""

import itertools
from typing import Any

import pytest

from infra.stripe_fake.fake import StripeFake
from tests.client import Client
from tests.payments.purchases import (
    Hold,
    buy,
    cancel,
    deliver_webhooks,
    differences,
    drop_webhooks,
    hold,
    integrity,
    pay,
    process_refund,
    reconcile,
    refund_row,
    status,
)
from tests.rows import domain_events, rows, taken


def money(client: Client, held: Hold) -> Any:
    """Return the only sums in the event's integrity report."""
    [sums] = integrity(client, held)["money"]
    return sums


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_a_refund_in_the_dashboard_cancels_the_booking(
    client: Client, stripe: StripeFake, order: tuple[int, ...]
) -> None:
    held = hold(client)
    stripe.confirm(held.intent_id)
    stripe.refund(held.intent_id)
    events = [
        stripe.events(kind)[0]["id"]
        for kind in ("payment_intent.succeeded", "refund.created", "charge.refunded")
    ]

    for index in order:
        assert stripe.deliver(events[index]) == [200]

    assert status(client, held) == ("cancelled", "refunded")
    assert taken(client, held.event_id) == 0
    [domain_event] = domain_events(client, held.event_id, "booking-cancelled")
    assert domain_event.body["reason"] == "refunded"
    assert differences(client, held) == []
    assert (money(client, held)["received"], money(client, held)["refunded"]) == (2500, 2500)


def test_a_partial_refund_is_flagged_until_the_rest_is_refunded(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe)

    stripe.refund(paid.intent_id, 1000)
    deliver_webhooks(stripe)
    assert status(client, paid) == ("confirmed", "partly_refunded")
    assert differences(client, paid) == ["partly-refunded"]

    stripe.refund(paid.intent_id)
    deliver_webhooks(stripe)
    assert status(client, paid) == ("cancelled", "refunded")
    assert differences(client, paid) == []


REFUND_FAILS = ["refund.created", "charge.refunded", "refund.updated", "refund.failed"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
def test_a_refund_that_fails_later_is_retried(
    client: Client, stripe: StripeFake, order: tuple[int, ...]
) -> None:
    held = hold(client)
    pay(stripe, held, "pm_card_refundFail")
    cancel(client, held)
    process_refund(client, held)
    [made] = stripe.refunds(held.intent_id)
    stripe.settle(made["id"], succeed=False)
    events = [stripe.events(kind)[0]["id"] for kind in REFUND_FAILS]

    for index in order:
        assert stripe.deliver(events[index]) == [200]
    assert status(client, held) == ("cancelled", "refund_pending")
    reconcile(client)
    drop_webhooks(stripe)

    assert status(client, held) == ("cancelled", "refunded")
    assert [refund["status"] for refund in stripe.refunds(held.intent_id)] == ["succeeded", "failed"]


@pytest.mark.parametrize("first", ["webhooks", "response"])
def test_a_refund_is_settled_by_the_response_or_by_webhooks(
    client: Client, stripe: StripeFake, first: str
) -> None:
    paid = buy(client, stripe)
    cancel(client, paid)

    process_refund(client, paid)
    if first == "webhooks":  # as if the process was killed before it recorded the response
        rows(
            client,
            "WITH pending AS (UPDATE refunds SET status = 'pending', stripe_refund_id = NULL,"
            " refunded_at = NULL WHERE booking_id = :id)"
            " UPDATE payments SET status = 'refund_pending', refunded_amount = 0 WHERE booking_id = :id",
            id=paid.booking_id,
        )
    deliver_webhooks(stripe)

    assert status(client, paid) == ("cancelled", "refunded")
    assert len(stripe.refunds(paid.intent_id)) == 1


def test_a_pending_refund_is_settled_by_its_event(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    pay(stripe, held, "pm_card_pendingRefund")
    cancel(client, held)
    process_refund(client, held)
    deliver_webhooks(stripe)
    assert status(client, held) == ("cancelled", "refund_pending")
    assert money(client, held)["refundPending"] == 2500

    stripe.settle(refund_row(client, held).stripe_refund_id)
    deliver_webhooks(stripe)

    assert status(client, held) == ("cancelled", "refunded")
    assert refund_row(client, held).refunded_at is not None


def test_a_failed_refund_from_the_dashboard_is_flagged(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    pay(stripe, held, "pm_card_refundFail")
    made = stripe.refund(held.intent_id)
    deliver_webhooks(stripe)
    assert status(client, held) == ("cancelled", "refunded")
    assert differences(client, held) == []

    stripe.settle(made["id"], succeed=False)
    deliver_webhooks(stripe)

    assert differences(client, held) == ["refund-failed"]
