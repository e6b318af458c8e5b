"""Settlement: apply a payment's state at Stripe to its booking, idempotently.

Webhooks, hold expiry and reconciliation call the same functions, in any order and any number of times: each
reads the payment under its lock and applies only what is missing.
"""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, Row, Text, Uuid, bindparam, select, update

from chalicelib.bookings import holds
from chalicelib.domain_events import PaymentFailed
from chalicelib.payments import refund_requests
from chalicelib.payments.balances import AMOUNT_DIFFERS, flag_for_review, status_of, update_payment
from chalicelib.payments.gateway import PaymentIntent
from chalicelib.payments.locks import lock_booking
from chalicelib.payments.models import payments
from chalicelib.platform.database.engine import Database
from chalicelib.platform.messaging import outbox
from chalicelib.platform.observability import logs, metrics

Outcome = Literal[
    "confirmed",
    "refund-due",
    "canceled",
    "failed",
    "refunding",
    "partly-refunded",
    "refunded",
    "refund-failed",
    "disputed",
    "dispute-closed",
    "flagged",
    "no-change",
    "foreign",
    "ignored",
]
"""What a report by Stripe has changed. `foreign`: it is not about a booking of this system."""

Effect = tuple[Outcome, UUID | None]
"""The outcome of a report by Stripe, and the booking that it is about."""

FOREIGN: Effect = ("foreign", None)

_this = payments.c.booking_id == bindparam("this_booking", type_=Uuid)
_BY_INTENT = select(payments.c.booking_id).where(payments.c.intent_id == bindparam("intent", type_=Text))
_BY_BOOKING = select(payments.c.booking_id).where(_this)
_SET = update(payments).where(_this)


def settle(connection: Connection, intent: PaymentIntent, now: datetime) -> Effect:
    """Apply a payment's state to its booking."""
    row = _lock_payment(connection, intent, now)
    if row is None:
        return FOREIGN
    booking_id: UUID = row.booking_id
    if row.intent_id != intent.intent_id:
        return _handle_replaced(connection, intent, row), booking_id
    if intent.status == "succeeded":
        return _handle_success(connection, intent, row, now), booking_id
    if intent.status == "canceled":
        return _handle_cancellation(connection, row, now), booking_id
    return "no-change", booking_id


def settle_without_webhook(database: Database, intent: PaymentIntent, now: datetime) -> None:
    """Apply a payment's state that no webhook has reported, and count it if that confirms the booking."""
    with database.transaction() as connection:
        outcome, _ = settle(connection, intent, now)
    if outcome == "confirmed":
        count_reconciled()


def count_reconciled() -> None:
    """Count a booking that was confirmed without Stripe's webhook."""
    metrics.put("PaymentsReconciled", 1, "Count")
    logs.warning("payment reconciled")


def _lock_payment(connection: Connection, intent: PaymentIntent, now: datetime) -> Row[Any] | None:
    """Lock and read the payment's row, and store the PaymentIntent's id if the row has none."""
    booking_id = find_booking(connection, intent)
    if booking_id is None:
        return None
    row = lock_booking(connection, booking_id)
    return _adopt(connection, intent, row, now) if row.intent_id is None else row


def find_booking(connection: Connection, intent: PaymentIntent) -> UUID | None:
    """Find the booking of a PaymentIntent by the intent's id, else by the booking id in its metadata."""
    found = booking_of_intent(connection, intent.intent_id)
    if found is None and intent.booking_id is not None:
        found = connection.scalar(_BY_BOOKING, {"this_booking": intent.booking_id})
    return found


def booking_of_intent(connection: Connection, intent_id: str | None) -> UUID | None:
    """Find the booking by the id of its PaymentIntent."""
    found: UUID | None = connection.scalar(_BY_INTENT, {"intent": intent_id})
    return found


def _adopt(connection: Connection, intent: PaymentIntent, row: Row[Any], now: datetime) -> Row[Any]:
    """Store the id of a PaymentIntent whose webhook arrived before the id was stored."""
    if row.status != "requires_payment" or row.attempt != intent.attempt:
        return row
    update_payment(connection, row, now, intent_id=intent.intent_id, client_secret=intent.client_secret)
    return lock_booking(connection, row.booking_id)


def _handle_replaced(connection: Connection, intent: PaymentIntent, row: Row[Any]) -> Outcome:
    """Handle a PaymentIntent that another one has replaced.

    Its client secret was never handed out, so a payment is unexpected and flagged.
    """
    if intent.status != "succeeded":
        return "no-change"
    flag_for_review(connection, row.booking_id, "stray-payment")
    return "flagged"


def _handle_success(connection: Connection, intent: PaymentIntent, row: Row[Any], now: datetime) -> Outcome:
    if row.status not in {"requires_payment", "failed"}:
        return "no-change"
    if (intent.amount, intent.received, intent.currency) != (row.amount, row.amount, row.currency):
        flag_for_review(connection, row.booking_id, AMOUNT_DIFFERS)
        return "flagged"
    update_payment(
        connection,
        row,
        now,
        status=status_of(row, has_arrived=True),
        paid_at=now,
        client_secret=None,
        next_check_at=None,
    )
    if row.booking_status == "pending":
        holds.confirm(connection, row.booking_id, intent.intent_id, now)
        return "confirmed"
    if row.booking_status == "expired" and holds.reclaim(connection, row.booking_id, intent.intent_id, now):
        return "confirmed"
    refund_requests.request_for_one(connection, row.booking_id, reason="late-payment", now=now)
    return "refund-due"


def _handle_cancellation(connection: Connection, row: Row[Any], now: datetime) -> Outcome:
    """Handle a canceled PaymentIntent. While the hold lasts, the next attempt makes a new one.

    An expired hold keeps the intent's id, so that a late payment still finds its booking.
    """
    if row.status != "requires_payment":
        return "no-change"
    if row.booking_status == "pending" and row.expires_at <= now:
        return "canceled"
    if row.booking_status == "pending":
        update_payment(connection, row, now, intent_id=None, client_secret=None, attempt=row.attempt + 1)
    else:
        mark_failed(connection, row.booking_id, now)
    return "canceled"


def mark_failed(connection: Connection, booking_id: UUID, now: datetime) -> None:
    """Mark an open payment as failed: it can no longer be paid."""
    connection.execute(
        _SET.where(payments.c.status == "requires_payment").values(
            status="failed", client_secret=None, next_check_at=None, updated_at=now
        ),
        {"this_booking": booking_id},
    )


def record_failure(connection: Connection, intent: PaymentIntent, now: datetime) -> Effect:
    """Record a failed payment while the attendee can still try again."""
    row = _lock_payment(connection, intent, now)
    if row is None:
        return FOREIGN
    booking_id: UUID = row.booking_id
    still_open = row.status == "requires_payment" and row.booking_status == "pending"
    if not still_open or row.intent_id != intent.intent_id or row.expires_at <= now:
        return "no-change", booking_id
    failed = PaymentFailed(
        booking_id=row.booking_id,
        user_id=row.user_id,
        event_id=row.event_id,
        amount=row.amount,
        currency=row.currency,
        expires_at=row.expires_at,
        reason=intent.failure or "unknown",
    )
    outbox.record(connection, failed, subject=row.event_id, now=now)
    return "failed", booking_id
