"""Holds: confirm a booking when its payment arrives, in time or late."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    Connection,
    Insert,
    Integer,
    Row,
    Text,
    Uuid,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    true,
    update,
)
from sqlalchemy.exc import DBAPIError

from chalicelib.bookings.models import bookings, live, tickets
from chalicelib.bookings.tickets import with_tickets
from chalicelib.domain_events import BookingConfirmed
from chalicelib.events.models import events, place_counters, places, pools
from chalicelib.platform.database.columns import now_parameter, sql_literal
from chalicelib.platform.database.engine import violated
from chalicelib.platform.messaging.outbox import recording

# The name differs from the column's: SQLAlchemy takes a parameter named like a column for a value to set.
_this_booking = bookings.c.booking_id == bindparam("this_booking", type_=Uuid)

_expired_tickets = and_(
    tickets.c.status == sql_literal("cancelled"), tickets.c.cancellation_reason == sql_literal("unpaid")
)
_READ_BOOKING = select(bookings).where(_this_booking)
_READ_EVENT = (
    select(places, events.c.max_per_attendee)
    .join(events, events.c.event_id == places.c.event_id)
    .where(
        places.c.event_id == bindparam("this_event", type_=Uuid),
        events.c.status == sql_literal("published"),
        events.c.deleted_at.is_(None),
        events.c.ends_at > now_parameter,
    )
)
_LOCK_ATTENDEE = select(
    func.pg_advisory_xact_lock(
        func.uuid_hash_extended(bindparam("attendee", type_=Uuid), literal_column("0"))
    )
)
_BOOKED = select(func.coalesce(func.sum(bookings.c.quantity), literal_column("0"))).where(
    bookings.c.event_id == bindparam("this_event", type_=Uuid),
    bookings.c.user_id == bindparam("attendee", type_=Uuid),
    live,
)
_COUNT_BY_TYPE = (
    select(tickets.c.ticket_type_id, func.count().label("quantity"))
    .where(tickets.c.booking_id == bindparam("this_booking", type_=Uuid), _expired_tickets)
    .group_by(tickets.c.ticket_type_id)
    .order_by(tickets.c.ticket_type_id)
)
_quantity = bindparam("places_to_take", type_=Integer)
_RESERVE_IN_POOL = (
    update(pools)
    .where(
        pools.c.pool_id == bindparam("this_pool", type_=Uuid),
        func.coalesce(pools.c.taken + pools.c.reserved + _quantity <= pools.c.capacity, true()),
    )
    .values(taken=pools.c.taken + _quantity)
)
_RESERVE_PLACES = (
    update(places)
    .where(
        places.c.event_id == bindparam("this_event", type_=Uuid),
        places.c.taken + places.c.reserved + _quantity <= places.c.capacity,
        places.c.revision == bindparam("seen_revision", type_=Integer),
    )
    .values(place_counters(places.c.taken + _quantity))
)


def _confirm_statement(status: Literal["pending", "expired"]) -> Insert:
    """Build a statement that confirms a booking with this status and records its domain event."""
    of_booking = tickets.c.booking_id == bookings.c.booking_id
    to_confirm = tickets.c.status == sql_literal("held") if status == "pending" else _expired_tickets
    confirmed = (
        update(bookings)
        .where(_this_booking, bookings.c.status == sql_literal(status))
        .values(
            status="confirmed",
            quantity=select(func.count()).where(of_booking, to_confirm).scalar_subquery(),
            cancellation_reason=None,
            version=bookings.c.version + 1,
            updated_at=now_parameter,
        )
        .returning(bookings)
        .cte("confirmed")
    )
    valid = (
        update(tickets)
        .where(tickets.c.booking_id == confirmed.c.booking_id, to_confirm)
        .values(
            status="valid",
            cancellation_reason=None,
            version=tickets.c.version + 1,
            updated_at=now_parameter,
        )
        .returning(tickets)
        .cte("valid")
    )
    row = with_tickets(confirmed, valid)
    reference = cast(bindparam("payment_reference", type_=Text), Text)
    return recording(
        BookingConfirmed, row, subject=row.c.event_id, now=now_parameter, payment_reference=reference
    )


_CONFIRM = {"pending": _confirm_statement("pending"), "expired": _confirm_statement("expired")}


def confirm(connection: Connection, booking_id: UUID, payment_reference: str, now: datetime) -> None:
    """Confirm a pending booking. It must be locked."""
    connection.execute(_CONFIRM["pending"], _values(booking_id, payment_reference, now))


def _values(booking_id: UUID, payment_reference: str, now: datetime) -> dict[str, Any]:
    return {"this_booking": booking_id, "payment_reference": payment_reference, "now": now}


def reclaim(connection: Connection, booking_id: UUID, payment_reference: str, now: datetime) -> bool:
    """Confirm an expired booking if its places are left. Return whether it is confirmed.

    The lock order is that of a new booking: first the booking, with the unique index, then the pools. This
    may deadlock with a concurrent refund or dispute of this booking. PostgreSQL aborts one of the two, which
    is then retried.
    """
    booking = connection.execute(_READ_BOOKING, {"this_booking": booking_id}).one()
    # Retry if the host has changed the event between the read and the counter.
    for _ in range(5):
        event = connection.execute(_READ_EVENT, {"this_event": booking.event_id, "now": now}).one_or_none()
        if event is None:
            return False
        savepoint = connection.begin_nested()
        if _reclaim_if_unchanged(
            connection, booking_id, booking, event, _values(booking_id, payment_reference, now)
        ):
            savepoint.commit()
            return True
        savepoint.rollback()
        if not _has_changed(connection, booking.event_id, event, now):
            return False
    return False


def _reclaim_if_unchanged(
    connection: Connection, booking_id: UUID, booking: Row[Any], event: Row[Any], values: dict[str, Any]
) -> bool:
    by_type = connection.execute(_COUNT_BY_TYPE, {"this_booking": booking_id}).all()
    quantity = sum(row.quantity for row in by_type)
    of_attendee = {"this_event": booking.event_id, "attendee": booking.user_id}
    if not booking.sole:
        connection.execute(_LOCK_ATTENDEE, of_attendee)
    if connection.scalar(_BOOKED, of_attendee) + quantity > max(event.max_per_attendee, quantity):
        return False
    try:
        connection.execute(_CONFIRM["expired"], values)
    except DBAPIError as error:
        if violated(error) == "uq_bookings_live":  # the attendee has booked again
            return False
        raise
    taken = [(booking.code_id, 1)] if booking.code_id else []
    taken += [(row.ticket_type_id, row.quantity) for row in by_type]
    for pool_id, count in taken:
        if not connection.execute(_RESERVE_IN_POOL, {"this_pool": pool_id, "places_to_take": count}).rowcount:
            return False
    reserved = connection.execute(
        _RESERVE_PLACES,
        {"this_event": booking.event_id, "seen_revision": event.revision, "places_to_take": quantity},
    )
    return bool(reserved.rowcount)


def _has_changed(connection: Connection, event_id: UUID, seen: Row[Any], now: datetime) -> bool:
    event = connection.execute(_READ_EVENT, {"this_event": event_id, "now": now}).one_or_none()
    return event is None or event.revision != seen.revision
