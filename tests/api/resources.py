"""What requests need besides events and bookings: e-mail tokens, notifications and Stripe's events."""

import json
import time
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

from chalicelib.notifications import unsubscribe
from chalicelib.users.email_tokens import Purpose
from infra.stripe_fake.webhooks import sign
from tests.bookings.ticket_transfers import give
from tests.client import PASSWORD, Account, Client
from tests.conftest import WEBHOOK_SECRET
from tests.rows import rows, value
from tests.users.verification_emails import token


def email_token(client: Client, purpose: Purpose) -> str:
    """Return an e-mailed token of a new account, because one address gets few tokens."""
    return token(client, purpose, client.attendee())


def refresh_token(client: Client) -> str:
    """Return an unused refresh token of a new account."""
    login = {"email": client.attendee().email, "password": PASSWORD}
    return str(client("POST", "/auth/login", login).json["refreshToken"])


def transfer_token(client: Client) -> str:
    """Return the e-mailed token of a new offer of a ticket."""
    given = give(client)
    given.offer()
    return given.token()


def unsubscribe_token(client: Client, user: Account) -> str:
    secret = client.wiring.settings.link_key
    link = unsubscribe.link(secret, "https://api.example.com", UUID(user.user_id), "newEvent")
    [signed] = parse_qs(urlsplit(link).query)["token"]
    return signed


def notification(client: Client, user: Account) -> str:
    """Return the id of a new notification in a user's inbox."""
    [made] = rows(
        client,
        "INSERT INTO notifications"
        " (notification_id, user_id, domain_event_id, type, event_id, title, created_at)"
        " VALUES (uuidv7(), :user_id, :domain_event_id, 'event-published', uuidv7(), 'Jazz', now())"
        " RETURNING notification_id",
        user_id=user.user_id,
        domain_event_id=str(uuid4()),
    )
    return str(made.notification_id)


def ticket(client: Client, booking_id: str) -> str:
    """Return the id of a ticket of a booking."""
    sql = "SELECT ticket_id FROM tickets WHERE booking_id = :id LIMIT 1"
    return str(value(client, sql, id=booking_id))


def stripe_event() -> tuple[bytes, dict[str, str]]:
    """Return the body and headers of a Stripe event that the app ignores."""
    event = {"id": f"evt_{uuid4().hex}", "type": "customer.created", "data": {"object": {"id": "cus_1"}}}
    body = json.dumps(event).encode()
    signature = sign(body, [WEBHOOK_SECRET.decode()], int(time.time()))
    return body, {"Content-Type": "application/json", "Stripe-Signature": signature}
