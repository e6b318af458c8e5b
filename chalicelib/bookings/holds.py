"""Holds: confirm a booking when its payment arrives, in time or late."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Integer,
    Text,
    Uuid,
    bindparam,
    cast,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

from chalicelib.bookings.models import bookings
from chalicelib.domain_events import BookingConfirmed
from chalicelib.events.models import events, place_counters, places
from chalicelib.platform.database.columns import now_parameter, sql_literal
from chalicelib.platform.database.engine import violated
from chalicelib.platform.messaging.outbox import recording

# The name differs from the column's: SQLAlchemy takes a parameter named like a column for a value to set.
_this_booking = bookings.c.booking_id == bindparam("this_booking", type_=Uuid)

_READ_EVENT = (
    select(bookings.c.event_id, places.c.revision)
    .join(places, places.c.event_id == bookings.c.event_id)
    .join(events, events.c.event_id == bookings.c.event_id)
    .where(
        _this_booking,
        events.c.status == sql_literal("published"),
        events.c.deleted_at.is_(None),
        events.c.ends_at > now_parameter,
        places.c.taken < places.c.capacity,
    )
)
_RESERVE_PLACE = (
    update(places)
    .where(
        places.c.event_id == bindparam("this_event", type_=Uuid),
        places.c.taken < places.c.capacity,
        places.c.revision == bindparam("seen_revision", type_=Integer),
    )
    .values(place_counters(places.c.taken + 1))
)


def _confirm_statement(status: ColumnElement[str]) -> Insert:
    """Build a statement that confirms a booking with this status and records its domain event."""
    confirmed = (
        update(bookings)
        .where(_this_booking, bookings.c.status == status)
        .values(status="confirmed", version=bookings.c.version + 1, updated_at=now_parameter)
        .returning(bookings)
        .cte("confirmed")
    )
    reference = cast(bindparam("payment_reference", type_=Text), Text)
    return recording(
        BookingConfirmed,
        confirmed,
        subject=confirmed.c.event_id,
        now=now_parameter,
        payment_reference=reference,
    )


_CONFIRM = {status: _confirm_statement(sql_literal(status)) for status in ("pending", "expired")}


def confirm(connection: Connection, booking_id: UUID, payment_reference: str, now: datetime) -> None:
    """Confirm a pending booking. It must be locked."""
    connection.execute(_CONFIRM["pending"], _values(booking_id, payment_reference, now))


def _values(booking_id: UUID, payment_reference: str, now: datetime) -> dict[str, Any]:
    return {"this_booking": booking_id, "payment_reference": payment_reference, "now": now}


def reclaim(connection: Connection, booking_id: UUID, payment_reference: str, now: datetime) -> bool:
    """Confirm an expired booking if a place is left. Return whether it is confirmed.

    The lock order is that of a new booking: first the booking, with the unique index, then the counter of
    places. This may deadlock with a concurrent refund or dispute of this booking. PostgreSQL aborts one of
    the two, which is then retried.
    """
    # Retry if the host has changed the event between the read and the counter.
    for _ in range(5):
        event = connection.execute(_READ_EVENT, {"this_booking": booking_id, "now": now}).one_or_none()
        if event is None:
            return False
        if _reclaim_if_unchanged(
            connection, _values(booking_id, payment_reference, now), event.event_id, event.revision
        ):
            return True
    return False


def _reclaim_if_unchanged(
    connection: Connection, values: dict[str, Any], event_id: UUID, revision: int
) -> bool:
    savepoint = connection.begin_nested()
    try:
        connection.execute(_CONFIRM["expired"], values)
    except DBAPIError as error:
        savepoint.rollback()
        if violated(error) == "uq_bookings_live":  # the attendee has booked again
            return False
        raise
    reserved = connection.execute(_RESERVE_PLACE, {"this_event": event_id, "seen_revision": revision})
    if not reserved.rowcount:
        savepoint.rollback()
        return False
    savepoint.commit()
    return True
