"""Holds: what becomes of a place that is kept until it is paid."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Insert,
    Integer,
    Row,
    Uuid,
    bindparam,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

from chalicelib.bookings.models import booking_members, bookings
from chalicelib.events.models import events, place_counters, places
from chalicelib.payments.models import payments
from chalicelib.platform.database.engine import violated
from chalicelib.platform.database.listing import json_object
from chalicelib.platform.messaging.outbox import recording

_now = bindparam("now", type_=DateTime(timezone=True))
# Not `booking_id`: SQLAlchemy would take a parameter named like a column for a value to set.
_this = bookings.c.booking_id == bindparam("this_booking", type_=Uuid)


def lock(connection: Connection, booking_id: UUID) -> Row[Any]:
    """Lock a booking and its row in the ledger, in this order, and read both."""
    connection.execute(_LOCK, {"this_booking": booking_id})
    return connection.execute(_READ, {"this_booking": booking_id}).one()


_LOCK = select(bookings.c.booking_id).where(_this).with_for_update(key_share=True)
_READ = (
    select(
        payments,
        bookings.c.user_id,
        bookings.c.event_id,
        bookings.c.host_id,
        bookings.c.status.label("booking_status"),
        bookings.c.expires_at,
    )
    .join(bookings, bookings.c.booking_id == payments.c.booking_id)
    .where(_this)
    .with_for_update(key_share=True, of=payments)
)


def confirm(connection: Connection, booking_id: UUID, now: datetime) -> None:
    """Make a pending booking, which the caller has locked, a confirmed one, and tell of it."""
    connection.execute(_CONFIRM["pending"], {"this_booking": booking_id, "now": now})


def reclaim(connection: Connection, booking_id: UUID, now: datetime) -> bool:
    """Confirm a booking whose hold has run out, if a place is left; say whether.

    Goes the way of a new booking: the row first, under the unique index, the counter last, under the
    conditions that a place is left and the event is as it was looked at. Whoever ends bookings locks the
    counter first, and sees then that this one is not live; so neither waits for the other in a ring. (Who is
    told of a refund or a dispute of this very booking at the same moment may; PostgreSQL then has one of them
    come again.)
    """
    # Again where the host has changed the event between the look and the counter.
    for _ in range(5):
        checked = connection.execute(_READ_EVENT, {"this_booking": booking_id, "now": now}).one_or_none()
        if checked is None:
            return False
        if _reclaim_if_unchanged(connection, booking_id, checked.event_id, checked.revision, now):
            return True
    return False


def _reclaim_if_unchanged(
    connection: Connection, booking_id: UUID, event_id: UUID, revision: int, now: datetime
) -> bool:
    part = connection.begin_nested()
    try:
        connection.execute(_CONFIRM["expired"], {"this_booking": booking_id, "now": now})
    except DBAPIError as error:
        part.rollback()
        if violated(error) == "uq_bookings_live":  # they have another place at the event by now
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
        events.c.ends_at > _now,
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
    """A statement that confirms a booking of a status, and writes the domain event with what it was paid by."""
    confirmed = (
        update(bookings)
        .where(_this, bookings.c.status == status)
        .values(status="confirmed", version=bookings.c.version + 1, updated_at=_now)
        .returning(bookings)
        .cte("confirmed")
    )
    reference = (
        select(payments.c.intent_id).where(payments.c.booking_id == confirmed.c.booking_id).scalar_subquery()
    )
    body = func.json_strip_nulls(json_object(*booking_members(confirmed), "paymentReference", reference))
    return recording("booking-confirmed", confirmed.c.event_id, body, _now)


_CONFIRM = {status: _confirming(literal_column(f"'{status}'")) for status in ("pending", "expired")}
