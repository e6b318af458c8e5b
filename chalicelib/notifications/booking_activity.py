"""News for hosts: what happened to the bookings of their events, combined in their inboxes."""

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Connection,
    Date,
    Integer,
    Text,
    Uuid,
    and_,
    bindparam,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert

from chalicelib import domain_events
from chalicelib.bookings.models import bookings
from chalicelib.domain_events import (
    BookingCancelled,
    BookingConfirmed,
    BookingDetails,
    PaymentRefundDue,
    TicketsCancelled,
)
from chalicelib.events.models import events
from chalicelib.notifications.models import booking_activity, is_growing, notifications
from chalicelib.payments.models import payments, refunds
from chalicelib.platform.database.columns import now_parameter, sql_literal
from chalicelib.platform.database.engine import Database
from chalicelib.platform.messaging.ports import DomainEvent
from chalicelib.users.models import credentials

NEW_BOOKINGS = "new-bookings"
"""The type of the combined notification."""

BATCH_SIZE = 10_000
"""Domain events per transaction."""

RETURNED_AT_STRIPE = ("refunded", "dispute-lost")
"""Reasons of a cancellation after which no refund is due: the money has gone back."""

_came_too_late = (
    select(refunds.c.refund_id)
    .where(refunds.c.booking_id == payments.c.booking_id, refunds.c.reason == sql_literal("late-payment"))
    .exists()
)
_was_confirmed = or_(
    bookings.c.amount == 0,
    bookings.c.paid_by.is_not(None),
    and_(payments.c.paid_at.is_not(None), ~_came_too_late),
)
"""An unpaid hold that is cancelled is no news, nor is a late payment that goes back."""

_ROW = {
    "domain_event_id": bindparam("domain_event_id", type_=Uuid),
    "host_id": bookings.c.host_id,
    "event_id": bookings.c.event_id,
    "booked": bindparam("booked", type_=Integer),
    "cancelled": bindparam("cancelled", type_=Integer),
    "revenue": bindparam("revenue", type_=BigInteger),
    "currency": bindparam("currency", type_=Text),
}
_RECORD = (
    insert(booking_activity)
    .from_select(
        list(_ROW),
        select(*_ROW.values())
        .select_from(bookings.outerjoin(payments, payments.c.booking_id == bookings.c.booking_id))
        .where(bookings.c.booking_id == bindparam("this_booking", type_=Uuid), _was_confirmed),
    )
    .on_conflict_do_nothing()
)

_counted = (
    update(booking_activity)
    .where(
        booking_activity.c.domain_event_id.in_(
            select(booking_activity.c.domain_event_id)
            .where(booking_activity.c.counted_at.is_(None))
            .limit(bindparam("at_most", type_=Integer))
            .with_for_update(skip_locked=True)
        )
    )
    .values(counted_at=now_parameter)
    .returning(booking_activity)
    .cte("counted")
)
# Lock the hosts' accounts before their notifications, as the deletion of an account does, to avoid deadlocks.
_hosts = (
    select(credentials.c.user_id)
    .where(credentials.c.user_id.in_(select(_counted.c.host_id)))
    .with_for_update(read=True, key_share=True)
    .cte("hosts")
)
_NOTIFICATION = {
    "notification_id": func.uuidv7(),
    "user_id": _hosts.c.user_id,
    "domain_event_id": func.array_agg(
        aggregate_order_by(_counted.c.domain_event_id, _counted.c.domain_event_id)
    )[1],
    "type": sql_literal(NEW_BOOKINGS),
    "event_id": events.c.event_id,
    "title": events.c.title,
    "created_at": now_parameter,
    "count": func.sum(_counted.c.booked),
    "combined_on": bindparam("today", type_=Date),
}
_new = insert(notifications).from_select(
    list(_NOTIFICATION),
    select(*_NOTIFICATION.values())
    .select_from(
        _counted.join(_hosts, _hosts.c.user_id == _counted.c.host_id).join(
            events, events.c.event_id == _counted.c.event_id
        )
    )
    .where(_counted.c.booked > 0)
    .group_by(_hosts.c.user_id, events.c.event_id)
    .order_by(events.c.event_id),
)
_notified = _new.on_conflict_do_update(
    index_elements=["event_id", "combined_on"],
    index_where=is_growing,
    set_={"count": notifications.c["count"] + _new.excluded["count"]},
).cte("notified")
_COMBINE = select(func.count()).select_from(_counted).add_cte(_notified)


def record(connection: Connection, domain_event: DomainEvent) -> None:
    """Record what a domain event says about a booking, for the event's host. Idempotent.

    Domain events about anything else have no effect.
    """
    body = domain_events.parse(domain_event)
    booked = cancelled = revenue = 0
    match body:
        case BookingConfirmed():
            booked, revenue = body.quantity, body.amount
        case BookingCancelled() | TicketsCancelled():
            cancelled = body.quantity
            # The host gives back by hand what was paid at the box office.
            has_returned = body.paid_by is not None or body.reason in RETURNED_AT_STRIPE
            revenue = -_price(body) if has_returned else 0
        case PaymentRefundDue():
            revenue = -body.amount
        case _:
            return
    connection.execute(
        _RECORD,
        {
            "domain_event_id": domain_event.domain_event_id,
            "this_booking": body.booking_id,
            "booked": booked,
            "cancelled": cancelled,
            "revenue": revenue,
            "currency": body.currency,
        },
    )


def _price(body: BookingDetails) -> int:
    """Sum up what the tickets of a domain event cost."""
    return sum(item.quantity * item.unit_price for item in body.items) - (body.discount or 0)


def combine(database: Database, now: datetime, batch_size: int = BATCH_SIZE) -> int:
    """Add what was recorded to the inboxes of hosts: one update per event. Return how much there was.

    A host has one unread notification per event and day (UTC). After it is read, a new one begins.
    """
    parameters = {"at_most": batch_size, "today": now.astimezone(UTC).date(), "now": now}
    combined = 0
    while True:
        with database.transaction() as connection:
            counted: int = connection.execute(_COMBINE, parameters).scalar_one()
        combined += counted
        if counted < batch_size:
            return combined
