"""A generated client registers, publishes, pages, books, pays at the stand-in, and cancels.

It runs in a virtual environment of its own, where the generated package is `client`.
"""

# mypy: ignore-errors
# ruff: noqa: INP001

import sys
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
from client import AuthenticatedClient, Client
from client.api.auth import register
from client.api.bookings import cancel_booking, create_booking, get_booking
from client.api.events import create_event, list_events
from client.api.users import get_user
from client.models import (
    BookingRequest,
    BookingStatus,
    CreateBooking409Problem,
    EventDetails,
    Registration,
    Role,
)
from client.types import UNSET

API, STRIPE = sys.argv[1:]


def log_in(role: Role) -> AuthenticatedClient:
    body = Registration(
        name=f"A {role}",
        email=f"{role}-{time.time_ns()}@example.com",
        password="correct horse battery",
        role=role,
    )
    registered = register.sync(client=Client(API), body=body)
    return AuthenticatedClient(API, token=registered.token)


host, attendee = log_in(Role.HOST), log_in(Role.ATTENDEE)
starts_at = datetime.now(UTC) + timedelta(days=30)
events = [
    create_event.sync(
        client=host,
        body=EventDetails(
            title=title,
            start_date_time=starts_at,
            end_date_time=starts_at + timedelta(hours=3),
            capacity=10,
            price=2500,
        ),
    )
    for title in ("One", "Two", "Three")
]

listed, cursor = [], UNSET
while cursor is not None:
    page = list_events.sync_detailed(client=attendee, limit=2, cursor=cursor)
    listed += [(event.title, event.host.name) for event in page.parsed]
    target = httpx.Response(200, headers=page.headers).links.get("next", {}).get("url", "")
    cursor = parse_qs(urlsplit(target).query).get("cursor", [None])[0]
assert listed == [(title, "A host") for title in ("One", "Two", "Three")], listed

booking_request = BookingRequest(event_id=events[0].event_id)
held = create_booking.sync(client=attendee, body=booking_request)
assert held.status is BookingStatus.PENDING
paid = httpx.post(
    f"{STRIPE}/v1/payment_intents/{held.payment.payment_intent_id}/confirm",
    headers={"Authorization": "Bearer sk_test_1"},
    data={"payment_method": "pm_card_visa"},
)
assert paid.status_code == httpx.codes.OK
deadline = time.monotonic() + 30
while (booking := get_booking.sync(held.booking_id, client=attendee)).status is BookingStatus.PENDING:
    assert time.monotonic() < deadline
    time.sleep(0.1)
assert booking.status is BookingStatus.CONFIRMED

again = create_booking.sync(client=attendee, body=booking_request)
assert isinstance(again, CreateBooking409Problem)
assert again.code.value == "already-booked"

cancel_booking.sync_detailed(held.booking_id, client=attendee)
assert get_booking.sync(held.booking_id, client=attendee).status is BookingStatus.CANCELLED
me = get_user.sync("me", client=attendee)
sys.stdout.write(f"{me.name} has booked and cancelled\n")
