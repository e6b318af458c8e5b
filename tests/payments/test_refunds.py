"""Refunds: asked for until they are made, in batches, and left to a person when Stripe will not."""

import json
from datetime import timedelta
from typing import Any

import pytest

import app
from chalicelib.payments.refunds import RETRY_BACKOFF
from chalicelib.platform.errors import Unreachable
from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.faults import ALWAYS, Fault
from tests.client import Client
from tests.notifications.pipeline import PostOffice
from tests.payments.purchases import (
    Hold,
    bought,
    cancel,
    differences,
    forget,
    hold,
    ledger,
    pay,
    pay_back,
    reconcile,
    status,
    tell,
)
from tests.rows import rows

REFUND = "POST /v1/refunds"


def cancelled(client: Client, stripe: StripeFake) -> Hold:
    paid = bought(client, stripe)
    cancel(client, paid)
    return paid


def batch(*bodies: str) -> dict[str, Any]:
    """What SQS hands to a function."""
    records = [
        {"messageId": str(place), "receiptHandle": str(place), "body": body}
        for place, body in enumerate(bodies)
    ]
    return {"Records": records}


def due(post_office: PostOffice) -> list[str]:
    """The messages that a refund is due, as they stand in the queue."""
    post_office.relay()
    return [
        json.dumps(domain_event.as_message()) for domain_event in post_office.published("payment-refund-due")
    ]


def failures(answer: dict[str, Any]) -> list[str]:
    return [failed["itemIdentifier"] for failed in answer["batchItemFailures"]]


def run(event: dict[str, Any]) -> list[str]:
    """Call the function as Lambda does; the messages that it gives back."""
    answer = app.refund_payments(event, None)
    return failures(answer)


