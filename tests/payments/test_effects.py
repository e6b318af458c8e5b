"""What each event of Stripe about a payment brings about, once, however late it comes."""

from typing import Any

import pytest

from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.faults import Fault
from tests.client import Client
from tests.payments.purchases import (
    booking,
    bought,
    cancel,
    differences,
    expire,
    hold,
    ledger,
    pay,
    pay_back,
    payment,
    status,
    tell,
    told,
)
from tests.payments.webhook_delivery import event, intent_of, recorded, send
from tests.rows import domain_events, taken


def test_a_payment_confirms_its_booking(client: Client, stripe: StripeFake) -> None:
    held = hold(client)

    pay(stripe, held)

    shown = booking(client, held)
    assert (shown["status"], shown["payment"]["status"]) == ("confirmed", "paid")
    assert "expiresAt" not in shown
    assert "clientSecret" not in shown["payment"]
    assert told(client, held) == ["booking-confirmed"]
    [domain_event] = domain_events(client, held.event_id, "booking-confirmed")
    assert (domain_event.body["amount"], domain_event.body["currency"]) == (2500, "eur")
    assert domain_event.body["paymentReference"] == held.intent_id
    assert differences(client, held) == []


def test_an_event_that_comes_twice_is_recorded_once_and_does_its_work_once(
    client: Client, stripe: StripeFake
) -> None:
    held = hold(client)
    pay(stripe, held)
    before = (recorded(client), told(client, held), ledger(client, held))

    for told_before in stripe.events():
        assert stripe.deliver(told_before["id"]) == [200]

    assert (recorded(client), told(client, held), ledger(client, held)) == before


def test_what_is_of_no_interest_is_recorded_and_ignored(client: Client) -> None:
    for kind in ("payment_intent.created", "customer.created", "a.new.type"):
        assert send(client, event(kind, {"id": "x_1"})).json == {"outcome": "ignored"}

    assert {outcome for _, outcome in recorded(client)} == {"ignored"}


@pytest.mark.parametrize(
    "of",
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
    ids=lambda of: str(of["metadata"])[:40],
)
def test_a_payment_for_something_else_is_foreign(client: Client, of: dict[str, Any]) -> None:
    held = hold(client)
    for kind in ("succeeded", "canceled", "payment_failed"):
        reply = send(client, event(f"payment_intent.{kind}", intent_of(client, held, **of)))
        assert reply.json == {"outcome": "foreign"}

    assert status(client, held) == ("pending", "requires_payment")
    assert told(client, held) == []
    assert differences(client, held) == []


@pytest.mark.parametrize("more", [{"account": "acct_1"}, {"livemode": True}], ids=str)
def test_an_event_of_another_account_or_mode_is_foreign(client: Client, more: dict[str, Any]) -> None:
    held = hold(client)

    reply = send(client, event("payment_intent.succeeded", intent_of(client, held), **more))

    assert reply.json == {"outcome": "foreign"}
    assert status(client, held) == ("pending", "requires_payment")


@pytest.mark.parametrize("kind", ["charge.refunded", "charge.dispute.created", "charge.dispute.closed"])
def test_a_charge_that_was_made_without_a_payment_of_ours_is_foreign(
    client: Client, stripe: StripeFake, kind: str
) -> None:
    paid = bought(client, stripe)
    of = {"amount_refunded": 2500, "currency": "eur", "status": "lost", "reason": "fraudulent"}

    for intent in (None, "pi_elsewhere"):
        assert send(client, event(kind, {**of, "payment_intent": intent})).json == {"outcome": "foreign"}

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
def test_a_payment_of_another_amount_or_currency_confirms_nothing_and_is_flagged(
    client: Client, wrong: dict[str, Any]
) -> None:
    held = hold(client)

    reply = send(client, event("payment_intent.succeeded", intent_of(client, held, **wrong)))

    assert reply.json == {"outcome": "flagged"}
    assert status(client, held) == ("pending", "requires_payment")
    assert differences(client, held) == ["amount-differs"]
    assert told(client, held) == []


def test_a_payment_that_could_not_be_noted_when_it_was_made_is_known_by_what_it_was_made_with(
    client: Client, stripe: StripeFake
) -> None:
    stripe.faults.calls = [Fault("reset", after=True)]
    held = hold(client)
    [made] = stripe.intents()
    assert ledger(client, held).intent_id is None

    stripe.confirm(made["id"])
    tell(stripe)

    assert status(client, held) == ("confirmed", "paid")
    assert ledger(client, held).intent_id == made["id"]


def test_a_payment_that_is_not_the_one_of_the_hold_is_for_a_person(
    client: Client,
) -> None:
    held = hold(client)

    reply = send(client, event("payment_intent.succeeded", intent_of(client, held, id="pi_stray")))

    assert reply.json == {"outcome": "flagged"}
    assert differences(client, held) == ["stray-payment"]


