"""Concurrent webhooks, requests and schedules: one place, one payment and one refund."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from threading import Barrier

import pytest
from sqlalchemy import text

from chalicelib.payments import due_payments, refunds, settlement, stripe_objects
from chalicelib.payments.gateway import DueRefund, PaymentRefused, Refund
from chalicelib.platform.errors import Unreachable
from infra.stripe_fake.errors import ApiError
from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.faults import Fault
from tests.client import Client
from tests.concurrency import WAIT_TIMEOUT, run_concurrently, until_waiting
from tests.fakes import FakePayments
from tests.notifications.pipeline import PostOffice
from tests.payments.purchases import (
    AFTER_HOLD,
    Hold,
    buy,
    cancel,
    deliver_webhooks,
    differences,
    domain_event_types,
    drop_webhooks,
    expire,
    hold,
    pay,
    process_refund,
    refund_row,
    request_payment,
    status,
)
from tests.rows import rows, taken


def test_concurrent_deliveries_confirm_once_and_send_one_email(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    held = hold(client)
    pay(stripe, held, deliver=False)
    [succeeded] = [event["id"] for event in stripe.events("payment_intent.succeeded")]

    responses = run_concurrently([partial(stripe.deliver, succeeded)] * 10)

    assert responses == [[200]] * 10
    assert status(client, held) == ("confirmed", "paid")
    assert domain_event_types(client, held) == ["booking-confirmed"]
    assert rows(client, "SELECT count(*) FROM stripe_events")[0][0] == 1
    post_office.run()
    assert sum(b"Subject: Your booking is confirmed" in mail for _, mail in post_office.mailer.sent) == 1


def expire_unnoticed(client: Client, *holds: Hold) -> None:
    """Expire holds but not their payments at Stripe, so that a late payment is possible."""
    for held in holds:
        rows(
            client,
            "WITH expired AS (UPDATE bookings SET status = 'expired', quantity = 0,"
            " cancellation_reason = 'unpaid' WHERE booking_id = :id RETURNING event_id),"
            " void AS (UPDATE tickets SET status = 'cancelled', cancellation_reason = 'unpaid'"
            " WHERE booking_id = :id),"
            " failed AS (UPDATE payments SET status = 'failed', next_check_at = NULL WHERE booking_id = :id)"
            " UPDATE places SET taken = taken - 1 WHERE event_id IN (SELECT event_id FROM expired)",
            id=held.booking_id,
        )


def test_one_of_several_late_payments_gets_the_last_place(client: Client, stripe: StripeFake) -> None:
    first = hold(client, capacity=4)
    late = [first, *(hold(client, host=first.host, event_id=first.event_id) for _ in range(3))]
    expire_unnoticed(client, *late)
    assert client("PATCH", f"/events/{first.event_id}", {"capacity": 1}, by=first.host).status == 200
    for held in late:
        pay(stripe, held, deliver=False)
    events = [event["id"] for event in stripe.events("payment_intent.succeeded")]

    responses = run_concurrently([partial(stripe.deliver, event) for event in events])

    assert responses == [[200]] * 4
    outcomes = Counter(status(client, held) for held in late)
    assert outcomes == {("confirmed", "paid"): 1, ("expired", "refund_pending"): 3}
    assert taken(client, first.event_id) == 1
    assert differences(client, first) == []


@pytest.mark.parametrize("number", range(5))
def test_a_late_payment_and_a_new_booking_share_no_place(
    client: Client, stripe: StripeFake, number: int
) -> None:
    late = hold(client, capacity=1, title=f"Round {number}")
    expire_unnoticed(client, late)
    pay(stripe, late, deliver=False)
    other = client.attendee()

    replies = run_concurrently(
        [lambda: client.book(other, late.event_id).status, lambda: stripe.deliver_all()[-1]]
    )

    assert taken(client, late.event_id) == 1
    if replies[0] == 201:
        assert status(client, late) == ("expired", "refund_pending")
    else:
        assert (replies[0], status(client, late)) == (409, ("confirmed", "paid"))


def test_a_late_payment_is_refunded_after_a_new_booking(client: Client, stripe: StripeFake) -> None:
    late = hold(client)
    expire_unnoticed(client, late)
    again = hold(client, host=late.host, attendee=late.attendee, event_id=late.event_id)

    pay(stripe, late)

    assert status(client, late) == ("expired", "refund_pending")
    assert status(client, again) == ("pending", "requires_payment")
    assert taken(client, late.event_id) == 1


@pytest.mark.parametrize("number", range(8))
def test_a_payment_concurrent_with_the_expiry_confirms_or_fails(
    client: Client, stripe: StripeFake, number: int
) -> None:
    held = hold(client, capacity=1, title=f"Round {number}")

    def try_to_pay() -> None:
        with suppress(ApiError):  # canceled a moment before
            stripe.confirm(held.intent_id, "pm_card_visa")

    run_concurrently([try_to_pay, lambda: expire(client)])
    deliver_webhooks(stripe)

    paid = stripe.intent(held.intent_id)["status"] == "succeeded"
    assert status(client, held) == (("confirmed", "paid") if paid else ("expired", "failed"))
    assert taken(client, held.event_id) == paid


def test_a_payment_settled_during_the_cancellation_is_refunded(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    pay(stripe, held, deliver=False)
    drop_webhooks(stripe)
    intent = stripe_objects.parse_payment_intent(stripe.intent(held.intent_id))

    with ThreadPoolExecutor(1) as thread, client.wiring.database.transaction() as connection:
        settlement.settle(connection, intent, datetime.now(UTC))
        path = f"/events/{held.event_id}/cancel"
        cancellation = thread.submit(client, "POST", path, by=held.host)
        until_waiting(client, 1, cancellation)  # it has locked the places, and waits for the booking

    assert cancellation.result().status == 200
    assert status(client, held) == ("cancelled", "refund_pending")
    assert domain_event_types(client, held) == [
        "booking-confirmed",
        "booking-cancelled",
        "payment-refund-due",
    ]


@pytest.mark.parametrize("number", range(5))
def test_a_cancellation_concurrent_with_the_webhook_is_refunded(
    client: Client, stripe: StripeFake, number: int
) -> None:
    held = hold(client, capacity=1, title=f"Round {number}")
    pay(stripe, held, deliver=False)

    run_concurrently([lambda: cancel(client, held), lambda: deliver_webhooks(stripe)])

    assert status(client, held) == ("cancelled", "refund_pending")
    assert taken(client, held.event_id) == 0
    assert domain_event_types(client, held).count("payment-refund-due") == 1


def try_to_refund(client: Client, held: Hold) -> None:
    with suppress(Unreachable):  # Stripe is processing the same request, which is retried later
        process_refund(client, held)


def test_concurrent_refund_requests_make_one_refund(client: Client, stripe: StripeFake) -> None:
    held = buy(client, stripe)
    cancel(client, held)

    run_concurrently([partial(try_to_refund, client, held)] * 10)

    assert len(stripe.refunds(held.intent_id)) == 1
    assert status(client, held) == ("cancelled", "refunded")


def test_concurrent_bookings_of_an_attendee_make_one_payment(client: Client, stripe: StripeFake) -> None:
    stripe.faults.latency = 0.05
    event_id = client.event(client.host(), price=2500)["eventId"]
    attendee = client.attendee()

    replies = run_concurrently([lambda: client.book(attendee, event_id)] * 10)

    assert Counter(reply.status for reply in replies) == {201: 1, 200: 9}
    assert len({reply.json["bookingId"] for reply in replies}) == 1
    assert len(stripe.intents()) == 1
    assert taken(client, event_id) == 1
    held = Hold(client.host(), attendee, event_id, replies[0].json["bookingId"], "")
    assert request_payment(client, held).json["paymentIntentId"] == stripe.intents()[0]["id"]


def test_concurrent_deliveries_record_a_dispute_once(client: Client, stripe: StripeFake) -> None:
    held = buy(client, stripe)
    stripe.dispute(held.intent_id)
    events = [event["id"] for event in stripe.events("charge.dispute.created")] * 4

    run_concurrently([partial(stripe.deliver, event) for event in events])

    assert domain_event_types(client, held) == ["booking-confirmed", "payment-disputed"]


def test_a_payment_made_during_the_expiry_is_canceled_next_time(client: Client, stripe: StripeFake) -> None:
    stripe.faults.calls = [Fault("limit")]
    held = hold(client)
    assert held.intent_id == ""

    with ThreadPoolExecutor(1) as thread, client.wiring.database.transaction() as connection:
        connection.execute(text("SELECT 1 FROM places FOR UPDATE"))
        expiry = thread.submit(expire, client)
        until_waiting(client, 1, expiry)  # it found no payment, and is about to free the place
        made = request_payment(client, held).json["paymentIntentId"]

    expiry.result()
    assert status(client, held) == ("pending", "requires_payment")
    expire(client, AFTER_HOLD + due_payments.CLAIM_LEASE)
    assert stripe.intent(made)["status"] == "canceled"
    assert status(client, held) == ("expired", "failed")


class RefusingPayments(FakePayments):
    """Refuses two refunds after both were requested."""

    def __init__(self) -> None:
        super().__init__()
        self._both = Barrier(2)

    def create_refund(self, due: DueRefund) -> Refund:
        self._both.wait(WAIT_TIMEOUT)
        raise PaymentRefused(f"{due.attempt} of {due.intent_id}")


def test_concurrent_refusals_of_a_refund_count_as_one_attempt(client: Client, stripe: StripeFake) -> None:
    held = buy(client, stripe)
    cancel(client, held)
    database, gateway, now = client.wiring.database, RefusingPayments(), datetime.now(UTC)
    refund_id = refund_row(client, held).refund_id

    run_concurrently([lambda: refunds.make_refund(database, gateway, refund_id, now)] * 2)

    assert refund_row(client, held).attempt == 1


def test_a_refund_event_locks_places_first(client: Client, stripe: StripeFake) -> None:
    """The lock order of all cancellations is kept, as otherwise there would be deadlocks."""
    held = buy(client, stripe)
    stripe.refund(held.intent_id)

    with ThreadPoolExecutor(1) as thread, client.wiring.database.transaction() as connection:
        connection.execute(text("SELECT 1 FROM places FOR UPDATE"))
        delivery = thread.submit(stripe.deliver_all)
        until_waiting(client, 1, delivery)
        connection.execute(text("UPDATE bookings SET updated_at = now()"))

    assert set(delivery.result()) == {200}
    assert status(client, held) == ("cancelled", "refunded")
