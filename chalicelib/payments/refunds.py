"""Refunding: what is due back is paid back, once, whichever of domain event, webhook and schedule comes first."""

import logging
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Integer, Row, bindparam, select

from chalicelib.bookings import cancellation, holds
from chalicelib.payments.gateway import Charge, PaymentGateway, PaymentRefused, Refund
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
    database: Database, gateway: PaymentGateway, message: dict[str, Any], now: datetime
) -> None:
    """Do what the domain event that a refund is due asks for: its first attempt. Others are the schedule's.

    Raises:
        OutOfReach, Unavailable: To be delivered again.
    """
    booking_id = UUID(DomainEvent.from_message(message).body["bookingId"])
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
        OutOfReach, Unavailable: To be tried again.
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
                connection, holds.lock(connection, booking_id), row.refund_attempt, refused.code, now
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
    """Note how far a refund of ours is. What somebody refunds elsewhere is for `note_total` to see.

    `asked` is the attempt that this answers; None where it is a report, which may be old.
    """
    booking_id = booking_of_intent(connection, made.intent_id)
    if booking_id is None:
        return "foreign", None
    row = holds.lock(connection, booking_id)
    if row.refund_id != made.refund_id and not _is_expected(row, made, asked):
        return _refunded_elsewhere(connection, row, made), booking_id
    if made.status == "failed":
        # Also where it had succeeded before: a bank may send the money back days later.
        return _record_failed_attempt(connection, row, row.refund_attempt, "failed", now), booking_id
    if row.status != "refund_pending":
        return "no-change", booking_id
    if made.status == "pending":
        update_payment(
            connection, booking_id, now, refund_id=made.refund_id, next_check_at=now + PENDING_CHECK_INTERVAL
        )
        return "refunding", booking_id
    mark_refunded(connection, booking_id, made.refund_id, now)
    return "refunded", booking_id


def _refunded_elsewhere(connection: Connection, row: Row[Any], made: Refund) -> Outcome:
    """What somebody had refunded at Stripe, and has come back, is for them to see to."""
    theirs = made.booking_id is None and row.refund_id is None
    if theirs and made.status == "failed" and row.status == "refunded":
        return flag_for_review(connection, row.booking_id, FAILED)
    return "no-change"


def _is_expected(row: Row[Any], made: Refund, asked: int | None) -> bool:
    """Whether a refund is one that was asked for and whose id could not be noted.

    An answer may name any that stands. A report of ours counts for its own attempt only: that of an earlier
    one may say that it was made, and come after the word that it failed. One made elsewhere has no attempt.
    """
    if row.status != "refund_pending" or row.refund_id is not None or made.amount != row.amount:
        return False
    if asked is not None:
        return bool(asked == row.refund_attempt)
    if made.booking_id is None:
        return made.status != "failed"
    return (made.booking_id, made.attempt) == (row.booking_id, row.refund_attempt)


def mark_refunded(connection: Connection, booking_id: UUID, refund_id: str | None, now: datetime) -> None:
    """Note that the money has gone back."""
    metrics.put("Refunds", 1, "Count", outcome="refunded")
    update_payment(
        connection,
        booking_id,
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
    """Count an attempt that failed, and have it made again after a while, with a key of its own."""
    if row.status not in {"refund_pending", "refunded"} or row.refund_attempt != attempt:
        return "no-change"
    given_up = attempt >= len(RETRY_BACKOFF)
    update_payment(
        connection,
        row.booking_id,
        now,
        status="refund_pending",
        refund_id=None,
        refunded_at=None,
        refund_attempt=attempt + 1,
        next_check_at=None if given_up else now + RETRY_BACKOFF[attempt],
    )
    metrics.put("Refunds", 1, "Count", outcome="failed")
    logging.getLogger("event-booking").warning(
        "A refund was not made",
        extra={"members": {"bookingId": str(row.booking_id), "attempt": attempt, "reason": why}},
    )
    return flag_for_review(connection, row.booking_id, FAILED) if given_up else "refund-failed"


def retry(connection: Connection, row: Row[Any], now: datetime) -> None:
    """Have a refund that was refused during a dispute, or left to a person, be tried now."""
    if row.status == "refund_pending" and row.refund_id is None:
        update_payment(connection, row.booking_id, now, next_check_at=now, flag=None)


def apply_refunded_total(
    connection: Connection, intent_id: str, refunded: int, now: datetime
) -> tuple[Outcome, UUID | None]:
    """Note what has gone back of a payment that nothing is due back of here: somebody refunded it at Stripe.

    All of it ends the booking, so that nobody has both the money and a place, also where the word that it was
    paid comes later; and it settles a refund that was given up here. A part is left to a person.
    """
    booking_id = booking_of_intent(connection, intent_id)
    if booking_id is None:
        return "foreign", None
    cancellation.lock_places_of_booking(connection, booking_id)
    row = holds.lock(connection, booking_id)
    by_hand = row.status == "refund_pending" and row.flag is not None and refunded >= row.amount
    if by_hand:
        mark_refunded(connection, booking_id, None, now)
        return "refunded", booking_id
    if row.status in {"refund_pending", "refunded"} or refunded <= 0:
        return "no-change", booking_id
    if refunded < row.amount:
        return flag_for_review(connection, booking_id, "partly-refunded"), booking_id
    mark_refunded(connection, booking_id, None, now)
    cancellation.cancel_booking(connection, booking_id, reason="refunded", now=now)
    return "refunded", booking_id
