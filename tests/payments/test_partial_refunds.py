"""Parts of a payment that go back: partial refunds and disputes, other currencies, and more than was paid."""

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
    get_booking,
    hold,
    integrity,
    payment_row,
    process_refund,
    reconcile,
    refund_row,
    status,
)
from tests.payments.webhook_delivery import event, send
from tests.rows import domain_events, taken


def shown(client: Client, held: Hold) -> tuple[str, int]:
    """Return the payment's status and the refunded amount of the booking, as the attendee sees them."""
    booking = get_booking(client, held)
    return booking["payment"]["status"], booking["refunded"]


def sums(client: Client, held: Hold) -> tuple[int, ...]:
    """Return what was received, refunded, is to be refunded, and is kept."""
    [money] = integrity(client, held)["money"]
    return tuple(money[name] for name in ("received", "refunded", "refundPending", "kept"))


def lose_dispute(stripe: StripeFake, held: Hold, amount: int | None = None) -> None:
    """Dispute an amount, and decide the dispute for the attendee."""
    disputed = stripe.dispute(held.intent_id, amount=amount)
    stripe.settle_dispute(disputed["id"], won=False)


def test_a_lost_dispute_of_a_part_keeps_the_booking(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe, 10_000)

    lose_dispute(stripe, paid, 1000)
    deliver_webhooks(stripe)

    assert status(client, paid) == ("confirmed", "partly_refunded")
    assert shown(client, paid) == ("partly_refunded", 1000)
    assert sums(client, paid) == (10_000, 1000, 0, 9000)
    assert differences(client, paid) == ["partly-refunded"]
    assert taken(client, paid.event_id) == 1
    assert domain_events(client, paid.event_id, "booking-cancelled") == []
    [closed] = domain_events(client, paid.event_id, "payment-dispute-closed")
    assert (closed.body["amount"], closed.body["disputedAmount"]) == (10_000, 1000)


def test_only_the_rest_is_refunded_after_a_lost_part(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe, 10_000)
    lose_dispute(stripe, paid, 1000)
    deliver_webhooks(stripe)

    cancel(client, paid)
    [due] = domain_events(client, paid.event_id, "payment-refund-due")
    assert due.body["amount"] == 9000
    assert sums(client, paid) == (10_000, 1000, 9000, 0)
    process_refund(client, paid)
    deliver_webhooks(stripe)

    assert [refund["amount"] for refund in stripe.refunds(paid.intent_id)] == [9000]
    assert shown(client, paid) == ("refunded", 10_000)
    assert differences(client, paid) == []


def test_a_part_lost_during_a_refund_leaves_the_rest_due(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe, 10_000)
    disputed = stripe.dispute(paid.intent_id, amount=1000)
    cancel(client, paid)
    process_refund(client, paid)
    stripe.settle_dispute(disputed["id"], won=False)
    deliver_webhooks(stripe)

    reconcile(client)
    deliver_webhooks(stripe)

    assert [refund["amount"] for refund in stripe.refunds(paid.intent_id)] == [9000]
    assert sums(client, paid) == (10_000, 10_000, 0, 0)
    assert differences(client, paid) == []


def test_a_won_dispute_of_a_part_changes_no_money(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe)
    disputed = stripe.dispute(paid.intent_id, amount=1000)
    deliver_webhooks(stripe)
    assert integrity(client, paid)["money"][0]["disputed"] == 1000

    stripe.settle_dispute(disputed["id"], won=True)
    deliver_webhooks(stripe)

    assert shown(client, paid) == ("paid", 0)
    assert differences(client, paid) == []


def test_a_refund_and_a_lost_dispute_add_up(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe)
    stripe.refund(paid.intent_id, 1000)
    lose_dispute(stripe, paid, 1500)
    deliver_webhooks(stripe)

    assert status(client, paid) == ("cancelled", "refunded")
    assert sums(client, paid) == (2500, 2500, 0, 0)
    assert differences(client, paid) == []


