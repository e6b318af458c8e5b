"""Cancellation of paid bookings: which are refunded, and only once."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from infra.stripe_fake.fake import StripeFake
from tests.client import Client
from tests.payments.purchases import (
    Hold,
    buy,
    cancel,
    differences,
    domain_event_types,
    end_pause,
    expire,
    hold,
    integrity,
    payment_row,
    process_refund,
    status,
)
from tests.rows import domain_events, rows, taken

FUTURE, PAST = timedelta(days=20), timedelta(days=-1)

Action = Callable[[Client, Hold], object]


def attendee_cancels(client: Client, held: Hold) -> None:
    cancel(client, held)


def host_cancels(client: Client, held: Hold) -> None:
    cancel(client, held, by=held.host)


def event_is_cancelled(client: Client, held: Hold) -> None:
    assert client("POST", f"/events/{held.event_id}/cancel", by=held.host).status == 200


def event_is_deleted(client: Client, held: Hold) -> None:
    assert client("DELETE", f"/events/{held.event_id}", by=held.host).status == 204


def attendee_account_is_deleted(client: Client, held: Hold) -> None:
    assert client("DELETE", "/users/me", by=held.attendee).status == 204


def host_account_is_deleted(client: Client, held: Hold) -> None:
    assert client("DELETE", "/users/me", by=held.host).status == 204


BY_ATTENDEE = [(attendee_cancels, "attendee"), (attendee_account_is_deleted, "account-deleted")]
BY_HOST = [
    (host_cancels, "host"),
    (event_is_cancelled, "event-cancelled"),
    (event_is_deleted, "event-deleted"),
    (host_account_is_deleted, "event-cancelled"),
]


def set_refund_until(client: Client, held: Hold, until: timedelta | None) -> None:
    change: dict[str, Any] = {"refundUntil": until}
    assert client("PATCH", f"/events/{held.event_id}", change, by=held.host).status == 200


def assert_refunded(client: Client, stripe: StripeFake, held: Hold, reason: str) -> None:
    assert status(client, held) == ("cancelled", "refund_pending")
    due = domain_events(client, held.event_id, "payment-refund-due")
    assert [(domain_event.body["amount"], domain_event.body["reason"]) for domain_event in due] == [
        (2500, reason)
    ]
    process_refund(client, held)
    assert status(client, held) == ("cancelled", "refunded")
    assert [refund["amount"] for refund in stripe.refunds(held.intent_id)] == [2500]


def assert_kept(client: Client, stripe: StripeFake, held: Hold) -> None:
    assert status(client, held) == ("cancelled", "paid")
    kept = rows(client, "SELECT kept_at FROM tickets WHERE booking_id = :id", id=held.booking_id)
    assert all(row.kept_at is not None for row in kept)
    assert domain_events(client, held.event_id, "payment-refund-due") == []
    process_refund(client, held)
    assert stripe.refunds(held.intent_id) == []


@pytest.mark.parametrize(("action", "reason"), [*BY_ATTENDEE, *BY_HOST])
@pytest.mark.parametrize("until", [None, FUTURE], ids=["until the start", "until a date"])
def test_any_cancellation_before_refund_until_is_refunded(
    client: Client, stripe: StripeFake, action: Action, reason: str, until: timedelta | None
) -> None:
    paid = buy(client, stripe, refundUntil=until)

    action(client, paid)

    assert taken(client, paid.event_id) == 0
    assert_refunded(client, stripe, paid, reason)


@pytest.mark.parametrize(("action", "reason"), BY_ATTENDEE)
def test_later_cancellations_by_the_attendee_are_not_refunded(
    client: Client, stripe: StripeFake, action: Action, reason: str
) -> None:
    paid = buy(client, stripe, refundUntil=PAST)

    action(client, paid)

    assert_kept(client, stripe, paid)
    [cancelled] = domain_events(client, paid.event_id, "booking-cancelled")
    assert cancelled.body["reason"] == reason
    assert taken(client, paid.event_id) == 0
    assert differences(client, paid) == []
    [money] = integrity(client, paid)["money"]
    assert (money["kept"], money["keptOfCancelled"], money["confirmed"]) == (2500, 2500, 0)


@pytest.mark.parametrize(("action", "reason"), BY_HOST)
def test_later_cancellations_by_the_host_are_refunded(
    client: Client, stripe: StripeFake, action: Action, reason: str
) -> None:
    paid = buy(client, stripe, refundUntil=PAST)

    action(client, paid)

    assert_refunded(client, stripe, paid, reason)


def test_a_payment_kept_before_is_kept_when_the_event_is_cancelled(
    client: Client, stripe: StripeFake
) -> None:
    paid = buy(client, stripe, refundUntil=PAST)
    cancel(client, paid)

    event_is_cancelled(client, paid)

    assert_kept(client, stripe, paid)


def test_a_stricter_policy_does_not_apply_to_existing_bookings(client: Client, stripe: StripeFake) -> None:
    before = buy(client, stripe)
    set_refund_until(client, before, PAST)
    after = buy(client, stripe, host=before.host, event_id=before.event_id)

    cancel(client, after)
    assert_kept(client, stripe, after)
    cancel(client, before)
    assert_refunded(client, stripe, before, "attendee")


def test_a_better_policy_applies_to_existing_bookings(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe, refundUntil=PAST)
    set_refund_until(client, paid, None)

    cancel(client, paid)

    assert_refunded(client, stripe, paid, "attendee")


def test_a_stricter_policy_does_not_apply_to_existing_holds(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    set_refund_until(client, held, PAST)
    stripe.confirm(held.intent_id)
    stripe.deliver_all()

    cancel(client, held)

    assert_refunded(client, stripe, held, "attendee")


def test_a_new_price_does_not_apply_to_existing_bookings(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe)
    held = hold(client, host=paid.host, event_id=paid.event_id)
    change = {"price": 9900, "currency": "usd"}
    assert client("PATCH", f"/events/{paid.event_id}", change, by=paid.host).status == 200

    stripe.confirm(held.intent_id)
    stripe.deliver_all()
    assert status(client, held) == ("confirmed", "paid")
    cancel(client, paid)
    assert_refunded(client, stripe, paid, "attendee")
    assert stripe.charge(held.intent_id)["amount"] == payment_row(client, held).amount == 2500
    [money] = integrity(client, held)["money"]
    assert (money["currency"], money["kept"], money["confirmed"]) == ("eur", 2500, 2500)


@pytest.mark.parametrize("second_action", [attendee_cancels, host_cancels, event_is_cancelled])
def test_a_booking_cancelled_twice_is_refunded_once(
    client: Client, stripe: StripeFake, second_action: Action
) -> None:
    paid = buy(client, stripe)
    cancel(client, paid)
    process_refund(client, paid)

    second_action(client, paid)

    process_refund(client, paid)
    assert domain_event_types(client, paid).count("payment-refund-due") == 1
    assert len(stripe.refunds(paid.intent_id)) == 1
    assert status(client, paid) == ("cancelled", "refunded")


@pytest.mark.parametrize(("action", "reason"), [*BY_ATTENDEE, *BY_HOST])
def test_cancelling_a_hold_cancels_its_payment_at_stripe(
    client: Client, stripe: StripeFake, action: Action, reason: str
) -> None:
    held = hold(client)

    action(client, held)
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


def test_a_new_booking_after_a_cancellation_has_its_own_payment(client: Client, stripe: StripeFake) -> None:
    first = hold(client)
    cancel(client, first)
    end_pause(client, first)
    second = hold(client, host=first.host, attendee=first.attendee, event_id=first.event_id)

    stripe.confirm(second.intent_id)
    stripe.deliver_all()

    assert first.intent_id != second.intent_id
    assert status(client, second) == ("confirmed", "paid")
    assert status(client, first) == ("cancelled", "requires_payment")
