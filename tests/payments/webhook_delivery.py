"""Events as Stripe, or somebody who pretends to be it, tells them to the webhook."""

import json
import time
from typing import Any

from infra.stripe_fake import objects
from infra.stripe_fake.webhooks import sign
from tests.client import Client, Reply
from tests.conftest import WEBHOOK_SECRET
from tests.payments.purchases import Hold, ledger, webhook
from tests.rows import rows

SECRET = WEBHOOK_SECRET.decode()


def event(kind: str, about: Any, **more: Any) -> dict[str, Any]:
    """An event with an id of its own; `more` takes the place of its other members."""
    return {**objects.event(kind, about, 1), **more}


def send(client: Client, told: Any) -> Reply:
    """Send a body, as JSON unless it is bytes, signed as Stripe would sign it now."""
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    return webhook(client, body, sign(body, (SECRET,), int(time.time())))


def intent_of(client: Client, held: Hold, **more: Any) -> dict[str, Any]:
    """The payment of a hold as Stripe has it once it is paid; `more` takes the place of its members."""
    row = ledger(client, held)
    return {
        **objects.payment_intent(row.amount, row.currency),
        "id": held.intent_id,
        "amount_received": row.amount,
        "status": "succeeded",
        "metadata": {"bookingId": held.booking_id, "attempt": str(row.attempt), "eventId": held.event_id},
        **more,
    }


def recorded(client: Client) -> list[tuple[str, str]]:
    """The types and outcomes of what has come, in order."""
    events = rows(client, "SELECT type, outcome FROM stripe_events ORDER BY received_at, stripe_event_id")
    return [(row.type, row.outcome) for row in events]
