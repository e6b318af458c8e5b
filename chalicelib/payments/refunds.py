"""Refunds: make the refunds that are due, and apply refunds that Stripe reports.

Domain events, webhooks and the reconciler may call these functions in any order, any number of times.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Integer, Row, bindparam, select

from chalicelib.domain_events import PaymentRefundDue
from chalicelib.payments import cancellation
from chalicelib.payments.gateway import Charge, PaymentGateway, PaymentRefused, Refund
from chalicelib.payments.locks import lock_booking, lock_places_then_booking
from chalicelib.payments.models import payments
from chalicelib.payments.settlement import (
    FOREIGN,
    Effect,
    Outcome,
    booking_of_intent,
    flag_for_review,
    update_payment,
)
from chalicelib.platform.database.engine import Database
from chalicelib.platform.messaging.ports import DomainEvent
from chalicelib.platform.observability import logs, metrics

RETRY_BACKOFF = (
    timedelta(minutes=1),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=6),
    timedelta(hours=24),
)
"""Back-off after each failed attempt. After the sixth, the payment is flagged for manual handling."""

PENDING_CHECK_INTERVAL = timedelta(hours=1)
"""A bank may take days for a refund that Stripe has accepted."""

REFUND_FAILED = "refund-failed"
"""The flag of a payment that could not be refunded."""

_MAX_INTEGER = 2**31 - 1

_DUE = select(payments).where(
    payments.c.booking_id == bindparam("this_booking"),
    payments.c.status == "refund_pending",
    payments.c.refund_id.is_(None),
    payments.c.intent_id.is_not(None),
    payments.c.refund_attempt <= bindparam("max_attempt", type_=Integer),
)


def handle_refund_due(
    database: Database, gateway: PaymentGateway, domain_event: DomainEvent, now: datetime
) -> None:
    """Make the first attempt of the refund that a domain event reports as due. The reconciler retries it.

    Raises:
        Unreachable, Unavailable: The message must be redelivered.
    """
    booking_id = PaymentRefundDue.from_json(domain_event.body).booking_id
    make_refund(database, gateway, booking_id, now, max_attempt=0)


def make_refund(
    database: Database,
    gateway: PaymentGateway,
    booking_id: UUID,
    now: datetime,
    max_attempt: int = _MAX_INTEGER,
) -> None:
    """Make the refund that is due for a booking, if Stripe has not accepted it yet.

    No transaction is open during the call to Stripe. Crash-safe: a repetition sends the same request with the
    same idempotency key. If Stripe rejects the refund, the reconciler retries it later.

    Raises:
        Unreachable, Unavailable: Retry the call.
    """
    with database.transaction() as connection:
        row = connection.execute(_DUE, {"this_booking": booking_id, "max_attempt": max_attempt}).one_or_none()
    if row is None:
        return
    charge = Charge(
        booking_id=booking_id, amount=row.amount, currency=row.currency, attempt=row.refund_attempt
    )
    try:
        refund = gateway.create_refund(charge, row.intent_id)
    except PaymentRefused as refused:
        with database.transaction() as connection:
            _record_failed_attempt(
                connection, lock_booking(connection, booking_id), row.refund_attempt, refused.code, now
            )
        return
    with database.transaction() as connection:
        apply_refund(connection, refund, now, attempt=row.refund_attempt)


def apply_refund(
    connection: Connection, refund: Refund, now: datetime, *, attempt: int | None = None
) -> Effect:
    """Apply a refund's state at Stripe. For refunds made in its dashboard, see `apply_refunded_total`.

    `attempt` is the attempt that made the refund, or None for a webhook, which may be out of date.
    """
    booking_id = booking_of_intent(connection, refund.intent_id)
    if booking_id is None:
        return FOREIGN
    row = lock_booking(connection, booking_id)
    if row.refund_id != refund.refund_id and not _is_expected(row, refund, attempt):
        return _refunded_elsewhere(connection, row, refund), booking_id
    if refund.status == "failed":
        # Even after success: a bank may return the money days later.
        return _record_failed_attempt(connection, row, row.refund_attempt, "failed", now), booking_id
    if row.status != "refund_pending":
        return "no-change", booking_id
    if refund.status == "pending":
        update_payment(
            connection, row, now, refund_id=refund.refund_id, next_check_at=now + PENDING_CHECK_INTERVAL
        )
        return "refunding", booking_id
    mark_refunded(connection, row, refund.refund_id, now)
    return "refunded", booking_id


def _refunded_elsewhere(connection: Connection, row: Row[Any], refund: Refund) -> Outcome:
    """Flag a refund that was made in Stripe's dashboard and that a bank has returned."""
    made_at_stripe = refund.booking_id is None and row.refund_id is None
    if made_at_stripe and refund.status == "failed" and row.status == "refunded":
        return flag_for_review(connection, row.booking_id, REFUND_FAILED)
    return "no-change"


