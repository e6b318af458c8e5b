"""Request refunds: decide which money of cancelled tickets is due back, and record it."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Insert,
    Select,
    Text,
    Update,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    func,
    insert,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from chalicelib.bookings.models import bookings, tickets
from chalicelib.domain_events import PaymentRefundDue
from chalicelib.events.models import events
from chalicelib.payments.models import PARTLY_REFUNDED, payments, pending_amount, refunds, returned_amount
from chalicelib.platform.database.columns import SystemTime, now_parameter, sql_literal
from chalicelib.platform.database.rendering import json_object
from chalicelib.platform.messaging.outbox import recording

ATTENDEE_REASONS = frozenset({"attendee", "account-deleted"})
"""Cancellations that are refunded only until `refund_until`; all others are always refunded."""

FIRST_CHECK_AFTER = timedelta(minutes=10)
"""Delay before the reconciler makes a refund, in case the domain event did not trigger it."""

_reason = bindparam("reason", type_=Text)
_zero: ColumnElement[int] = literal_column("0")
_has_arrived = payments.c.status.in_(
    [sql_literal("paid"), sql_literal("partly_refunded"), sql_literal("refund_pending")]
)
_is_open = payments.c.status == sql_literal("requires_payment")
_has_ended = bookings.c.status.in_([sql_literal("cancelled"), sql_literal("expired")])


def _lock_statement(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Build a statement that locks payments, so that no other transaction decides about the same tickets."""
    return (
        select(payments.c.booking_id)
        .join(bookings, bookings.c.booking_id == payments.c.booking_id)
        .where(or_(_has_arrived, _is_open), *conditions)
        .order_by(payments.c.booking_id)
        .with_for_update(key_share=True, of=payments)
    )


def _close_statement(*conditions: ColumnElement[bool]) -> Update:
    """Build a statement that makes open payments of ended bookings due for cancellation at Stripe."""
    return (
        update(payments)
        .where(payments.c.booking_id == bookings.c.booking_id, _has_ended, _is_open, *conditions)
        .values(
            open_until=func.least(payments.c.open_until, now_parameter),
            next_check_at=now_parameter,
            updated_at=now_parameter,
        )
    )


def _request_statement(*conditions: ColumnElement[bool]) -> Insert:
    """Build a statement that decides about the cancelled tickets whose price is neither due back nor kept.

    Their prices are due back, up to what is left of the payment: a refund for each booking, with a domain
    event. They are kept if the refund period is over.
    This is a separate statement, after the cancellation of the tickets and the lock of their payments: both
    may wait for a concurrent payment, which only a later statement sees.
    """
    undecided = (
        select(tickets.c.ticket_id, tickets.c.ticket_type_id, tickets.c.booking_id, tickets.c.price)
        .join(bookings, bookings.c.booking_id == tickets.c.booking_id)
        .join(payments, payments.c.booking_id == tickets.c.booking_id)
        .where(
            tickets.c.status == sql_literal("cancelled"),
            tickets.c.refund_id.is_(None),
            tickets.c.kept_at.is_(None),
            tickets.c.price > _zero,
            _has_arrived,
            *conditions,
        )
        .cte("undecided")
    )
    prices = (
        select(
            undecided.c.booking_id,
            func.sum(undecided.c.price).label("price"),
            func.json_agg(
                aggregate_order_by(
                    json_object(ticketId=undecided.c.ticket_id, ticketTypeId=undecided.c.ticket_type_id),
                    undecided.c.ticket_id,
                )
            ).label("tickets"),
        )
        .group_by(undecided.c.booking_id)
        .subquery("prices")
    )
    refund_until = func.greatest(
        bookings.c.refund_until, func.coalesce(events.c.refund_until, events.c.starts_at)
    )
    decided = (
        select(
            prices,
            func.least(prices.c.price, payments.c.amount - returned_amount - pending_amount).label("amount"),
            or_(bindparam("always", type_=Boolean), refund_until > now_parameter).label("is_due"),
            payments.c.currency,
            bookings.c.event_id,
            bookings.c.user_id,
        )
        .join(payments, payments.c.booking_id == prices.c.booking_id)
        .join(bookings, bookings.c.booking_id == prices.c.booking_id)
        .join(events, events.c.event_id == bookings.c.event_id)
        .cte("decided")
    )
    made = _insert_refunds(decided)
    return (
        recording(
            PaymentRefundDue,
            select(decided, made.c.refund_id)
            .join(made, made.c.booking_id == decided.c.booking_id)
            .subquery("due"),
            subject=literal_column("due.event_id", Uuid),
            now=now_parameter,
            reason=cast(_reason, Text),
        )
        .add_cte(_mark_tickets(undecided, decided, made).cte("marked"))
        .add_cte(_mark_payments(made).cte("moved"))
    )


