"""Balances: how much of a payment has gone back or is about to, and the status that follows.

Each function gets the payment's row as it was read under its lock, see `lock_booking`.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Uuid, bindparam, literal_column, select, update

from chalicelib.bookings.models import live_ticket, tickets
from chalicelib.domain_events import CancellationReason
from chalicelib.payments import cancellation
from chalicelib.payments.locks import lock_booking
from chalicelib.payments.models import PaymentStatus, check_transition, is_waiting, payments, refunds
from chalicelib.platform.observability import logs, metrics

AMOUNT_DIFFERS = "amount-differs"
"""The flag of a payment that Stripe reports with an amount or currency that cannot be compared."""

OVER_REFUNDED = "over-refunded"
"""The flag of a payment of which more has gone back than was paid, such as by a refund and a lost dispute."""

_SET = update(payments).where(payments.c.booking_id == bindparam("this_booking", type_=Uuid))
_COVER = (
    update(refunds)
    .where(refunds.c.booking_id == bindparam("this_booking", type_=Uuid), is_waiting)
    .values(status="covered", next_check_at=None, flag=None)
)
_HAS_PAID_TICKET = select(
    select(tickets.c.ticket_id)
    .where(
        tickets.c.booking_id == bindparam("this_booking", type_=Uuid),
        live_ticket,
        tickets.c.price > literal_column("0"),
    )
    .exists()
)


def lost(payment: Row[Any]) -> int:
    """Return the amount that the attendee's bank has taken back."""
    return payment.disputed_amount if payment.dispute == "lost" else 0


def returned(payment: Row[Any]) -> int:
    """Return the amount that has gone back to the attendee, by refunds and by a lost dispute."""
    return int(payment.refunded_amount) + lost(payment)


def left(payment: Row[Any]) -> int:
    """Return the amount that has neither gone back nor is about to. It is negative if that is too much."""
    return int(payment.amount) - returned(payment) - int(payment.pending_amount)


def status_of(payment: Row[Any], *, has_arrived: bool) -> PaymentStatus:
    """Return the status that follows from the sums. A payment that has not arrived keeps its status."""
    if payment.pending_amount:
        return "refund_pending"
    if returned(payment) >= payment.amount:
        return "refunded"
    if not has_arrived:
        status: PaymentStatus = payment.status
        return status
    return "partly_refunded" if returned(payment) else "paid"


def update_payment(connection: Connection, payment: Row[Any], now: datetime, **values: Any) -> None:
    """Update a locked payment."""
    if "status" in values:
        check_transition(payment.status, values["status"])
    connection.execute(_SET.values(**values, updated_at=now), {"this_booking": payment.booking_id})


def rebalance(
    connection: Connection,
    payment: Row[Any],
    now: datetime,
    *,
    reason: CancellationReason = "refunded",
    **values: Any,
) -> Row[Any]:
    """Update the sums of a payment, and what follows from them. Return the payment as it is then.

    If everything has gone back, refunds that wait are covered, and a booking that still has paid tickets is
    cancelled for this reason. So the places of the booking must be locked.
    """
    if values:
        update_payment(connection, payment, now, **values)
    after = lock_booking(connection, payment.booking_id)
    if returned(after) >= after.amount and after.pending_amount:
        connection.execute(_COVER.values(updated_at=now), {"this_booking": after.booking_id})
        after = lock_booking(connection, payment.booking_id)
    status = status_of(after, has_arrived=after.status not in {"requires_payment", "failed"})
    if status != after.status:
        closed = {"next_check_at": None, "client_secret": None, "flag": None} if status == "refunded" else {}
        update_payment(connection, after, now, status=status, **closed)
    if returned(after) >= after.amount and _has_paid_ticket(connection, after.booking_id):
        cancellation.cancel_and_refund(connection, after.booking_id, reason=reason, now=now)
    if returned(after) > max(after.amount, returned(payment)):
        flag_for_review(connection, after.booking_id, OVER_REFUNDED)
    return lock_booking(connection, payment.booking_id)


def _has_paid_ticket(connection: Connection, booking_id: UUID) -> bool:
    return bool(connection.scalar(_HAS_PAID_TICKET, {"this_booking": booking_id}))


def flag_for_review(connection: Connection, booking_id: UUID, flag: str) -> None:
    """Flag a payment for manual handling. The flag is logged and shown at GET /events/{eventId}/integrity."""
    connection.execute(_SET.values(flag=flag), {"this_booking": booking_id})
    log_flag(booking_id, flag)


def log_flag(booking_id: UUID, flag: str) -> None:
    metrics.put("PaymentsFlagged", 1, "Count")
    logs.error("payment flagged", bookingId=str(booking_id), flag=flag)
