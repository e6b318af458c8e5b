"""The effects of Stripe's events about payments: each once, even if late."""

from typing import Any

import pytest

from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.faults import Fault
from tests.client import Client
from tests.payments.purchases import (
    buy,
    cancel,
    deliver_webhooks,
    differences,
    domain_event_types,
    end_pause,
    expire,
    get_booking,
    hold,
    pay,
    payment_row,
    process_refund,
    request_payment,
    status,
)
from tests.payments.webhook_delivery import event, intent_of, recorded, send
from tests.rows import domain_events, taken


def test_a_payment_confirms_its_booking(client: Client, stripe: StripeFake) -> None:
    held = hold(client)

    pay(stripe, held)

    shown = get_booking(client, held)
    assert (shown["status"], shown["payment"]["status"]) == ("confirmed", "paid")
    assert "expiresAt" not in shown
    assert "clientSecret" not in shown["payment"]
    assert domain_event_types(client, held) == ["booking-confirmed"]
    [domain_event] = domain_events(client, held.event_id, "booking-confirmed")
    assert (domain_event.body["amount"], domain_event.body["currency"]) == (2500, "eur")
    assert domain_event.body["paymentReference"] == held.intent_id
    assert differences(client, held) == []


def test_a_redelivered_event_has_no_effect(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    pay(stripe, held)
    before = (recorded(client), domain_event_types(client, held), payment_row(client, held))

    for delivered in stripe.events():
        assert stripe.deliver(delivered["id"]) == [200]

    assert (recorded(client), domain_event_types(client, held), payment_row(client, held)) == before


def test_unhandled_event_types_are_recorded_and_ignored(client: Client) -> None:
    for kind in ("payment_intent.created", "customer.created", "a.new.type"):
        assert send(client, event(kind, {"id": "x_1"})).json == {"outcome": "ignored"}

    assert {outcome for _, outcome in recorded(client)} == {"ignored"}


@pytest.mark.parametrize(
    "members",
    [
        {"id": "pi_elsewhere", "metadata": {}},
        {"id": "pi_elsewhere", "metadata": None},
        {"id": "pi_elsewhere", "metadata": {"bookingId": "order 66", "attempt": "0"}},
        {
            "id": "pi_elsewhere",
            "metadata": {"bookingId": "019b2f3e-7c1a-7b55-9d41-2f6d0c8a1e90", "attempt": "0"},
        },
        {"id": "pi_elsewhere", "metadata": {"attempt": "0"}},
    ],
    ids=lambda members: str(members["metadata"])[:40],
)
def test_a_payment_without_a_booking_of_ours_is_foreign(client: Client, members: dict[str, Any]) -> None:
    held = hold(client)
    for kind in ("succeeded", "canceled", "payment_failed"):
        reply = send(client, event(f"payment_intent.{kind}", intent_of(client, held, **members)))
        assert reply.json == {"outcome": "foreign"}

    assert status(client, held) == ("pending", "requires_payment")
    assert domain_event_types(client, held) == []
    assert differences(client, held) == []


@pytest.mark.parametrize("more", [{"account": "acct_1"}, {"livemode": True}], ids=str)
def test_an_event_of_another_account_or_mode_is_foreign(client: Client, more: dict[str, Any]) -> None:
    held = hold(client)

    reply = send(client, event("payment_intent.succeeded", intent_of(client, held), **more))

    assert reply.json == {"outcome": "foreign"}
    assert status(client, held) == ("pending", "requires_payment")


@pytest.mark.parametrize("kind", ["charge.refunded", "charge.dispute.created", "charge.dispute.closed"])
def test_a_charge_without_a_payment_of_ours_is_foreign(client: Client, stripe: StripeFake, kind: str) -> None:
    paid = buy(client, stripe)
    charge = {"amount_refunded": 2500, "currency": "eur", "status": "lost", "reason": "fraudulent"}

    for intent in (None, "pi_elsewhere"):
        assert send(client, event(kind, {**charge, "payment_intent": intent})).json == {"outcome": "foreign"}

    assert status(client, paid) == ("confirmed", "paid")


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": 2499, "amount_received": 2499},
        {"amount_received": 2499},
        {"amount_received": 0},
        {"amount": 250_000, "amount_received": 250_000},
        {"currency": "jpy"},
        {"currency": "EUR"},
        {"amount": -2500, "amount_received": -2500},
    ],
    ids=str,
)
def test_a_payment_of_another_amount_or_currency_is_flagged(client: Client, wrong: dict[str, Any]) -> None:
    held = hold(client)

    reply = send(client, event("payment_intent.succeeded", intent_of(client, held, **wrong)))

    assert reply.json == {"outcome": "flagged"}
    assert status(client, held) == ("pending", "requires_payment")
    assert differences(client, held) == ["amount-differs"]
    assert domain_event_types(client, held) == []


def test_an_unrecorded_payment_is_recognized_by_its_metadata(client: Client, stripe: StripeFake) -> None:
    stripe.faults.calls = [Fault("reset", 2, after=True)]
    held = hold(client)
    [made] = stripe.intents()
    assert payment_row(client, held).intent_id is None

    stripe.confirm(made["id"])
    deliver_webhooks(stripe)

    assert status(client, held) == ("confirmed", "paid")
    assert payment_row(client, held).intent_id == made["id"]


