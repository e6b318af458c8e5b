"""Refunds: batches, retries, and a flag for manual handling after the last attempt."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

import app
from chalicelib.payments import flags
from chalicelib.payments.refund_states import RETRY_BACKOFF
from chalicelib.platform.errors import Unreachable
from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.faults import ALWAYS, Fault
from tests.client import Client
from tests.notifications.pipeline import PostOffice
from tests.payments.purchases import (
    Hold,
    buy,
    cancel,
    deliver_webhooks,
    differences,
    drop_webhooks,
    hold,
    pay,
    process_refund,
    reconcile,
    refund_row,
    status,
)

REFUND = "POST /v1/refunds"


def cancelled(client: Client, stripe: StripeFake) -> Hold:
    paid = buy(client, stripe)
    cancel(client, paid)
    return paid


def batch(*bodies: str) -> dict[str, Any]:
    """Make the event that SQS sends to a function."""
    records = [
        {"messageId": str(index), "receiptHandle": str(index), "body": body}
        for index, body in enumerate(bodies)
    ]
    return {"Records": records}


def refund_messages(post_office: PostOffice) -> list[str]:
    """Return the messages that request refunds, as they are in the queue."""
    post_office.relay()
    return [
        json.dumps(domain_event.as_message()) for domain_event in post_office.published("payment-refund-due")
    ]


def run(event: dict[str, Any]) -> list[str]:
    """Call the function as Lambda does. Return the ids of the failed messages."""
    response = app.refund_payments(event, None)
    return [failed["itemIdentifier"] for failed in response["batchItemFailures"]]


def test_a_failed_message_does_not_stop_the_rest_of_its_batch(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    paid = [cancelled(client, stripe) for _ in range(3)]
    messages = refund_messages(post_office)
    stripe.faults.calls = [Fault("reset", 2, route=REFUND)]

    failed = run(batch(messages[0], "not JSON", messages[1], "{}", messages[2]))

    assert failed == ["1", "3"]
    assert [status(client, held)[1] for held in paid] == ["refund_pending", "refunded", "refunded"]
    post_office.run()  # delivers the message that was put back
    assert status(client, paid[0])[1] == "refunded"


def test_a_redelivered_message_makes_no_second_refund(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    held = cancelled(client, stripe)
    [message] = refund_messages(post_office)

    assert run(batch(message, message)) == []
    assert run(batch(message)) == []

    assert len(stripe.refunds(held.intent_id)) == 1


def test_a_false_domain_event_makes_no_refund(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    cancelled(client, stripe)
    [message] = refund_messages(post_office)
    paid = buy(client, stripe)
    forgery = json.loads(message)
    forgery["body"] |= {"bookingId": paid.booking_id, "refundId": str(uuid4())}

    assert run(batch(json.dumps(forgery))) == []

    assert stripe.refunds(paid.intent_id) == []
    assert status(client, paid) == ("confirmed", "paid")


def test_a_lost_connection_makes_no_second_refund(client: Client, stripe: StripeFake) -> None:
    held = cancelled(client, stripe)
    stripe.faults.calls = [Fault("reset", 2, after=True, route=REFUND)]

    with pytest.raises(Unreachable):
        process_refund(client, held)
    assert status(client, held) == ("cancelled", "refund_pending")
    process_refund(client, held)

    assert status(client, held) == ("cancelled", "refunded")
    assert len(stripe.refunds(held.intent_id)) == 1


def test_a_refund_made_despite_an_error_response_is_found(client: Client, stripe: StripeFake) -> None:
    held = cancelled(client, stripe)
    stripe.faults.calls = [Fault("error", 1, after=True, route=REFUND)]

    process_refund(client, held)

    assert status(client, held) == ("cancelled", "refunded")
    [made] = stripe.refunds(held.intent_id)
    assert made["id"] == refund_row(client, held).stripe_refund_id


def test_a_refund_is_flagged_after_the_last_attempt(client: Client, stripe: StripeFake) -> None:
    held = cancelled(client, stripe)
    stripe.faults.calls = [Fault("error", ALWAYS, route=REFUND)]

    for attempt, backoff in enumerate(RETRY_BACKOFF):
        process_refund(client, held)
        row = refund_row(client, held)
        assert (row.attempt, row.flag) == (attempt + 1, None)
        assert row.next_check_at - row.updated_at == backoff
    assert differences(client, held) == []
    process_refund(client, held)

    assert differences(client, held) == ["refund-failed"]
    assert status(client, held) == ("cancelled", "refund_pending")
    calls = stripe.faults.calls[0].times
    for days in (1, 10, 100):
        assert reconcile(client, timedelta(days=days)) == 0
    assert stripe.faults.calls[0].times == calls


def test_a_manual_refund_settles_a_flagged_one(client: Client, stripe: StripeFake) -> None:
    held = cancelled(client, stripe)
    stripe.faults.calls = [Fault("error", ALWAYS, route=REFUND)]
    for _ in range(len(RETRY_BACKOFF) + 1):
        process_refund(client, held)
    stripe.faults.calls = []

    stripe.refund(held.intent_id)
    deliver_webhooks(stripe)
    reconcile(client)

    assert status(client, held) == ("cancelled", "refunded")
    assert differences(client, held) == []


def test_manual_partial_refunds_settle_a_flagged_one(client: Client, stripe: StripeFake) -> None:
    held = buy(client, stripe)
    stripe.refund(held.intent_id, 1000)
    deliver_webhooks(stripe)
    cancel(client, held)
    stripe.faults.calls = [Fault("error", ALWAYS, route=REFUND)]
    for _ in range(len(RETRY_BACKOFF) + 1):
        process_refund(client, held)
    stripe.faults.calls = []
    assert differences(client, held) == ["refund-failed"]

    stripe.refund(held.intent_id, 1500)
    deliver_webhooks(stripe)
    reconcile(client)

    assert status(client, held) == ("cancelled", "refunded")
    assert differences(client, held) == []


def test_a_flagged_refund_can_be_retried(client: Client, stripe: StripeFake) -> None:
    held = cancelled(client, stripe)
    stripe.faults.calls = [Fault("error", ALWAYS, route=REFUND)]
    for _ in range(len(RETRY_BACKOFF) + 3):
        process_refund(client, held)
    stripe.faults.calls = []

    refund_id = refund_row(client, held).refund_id
    with client.wiring.database.transaction() as connection:
        assert flags.retry_refund(connection, refund_id, datetime.now(UTC))
        assert not flags.retry_refund(connection, uuid4(), datetime.now(UTC))
    reconcile(client)

    assert status(client, held) == ("cancelled", "refunded")
    assert differences(client, held) == []


def test_a_refund_paid_in_another_way_can_be_recorded(client: Client, stripe: StripeFake) -> None:
    held = cancelled(client, stripe)
    stripe.faults.calls = [Fault("error", ALWAYS, route=REFUND)]
    for _ in range(len(RETRY_BACKOFF) + 1):
        process_refund(client, held)

    refund_id = refund_row(client, held).refund_id
    with client.wiring.database.transaction() as connection:
        assert flags.record_refund(connection, refund_id, datetime.now(UTC))
        assert not flags.record_refund(connection, refund_id, datetime.now(UTC))
    reconcile(client)

    assert status(client, held) == ("cancelled", "refunded")
    assert stripe.refunds(held.intent_id) == []
    assert differences(client, held) == []


def test_a_refund_made_manually_before_is_not_repeated(client: Client, stripe: StripeFake) -> None:
    held = cancelled(client, stripe)
    stripe.refund(held.intent_id)
    drop_webhooks(stripe)

    process_refund(client, held)

    assert status(client, held) == ("cancelled", "refunded")
    assert len(stripe.refunds(held.intent_id)) == 1


def test_a_refund_with_a_lost_domain_event_is_made_by_the_schedule(
    client: Client, stripe: StripeFake
) -> None:
    held = cancelled(client, stripe)

    assert reconcile(client, timedelta(minutes=9)) == 0
    assert reconcile(client, timedelta(minutes=11)) == 1

    assert status(client, held) == ("cancelled", "refunded")


def test_a_pending_refund_is_checked_until_it_settles(client: Client, stripe: StripeFake) -> None:
    for succeeds in (True, False):
        held = hold(client)
        pay(stripe, held, "pm_card_pendingRefund")
        cancel(client, held)
        process_refund(client, held)
        assert reconcile(client, timedelta(minutes=59)) == 0
        assert reconcile(client, timedelta(minutes=61)) == 1
        assert status(client, held) == ("cancelled", "refund_pending")
        stripe.settle(refund_row(client, held).stripe_refund_id, succeed=succeeds)
        drop_webhooks(stripe)

        reconcile(client, timedelta(hours=3))

        row = refund_row(client, held)
        assert row.status == ("refunded" if succeeds else "pending")
        assert row.attempt == (0 if succeeds else 1)


def test_a_retried_refund_has_a_new_idempotency_key(client: Client, stripe: StripeFake) -> None:
    held = cancelled(client, stripe)
    stripe.faults.calls = [Fault("error", 1, route=REFUND)]
    process_refund(client, held)
    process_refund(client, held)

    [made] = stripe.refunds(held.intent_id)
    refund_id = str(refund_row(client, held).refund_id)
    assert made["metadata"] == {"bookingId": held.booking_id, "refundId": refund_id, "attempt": "1"}
    assert status(client, held) == ("cancelled", "refunded")