def test_a_batch_is_paid_back_and_one_that_cannot_be_keeps_none_of_the_others(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    paid = [cancelled(client, stripe) for _ in range(3)]
    messages = due(post_office)
    stripe.faults.calls = [Fault("reset", 1, route=REFUND)]

    failed = run(batch(messages[0], "not JSON", messages[1], "{}", messages[2]))

    assert failed == ["0", "1", "3"]
    assert [status(client, held)[1] for held in paid] == ["refund_pending", "refunded", "refunded"]
    assert run(batch(messages[0])) == []
    assert status(client, paid[0])[1] == "refunded"


def test_a_message_that_is_delivered_again_pays_nothing_back_again(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    held = cancelled(client, stripe)
    [message] = due(post_office)

    assert run(batch(message, message)) == []
    assert run(batch(message)) == []

    assert len(stripe.refunds(held.intent_id)) == 1


def test_a_fact_that_says_what_is_not_so_pays_nothing_back(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    cancelled(client, stripe)
    [message] = due(post_office)
    paid, held = bought(client, stripe), hold(client)
    forged = [json.loads(message) for _ in range(2)]
    for message_, of in zip(forged, (paid, held), strict=True):
        message_["body"]["bookingId"] = of.booking_id

    assert run(batch(*map(json.dumps, forged))) == []

    assert stripe.refunds(paid.intent_id) == []
    assert status(client, paid) == ("confirmed", "paid")


def test_a_connection_that_is_lost_makes_no_second_refund(client: Client, stripe: StripeFake) -> None:
    held = cancelled(client, stripe)
    stripe.faults.calls = [Fault("reset", 1, after=True, route=REFUND)]

    with pytest.raises(Unreachable):
        pay_back(client, held)
    assert status(client, held) == ("cancelled", "refund_pending")
    pay_back(client, held)

    assert status(client, held) == ("cancelled", "refunded")
    assert len(stripe.refunds(held.intent_id)) == 1


def test_a_refund_that_was_made_though_the_answer_was_a_fault_is_found(
    client: Client, stripe: StripeFake
) -> None:
    held = cancelled(client, stripe)
    stripe.faults.calls = [Fault("error", 1, after=True, route=REFUND)]

    pay_back(client, held)

    assert status(client, held) == ("cancelled", "refunded")
    assert [refund["id"] for refund in stripe.refunds(held.intent_id)] == [ledger(client, held).refund_id]


def test_a_refund_that_is_refused_time_and_again_is_left_to_a_person(
    client: Client, stripe: StripeFake
) -> None:
    held = cancelled(client, stripe)
    stripe.faults.calls = [Fault("error", ALWAYS, route=REFUND)]

    for attempt, pause in enumerate(RETRY_BACKOFF):
        pay_back(client, held)
        row = ledger(client, held)
        assert (row.refund_attempt, row.flag) == (attempt + 1, None)
        assert row.next_check_at - row.updated_at == pause
    assert differences(client, held) == []
    pay_back(client, held)

    assert differences(client, held) == ["refund-failed"]
    assert status(client, held) == ("cancelled", "refund_pending")
    calls = stripe.faults.calls[0].times
    for days in (1, 10, 100):
        assert reconcile(client, timedelta(days=days)) == 0
    assert stripe.faults.calls[0].times == calls


def test_what_a_person_pays_back_then_settles_it(client: Client, stripe: StripeFake) -> None:
    held = cancelled(client, stripe)
    stripe.faults.calls = [Fault("error", ALWAYS, route=REFUND)]
    for _ in range(len(RETRY_BACKOFF) + 1):
        pay_back(client, held)
    stripe.faults.calls = []

    stripe.refund(held.intent_id)
    tell(stripe)

    assert status(client, held) == ("cancelled", "refunded")
    assert differences(client, held) == []


def test_what_a_person_pays_back_then_in_parts_settles_it_too(client: Client, stripe: StripeFake) -> None:
    held = bought(client, stripe)
    stripe.refund(held.intent_id, 1000)
    tell(stripe)
    cancel(client, held)
    for _ in range(len(RETRY_BACKOFF) + 1):  # all of it cannot be paid back any more
        pay_back(client, held)
    assert differences(client, held) == ["refund-failed"]

    stripe.refund(held.intent_id, 1500)
    tell(stripe)

    assert status(client, held) == ("cancelled", "refunded")
    assert differences(client, held) == []


def test_what_was_left_to_a_person_can_be_tried_again_and_again(client: Client, stripe: StripeFake) -> None:
    held = cancelled(client, stripe)
    stripe.faults.calls = [Fault("error", ALWAYS, route=REFUND)]
    for _ in range(len(RETRY_BACKOFF) + 3):
        pay_back(client, held)
    stripe.faults.calls = []

    rows(client, "UPDATE payments SET next_check_at = now(), flag = NULL")
    reconcile(client)

    assert status(client, held) == ("cancelled", "refunded")
    assert differences(client, held) == []


def test_what_a_person_has_paid_back_already_is_not_paid_back_again(
    client: Client, stripe: StripeFake
) -> None:
    held = cancelled(client, stripe)
    stripe.refund(held.intent_id)
    forget(stripe)

    pay_back(client, held)

    assert status(client, held) == ("cancelled", "refunded")
    assert len(stripe.refunds(held.intent_id)) == 1


def test_a_refund_whose_fact_is_lost_is_made_by_the_schedule(client: Client, stripe: StripeFake) -> None:
    held = cancelled(client, stripe)

    assert reconcile(client, timedelta(minutes=9)) == 0
    assert reconcile(client, timedelta(minutes=11)) == 1

    assert status(client, held) == ("cancelled", "refunded")


def test_a_refund_that_a_bank_takes_its_time_for_is_asked_about_until_it_is_settled(
    client: Client, stripe: StripeFake
) -> None:
    for well in (True, False):
        held = hold(client)
        pay(stripe, held, "pm_card_pendingRefund")
        cancel(client, held)
        pay_back(client, held)
        assert reconcile(client, timedelta(minutes=59)) == 0
        assert reconcile(client, timedelta(minutes=61)) == 1
        assert status(client, held) == ("cancelled", "refund_pending")
        stripe.settle(ledger(client, held).refund_id, succeed=well)
        forget(stripe)

        reconcile(client, timedelta(hours=3))

        row = ledger(client, held)
        assert row.status == ("refunded" if well else "refund_pending")
        assert row.refund_attempt == (0 if well else 1)


def test_a_refund_that_failed_once_is_made_with_a_key_of_its_own(client: Client, stripe: StripeFake) -> None:
    held = cancelled(client, stripe)
    stripe.faults.calls = [Fault("error", 1, route=REFUND)]
    pay_back(client, held)
    pay_back(client, held)

    [made] = stripe.refunds(held.intent_id)
    assert made["metadata"] == {"bookingId": held.booking_id, "attempt": "1"}
    assert status(client, held) == ("cancelled", "refunded")
