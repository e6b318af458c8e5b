"""The schedules: expiry of holds, and reconciliation of open payments with Stripe."""

from datetime import timedelta

import pytest

from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.faults import ALWAYS, Fault
from tests.client import Client
from tests.payments.purchases import (
    AFTER_HOLD,
    Hold,
    cancel,
    deliver_webhooks,
    differences,
    domain_event_types,
    drop_webhooks,
    expire,
    get_booking,
    hold,
    pay,
    payment_row,
    reconcile,
    request_payment,
    status,
)
from tests.rows import domain_events, rows, taken, value

MINUTE = timedelta(minutes=1)


def is_expired(client: Client, held: Hold) -> bool:
    """Return whether a hold has expired, and check that its place is free only then."""
    expired = status(client, held) == ("expired", "failed")
    assert taken(client, held.event_id) == (0 if expired else 1)
    return expired


def test_an_unpaid_hold_expires_in_time(client: Client, stripe: StripeFake) -> None:
    held = hold(client)

    assert expire(client, timedelta(minutes=14, seconds=55)) == 0
    assert status(client, held) == ("pending", "requires_payment")
    assert expire(client) == 1

    assert is_expired(client, held)
    assert stripe.intent(held.intent_id)["status"] == "canceled"
    assert domain_event_types(client, held) == ["booking-expired"]
    assert get_booking(client, held)["status"] == "expired"
    assert differences(client, held) == []
    assert expire(client, timedelta(days=1)) == 0


