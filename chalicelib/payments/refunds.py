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
from chalicelib.payments.models import PARTLY_REFUNDED, payments
from chalicelib.payments.settlement import (
    FOREIGN,
    Effect,
    Outcome,
    booking_of_intent,
    flag_for_review,
    lost,
    paid_status,
    returned,
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

OVER_REFUNDED = "over-refunded"
"""The flag of a payment of which more has gone back than was paid, such as by a refund and a lost dispute."""

AMOUNT_DIFFERS = "amount-differs"
"""The flag of a payment that Stripe reports with an amount or currency that cannot be compared."""

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
        booking_id=booking_id,
        amount=row.amount - returned(row),
        currency=row.currency,
        attempt=row.refund_attempt,
    )
    try:
        refund = gateway.create_refund(charge, row.intent_id)
    except PaymentRefused as refused:
        made = _made_at_stripe(gateway, row.intent_id)
        with database.transaction() as connection:
            _handle_refused(connection, lock_booking(connection, booking_id), charge, made, refused.code, now)
        return
    with database.transaction() as connection:
        apply_refund(connection, refund, now, attempt=row.refund_attempt)


def _made_at_stripe(gateway: PaymentGateway, intent_id: str) -> list[Refund]:
    """Return the refunds of a payment that have not failed."""
    try:
        made = gateway.list_refunds(intent_id)
    except PaymentRefused:  # the payment is unknown at Stripe
        return []
    return [refund for refund in made if refund.status != "failed"]


def _handle_refused(
    connection: Connection, row: Row[Any], charge: Charge, made: list[Refund], reason: str, now: datetime
) -> None:
    """Handle a rejected refund: the money may have gone back already, wholly or in part.

    It did so by an attempt whose response was lost, or in Stripe's dashboard.
    """
    if row.status != "refund_pending" or row.refund_id is not None or row.refund_attempt != charge.attempt:
        return
    total = sum(refund.amount for refund in made)
    if total + lost(row) >= row.amount and all(refund.currency == row.currency for refund in made):
        waits_for = next((refund for refund in made if refund.status == "pending"), None)
        if waits_for is not None:
            _wait_for(connection, row, waits_for, now)
            return
        refund_id = made[0].refund_id if len(made) == 1 else None
        mark_refunded(connection, row, refund_id, now, refunded_amount=total)
    elif total != row.refunded_amount and total + lost(row) < row.amount:
        # Only the rest is due: another request, and so another attempt.
        _request_rest(connection, row, now, refunded_amount=total)
    else:
        _record_failed_attempt(connection, row, charge.attempt, reason, now)


def _wait_for(connection: Connection, row: Row[Any], refund: Refund, now: datetime) -> None:
    """Store the id of a refund that Stripe has accepted, and check later whether it has succeeded."""
    update_payment(
        connection, row, now, refund_id=refund.refund_id, next_check_at=now + PENDING_CHECK_INTERVAL
    )


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
        return _refunded_elsewhere(connection, row, refund, now), booking_id
    if refund.status == "failed":
        # Even after success: a bank may return the money days later.
        return _record_failed_attempt(
            connection, row, row.refund_attempt, "failed", now, amount=refund.amount
        ), booking_id
    if row.status != "refund_pending":
        return "no-change", booking_id
    if refund.status == "pending":
        _wait_for(connection, row, refund, now)
        return "refunding", booking_id
    mark_refunded(
        connection, row, refund.refund_id, now, refunded_amount=row.refunded_amount + max(0, refund.amount)
    )
    return "refunded", booking_id


def _refunded_elsewhere(connection: Connection, row: Row[Any], refund: Refund, now: datetime) -> Outcome:
    """Flag a refund that was made in Stripe's dashboard and that a bank has returned.

    If it was a part of a payment, the reconciler asks Stripe how much has gone back.
    """
    if refund.booking_id is not None or refund.status != "failed":
        return "no-change"
    if row.status in {"paid", "partly_refunded"}:
        update_payment(connection, row, now, next_check_at=now)
        return flag_for_review(connection, row.booking_id, REFUND_FAILED)
    if row.status == "refunded" and row.refund_id is None:
        return flag_for_review(connection, row.booking_id, REFUND_FAILED)
    return "no-change"


def _is_expected(row: Row[Any], refund: Refund, attempt: int | None) -> bool:
    """Whether this is the refund that was requested and whose id is not stored yet.

    A webhook counts for its own attempt only: the webhook of an attempt's creation may arrive after the
    webhook of its failure. A refund made in Stripe's dashboard has no attempt.
    """
    if row.status != "refund_pending" or row.refund_id is not None:
        return False
    if (refund.amount, refund.currency) != (row.amount - returned(row), row.currency):
        return False
    if attempt is not None:
        return bool(attempt == row.refund_attempt)
    if refund.booking_id is None:
        return refund.status != "failed"
    return (refund.booking_id, refund.attempt) == (row.booking_id, row.refund_attempt)


def mark_refunded(
    connection: Connection, row: Row[Any], refund_id: str | None, now: datetime, *, refunded_amount: int
) -> None:
    """Mark a payment as refunded, and flag it if more than the payment has gone back."""
    metrics.put("Refunds", 1, "Count", outcome="refunded")
    update_payment(
        connection,
        row,
        now,
        status="refunded",
        refund_id=refund_id,
        refunded_at=now,
        refunded_amount=refunded_amount,
        next_check_at=None,
        client_secret=None,
        flag=None,
    )
    if refunded_amount + lost(row) > row.amount:
        flag_for_review(connection, row.booking_id, OVER_REFUNDED)


