"""The schedules: holds end, and what nobody has told the end of is asked about."""

from datetime import timedelta

import pytest

from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.faults import ALWAYS, Fault
from tests.client import Client
from tests.payments.purchases import (
    JUST_AFTER,
    Hold,
    booking,
    cancel,
    differences,
    expire,
    forget,
    hold,
    ledger,
    pay,
    payment,
    reconcile,
    status,
    tell,
    told,
)
from tests.rows import domain_events, rows, taken, value

MINUTE = timedelta(minutes=1)


def lapsed(client: Client, held: Hold) -> bool:
    """Whether a hold has ended for want of money, and its place is free."""
    ended = status(client, held) == ("expired", "failed")
    assert taken(client, held.event_id) == (0 if ended else 1)
    return ended


def test_a_hold_left_alone_ends_when_its_time_is_over_and_not_before(
    client: Client, stripe: StripeFake
) -> None:
    held = hold(client)

    assert expire(client, timedelta(minutes=14, seconds=55)) == 0
    assert status(client, held) == ("pending", "requires_payment")
    assert expire(client) == 1

    assert lapsed(client, held)
    assert stripe.intent(held.intent_id)["status"] == "canceled"
    assert told(client, held) == ["booking-expired"]
    assert booking(client, held)["status"] == "expired"
    assert differences(client, held) == []
    assert expire(client, timedelta(days=1)) == 0


