"""Stripe events, genuine or forged, sent to the webhook."""

import json
import time
from typing import Any

from infra.stripe_fake import objects
from infra.stripe_fake.webhooks import sign
from tests.client import Client, Reply
from tests.conftest import WEBHOOK_SECRET
from tests.payments.purchases import Hold, payment_row, post_webhook
from tests.rows import rows

SECRET = WEBHOOK_SECRET.decode()


def event(kind: str, subject: Any, **more: Any) -> dict[str, Any]:
    """Make an event with a new id; `more` replaces other members."""
    return {**objects.event(kind, subject, 1), **more}


def send(client: Client, content: Any) -> Reply:
    """Send an event or raw bytes with a valid signature."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return post_webhook(client, body, sign(body, (SECRET,), int(time.time())))


def intent_of(client: Client, held: Hold, **more: Any) -> dict[str, Any]:
    """Make the PaymentIntent of a hold as it is once paid; `more` replaces members."""
    row = payment_row(client, held)
    return {
        **objects.payment_intent(row.amount, row.currency),
        "id": held.intent_id,
        "amount_received": row.amount,
        "status": "succeeded",
        "metadata": {"bookingId": held.booking_id, "attempt": str(row.attempt), "eventId": held.event_id},
        **more,
    }


def recorded(client: Client) -> list[tuple[str, str]]:
    """Return the types and outcomes of the recorded events, in order."""
    events = rows(client, "SELECT type, outcome FROM stripe_events ORDER BY received_at, stripe_event_id")
    return [(row.type, row.outcome) for row in events]
