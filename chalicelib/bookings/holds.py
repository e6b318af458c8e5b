"""Holds: confirm a booking whose payment has arrived, in time or late."""

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
    literal_column,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

from chalicelib.bookings.models import bookings
from chalicelib.domain_events import BookingConfirmed
from chalicelib.events.models import events, place_counters, places
from chalicelib.platform.database.columns import now_parameter
from chalicelib.platform.database.engine import violated
from chalicelib.platform.messaging.outbox import recording

# The name differs from the column's: SQLAlchemy takes a parameter named like a column for a value to set.
_this = bookings.c.booking_id == bindparam("this_booking", type_=Uuid)


def confirm(connection: Connection, booking_id: UUID, payment_reference: str, now: datetime) -> None:
    """Confirm a pending booking that is locked, and record it."""
    connection.execute(_CONFIRM["pending"], _values(booking_id, payment_reference, now))


def _values(booking_id: UUID, payment_reference: str, now: datetime) -> dict[str, Any]:
    return {"this_booking": booking_id, "payment_reference": payment_reference, "now": now}


def reclaim(connection: Connection, booking_id: UUID, payment_reference: str, now: datetime) -> bool:
    """Confirm an expired booking if a place is left; return whether it is confirmed.

    Locks in the order of a new booking: the booking, under the unique index, then the counter, on condition that a
    place is left and the event is unchanged. May deadlock with a concurrent refund or dispute of this booking;
    PostgreSQL ends one of the two, which is then retried.
    """
    # Retry if the host has changed the event between the read and the counter.
    for _ in range(5):
        checked = connection.execute(_READ_EVENT, {"this_booking": booking_id, "now": now}).one_or_none()
        if checked is None:
            return False
        if _reclaim_if_unchanged(
            connection, _values(booking_id, payment_reference, now), checked.event_id, checked.revision
        ):
            return True
    return False


def _reclaim_if_unchanged(
    connection: Connection, values: dict[str, Any], event_id: UUID, revision: int
) -> bool:
    part = connection.begin_nested()
    try:
        connection.execute(_CONFIRM["expired"], values)
    except DBAPIError as error:
        part.rollback()
        if violated(error) == "uq_bookings_live":  # the attendee has another booking of the event by now
            return False
        raise
    taken = connection.execute(_TAKE_PLACE, {"this_event": event_id, "seen_revision": revision})
    if not taken.rowcount:
        part.rollback()
        return False
    part.commit()
    return True


_READ_EVENT = (
    select(bookings.c.event_id, places.c.revision)
    .join(places, places.c.event_id == bookings.c.event_id)
    .join(events, events.c.event_id == bookings.c.event_id)
    .where(
        _this,
        events.c.status == literal_column("'published'"),
        events.c.deleted_at.is_(None),
        events.c.ends_at > now_parameter,
        places.c.taken < places.c.capacity,
    )
)
_TAKE_PLACE = (
    update(places)
    .where(
        places.c.event_id == bindparam("this_event", type_=Uuid),
        places.c.taken < places.c.capacity,
        places.c.revision == bindparam("seen_revision", type_=Integer),
    )
    .values(place_counters(places.c.taken + 1))
)


def _confirming(status: ColumnElement[str]) -> Insert:
    """Build a statement that confirms a booking of a status and records it with the reference of its payment."""
    confirmed = (
        update(bookings)
        .where(_this, bookings.c.status == status)
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


_CONFIRM = {status: _confirming(literal_column(f"'{status}'")) for status in ("pending", "expired")}
