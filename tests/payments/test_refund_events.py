"""What Stripe's events about refunds bring about, in whatever order they come."""

import itertools
from typing import Any

import pytest

from infra.stripe_fake.fake import StripeFake
from tests.client import Client
from tests.payments.purchases import (
    Hold,
    bought,
    cancel,
    differences,
    forget,
    hold,
    integrity,
    ledger,
    pay,
    pay_back,
    reconcile,
    status,
    tell,
)
from tests.rows import domain_events, rows, taken


def money(client: Client, held: Hold) -> Any:
    """The event's only row of sums."""
    [sums] = integrity(client, held)["money"]
    return sums


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_money_that_goes_back_in_the_dashboard_takes_the_place_with_it(
    client: Client, stripe: StripeFake, order: tuple[int, ...]
) -> None:
    held = hold(client)
    stripe.confirm(held.intent_id)
    stripe.refund(held.intent_id)
    events = [
        stripe.events(kind)[0]["id"]
        for kind in ("payment_intent.succeeded", "refund.created", "charge.refunded")
    ]

    for place in order:
        assert stripe.deliver(events[place]) == [200]

    assert status(client, held) == ("cancelled", "refunded")
    assert taken(client, held.event_id) == 0
    [domain_event] = domain_events(client, held.event_id, "booking-cancelled")
    assert domain_event.body["reason"] == "refunded"
    assert differences(client, held) == []
    assert (money(client, held)["received"], money(client, held)["refunded"]) == (2500, 2500)


def test_a_part_that_goes_back_in_the_dashboard_is_for_a_person_and_the_rest_ends_the_booking(
    client: Client, stripe: StripeFake
) -> None:
    paid = bought(client, stripe)

    stripe.refund(paid.intent_id, 1000)
    tell(stripe)
    assert status(client, paid) == ("confirmed", "paid")
    assert differences(client, paid) == ["partly-refunded"]

    stripe.refund(paid.intent_id)
    tell(stripe)
    assert status(client, paid) == ("cancelled", "refunded")
    assert differences(client, paid) == []


REFUND_FAILS = ["refund.created", "charge.refunded", "refund.updated", "refund.failed"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
def test_a_refund_that_fails_after_it_seemed_done_is_made_again_in_whatever_order_that_is_told(
    client: Client, stripe: StripeFake, order: tuple[int, ...]
) -> None:
    held = hold(client)
    pay(stripe, held, "pm_card_refundFail")
    cancel(client, held)
    pay_back(client, held)
    [made] = stripe.refunds(held.intent_id)
    stripe.settle(made["id"], succeed=False)
    events = [stripe.events(kind)[0]["id"] for kind in REFUND_FAILS]

    for place in order:
        assert stripe.deliver(events[place]) == [200]
    assert status(client, held) == ("cancelled", "refund_pending")
    reconcile(client)
    forget(stripe)

    assert status(client, held) == ("cancelled", "refunded")
    assert [refund["status"] for refund in stripe.refunds(held.intent_id)] == ["succeeded", "failed"]


@pytest.mark.parametrize("first", ["webhooks", "answer"])
def test_a_refund_is_settled_by_whichever_word_comes_first(
    client: Client, stripe: StripeFake, first: str
) -> None:
    paid = bought(client, stripe)
    cancel(client, paid)

    pay_back(client, paid)
    if first == "webhooks":  # as if the process had died before it noted the answer
        rows(
            client,
            "UPDATE payments SET status = 'refund_pending', refund_id = NULL, refunded_at = NULL"
            " WHERE booking_id = :id",
            id=paid.booking_id,
        )
    tell(stripe)

    assert status(client, paid) == ("cancelled", "refunded")
    assert len(stripe.refunds(paid.intent_id)) == 1


def test_a_refund_that_a_bank_takes_days_for_is_settled_by_its_event(
    client: Client, stripe: StripeFake
) -> None:
    held = hold(client)
    pay(stripe, held, "pm_card_pendingRefund")
    cancel(client, held)
    pay_back(client, held)
    tell(stripe)
    assert status(client, held) == ("cancelled", "refund_pending")
    assert money(client, held)["refundPending"] == 2500

    stripe.settle(ledger(client, held).refund_id)
    tell(stripe)

    assert status(client, held) == ("cancelled", "refunded")
    assert ledger(client, held).refunded_at is not None


def test_a_refund_from_the_dashboard_that_comes_back_is_for_a_person(
    client: Client, stripe: StripeFake
) -> None:
    held = hold(client)
    pay(stripe, held, "pm_card_refundFail")
    made = stripe.refund(held.intent_id)
    tell(stripe)
    assert status(client, held) == ("cancelled", "refunded")
    assert differences(client, held) == []

    stripe.settle(made["id"], succeed=False)
    tell(stripe)

    assert differences(client, held) == ["refund-failed"]