def _record_failed_attempt(
    connection: Connection, row: Row[Any], attempt: int, reason: str, now: datetime, *, amount: int = 0
) -> Outcome:
    """Count a failed attempt and schedule the next one, with its own idempotency key.

    `amount` is that of a refund that had counted as made if the payment is marked as refunded.
    """
    if row.status not in {"refund_pending", "refunded"} or row.refund_attempt != attempt:
        return "no-change"
    is_last = attempt >= len(RETRY_BACKOFF)
    taken_back = max(0, amount) if row.status == "refunded" else 0
    update_payment(
        connection,
        row,
        now,
        status="refund_pending",
        refund_id=None,
        refunded_at=None,
        refunded_amount=max(0, row.refunded_amount - taken_back),
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


def check_refunded_total(
    database: Database, gateway: PaymentGateway, intent_id: str, currency: str, now: datetime
) -> None:
    """Ask Stripe how much of a payment has gone back, and apply it.

    Raises:
        PaymentRefused, Unreachable, Unavailable: Retry the call.
    """
    made = [refund for refund in gateway.list_refunds(intent_id) if refund.status != "failed"]
    other = next((refund.currency for refund in made if refund.currency != currency), currency)
    total = sum(refund.amount for refund in made)
    with database.transaction() as connection:
        apply_refunded_total(connection, intent_id, total, other, now, is_current=True)


def apply_refunded_total(
    connection: Connection, intent_id: str, refunded: int, currency: str, now: datetime, *, is_current: bool
) -> Effect:
    """Apply the refunded total of a payment that was refunded in Stripe's dashboard.

    A full refund cancels the booking, even if the report of the payment arrives later, and completes a
    refund that was flagged here. A part is recorded and flagged, and the booking stays. A webhook may be out
    of date (`is_current` is false), so the reconciler then asks Stripe for the present total.
    """
    booking_id = booking_of_intent(connection, intent_id)
    if booking_id is None:
        return FOREIGN
    row = lock_places_then_booking(connection, booking_id)
    if currency != row.currency or refunded < 0:
        update_payment(connection, row, now, next_check_at=_without_check(row))
        return flag_for_review(connection, booking_id, AMOUNT_DIFFERS), booking_id
    total = refunded if is_current else max(refunded, row.refunded_amount)
    if row.status == "refund_pending":
        return _apply_total_while_pending(connection, row, total, now), booking_id
    if row.status == "refunded":
        return _apply_total_after_refund(connection, row, total, now), booking_id
    if total + lost(row) >= row.amount:
        mark_refunded(connection, row, None, now, refunded_amount=total)
        cancellation.cancel_and_refund(connection, booking_id, reason="refunded", now=now)
        return "refunded", booking_id
    return _apply_part(connection, row, total, now, is_current=is_current), booking_id


def _without_check(row: Row[Any]) -> datetime | None:
    """Return the next check of a payment, if it is more than a check of its refunds."""
    return None if row.status in {"paid", "partly_refunded"} else row.next_check_at


def _apply_part(
    connection: Connection, row: Row[Any], total: int, now: datetime, *, is_current: bool
) -> Outcome:
    """Record how much of a payment has gone back; it may be nothing, if a bank has returned a refund."""
    has_arrived = row.status in {"paid", "partly_refunded"}
    if total == row.refunded_amount:
        if is_current and has_arrived:
            update_payment(connection, row, now, next_check_at=None)
        return "no-change"
    back = total + lost(row)
    values: dict[str, Any] = {"refunded_amount": total}
    if has_arrived:
        values |= {"status": paid_status(back), "next_check_at": None if is_current else now}
    if back == 0 and row.flag == PARTLY_REFUNDED:
        values["flag"] = None
    update_payment(connection, row, now, **values)
    if back and row.flag is None:
        flag_for_review(connection, row.booking_id, PARTLY_REFUNDED)
    return "partly-refunded"


def _apply_total_while_pending(connection: Connection, row: Row[Any], total: int, now: datetime) -> Outcome:
    """Compare the total with a refund that is due. It may include that refund, which has its own reports."""
    if total + lost(row) < row.amount:
        if total == row.refunded_amount or row.refund_id is not None:
            return "no-change"
        _request_rest(connection, row, now, refunded_amount=total)
        return "partly-refunded"
    if row.flag is not None:
        mark_refunded(connection, row, None, now, refunded_amount=total)
        return "refunded"
    if row.refund_id is None:
        update_payment(connection, row, now, next_check_at=now)
    return "no-change"


def _request_rest(connection: Connection, row: Row[Any], now: datetime, **values: Any) -> None:
    """Schedule the refund of what is left. The amount is another one, so the attempt is too."""
    update_payment(connection, row, now, refund_attempt=row.refund_attempt + 1, next_check_at=now, **values)


def _apply_total_after_refund(connection: Connection, row: Row[Any], total: int, now: datetime) -> Outcome:
    """Flag a payment of which more has gone back than was paid."""
    if total <= row.refunded_amount or total + lost(row) <= row.amount:
        return "no-change"
    update_payment(connection, row, now, refunded_amount=total)
    return flag_for_review(connection, row.booking_id, OVER_REFUNDED)


def apply_lost_part(connection: Connection, row: Row[Any], now: datetime) -> None:
    """Apply a dispute that is lost for less than the payment. `row` was read after the dispute's update."""
    if row.status == "refund_pending":
        if row.refund_id is None:
            _request_rest(connection, row, now, flag=None)
        return
    if row.status in {"paid", "partly_refunded"}:
        update_payment(connection, row, now, status="partly_refunded")
    flag_for_review(connection, row.booking_id, PARTLY_REFUNDED)