def test_the_webhook_of_what_was_called_off_changes_nothing(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    expire(client)
    before = ledger(client, held)

    tell(stripe)

    assert ledger(client, held) == before
    assert told(client, held) == ["booking-expired"]


def test_a_place_is_free_only_once_stripe_cannot_take_money_for_it(
    client: Client, stripe: StripeFake
) -> None:
    held = hold(client, capacity=1)
    stripe.faults.calls = [Fault("reset", 1, after=True, route="POST */cancel")]

    expire(client)
    assert stripe.intent(held.intent_id)["status"] == "canceled"
    assert status(client, held) == ("pending", "requires_payment")
    assert client.book(client.attendee(), held.event_id).problem == "sold-out"
    expire(client, JUST_AFTER + MINUTE)

    assert lapsed(client, held)
    assert hold(client, host=held.host, event_id=held.event_id).intent_id


def test_a_hold_that_was_paid_at_the_last_moment_is_confirmed(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    pay(stripe, held, told=False)
    forget(stripe)

    expire(client)

    assert status(client, held) == ("confirmed", "paid")
    assert told(client, held) == ["booking-confirmed"]
    assert differences(client, held) == []


@pytest.mark.parametrize("well", [True, False])
@pytest.mark.parametrize("webhooks", [True, False], ids=["with webhooks", "without"])
def test_a_place_is_kept_while_a_bank_is_at_work_on_its_payment(
    client: Client,
    stripe: StripeFake,
    well: bool,  # noqa: FBT001 (a column of the table)
    webhooks: bool,  # noqa: FBT001
) -> None:
    held = hold(client)
    pay(stripe, held, "pm_usBankAccount_processing")
    for minutes in range(16, 20):
        assert expire(client, timedelta(minutes=minutes)) == 1
        assert status(client, held) == ("pending", "requires_payment")
    assert payment(client, held).status == 200  # by the clock of the app, that has not gone on

    stripe.settle(held.intent_id, succeed=well)
    if webhooks:
        tell(stripe)
    else:
        forget(stripe)
    expire(client, timedelta(minutes=30))

    if well:
        assert status(client, held) == ("confirmed", "paid")
    else:
        assert lapsed(client, held)
    assert differences(client, held) == []


def test_while_stripe_is_down_nothing_is_freed_and_afterwards_it_is(
    client: Client, stripe: StripeFake
) -> None:
    held = hold(client)
    for place, kind in enumerate(("reset", "error", "limit")):
        stripe.faults.calls = [Fault(kind, ALWAYS)]  # type: ignore[arg-type]
        expire(client, JUST_AFTER + place * MINUTE)
        assert not lapsed(client, held)

    stripe.faults.calls = []
    expire(client, JUST_AFTER + 5 * MINUTE)

    assert lapsed(client, held)


def test_a_hold_without_a_payment_at_stripe_ends_too(client: Client, stripe: StripeFake) -> None:
    stripe.faults.calls = [Fault("error", ALWAYS)]
    held = hold(client)

    expire(client)

    assert lapsed(client, held)


def test_one_that_fails_keeps_none_of_the_others_from_ending(client: Client, stripe: StripeFake) -> None:
    event = client.event(client.host(), price=2500)
    held = [hold(client, event_id=event["eventId"]) for _ in range(3)]
    stripe.faults.calls = [Fault("error", route=f"POST */{held[1].intent_id}/cancel")]

    assert expire(client) == 3

    assert [status(client, one)[0] for one in held] == ["expired", "pending", "expired"]


def test_a_hold_that_stripe_does_not_know_ends_and_is_for_a_person(client: Client) -> None:
    held = hold(client)
    rows(client, "UPDATE payments SET intent_id = 'pi_of_another_account'")

    expire(client)

    assert status(client, held) == ("expired", "failed")
    assert differences(client, held) == ["unknown-at-stripe"]


def test_many_holds_end_in_one_go(client: Client, stripe: StripeFake) -> None:
    event_id = client.event(client.host(), price=2500, capacity=250)["eventId"]
    stripe.faults.calls = [Fault("limit", ALWAYS)]  # so that they are made quickly
    for attendee in client.attendees(250):
        assert client.book(attendee, event_id).status == 201
    stripe.faults.calls = []
    assert taken(client, event_id) == 250

    assert expire(client) == 250

    assert taken(client, event_id) == 0
    assert value(client, "SELECT count(*) FROM outbox WHERE type = 'booking-expired'") == 250
    assert value(client, "SELECT count(*) FROM payments WHERE status <> 'failed'") == 0


def test_the_payment_of_a_booking_that_was_cancelled_before_it_was_paid_is_called_off(
    client: Client, stripe: StripeFake
) -> None:
    held = hold(client)
    cancel(client, held)
    pay(stripe, held, told=False)
    forget(stripe)

    expire(client, MINUTE)

    assert status(client, held) == ("cancelled", "refund_pending")
    assert domain_events(client, held.event_id, "payment-refund-due")[0].body["reason"] == "late-payment"


def test_a_payment_of_which_every_word_was_lost_is_found_after_five_minutes(
    client: Client, stripe: StripeFake
) -> None:
    held = hold(client)
    pay(stripe, held, told=False)
    forget(stripe)

    assert reconcile(client, timedelta(minutes=4)) == 0
    assert reconcile(client, timedelta(minutes=6)) == 1

    assert status(client, held) == ("confirmed", "paid")
    assert told(client, held) == ["booking-confirmed"]
    assert reconcile(client, timedelta(days=1)) == 0


def test_what_is_not_paid_yet_is_asked_about_again(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    assert reconcile(client, timedelta(minutes=6)) == 1
    assert reconcile(client, timedelta(minutes=10)) == 0
    pay(stripe, held, told=False)
    forget(stripe)

    assert reconcile(client, timedelta(minutes=12)) == 1

    assert status(client, held) == ("confirmed", "paid")


def test_asking_in_vain_changes_nothing(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    stripe.faults.calls = [Fault("error", ALWAYS)]

    assert reconcile(client, timedelta(minutes=6)) == 1

    assert status(client, held) == ("pending", "requires_payment")
    assert payment(client, held).status == 200


def test_a_payment_cancelled_elsewhere_is_found_and_another_can_be_made(
    client: Client, stripe: StripeFake
) -> None:
    held = hold(client)
    stripe.cancel(held.intent_id)
    forget(stripe)

    reconcile(client)

    second = payment(client, held).json["paymentIntentId"]
    assert second != held.intent_id
    expire(client)
    assert lapsed(client, held)
    assert stripe.intent(second)["status"] == "canceled"
