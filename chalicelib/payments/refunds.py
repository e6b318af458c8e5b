"""Refunding: what is due back is paid back, once, whichever of domain event, webhook and schedule comes first."""

import logging
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Integer, Row, bindparam, select

from chalicelib.domain_events import PaymentRefundDue
from chalicelib.payments import cancellation
from chalicelib.payments.gateway import Charge, PaymentGateway, PaymentRefused, Refund
from chalicelib.payments.locks import lock_booking, lock_places_then_booking
from chalicelib.payments.models import payments
from chalicelib.payments.settlement import Outcome, booking_of_intent, flag_for_review, update_payment
from chalicelib.platform.database.engine import Database
from chalicelib.platform.messaging.ports import DomainEvent
from chalicelib.platform.observability import metrics

RETRY_BACKOFF = (
    timedelta(minutes=1),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=6),
    timedelta(hours=24),
)
"""After each attempt that failed; after the last but these it is left to a person."""

PENDING_CHECK_INTERVAL = timedelta(hours=1)
"""Between looks at a refund that Stripe has taken on, and that a bank may take days for."""

FAILED = "refund-failed"


def handle_refund_due(
    database: Database, gateway: PaymentGateway, domain_event: DomainEvent, now: datetime
) -> None:
    """Make the first attempt of the refund that a domain event reports as due. The schedule retries it.

    Raises:
        Unreachable, Unavailable: The message has to be delivered again.
    """
    booking_id = PaymentRefundDue.from_json(domain_event.body).booking_id
    refund(database, gateway, booking_id, now, at_most_attempt=0)


ANY_ATTEMPT = 2**31 - 1


def refund(
    database: Database,
    gateway: PaymentGateway,
    booking_id: UUID,
    now: datetime,
    at_most_attempt: int = ANY_ATTEMPT,
) -> None:
    """Ask Stripe to pay back what is due for a booking, if it has not been asked.

    No transaction is open meanwhile. Killed at any point and run again, it makes the same request with the
    same key. A refusal is noted, and tried again by the schedule.

    Raises:
        Unreachable, Unavailable: To be tried again.
    """
    with database.transaction() as connection:
        row = connection.execute(
            _DUE, {"this_booking": booking_id, "at_most_attempt": at_most_attempt}
        ).one_or_none()
    if row is None:
        return
    due = Charge(booking_id=booking_id, amount=row.amount, currency=row.currency, attempt=row.refund_attempt)
    try:
        made = gateway.refund(due, row.intent_id)
    except PaymentRefused as refused:
        with database.transaction() as connection:
            _record_failed_attempt(
                connection, lock_booking(connection, booking_id), row.refund_attempt, refused.code, now
            )
        return
    with database.transaction() as connection:
        apply_refund(connection, made, now, asked=row.refund_attempt)


_DUE = select(payments).where(
    payments.c.booking_id == bindparam("this_booking"),
    payments.c.status == "refund_pending",
    payments.c.refund_id.is_(None),
    payments.c.intent_id.is_not(None),
    payments.c.refund_attempt <= bindparam("at_most_attempt", type_=Integer),
)


def apply_refund(
    connection: Connection, made: Refund, now: datetime, *, asked: int | None = None
) -> tuple[Outcome, UUID | None]:
    """Apply a refund's state at Stripe. Refunds made at Stripe's dashboard are applied by `apply_refunded_total`.

    `asked` is the attempt that this answers, or None for a report, which may be out of date.
    """
    booking_id = booking_of_intent(connection, made.intent_id)
    if booking_id is None:
        return "foreign", None
    row = lock_booking(connection, booking_id)
    if row.refund_id != made.refund_id and not _is_expected(row, made, asked):
        return _refunded_elsewhere(connection, row, made), booking_id
    if made.status == "failed":
        # Even after success: a bank may return the money days later.
        return _record_failed_attempt(connection, row, row.refund_attempt, "failed", now), booking_id
    if row.status != "refund_pending":
        return "no-change", booking_id
    if made.status == "pending":
        update_payment(
            connection, row, now, refund_id=made.refund_id, next_check_at=now + PENDING_CHECK_INTERVAL
        )
        return "refunding", booking_id
    mark_refunded(connection, row, made.refund_id, now)
    return "refunded", booking_id


def _refunded_elsewhere(connection: Connection, row: Row[Any], made: Refund) -> Outcome:
    """Flag a refund that was made at Stripe's dashboard and that a bank has returned."""
    theirs = made.booking_id is None and row.refund_id is None
    if theirs and made.status == "failed" and row.status == "refunded":
        return flag_for_review(connection, row.booking_id, FAILED)
    return "no-change"


def _is_expected(row: Row[Any], made: Refund, asked: int | None) -> bool:
    """Whether this is the refund that was requested and whose id is not stored yet.

    A report counts for its own attempt only: the report that an earlier attempt was made may arrive after the one
    that it failed. A refund made at Stripe's dashboard has no attempt.
    """
    if row.status != "refund_pending" or row.refund_id is not None or made.amount != row.amount:
        return False
    if asked is not None:
        return bool(asked == row.refund_attempt)
    if made.booking_id is None:
        return made.status != "failed"
    return (made.booking_id, made.attempt) == (row.booking_id, row.refund_attempt)


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
    connection: Connection, row: Row[Any], attempt: int, why: str, now: datetime
) -> Outcome:
    """Count a failed attempt and schedule the next one, with its own idempotency key."""
    if row.status not in {"refund_pending", "refunded"} or row.refund_attempt != attempt:
        return "no-change"
    given_up = attempt >= len(RETRY_BACKOFF)
    update_payment(
        connection,
        row,
        now,
        status="refund_pending",
        refund_id=None,
        refunded_at=None,
        refund_attempt=attempt + 1,
        next_check_at=None if given_up else now + RETRY_BACKOFF[attempt],
    )
    metrics.put("Refunds", 1, "Count", outcome="failed")
    logging.getLogger("event-booking").warning(
        "refund failed",
        extra={"members": {"bookingId": str(row.booking_id), "attempt": attempt, "reason": why}},
    )
    return flag_for_review(connection, row.booking_id, FAILED) if given_up else "refund-failed"


def retry(connection: Connection, row: Row[Any], now: datetime) -> None:
    """Retry a refund now that was refused during a dispute or that is flagged."""
    if row.status == "refund_pending" and row.refund_id is None:
        update_payment(connection, row, now, next_check_at=now, flag=None)


def apply_refunded_total(
    connection: Connection, intent_id: str, refunded: int, now: datetime
) -> tuple[Outcome, UUID | None]:
    """Apply the refunded total of a payment that somebody refunded at Stripe's dashboard.

    A full refund cancels the booking, even if the report of the payment arrives later, and settles a refund that was
    flagged here. A partial refund is flagged.
    """
    booking_id = booking_of_intent(connection, intent_id)
    if booking_id is None:
        return "foreign", None
    row = lock_places_then_booking(connection, booking_id)
    by_hand = row.status == "refund_pending" and row.flag is not None and refunded >= row.amount
    if by_hand:
        mark_refunded(connection, row, None, now)
        return "refunded", booking_id
    if row.status in {"refund_pending", "refunded"} or refunded <= 0:
        return "no-change", booking_id
    if refunded < row.amount:
        return flag_for_review(connection, booking_id, "partly-refunded"), booking_id
    mark_refunded(connection, row, None, now)
    cancellation.end_booking(connection, booking_id, reason="refunded", now=now)
    return "refunded", booking_id
