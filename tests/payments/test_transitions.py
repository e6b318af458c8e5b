"""Payments change their status only along PAYMENT_TRANSITIONS."""

from datetime import UTC, datetime
from typing import get_args
from uuid import UUID

import pytest

from chalicelib.payments import balances, refund_requests, settlement
from chalicelib.payments.locks import lock_booking
from chalicelib.payments.models import PaymentStatus, check_transition
from chalicelib.platform.database.engine import Database
from tests.client import Client
from tests.rows import rows, value

STATUSES: tuple[PaymentStatus, ...] = get_args(PaymentStatus)


@pytest.fixture
def booking_id(client: Client) -> UUID:
    """A cancelled booking with a payment."""
    event = client.event(client.host(), price=2500)
    booking = client.book(client.attendee(), event["eventId"]).json
    rows(client, "UPDATE bookings SET status = 'cancelled', quantity = 0")
    rows(client, "UPDATE tickets SET status = 'cancelled', cancellation_reason = 'host'")
    return UUID(booking["bookingId"])


@pytest.fixture
def database(client: Client) -> Database:
    return client.wiring.database


@pytest.mark.parametrize("before", STATUSES)
def test_closing_a_payment_is_an_allowed_transition(
    client: Client, database: Database, booking_id: UUID, before: PaymentStatus
) -> None:
    rows(client, "UPDATE payments SET status = :status", status=before)

    with database.transaction() as connection:
        settlement.mark_failed(connection, booking_id, datetime.now(UTC))

    after = value(client, "SELECT status FROM payments")
    assert after == ("failed" if before == "requires_payment" else before)
    check_transition(before, after)


@pytest.mark.parametrize("before", STATUSES)
def test_requesting_a_refund_is_an_allowed_transition(
    client: Client, database: Database, booking_id: UUID, before: PaymentStatus
) -> None:
    rows(client, "UPDATE payments SET status = :status", status=before)

    with database.transaction() as connection:
        refund_requests.request_for_one(connection, booking_id, reason="host", now=datetime.now(UTC))

    after = value(client, "SELECT status FROM payments")
    assert after == ("refund_pending" if before in {"paid", "partly_refunded"} else before)
    assert value(client, "SELECT count(*) FROM refunds") == (
        before in {"paid", "partly_refunded", "refund_pending"}
    )
    check_transition(before, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("requires_payment", "refund_pending"),
        ("failed", "refund_pending"),
        ("partly_refunded", "failed"),
        ("refunded", "partly_refunded"),
        ("paid", "failed"),
        ("refund_pending", "paid"),
        ("refunded", "paid"),
    ],
)
def test_forbidden_transition_is_refused(
    client: Client, database: Database, booking_id: UUID, before: PaymentStatus, after: PaymentStatus
) -> None:
    rows(client, "UPDATE payments SET status = :status", status=before)

    with database.transaction() as connection:
        payment = lock_booking(connection, booking_id)
        with pytest.raises(AssertionError, match=f"{before} to {after}"):
            balances.update_payment(connection, payment, datetime.now(UTC), status=after)

    assert value(client, "SELECT status FROM payments") == before