def test_a_payment_with_another_id_is_flagged_as_stray(
    client: Client,
) -> None:
    held = hold(client)

    reply = send(client, event("payment_intent.succeeded", intent_of(client, held, id="pi_stray")))

    assert reply.json == {"outcome": "flagged"}
    assert differences(client, held) == ["stray-payment"]


@pytest.mark.parametrize("method", ["pm_card_chargeDeclined", "pm_card_chargeDeclinedInsufficientFunds"])
def test_each_failure_is_recorded_and_another_attempt_can_pay(
    client: Client, stripe: StripeFake, method: str
) -> None:
    held = hold(client)

    pay(stripe, held, method)
    pay(stripe, held, method)
    assert status(client, held) == ("pending", "requires_payment")
    assert get_booking(client, held)["payment"]["clientSecret"]
    pay(stripe, held)

    assert domain_event_types(client, held) == ["payment-failed", "payment-failed", "booking-confirmed"]
    [domain_event, _] = domain_events(client, held.event_id, "payment-failed")
    assert domain_event.body["reason"] in {"generic_decline", "insufficient_funds"}
    assert domain_event.body["expiresAt"]


def test_a_late_failure_is_not_recorded(client: Client, stripe: StripeFake) -> None:
    paid, cancelled = hold(client), hold(client)
    for held in (paid, cancelled):
        pay(stripe, held, "pm_card_chargeDeclined", deliver=False)
    late = [failure["id"] for failure in stripe.events("payment_intent.payment_failed")]
    stripe.confirm(paid.intent_id)
    [succeeded] = stripe.events("payment_intent.succeeded")
    stripe.deliver(succeeded["id"])
    cancel(client, cancelled)

    for event_id in late:
        assert stripe.deliver(event_id) == [200]

    assert domain_event_types(client, paid) == ["booking-confirmed"]
    assert domain_event_types(client, cancelled) == ["booking-cancelled"]


def test_a_payment_canceled_in_the_dashboard_can_be_replaced(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    stripe.cancel(held.intent_id)
    deliver_webhooks(stripe)
    assert status(client, held) == ("pending", "requires_payment")
    assert get_booking(client, held).get("payment") is None

    second = request_payment(client, held).json
    assert second["paymentIntentId"] != held.intent_id
    for delivered in stripe.events():
        stripe.deliver(delivered["id"])
    late = event("payment_intent.canceled", intent_of(client, held, status="canceled", amount_received=0))
    assert send(client, late).json == {"outcome": "no-change"}

    stripe.confirm(second["paymentIntentId"])
    deliver_webhooks(stripe)
    assert status(client, held) == ("confirmed", "paid")
    assert differences(client, held) == []


def test_late_events_do_not_restore_a_canceled_payment(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    stripe.cancel(held.intent_id)
    deliver_webhooks(stripe)
    assert payment_row(client, held).intent_id is None

    stale = {**stripe.intent(held.intent_id), "status": "requires_payment_method"}
    for kind in ("payment_intent.payment_failed", "payment_intent.canceled"):
        assert send(client, event(kind, stale)).json == {"outcome": "no-change"}

    assert payment_row(client, held).intent_id is None
    assert request_payment(client, held).json["paymentIntentId"] != held.intent_id


def test_a_payment_of_a_cancelled_booking_is_refunded(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    cancel(client, held)

    pay(stripe, held)

    assert status(client, held) == ("cancelled", "refund_pending")
    assert domain_event_types(client, held) == ["booking-cancelled", "payment-refund-due"]
    assert domain_events(client, held.event_id, "payment-refund-due")[0].body["reason"] == "late-payment"
    process_refund(client, held)
    assert status(client, held) == ("cancelled", "refunded")


@pytest.mark.parametrize("capacity", [1, 2])
def test_a_late_payment_gets_a_place_if_one_is_left(client: Client, capacity: int) -> None:
    held = hold(client, capacity=capacity)
    late = event("payment_intent.succeeded", intent_of(client, held))
    expire(client)
    assert status(client, held) == ("expired", "failed")
    hold(client, host=held.host, event_id=held.event_id)

    outcome = send(client, late).json["outcome"]

    assert outcome == {1: "refund-due", 2: "confirmed"}[capacity]
    assert status(client, held) == {1: ("expired", "refund_pending"), 2: ("confirmed", "paid")}[capacity]
    assert taken(client, held.event_id) == capacity
    assert differences(client, held) == []


def test_a_late_payment_gives_no_second_place(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    late = event("payment_intent.succeeded", intent_of(client, held))
    expire(client)
    end_pause(client, held)
    again = hold(client, host=held.host, attendee=held.attendee, event_id=held.event_id)
    pay(stripe, again)

    assert send(client, late).json == {"outcome": "refund-due"}

    assert status(client, held) == ("expired", "refund_pending")
    assert status(client, again) == ("confirmed", "paid")
    assert taken(client, held.event_id) == 1
