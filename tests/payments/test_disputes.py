"""Disputes: the host is told, who lost one gets no place, and who has won it owes what was due."""

import itertools

import pytest

from infra.stripe_fake.fake import StripeFake
from tests.client import Client
from tests.payments.purchases import (
    booking,
    bought,
    cancel,
    differences,
    hold,
    integrity,
    ledger,
    pay_back,
    reconcile,
    status,
    tell,
    told,
)
from tests.rows import domain_events, taken


def test_a_dispute_is_told_to_the_host_and_shown_to_both(client: Client, stripe: StripeFake) -> None:
    paid = bought(client, stripe)

    stripe.dispute(paid.intent_id, "product_not_received")
    tell(stripe)

    assert status(client, paid) == ("confirmed", "paid")
    [domain_event] = domain_events(client, paid.event_id, "payment-disputed")
    assert (domain_event.body["hostId"], domain_event.body["reason"]) == (
        paid.host.user_id,
        "product_not_received",
    )
    for who in (paid.attendee, paid.host):
        assert booking(client, paid, by=who)["payment"]["dispute"] == "open"
    assert integrity(client, paid)["money"][0]["disputed"] == 2500
    assert differences(client, paid) == []


@pytest.mark.parametrize("won", [True, False])
@pytest.mark.parametrize("order", list(itertools.permutations(range(2))), ids=str)
def test_who_loses_a_dispute_loses_the_place_in_whatever_order_that_is_told(
    client: Client,
    stripe: StripeFake,
    order: tuple[int, ...],
    won: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    paid = bought(client, stripe)
    disputed = stripe.dispute(paid.intent_id)
    stripe.settle_dispute(disputed["id"], won=won)
    events = [stripe.events(f"charge.dispute.{kind}")[0]["id"] for kind in ("created", "closed")]

    for place in order:
        assert stripe.deliver(events[place]) == [200]
    tell(stripe)

    assert status(client, paid) == (("confirmed", "paid") if won else ("cancelled", "refunded"))
    assert ledger(client, paid).dispute == ("won" if won else "lost")
    assert taken(client, paid.event_id) == (1 if won else 0)
    [closed] = domain_events(client, paid.event_id, "payment-dispute-closed")
    assert closed.body["outcome"] == ("won" if won else "lost")
    ended = domain_events(client, paid.event_id, "booking-cancelled")
    assert [domain_event.body["reason"] for domain_event in ended] == ([] if won else ["dispute-lost"])
    assert differences(client, paid) == []


def test_a_refund_that_a_dispute_keeps_from_being_made_is_made_once_it_is_won(
    client: Client, stripe: StripeFake
) -> None:
    paid = bought(client, stripe)
    disputed = stripe.dispute(paid.intent_id)
    tell(stripe)
    cancel(client, paid)

    for _ in range(6):
        pay_back(client, paid)
    assert differences(client, paid) == ["refund-failed"]
    stripe.settle_dispute(disputed["id"], won=True)
    tell(stripe)
    reconcile(client)

    assert status(client, paid) == ("cancelled", "refunded")
    assert differences(client, paid) == []
    assert len(stripe.refunds(paid.intent_id)) == 1


def test_a_refund_that_is_due_is_settled_by_a_dispute_that_is_lost(
    client: Client, stripe: StripeFake
) -> None:
    paid = bought(client, stripe)
    disputed = stripe.dispute(paid.intent_id)
    cancel(client, paid)
    pay_back(client, paid)

    stripe.settle_dispute(disputed["id"], won=False)
    tell(stripe)

    assert status(client, paid) == ("cancelled", "refunded")
    assert told(client, paid).count("booking-cancelled") == 1
    assert reconcile(client) == 0
    assert stripe.refunds(paid.intent_id) == []
    assert differences(client, paid) == []


def test_a_dispute_of_money_that_is_back_already_changes_nothing_but_is_told(
    client: Client, stripe: StripeFake
) -> None:
    paid = bought(client, stripe)
    disputed = stripe.dispute(paid.intent_id)
    stripe.settle_dispute(disputed["id"], won=True)
    cancel(client, paid)
    pay_back(client, paid)
    tell(stripe)

    assert status(client, paid) == ("cancelled", "refunded")
    assert len(domain_events(client, paid.event_id, "payment-disputed", "payment-dispute-closed")) == 2


def test_the_same_dispute_told_twice_is_told_once(client: Client, stripe: StripeFake) -> None:
    paid = bought(client, stripe)
    disputed = stripe.dispute(paid.intent_id)
    stripe.settle_dispute(disputed["id"], won=False)
    tell(stripe)
    before = told(client, paid)

    for one in stripe.events("charge.dispute.created", "charge.dispute.closed"):
        stripe.deliver(one["id"])

    assert told(client, paid) == before


def test_a_place_lost_in_a_dispute_is_free_for_somebody_else(client: Client, stripe: StripeFake) -> None:
    paid = bought(client, stripe, capacity=1)
    disputed = stripe.dispute(paid.intent_id)
    stripe.settle_dispute(disputed["id"], won=False)
    tell(stripe)

    hold(client, host=paid.host, event_id=paid.event_id)
