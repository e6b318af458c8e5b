"""What comes at the same moment: whoever is first, there is one place, one payment and one refund."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from threading import Barrier
from uuid import UUID

import pytest
from sqlalchemy import text

from chalicelib.payments import due_payments, refunds, settlement, stripe_objects
from chalicelib.payments.gateway import Charge, PaymentRefused, Refund
from chalicelib.platform.errors import Unreachable
from infra.stripe_fake.errors import ApiError
from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.faults import Fault
from tests.client import Client
from tests.concurrency import WAIT_TIMEOUT, run_concurrently, until_waiting
from tests.fakes import FakePayments
from tests.notifications.pipeline import PostOffice
from tests.payments.purchases import (
    JUST_AFTER,
    Hold,
    bought,
    cancel,
    differences,
    expire,
    forget,
    hold,
    ledger,
    pay,
    pay_back,
    payment,
    status,
    tell,
    told,
)
from tests.rows import rows, taken


def test_a_webhook_that_comes_ten_times_at_once_confirms_once_and_sends_one_e_mail(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    held = hold(client)
    pay(stripe, held, told=False)
    [succeeded] = [event["id"] for event in stripe.events("payment_intent.succeeded")]

    responses = run_concurrently([partial(stripe.deliver, succeeded)] * 10)

    assert responses == [[200]] * 10
    assert status(client, held) == ("confirmed", "paid")
    assert told(client, held) == ["booking-confirmed"]
    assert rows(client, "SELECT count(*) FROM stripe_events")[0][0] == 1
    post_office.run()
    assert sum(b"Subject: Your booking is confirmed" in mail for _, mail in post_office.mailer.sent) == 1


def lapse(client: Client, *held: Hold) -> None:
    """Have holds be over without Stripe knowing it, so that money can come late."""
    for one in held:
        rows(
            client,
            "WITH over AS (UPDATE bookings SET status = 'expired' WHERE booking_id = :id RETURNING event_id),"
            " failed AS (UPDATE payments SET status = 'failed', next_check_at = NULL WHERE booking_id = :id)"
            " UPDATE places SET taken = taken - 1 WHERE event_id IN (SELECT event_id FROM over)",
            id=one.booking_id,
        )


def test_of_those_who_pay_late_for_one_place_one_has_it_and_the_others_get_their_money_back(
    client: Client, stripe: StripeFake
) -> None:
    first = hold(client, capacity=4)
    late = [first, *(hold(client, host=first.host, event_id=first.event_id) for _ in range(3))]
    lapse(client, *late)
    assert client("PATCH", f"/events/{first.event_id}", {"capacity": 1}, by=first.host).status == 200
    for one in late:
        pay(stripe, one, told=False)
    events = [event["id"] for event in stripe.events("payment_intent.succeeded")]

    responses = run_concurrently([partial(stripe.deliver, event) for event in events])

    assert responses == [[200]] * 4
    outcomes = Counter(status(client, one) for one in late)
    assert outcomes == {("confirmed", "paid"): 1, ("expired", "refund_pending"): 3}
    assert taken(client, first.event_id) == 1
    assert differences(client, first) == []


@pytest.mark.parametrize("round_", range(5))
def test_late_money_and_a_new_booking_do_not_both_get_the_last_place(
    client: Client, stripe: StripeFake, round_: int
) -> None:
    late = hold(client, capacity=1, title=f"Round {round_}")
    lapse(client, late)
    pay(stripe, late, told=False)
    other = client.attendee()

    replies = run_concurrently(
        [lambda: client.book(other, late.event_id).status, lambda: stripe.deliver_all()[-1]]
    )

    assert taken(client, late.event_id) == 1
    if replies[0] == 201:
        assert status(client, late) == ("expired", "refund_pending")
    else:
        assert (replies[0], status(client, late)) == (409, ("confirmed", "paid"))


def test_who_booked_again_gets_the_late_money_back_and_keeps_the_new_booking(
    client: Client, stripe: StripeFake
) -> None:
    late = hold(client)
    lapse(client, late)
    again = hold(client, host=late.host, attendee=late.attendee, event_id=late.event_id)

    pay(stripe, late)

    assert status(client, late) == ("expired", "refund_pending")
    assert status(client, again) == ("pending", "requires_payment")
    assert taken(client, late.event_id) == 1


@pytest.mark.parametrize("round_", range(8))
def test_a_payment_at_the_moment_of_expiry_has_the_place_or_is_not_taken(
    client: Client, stripe: StripeFake, round_: int
) -> None:
    held = hold(client, capacity=1, title=f"Round {round_}")

    def pays() -> None:
        with suppress(ApiError):  # called off a moment before
            stripe.confirm(held.intent_id, "pm_card_visa")

    run_concurrently([pays, lambda: expire(client)])
    tell(stripe)

    paid = stripe.intent(held.intent_id)["status"] == "succeeded"
    assert status(client, held) == (("confirmed", "paid") if paid else ("expired", "failed"))
    assert taken(client, held.event_id) == paid


def test_a_payment_that_is_noted_while_its_event_is_called_off_goes_back(
    client: Client, stripe: StripeFake
) -> None:
    held = hold(client)
    pay(stripe, held, told=False)
    forget(stripe)
    intent = stripe_objects.parse_payment_intent(stripe.intent(held.intent_id))

    with ThreadPoolExecutor(1) as thread, client.wiring.database.transaction() as connection:
        settlement.settle(connection, intent, datetime.now(UTC))
        path = f"/events/{held.event_id}/cancel"
        calling_off = thread.submit(client, "POST", path, by=held.host)
        until_waiting(client, 1, calling_off)  # it has the places, and waits for the booking

    assert calling_off.result().status == 200
    assert status(client, held) == ("cancelled", "refund_pending")
    assert told(client, held) == ["booking-confirmed", "booking-cancelled", "payment-refund-due"]


@pytest.mark.parametrize("round_", range(5))
def test_a_cancellation_at_the_moment_of_the_webhook_gives_the_money_back(
    client: Client, stripe: StripeFake, round_: int
) -> None:
    held = hold(client, capacity=1, title=f"Round {round_}")
    pay(stripe, held, told=False)

    run_concurrently([lambda: cancel(client, held), lambda: tell(stripe)])

    assert status(client, held) == ("cancelled", "refund_pending")
    assert taken(client, held.event_id) == 0
    assert told(client, held).count("payment-refund-due") == 1


def ask(client: Client, held: Hold) -> None:
    with suppress(Unreachable):  # Stripe is at work on the same request: it is asked again later
        pay_back(client, held)


def test_a_refund_that_is_asked_for_ten_times_at_once_is_made_once(
    client: Client, stripe: StripeFake
) -> None:
    held = bought(client, stripe)
    cancel(client, held)

    run_concurrently([partial(ask, client, held)] * 10)

    assert len(stripe.refunds(held.intent_id)) == 1
    assert status(client, held) == ("cancelled", "refunded")


def test_a_payment_that_is_asked_for_ten_times_at_once_is_made_once(
    client: Client, stripe: StripeFake
) -> None:
    stripe.faults.latency = 0.05
    event_id = client.event(client.host(), price=2500)["eventId"]
    attendee = client.attendee()

    replies = run_concurrently([lambda: client.book(attendee, event_id)] * 10)

    assert Counter(reply.status for reply in replies) == {201: 1, 200: 9}
    assert len({reply.json["bookingId"] for reply in replies}) == 1
    assert len(stripe.intents()) == 1
    assert taken(client, event_id) == 1
    held = Hold(client.host(), attendee, event_id, replies[0].json["bookingId"], "")
    assert payment(client, held).json["paymentIntentId"] == stripe.intents()[0]["id"]


def test_two_disputes_noted_at_once_are_one(client: Client, stripe: StripeFake) -> None:
    held = bought(client, stripe)
    stripe.dispute(held.intent_id)
    events = [event["id"] for event in stripe.events("charge.dispute.created")] * 4

    run_concurrently([partial(stripe.deliver, event) for event in events])

    assert told(client, held) == ["booking-confirmed", "payment-disputed"]


def test_a_payment_that_is_noted_while_its_hold_ends_is_called_off_the_next_time(
    client: Client, stripe: StripeFake
) -> None:
    stripe.faults.calls = [Fault("limit")]
    held = hold(client)
    assert held.intent_id == ""

    with ThreadPoolExecutor(1) as thread, client.wiring.database.transaction() as connection:
        connection.execute(text("SELECT 1 FROM places FOR UPDATE"))
        ending = thread.submit(expire, client)
        until_waiting(client, 1, ending)  # it found no payment, and is about to free the place
        made = payment(client, held).json["paymentIntentId"]

    ending.result()
    assert status(client, held) == ("pending", "requires_payment")
    expire(client, JUST_AFTER + due_payments.CLAIM_LEASE)
    assert stripe.intent(made)["status"] == "canceled"
    assert status(client, held) == ("expired", "failed")


class RefusingBoth(FakePayments):
    """Stripe, which refuses two refunds once both have been asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._both = Barrier(2)

    def create_refund(self, charge: Charge, intent_id: str) -> Refund:
        self._both.wait(WAIT_TIMEOUT)
        raise PaymentRefused(f"{charge.attempt} of {intent_id}")


def test_a_refund_that_is_refused_twice_at_once_counts_as_one_attempt(
    client: Client, stripe: StripeFake
) -> None:
    held = bought(client, stripe)
    cancel(client, held)
    database, gateway, now = client.wiring.database, RefusingBoth(), datetime.now(UTC)

    run_concurrently([lambda: refunds.make_refund(database, gateway, UUID(held.booking_id), now)] * 2)

    assert ledger(client, held).refund_attempt == 1


def test_who_is_told_of_a_refund_waits_for_who_calls_the_event_off(
    client: Client, stripe: StripeFake
) -> None:
    """In the order of locks that all who end bookings keep; else each would wait for the other."""
    held = bought(client, stripe)
    stripe.refund(held.intent_id)

    with ThreadPoolExecutor(1) as thread, client.wiring.database.transaction() as connection:
        connection.execute(text("SELECT 1 FROM places FOR UPDATE"))
        telling = thread.submit(stripe.deliver_all)
        until_waiting(client, 1, telling)
        connection.execute(text("UPDATE bookings SET updated_at = now()"))

    assert set(telling.result()) == {200}
    assert status(client, held) == ("cancelled", "refunded")
