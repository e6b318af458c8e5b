"""Request refunds: decide which payments of cancelled bookings are due back, and record it."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Insert,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    func,
    null,
    or_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from chalicelib.bookings.models import bookings
from chalicelib.domain_events import PaymentRefundDue
from chalicelib.events.models import events
from chalicelib.payments.models import PARTLY_REFUNDED, payments, returned_amount
from chalicelib.platform.database.columns import SystemTime, now_parameter, sql_literal
from chalicelib.platform.messaging.outbox import recording

ATTENDEE_REASONS = frozenset({"attendee", "account-deleted"})
"""Cancellations that are refunded only until `refund_until`; all others are always refunded."""

FIRST_CHECK_AFTER = timedelta(minutes=10)
"""Delay before the reconciler makes a refund, in case the domain event did not trigger it."""

_reason = bindparam("reason", type_=Text)


def _request_statement(*conditions: ColumnElement[bool]) -> Insert:
    """Build a statement that decides the refunds of bookings that this transaction has cancelled.

    A paid amount is due back, less what has gone back before, with a domain event for each booking. It is
    retained if the refund period is over.
    An open payment is due for cancellation at Stripe. This is a separate statement, after the cancellation of
    the bookings: the cancellation may wait for a concurrent payment, which only a later statement sees.
    """
    paid = payments.c.status.in_([sql_literal("paid"), sql_literal("partly_refunded")])
    refund_until = func.greatest(
        bookings.c.refund_until, func.coalesce(events.c.refund_until, events.c.starts_at)
    )
    is_due = and_(paid, or_(bindparam("always", type_=Boolean), refund_until > now_parameter))
    next_refund_check_at = bindparam("next_refund_check_at", type_=SystemTime())
    moved = (
        update(payments)
        .where(
            payments.c.booking_id == bookings.c.booking_id,
            bookings.c.event_id == events.c.event_id,
            bookings.c.status.in_([sql_literal("cancelled"), sql_literal("expired")]),
            or_(paid, payments.c.status == sql_literal("requires_payment")),
            payments.c.kept_at.is_(None),
            *conditions,
        )
        .values(
            status=case((is_due, sql_literal("refund_pending")), else_=payments.c.status),
            refund_reason=case((is_due, _reason)),
            kept_at=case((and_(paid, ~is_due), now_parameter)),
            open_until=case(
                (paid, payments.c.open_until), else_=func.least(payments.c.open_until, now_parameter)
            ),
            next_check_at=case((is_due, next_refund_check_at), (~paid, now_parameter)),
            # The rest is due now, so the part is no longer a question for a person.
            flag=case(
                (and_(is_due, payments.c.flag == sql_literal(PARTLY_REFUNDED)), null()), else_=payments.c.flag
            ),
            updated_at=now_parameter,
        )
        .returning(
            payments.c.booking_id,
            payments.c.status,
            (payments.c.amount - returned_amount).label("amount"),
            payments.c.currency,
            bookings.c.event_id,
            bookings.c.user_id,
        )
        .cte("moved")
    )
    is_due = moved.c.status == sql_literal("refund_pending")
    return recording(
        PaymentRefundDue,
        moved,
        is_due,
        subject=moved.c.event_id,
        now=now_parameter,
        reason=cast(_reason, Text),
    )


_this_booking = bookings.c.booking_id == bindparam("this_booking", type_=Uuid)
_of_events = bookings.c.event_id == any_(bindparam("event_ids", type_=ARRAY(Uuid)))
_of_attendee = bookings.c.user_id == bindparam("attendee", type_=Uuid)

_FOR_ONE = _request_statement(_this_booking)
_FOR_EVENTS = _request_statement(_of_events)
_FOR_ATTENDEE = _request_statement(_of_attendee, _of_events)


def request_for_one(connection: Connection, booking_id: UUID, *, reason: str, now: datetime) -> None:
    connection.execute(_FOR_ONE, _values(reason, now) | {"this_booking": booking_id})


def request_for_events(
    connection: Connection, event_ids: Collection[UUID], *, reason: str, now: datetime
) -> None:
    connection.execute(_FOR_EVENTS, _values(reason, now) | {"event_ids": event_ids})


def request_for_attendee(
    connection: Connection, attendee_id: UUID, event_ids: Collection[UUID], *, reason: str, now: datetime
) -> None:
    values = _values(reason, now) | {"attendee": attendee_id, "event_ids": event_ids}
    connection.execute(_FOR_ATTENDEE, values)


def _values(reason: str, now: datetime) -> dict[str, Any]:
    return {
        "reason": reason,
        "always": reason not in ATTENDEE_REASONS,
        "now": now,
        "next_refund_check_at": now + FIRST_CHECK_AFTER,
    }