def test_parts_in_the_dashboard_are_recorded_as_parts(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe)

    for total in (400, 1000):
        stripe.refund(paid.intent_id, total - payment_row(client, paid).refunded_amount)
        deliver_webhooks(stripe)
        assert shown(client, paid) == ("partly_refunded", total)
        assert sums(client, paid) == (2500, total, 0, 2500 - total)

    cancel(client, paid)
    process_refund(client, paid)
    assert shown(client, paid) == ("refunded", 2500)
    assert [refund["amount"] for refund in stripe.refunds(paid.intent_id)] == [1500, 600, 400]


def test_totals_in_any_order_count_once(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe)
    stripe.refund(paid.intent_id, 400)
    stripe.refund(paid.intent_id, 600)

    stripe.deliver_all("reversed")

    assert shown(client, paid) == ("partly_refunded", 1000)
    reconcile(client)
    assert shown(client, paid) == ("partly_refunded", 1000)
    assert payment_row(client, paid).next_check_at is None


def test_a_part_reported_before_the_payment_counts(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    stripe.confirm(held.intent_id)
    stripe.refund(held.intent_id, 1000)

    stripe.deliver_all("reversed")

    assert status(client, held) == ("confirmed", "partly_refunded")
    assert sums(client, held) == (2500, 1000, 0, 1500)


@pytest.mark.parametrize("amount", [None, 1000])
def test_a_dispute_lost_before_the_payment_is_reported_counts(
    client: Client, stripe: StripeFake, amount: int | None
) -> None:
    held = hold(client)
    stripe.confirm(held.intent_id)
    lose_dispute(stripe, held, amount)

    stripe.deliver_all("reversed")

    expected = ("cancelled", "refunded") if amount is None else ("confirmed", "partly_refunded")
    assert status(client, held) == expected
    assert sums(client, held)[1] == (amount or 2500)


@pytest.mark.parametrize("order", ["ordered", "reversed", "shuffled"])
def test_a_returned_part_counts_as_paid_again(client: Client, stripe: StripeFake, order: Any) -> None:
    held = hold(client)
    stripe.confirm(held.intent_id, "pm_card_refundFail")
    deliver_webhooks(stripe)
    made = stripe.refund(held.intent_id, 1000)
    stripe.settle(made["id"], succeed=False)

    stripe.deliver_all(order)
    reconcile(client)

    assert status(client, held) == ("confirmed", "paid")
    assert sums(client, held) == (2500, 0, 0, 2500)
    assert differences(client, held) == ["refund-failed"]


def test_a_refund_and_a_lost_dispute_of_it_all_are_flagged(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe)
    disputed = stripe.dispute(paid.intent_id)
    send(client, event("charge.refunded", stripe.charge(paid.intent_id) | {"amount_refunded": 2500}))
    assert status(client, paid) == ("cancelled", "refunded")

    stripe.settle_dispute(disputed["id"], won=False)
    deliver_webhooks(stripe)

    assert sums(client, paid) == (2500, 5000, 0, 0)
    assert differences(client, paid) == ["over-refunded"]


@pytest.mark.parametrize(
    "wrong", [{"currency": "usd"}, {"amount": -1000}, {"amount": 10**15}, {"amount": 2**70}], ids=str
)
@pytest.mark.parametrize("kind", ["charge.refunded", "charge.dispute.closed"])
def test_amounts_that_cannot_be_compared_are_flagged(
    client: Client, stripe: StripeFake, kind: str, wrong: dict[str, Any]
) -> None:
    paid = buy(client, stripe)
    if kind == "charge.refunded":
        subject = stripe.charge(paid.intent_id) | {"amount_refunded": wrong.get("amount", 2500)}
    else:
        subject = stripe.dispute(paid.intent_id) | {"status": "lost"}

    assert send(client, event(kind, subject | wrong)).json == {"outcome": "flagged"}

    assert status(client, paid) == ("confirmed", "paid")
    assert sums(client, paid) == (2500, 0, 0, 2500)
    assert differences(client, paid) == ["amount-differs"]


@pytest.mark.parametrize("kind", ["charge.refunded", "charge.dispute.closed"])
def test_a_report_of_zero_changes_no_money(client: Client, stripe: StripeFake, kind: str) -> None:
    paid = buy(client, stripe)
    if kind == "charge.refunded":
        subject = stripe.charge(paid.intent_id) | {"amount_refunded": 0}
    else:
        subject = stripe.dispute(paid.intent_id) | {"status": "lost", "amount": 0}

    assert send(client, event(kind, subject)).status == 200

    assert status(client, paid) == ("confirmed", "paid")
    assert sums(client, paid) == (2500, 0, 0, 2500)


@pytest.mark.parametrize("wrong", [{"amount": 2499}, {"amount": 2501}, {"currency": "usd"}], ids=str)
def test_our_refund_with_another_amount_settles_nothing(
    client: Client, stripe: StripeFake, wrong: dict[str, Any]
) -> None:
    paid = buy(client, stripe)
    cancel(client, paid)
    metadata = {"refundId": str(refund_row(client, paid).refund_id), "attempt": "0"}
    subject = {
        "id": "re_1", "object": "refund", "payment_intent": paid.intent_id, "amount": 2500, "currency": "eur",
        "status": "succeeded", "metadata": metadata,
    }  # fmt: skip

    assert send(client, event("refund.updated", subject | wrong)).json == {"outcome": "no-change"}

    assert status(client, paid) == ("cancelled", "refund_pending")


def test_a_second_dispute_is_flagged(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe)
    first = stripe.dispute(paid.intent_id, amount=500)
    deliver_webhooks(stripe)

    second = {**first, "id": "du_second", "status": "lost"}
    assert send(client, event("charge.dispute.closed", second)).json == {"outcome": "flagged"}

    assert differences(client, paid) == ["another-dispute"]
    assert status(client, paid) == ("confirmed", "paid")


# Refunds at Stripe that are discovered when our own is refused.


def test_parts_refunded_in_the_dashboard_settle_a_due_refund(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe)
    stripe.refund(paid.intent_id, 1000)
    client("POST", f"/events/{paid.event_id}/cancel", by=paid.host)
    stripe.refund(paid.intent_id)
    drop_webhooks(stripe)

    process_refund(client, paid)

    assert status(client, paid) == ("cancelled", "refunded")
    assert shown(client, paid) == ("refunded", 2500)
    assert refund_row(client, paid).attempt == 0
    assert differences(client, paid) == []


def test_an_unreported_part_leaves_only_the_rest_due(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe)
    stripe.refund(paid.intent_id, 1000)
    drop_webhooks(stripe)
    cancel(client, paid)

    process_refund(client, paid)
    reconcile(client)

    assert [refund["amount"] for refund in stripe.refunds(paid.intent_id)] == [1500, 1000]
    assert sums(client, paid) == (2500, 2500, 0, 0)
    assert differences(client, paid) == []


def test_half_refunded_in_the_dashboard_is_not_taken_for_our_refund(
    client: Client, stripe: StripeFake
) -> None:
    paid = buy(client, stripe)
    stripe.refund(paid.intent_id, 1250)
    deliver_webhooks(stripe)
    stripe.dispute(paid.intent_id)  # refuses our refund of the other half
    cancel(client, paid)

    process_refund(client, paid)

    assert status(client, paid) == ("cancelled", "refund_pending")
    assert sums(client, paid) == (2500, 1250, 1250, 0)


def test_a_pending_refund_in_the_dashboard_is_waited_for(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    stripe.confirm(held.intent_id, "pm_card_pendingRefund")
    deliver_webhooks(stripe)
    made = stripe.refund(held.intent_id)
    drop_webhooks(stripe)
    cancel(client, held)

    process_refund(client, held)
    assert status(client, held)[1] == "refund_pending"
    assert refund_row(client, held).stripe_refund_id == made["id"]
    stripe.settle(made["id"])
    deliver_webhooks(stripe)

    assert shown(client, held) == ("refunded", 2500)