def _is_expected(row: Row[Any], refund: Refund, attempt: int | None) -> bool:
    """Whether this is the refund that was requested and whose id is not stored yet.

    A webhook counts for its own attempt only: the webhook of an attempt's creation may arrive after the
    webhook of its failure. A refund made in Stripe's dashboard has no attempt.
    """
    if row.status != "refund_pending" or row.refund_id is not None or refund.amount != row.amount:
        return False
    if attempt is not None:
        return bool(attempt == row.refund_attempt)
    if refund.booking_id is None:
        return refund.status != "failed"
    return (refund.booking_id, refund.attempt) == (row.booking_id, row.refund_attempt)


def mark_refunded(connection: Connection, row: Row[Any], refund_id: str | None, now: datetime) -> None:
    """Mark a payment as refunded."""
    metrics.put("Refunds", 1, "Count", outcome="refunded")
    update_payment(
        connection,
        row,
        now,
        status="refunded",
        refund_id=refund_id,
        refunded_at=now,
        next_check_at=None,
        client_secret=None,
        flag=None,
    )


def _record_failed_attempt(
    connection: Connection, row: Row[Any], attempt: int, reason: str, now: datetime
) -> Outcome:
    """Count a failed attempt and schedule the next one, with its own idempotency key."""
    if row.status not in {"refund_pending", "refunded"} or row.refund_attempt != attempt:
        return "no-change"
    is_last = attempt >= len(RETRY_BACKOFF)
    update_payment(
        connection,
        row,
        now,
        status="refund_pending",
        refund_id=None,
        refunded_at=None,
        refund_attempt=attempt + 1,
        next_check_at=None if is_last else now + RETRY_BACKOFF[attempt],
    )
    metrics.put("Refunds", 1, "Count", outcome="failed")
    logs.warning("refund failed", bookingId=str(row.booking_id), attempt=attempt, reason=reason)
    return flag_for_review(connection, row.booking_id, REFUND_FAILED) if is_last else "refund-failed"


def retry(connection: Connection, row: Row[Any], now: datetime) -> None:
    """Schedule an immediate retry, for a refund that was rejected during a dispute or that is flagged."""
    if row.status == "refund_pending" and row.refund_id is None:
        update_payment(connection, row, now, next_check_at=now, flag=None)


def apply_refunded_total(connection: Connection, intent_id: str, refunded: int, now: datetime) -> Effect:
    """Apply the refunded total of a payment that was refunded in Stripe's dashboard.

    A full refund cancels the booking, even if the report of the payment arrives later, and completes a
    refund that was flagged here. A partial refund is flagged.
    """
    booking_id = booking_of_intent(connection, intent_id)
    if booking_id is None:
        return FOREIGN
    row = lock_places_then_booking(connection, booking_id)
    flagged = row.status == "refund_pending" and row.flag is not None
    if flagged and refunded >= row.amount:
        mark_refunded(connection, row, None, now)
        return "refunded", booking_id
    if row.status in {"refund_pending", "refunded"} or refunded <= 0:
        return "no-change", booking_id
    if refunded < row.amount:
        return flag_for_review(connection, booking_id, "partly-refunded"), booking_id
    mark_refunded(connection, row, None, now)
    cancellation.cancel_and_refund(connection, booking_id, reason="refunded", now=now)
    return "refunded", booking_id