def test_a_check_just_before_the_end_of_a_hold_does_not_delay_it(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    reconcile(client, AFTER_HOLD - timedelta(seconds=21))

    expire(client)

    assert is_expired(client, held)
    assert stripe.intent(held.intent_id)["status"] == "canceled"


def test_the_webhook_of_a_canceled_payment_has_no_effect(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    expire(client)
    before = payment_row(client, held)

    deliver_webhooks(stripe)

    assert payment_row(client, held) == before
    assert domain_event_types(client, held) == ["booking-expired"]


def test_a_place_is_freed_after_its_payment_is_canceled_at_stripe(client: Client, stripe: StripeFake) -> None:
    held = hold(client, capacity=1)
    stripe.faults.calls = [Fault("reset", 2, after=True, route="POST */cancel")]

    expire(client)
    assert stripe.intent(held.intent_id)["status"] == "canceled"
    assert status(client, held) == ("pending", "requires_payment")
    assert client.book(client.attendee(), held.event_id).problem == "sold-out"
    expire(client, AFTER_HOLD + MINUTE)

    assert is_expired(client, held)
    assert hold(client, host=held.host, event_id=held.event_id).intent_id


def test_a_hold_paid_at_the_last_moment_is_confirmed(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    pay(stripe, held, deliver=False)
    drop_webhooks(stripe)

    expire(client)

    assert status(client, held) == ("confirmed", "paid")
    assert domain_event_types(client, held) == ["booking-confirmed"]
    assert differences(client, held) == []


@pytest.mark.parametrize("succeeds", [True, False])
@pytest.mark.parametrize("webhooks", [True, False], ids=["with webhooks", "without"])
def test_a_place_is_held_while_its_payment_is_processing(
    client: Client,
    stripe: StripeFake,
    succeeds: bool,  # noqa: FBT001 (a column of the table)
    webhooks: bool,  # noqa: FBT001
) -> None:
    held = hold(client)
    pay(stripe, held, "pm_usBankAccount_processing")
    for minutes in range(16, 20):
        assert expire(client, timedelta(minutes=minutes)) == 1
        assert status(client, held) == ("pending", "requires_payment")
    assert request_payment(client, held).status == 200  # the clock of requests has not advanced

    stripe.settle(held.intent_id, succeed=succeeds)
    if webhooks:
        deliver_webhooks(stripe)
    else:
        drop_webhooks(stripe)
    expire(client, timedelta(minutes=30))

    if succeeds:
        assert status(client, held) == ("confirmed", "paid")
    else:
        assert is_expired(client, held)
    assert differences(client, held) == []


def test_holds_expire_only_when_stripe_is_reachable(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    for minutes, kind in enumerate(("reset", "error", "limit")):
        stripe.faults.calls = [Fault(kind, ALWAYS)]  # type: ignore[arg-type]
        expire(client, AFTER_HOLD + minutes * MINUTE)
        assert not is_expired(client, held)

    stripe.faults.calls = []
    expire(client, AFTER_HOLD + 5 * MINUTE)

    assert is_expired(client, held)


def test_a_hold_without_a_payment_at_stripe_expires(client: Client, stripe: StripeFake) -> None:
    stripe.faults.calls = [Fault("error", ALWAYS)]
    held = hold(client)

    expire(client)

    assert is_expired(client, held)


def test_a_failed_expiry_does_not_stop_the_others(client: Client, stripe: StripeFake) -> None:
    event = client.event(client.host(), price=2500)
    holds = [hold(client, event_id=event["eventId"]) for _ in range(3)]
    stripe.faults.calls = [Fault("error", route=f"POST */{holds[1].intent_id}/cancel")]

    assert expire(client) == 3

    assert [status(client, held)[0] for held in holds] == ["expired", "pending", "expired"]


def test_a_hold_unknown_to_stripe_expires_and_is_flagged(client: Client) -> None:
    held = hold(client)
    rows(client, "UPDATE payments SET intent_id = 'pi_of_another_account'")

    expire(client)

    assert status(client, held) == ("expired", "failed")
    assert differences(client, held) == ["unknown-at-stripe"]


def test_many_holds_expire_in_one_run(client: Client, stripe: StripeFake) -> None:
    event_id = client.event(client.host(), price=2500, capacity=250)["eventId"]
    stripe.faults.calls = [Fault("limit", ALWAYS)]  # so that bookings are fast
    for attendee in client.attendees(250):
        assert client.book(attendee, event_id).status == 201
    stripe.faults.calls = []
    assert taken(client, event_id) == 250

    assert expire(client) == 250

    assert taken(client, event_id) == 0
    assert value(client, "SELECT count(*) FROM outbox WHERE type = 'booking-expired'") == 250
    assert value(client, "SELECT count(*) FROM payments WHERE status <> 'failed'") == 0


def test_a_cancelled_hold_that_was_paid_is_refunded(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    cancel(client, held)
    pay(stripe, held, deliver=False)
    drop_webhooks(stripe)

    expire(client, MINUTE)

    assert status(client, held) == ("cancelled", "refund_pending")
    assert domain_events(client, held.event_id, "payment-refund-due")[0].body["reason"] == "late-payment"


def test_a_payment_without_webhooks_is_found_after_five_minutes(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    pay(stripe, held, deliver=False)
    drop_webhooks(stripe)

    assert reconcile(client, timedelta(minutes=4)) == 0
    assert reconcile(client, timedelta(minutes=6)) == 1

    assert status(client, held) == ("confirmed", "paid")
    assert domain_event_types(client, held) == ["booking-confirmed"]
    assert reconcile(client, timedelta(days=1)) == 0


def test_an_unpaid_hold_is_checked_again(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    assert reconcile(client, timedelta(minutes=6)) == 1
    assert reconcile(client, timedelta(minutes=10)) == 0
    pay(stripe, held, deliver=False)
    drop_webhooks(stripe)

    assert reconcile(client, timedelta(minutes=12)) == 1

    assert status(client, held) == ("confirmed", "paid")


def test_a_failed_check_changes_nothing(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    stripe.faults.calls = [Fault("error", ALWAYS)]

    assert reconcile(client, timedelta(minutes=6)) == 1

    assert status(client, held) == ("pending", "requires_payment")
    assert request_payment(client, held).status == 200


def test_a_payment_canceled_elsewhere_is_found_and_replaced(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    stripe.cancel(held.intent_id)
    drop_webhooks(stripe)

    reconcile(client)

    second = request_payment(client, held).json["paymentIntentId"]
    assert second != held.intent_id
    expire(client)
    assert is_expired(client, held)
    assert stripe.intent(second)["status"] == "canceled"