def _insert_refunds(decided: Any) -> Any:
    due = select(
        func.uuidv7(),
        decided.c.booking_id,
        decided.c.amount,
        cast(_reason, Text),
        sql_literal("pending"),
        bindparam("next_refund_check_at", type_=SystemTime()),
        now_parameter,
        now_parameter,
    ).where(decided.c.is_due, decided.c.amount > _zero)
    columns = (
        "refund_id", "booking_id", "amount", "reason", "status", "next_check_at", "created_at", "updated_at"
    )  # fmt: skip
    return (
        insert(refunds)
        .from_select(list(columns), due)
        .returning(refunds.c.refund_id, refunds.c.booking_id)
        .cte("made")
    )


def _mark_tickets(undecided: Any, decided: Any, made: Any) -> Update:
    decisions = (
        select(undecided.c.ticket_id, decided.c.is_due, made.c.refund_id)
        .join(decided, decided.c.booking_id == undecided.c.booking_id)
        .outerjoin(made, made.c.booking_id == undecided.c.booking_id)
        .subquery("decisions")
    )
    return (
        update(tickets)
        .where(tickets.c.ticket_id == decisions.c.ticket_id)
        .values(
            refund_id=decisions.c.refund_id,
            kept_at=case((~decisions.c.is_due, now_parameter)),
            updated_at=now_parameter,
        )
    )


def _mark_payments(made: Any) -> Update:
    # The rest is due now, so the part that went back before is no longer a question for a person.
    is_answered = and_(_has_ended, payments.c.flag == sql_literal(PARTLY_REFUNDED))
    return (
        update(payments)
        .where(payments.c.booking_id == made.c.booking_id, bookings.c.booking_id == made.c.booking_id)
        .values(
            status="refund_pending",
            flag=case((is_answered, null()), else_=payments.c.flag),
            updated_at=now_parameter,
        )
    )


class Statements(NamedTuple):
    """To be executed in this order, in the transaction that has cancelled the tickets."""

    lock: Select[Any]
    close: Update
    request: Insert


def _statements(*conditions: ColumnElement[bool]) -> Statements:
    return Statements(
        _lock_statement(*conditions), _close_statement(*conditions), _request_statement(*conditions)
    )


_this_booking = bookings.c.booking_id == bindparam("this_booking", type_=Uuid)
_of_events = bookings.c.event_id == any_(bindparam("event_ids", type_=ARRAY(Uuid)))
_of_attendee = bookings.c.user_id == bindparam("attendee", type_=Uuid)

FOR_ONE = _statements(_this_booking)
_FOR_EVENTS = _statements(_of_events)
_FOR_ATTENDEE = _statements(_of_attendee, _of_events)


def request_for_one(connection: Connection, booking_id: UUID, *, reason: str, now: datetime) -> None:
    _request(connection, FOR_ONE, reason, now, this_booking=booking_id)


def request_for_events(
    connection: Connection, event_ids: Collection[UUID], *, reason: str, now: datetime
) -> None:
    _request(connection, _FOR_EVENTS, reason, now, event_ids=event_ids)


def request_for_attendee(
    connection: Connection, attendee_id: UUID, event_ids: Collection[UUID], *, reason: str, now: datetime
) -> None:
    _request(connection, _FOR_ATTENDEE, reason, now, attendee=attendee_id, event_ids=event_ids)


def _request(
    connection: Connection, statements: Statements, reason: str, now: datetime, **conditions: Any
) -> None:
    values = conditions | parameters(reason, now)
    if connection.execute(statements.lock, values).all():
        connection.execute(statements.close, values)
        connection.execute(statements.request, values)


def parameters(reason: str, now: datetime) -> dict[str, Any]:
    """Return the parameters of the statements, without those of their conditions."""
    return {
        "reason": reason,
        "always": reason not in ATTENDEE_REASONS,
        "now": now,
        "next_refund_check_at": now + FIRST_CHECK_AFTER,
    }
