"""Flags: list the payments and refunds that need a person, and record what the person has decided."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Text, Uuid, and_, bindparam, null, or_, select, update

from chalicelib.bookings.models import bookings
from chalicelib.payments import refund_states
from chalicelib.payments.balances import rebalance
from chalicelib.payments.locks import lock_places_then_booking
from chalicelib.payments.models import is_waiting, payments, refunds
from chalicelib.platform.database.columns import now_parameter

_MAX_LISTED = 200

_LIST = (
    select(
        payments.c.booking_id,
        bookings.c.event_id,
        bookings.c.status.label("booking_status"),
        payments.c.status,
        payments.c.intent_id,
        payments.c.flag,
        refunds.c.refund_id,
        refunds.c.flag.label("refund_flag"),
        refunds.c.amount,
        payments.c.currency,
    )
    .join(bookings, bookings.c.booking_id == payments.c.booking_id)
    .outerjoin(refunds, and_(refunds.c.booking_id == payments.c.booking_id, refunds.c.flag.is_not(None)))
    .where(or_(payments.c.flag.is_not(None), refunds.c.flag.is_not(None)))
    .order_by(payments.c.updated_at)
    .limit(_MAX_LISTED)
)
_SETTLE = (
    update(payments)
    .where(
        payments.c.booking_id == bindparam("this_booking", type_=Uuid),
        payments.c.flag == bindparam("this_flag", type_=Text),
    )
    .values(flag=null(), updated_at=now_parameter)
)
_this_refund = refunds.c.refund_id == bindparam("this_refund", type_=Uuid)
_RETRY = (
    update(refunds)
    .where(_this_refund, is_waiting)
    .values(flag=null(), next_check_at=now_parameter, updated_at=now_parameter)
)
_BOOKING_OF = select(refunds.c.booking_id).where(_this_refund, is_waiting)


def list_flags(connection: Connection) -> list[dict[str, Any]]:
    """List the flags, the longest unchanged payment first, up to a limit."""
    return [
        {
            "bookingId": row.booking_id,
            "eventId": row.event_id,
            "bookingStatus": row.booking_status,
            "paymentStatus": row.status,
            "paymentIntentId": row.intent_id,
            "flag": row.flag,
            "refund": row.refund_id
            and {"refundId": row.refund_id, "flag": row.refund_flag, "amount": row.amount},
            "currency": row.currency,
        }
        for row in connection.execute(_LIST)
    ]


def settle_flag(connection: Connection, booking_id: UUID, flag: str, now: datetime) -> bool:
    """Clear the flag of a payment. Return False if the payment does not have this flag."""
    values = {"this_booking": booking_id, "this_flag": flag, "now": now}
    return connection.execute(_SETTLE, values).rowcount == 1


def retry_refund(connection: Connection, refund_id: UUID, now: datetime) -> bool:
    """Let the reconciler make a refund again. Return False if Stripe has accepted it, or it is unknown."""
    return connection.execute(_RETRY, {"this_refund": refund_id, "now": now}).rowcount == 1


def record_refund(connection: Connection, refund_id: UUID, now: datetime) -> bool:
    """Record that a refund was paid back past Stripe. Return False as in `retry_refund`."""
    booking_id = connection.scalar(_BOOKING_OF, {"this_refund": refund_id})
    if booking_id is None:
        return False
    payment = lock_places_then_booking(connection, booking_id)
    refund = next(row for row in refund_states.all_of(connection, booking_id) if row.refund_id == refund_id)
    if not refund_states.waits(refund):
        return False
    refund_states.record_paid(connection, refund, now)
    rebalance(connection, payment, now, refunded_amount=payment.refunded_amount + refund.amount)
    return True
