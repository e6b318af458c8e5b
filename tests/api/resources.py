"""Things that requests mean, beyond events and bookings: proofs, links and notifications."""

import json
import time
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

from chalicelib.notifications import unsubscribe
from chalicelib.users import verification
from chalicelib.users.verification import Purpose
from infra.stripe_fake.webhooks import sign
from tests.client import Account, Client
from tests.conftest import WEBHOOK_SECRET
from tests.rows import rows


def proof(client: Client, purpose: Purpose) -> str:
    """A token as it is sent to an address, of an account of its own, since too many are not sent to one."""
    user = client.attendee()
    with client.wiring.database.transaction() as connection:
        issued = verification.issue(connection, purpose=purpose, email=user.email, now=datetime.now(UTC))
    assert issued is not None
    return issued.token


def unsubscribe_token(client: Client, user: Account) -> str:
    secret = client.wiring.settings.jwt_secret
    link = unsubscribe.link(secret, "https://api.example.com", UUID(user.user_id), "newEvent")
    [token] = parse_qs(urlsplit(link).query)["token"]
    return token


def notification(client: Client, user: Account) -> str:
    """A notification in somebody's inbox."""
    [made] = rows(
        client,
        "INSERT INTO notifications (notification_id, user_id, domain_event_id, type, event_id, title, created_at)"
        " VALUES (uuidv7(), :user_id, :domain_event_id, 'event-published', uuidv7(), 'Jazz', now())"
        " RETURNING notification_id",
        user_id=user.user_id,
        domain_event_id=str(uuid4()),
    )
    return str(made.notification_id)


def stripe_event() -> tuple[bytes, dict[str, str]]:
    """The body and headers of an event of Stripe that is about nothing of ours."""
    event = {"id": f"evt_{uuid4().hex}", "type": "customer.created", "data": {"object": {"id": "cus_1"}}}
    body = json.dumps(event).encode()
    signature = sign(body, [WEBHOOK_SECRET.decode()], int(time.time()))
    return body, {"Content-Type": "application/json", "Stripe-Signature": signature}