@pytest.mark.parametrize("method", ["pm_card_chargeDeclined", "pm_card_chargeDeclinedInsufficientFunds"])
def test_a_payment_that_fails_is_told_each_time_and_another_try_pays(
    client: Client, stripe: StripeFake, method: str
) -> None:
    held = hold(client)

    pay(stripe, held, method)
    pay(stripe, held, method)
    assert status(client, held) == ("pending", "requires_payment")
    assert booking(client, held)["payment"]["clientSecret"]
    pay(stripe, held)

    assert told(client, held) == ["payment-failed", "payment-failed", "booking-confirmed"]
    [domain_event, _] = domain_events(client, held.event_id, "payment-failed")
    assert domain_event.body["reason"] in {"generic_decline", "insufficient_funds"}
    assert domain_event.body["expiresAt"]


def test_a_failure_is_not_told_once_the_booking_is_paid_or_over(client: Client, stripe: StripeFake) -> None:
    paid, over = hold(client), hold(client)
    for held in (paid, over):
        pay(stripe, held, "pm_card_chargeDeclined", told=False)
    late = [told_late["id"] for told_late in stripe.events("payment_intent.payment_failed")]
    stripe.confirm(paid.intent_id)
    [succeeded] = stripe.events("payment_intent.succeeded")
    stripe.deliver(succeeded["id"])
    cancel(client, over)

    for event_id in late:
        assert stripe.deliver(event_id) == [200]

    assert told(client, paid) == ["booking-confirmed"]
    assert told(client, over) == ["booking-cancelled"]


def test_a_payment_cancelled_in_the_dashboard_makes_way_for_another(
    client: Client, stripe: StripeFake
) -> None:
    held = hold(client)
    stripe.cancel(held.intent_id)
    tell(stripe)
    assert status(client, held) == ("pending", "requires_payment")
    assert booking(client, held).get("payment") is None

    second = payment(client, held).json
    assert second["paymentIntentId"] != held.intent_id
    for told_before in stripe.events():
        stripe.deliver(told_before["id"])
    late = event("payment_intent.canceled", intent_of(client, held, status="canceled", amount_received=0))
    assert send(client, late).json == {"outcome": "no-change"}

    stripe.confirm(second["paymentIntentId"])
    tell(stripe)
    assert status(client, held) == ("confirmed", "paid")
    assert differences(client, held) == []


def test_word_of_a_payment_that_was_cancelled_does_not_bring_it_back(
    client: Client, stripe: StripeFake
) -> None:
    held = hold(client)
    stripe.cancel(held.intent_id)
    tell(stripe)
    assert ledger(client, held).intent_id is None

    stale = {**stripe.intent(held.intent_id), "status": "requires_payment_method"}
    for kind in ("payment_intent.payment_failed", "payment_intent.canceled"):
        assert send(client, event(kind, stale)).json == {"outcome": "no-change"}

    assert ledger(client, held).intent_id is None
    assert payment(client, held).json["paymentIntentId"] != held.intent_id


def test_money_for_a_booking_that_has_ended_goes_back(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    cancel(client, held)

    pay(stripe, held)

    assert status(client, held) == ("cancelled", "refund_pending")
    assert told(client, held) == ["booking-cancelled", "payment-refund-due"]
    assert domain_events(client, held.event_id, "payment-refund-due")[0].body["reason"] == "late-payment"
    pay_back(client, held)
    assert status(client, held) == ("cancelled", "refunded")


@pytest.mark.parametrize("capacity", [1, 2])
def test_money_that_comes_after_the_time_takes_a_place_if_one_is_left(client: Client, capacity: int) -> None:
    held = hold(client, capacity=capacity)
    told_late = event("payment_intent.succeeded", intent_of(client, held))
    expire(client)
    assert status(client, held) == ("expired", "failed")
    hold(client, host=held.host, event_id=held.event_id)

    outcome = send(client, told_late).json["outcome"]

    assert outcome == {1: "refund-due", 2: "confirmed"}[capacity]
    assert status(client, held) == {1: ("expired", "refund_pending"), 2: ("confirmed", "paid")}[capacity]
    assert taken(client, held.event_id) == capacity
    assert differences(client, held) == []


def test_money_that_comes_after_the_time_does_not_give_a_second_place(
    client: Client, stripe: StripeFake
) -> None:
    held = hold(client)
    told_late = event("payment_intent.succeeded", intent_of(client, held))
    expire(client)
    again = hold(client, host=held.host, attendee=held.attendee, event_id=held.event_id)
    pay(stripe, again)

    assert send(client, told_late).json == {"outcome": "refund-due"}

    assert status(client, held) == ("expired", "refund_pending")
    assert status(client, again) == ("confirmed", "paid")
    assert taken(client, held.event_id) == 1
