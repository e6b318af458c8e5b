"""What a person does about payments: flags, refunds, and events of Stripe that are applied again."""

import threading
from typing import Any

import app
from chalicelib.payments.refund_states import RETRY_BACKOFF
from infra.local.lambda_runner import Context
from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.faults import ALWAYS, Fault
from tests.client import Client
from tests.payments.purchases import (
    Hold,
    buy,
    cancel,
    differences,
    drop_webhooks,
    hold,
    pay,
    payment_row,
    process_refund,
    reconcile,
    refund_row,
    status,
)
from tests.payments.webhook_delivery import recorded
from tests.rows import rows


def operate(name: str, *, dry_run: bool = False, **arguments: Any) -> Any:
    request = {"operation": name, "arguments": arguments, "who": "ana", "why": "test", "dryRun": dry_run}
    response = app.operate(request, Context("operate", 300, threading.Event()))
    return response.get("result", response)


def flagged_refund(client: Client, stripe: StripeFake) -> Hold:
    held = buy(client, stripe)
    cancel(client, held)
    stripe.faults.calls = [Fault("error", ALWAYS, route="POST /v1/refunds")]
    for _ in range(len(RETRY_BACKOFF) + 1):
        process_refund(client, held)
    stripe.faults.calls = []
    return held


def test_flags_are_listed_and_settled(client: Client, stripe: StripeFake) -> None:
    assert operate("list-flags") == []
    held = buy(client, stripe)
    stripe.refund(held.intent_id, 1000)
    list(stripe.deliver_all())

    [flag] = operate("list-flags")
    assert (flag["bookingId"], flag["flag"], flag["refund"]) == (held.booking_id, "partly-refunded", None)
    asked = {"bookingId": held.booking_id, "flag": flag["flag"]}
    assert "error" in operate("settle-flag", **{**asked, "flag": "stray-payment"})
    assert operate("settle-flag", dry_run=True, **asked) == "would be done"
    assert payment_row(client, held).flag == "partly-refunded"
    assert operate("settle-flag", **asked) == "done"
    assert operate("list-flags") == []
    assert differences(client, held) == []


def test_a_flagged_refund_is_retried(client: Client, stripe: StripeFake) -> None:
    held = flagged_refund(client, stripe)
    [flag] = operate("list-flags")
    assert flag["refund"]["flag"] == "refund-failed"

    assert operate("retry-refund", refundId=flag["refund"]["refundId"]) == "done"
    reconcile(client)

    assert status(client, held) == ("cancelled", "refunded")
    assert "error" in operate("retry-refund", refundId=flag["refund"]["refundId"])
    assert operate("list-flags") == []


def test_a_refund_past_stripe_is_recorded(client: Client, stripe: StripeFake) -> None:
    held = flagged_refund(client, stripe)
    refund_id = str(refund_row(client, held).refund_id)

    assert operate("record-refund", dry_run=True, refundId=refund_id) == "would be done"
    assert refund_row(client, held).status == "pending"
    assert operate("record-refund", refundId=refund_id) == "done"

    assert status(client, held) == ("cancelled", "refunded")
    assert stripe.refunds(held.intent_id) == []
    assert differences(client, held) == []


def lost(stripe: StripeFake, kind: str) -> str:
    """Lose all waiting webhooks. Return the id of the only event of this type."""
    drop_webhooks(stripe)
    [event] = stripe.events(kind)
    return str(event["id"])


def test_an_event_of_stripe_is_replayed(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    pay(stripe, held, deliver=False)
    event = lost(stripe, "payment_intent.succeeded")

    assert operate("replay-stripe-event", dry_run=True, stripeEventId=event) == {
        "type": "payment_intent.succeeded"
    }
    assert status(client, held)[0] == "pending"
    for outcome in ("confirmed", "no-change"):
        result = operate("replay-stripe-event", stripeEventId=event)
        assert result == {"type": "payment_intent.succeeded", "outcome": outcome}
    assert status(client, held) == ("confirmed", "paid")
    assert recorded(client) == [("payment_intent.succeeded", "no-change")]


def test_a_recorded_event_without_effect_is_applied_by_a_replay(client: Client, stripe: StripeFake) -> None:
    """As after the repair of a fault by which it had no effect."""
    held = hold(client)
    pay(stripe, held, deliver=False)
    event = lost(stripe, "payment_intent.succeeded")
    rows(
        client,
        "INSERT INTO stripe_events (stripe_event_id, type, outcome, received_at)"
        " VALUES (:id, 'payment_intent.succeeded', 'foreign', now())",
        id=event,
    )

    assert operate("replay-stripe-event", stripeEventId=event)["outcome"] == "confirmed"


def test_an_unknown_event_of_stripe_is_refused(client: Client) -> None:
    assert client.wiring.settings.stripe_api_key
    assert operate("replay-stripe-event", stripeEventId="evt_unknown")["error"].startswith("Stripe: ")
