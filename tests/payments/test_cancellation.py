"""Cancelling what was paid: when the money goes back, and that it goes back once."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from infra.stripe_fake.fake import StripeFake
from tests.client import Client
from tests.payments.purchases import (
    Hold,
    bought,
    cancel,
    differences,
    expire,
    hold,
    integrity,
    ledger,
    pay_back,
    status,
    told,
)
from tests.rows import domain_events, taken

LATER, OVER = timedelta(days=20), timedelta(days=-1)

Ending = Callable[[Client, Hold], object]


def by_the_attendee(client: Client, held: Hold) -> None:
    cancel(client, held)


def by_the_host(client: Client, held: Hold) -> None:
    cancel(client, held, by=held.host)


def by_calling_the_event_off(client: Client, held: Hold) -> None:
    assert client("POST", f"/events/{held.event_id}/cancel", by=held.host).status == 200


def by_deleting_the_event(client: Client, held: Hold) -> None:
    assert client("DELETE", f"/events/{held.event_id}", by=held.host).status == 204


def by_the_attendee_who_leaves(client: Client, held: Hold) -> None:
    assert client("DELETE", "/users/me", by=held.attendee).status == 204


def by_the_host_who_leaves(client: Client, held: Hold) -> None:
    assert client("DELETE", "/users/me", by=held.host).status == 204


OF_THE_ATTENDEE = [(by_the_attendee, "attendee"), (by_the_attendee_who_leaves, "account-deleted")]
OF_THE_HOST = [
    (by_the_host, "host"),
    (by_calling_the_event_off, "event-cancelled"),
    (by_deleting_the_event, "event-deleted"),
    (by_the_host_who_leaves, "event-cancelled"),
]


def policy(client: Client, held: Hold, until: timedelta | None) -> None:
    change: dict[str, Any] = {"refundUntil": until}
    assert client("PATCH", f"/events/{held.event_id}", change, by=held.host).status == 200


def gets_it_back(client: Client, stripe: StripeFake, held: Hold, reason: str) -> None:
    assert status(client, held) == ("cancelled", "refund_pending")
    due = domain_events(client, held.event_id, "payment-refund-due")
    assert [(domain_event.body["amount"], domain_event.body["reason"]) for domain_event in due] == [
        (2500, reason)
    ]
    pay_back(client, held)
    assert status(client, held) == ("cancelled", "refunded")
    assert [refund["amount"] for refund in stripe.refunds(held.intent_id)] == [2500]


def loses_it(client: Client, stripe: StripeFake, held: Hold) -> None:
    assert status(client, held) == ("cancelled", "paid")
    assert ledger(client, held).kept_at is not None
    assert domain_events(client, held.event_id, "payment-refund-due") == []
    pay_back(client, held)
    assert stripe.refunds(held.intent_id) == []


@pytest.mark.parametrize(("end", "reason"), [*OF_THE_ATTENDEE, *OF_THE_HOST])
@pytest.mark.parametrize("until", [None, LATER], ids=["until the start", "until a day"])
def test_until_the_time_agreed_money_goes_back_whoever_cancels(
    client: Client, stripe: StripeFake, end: Ending, reason: str, until: timedelta | None
) -> None:
    paid = bought(client, stripe, refundUntil=until)

    end(client, paid)

    assert taken(client, paid.event_id) == 0
    gets_it_back(client, stripe, paid, reason)


@pytest.mark.parametrize(("end", "reason"), OF_THE_ATTENDEE)
def test_after_it_who_cancels_loses_the_money(
    client: Client, stripe: StripeFake, end: Ending, reason: str
) -> None:
    paid = bought(client, stripe, refundUntil=OVER)

    end(client, paid)

    loses_it(client, stripe, paid)
    [ended] = domain_events(client, paid.event_id, "booking-cancelled")
    assert ended.body["reason"] == reason
    assert taken(client, paid.event_id) == 0
    assert differences(client, paid) == []
    [money] = integrity(client, paid)["money"]
    assert (money["kept"], money["keptOfCancelled"], money["confirmed"]) == (2500, 2500, 0)


@pytest.mark.parametrize(("end", "reason"), OF_THE_HOST)
def test_after_it_the_host_who_cancels_pays_back_all_the_same(
    client: Client, stripe: StripeFake, end: Ending, reason: str
) -> None:
    paid = bought(client, stripe, refundUntil=OVER)

    end(client, paid)

    gets_it_back(client, stripe, paid, reason)


def test_what_was_kept_stays_so_when_the_event_is_called_off_later(
    client: Client, stripe: StripeFake
) -> None:
    paid = bought(client, stripe, refundUntil=OVER)
    cancel(client, paid)

    by_calling_the_event_off(client, paid)

    loses_it(client, stripe, paid)


def test_a_policy_made_worse_does_not_hold_for_who_has_booked(client: Client, stripe: StripeFake) -> None:
    before = bought(client, stripe)
    policy(client, before, OVER)
    after = bought(client, stripe, host=before.host, event_id=before.event_id)

    cancel(client, after)
    loses_it(client, stripe, after)
    cancel(client, before)
    gets_it_back(client, stripe, before, "attendee")


def test_a_policy_made_better_does(client: Client, stripe: StripeFake) -> None:
    paid = bought(client, stripe, refundUntil=OVER)
    policy(client, paid, None)

    cancel(client, paid)

    gets_it_back(client, stripe, paid, "attendee")


def test_a_policy_changed_while_a_place_is_held_does_not_make_it_worse(
    client: Client, stripe: StripeFake
) -> None:
    held = hold(client)
    policy(client, held, OVER)
    stripe.confirm(held.intent_id)
    stripe.deliver_all()

    cancel(client, held)

    gets_it_back(client, stripe, held, "attendee")


def test_a_changed_price_changes_nothing_for_who_has_booked(client: Client, stripe: StripeFake) -> None:
    paid = bought(client, stripe)
    held = hold(client, host=paid.host, event_id=paid.event_id)
    change = {"price": 9900, "currency": "usd"}
    assert client("PATCH", f"/events/{paid.event_id}", change, by=paid.host).status == 200

    stripe.confirm(held.intent_id)
    stripe.deliver_all()
    assert status(client, held) == ("confirmed", "paid")
    cancel(client, paid)
    gets_it_back(client, stripe, paid, "attendee")
    assert stripe.charge(held.intent_id)["amount"] == ledger(client, held).amount == 2500
    [money] = integrity(client, held)["money"]
    assert (money["currency"], money["kept"], money["confirmed"]) == ("eur", 2500, 2500)


@pytest.mark.parametrize("again", [by_the_attendee, by_the_host, by_calling_the_event_off])
def test_what_is_cancelled_twice_is_paid_back_once(client: Client, stripe: StripeFake, again: Ending) -> None:
    paid = bought(client, stripe)
    cancel(client, paid)
    pay_back(client, paid)

    again(client, paid)

    pay_back(client, paid)
    assert told(client, paid).count("payment-refund-due") == 1
    assert len(stripe.refunds(paid.intent_id)) == 1
    assert status(client, paid) == ("cancelled", "refunded")


@pytest.mark.parametrize(("end", "reason"), [*OF_THE_ATTENDEE, *OF_THE_HOST])
def test_of_a_place_that_was_only_held_the_payment_is_called_off_at_stripe(
    client: Client, stripe: StripeFake, end: Ending, reason: str
) -> None:
    held = hold(client)

    end(client, held)
    assert stripe.intent(held.intent_id)["status"] == "requires_payment_method"
    assert expire(client) == 1

    assert stripe.intent(held.intent_id)["status"] == "canceled"
    assert status(client, held) == ("cancelled", "failed")
    assert [
        (domain_event.type, domain_event.body["reason"])
        for domain_event in domain_events(client, held.event_id, "booking-cancelled")
    ] == [("booking-cancelled", reason)]
    assert domain_events(client, held.event_id, "payment-refund-due") == []
    assert taken(client, held.event_id) == 0


def test_who_cancels_and_books_again_pays_the_new_booking(client: Client, stripe: StripeFake) -> None:
    first = hold(client)
    cancel(client, first)
    second = hold(client, host=first.host, attendee=first.attendee, event_id=first.event_id)

    stripe.confirm(second.intent_id)
    stripe.deliver_all()

    assert first.intent_id != second.intent_id
    assert status(client, second) == ("confirmed", "paid")
    assert status(client, first) == ("cancelled", "requires_payment")
