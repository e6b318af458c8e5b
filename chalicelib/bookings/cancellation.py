"""Cancellation: cancel bookings or expire holds, and free their places.

The places must be locked before, in the order of event ids. Money is not returned here: see payments.cancellation.
"""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    Uuid,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.dml import Update

from chalicelib.bookings.models import bookings, live
from chalicelib.domain_events import BookingCancelled, BookingExpired, CancellationReason
from chalicelib.events.models import place_counters, places
from chalicelib.platform.database.columns import now_parameter
from chalicelib.platform.messaging.outbox import recording

_reason = bindparam("reason", type_=Text)


def _cancelling(*which: ColumnElement[bool], expired: bool = False) -> Update:
    """Build a statement that ends bookings, records a domain event for each, and frees their places."""
    ended = (
        update(bookings)
        .where(*which)
        .values(
            status="expired" if expired else "cancelled",
            cancellation_reason=_reason,
            version=bookings.c.version + 1,
            updated_at=now_parameter,
        )
        .returning(bookings)
        .cte("ended")
    )
    about = {"subject": ended.c.event_id, "now": now_parameter}
    recorded = (
        recording(BookingExpired, ended, **about)
        if expired
        else recording(BookingCancelled, ended, **about, reason=cast(_reason, Text))
    ).cte("recorded")
    freed = (
        select(ended.c.event_id, func.sum(ended.c.quantity).label("places"))
        .group_by(ended.c.event_id)
        .subquery("freed")
    )
    return (
        update(places)
        .where(places.c.event_id == freed.c.event_id)
        .values(place_counters(places.c.taken - freed.c.places))
        .add_cte(recorded)
    )


# The names differ from the columns': SQLAlchemy takes a parameter named like a column for a value to set.
_this_booking = bookings.c.booking_id == bindparam("this_booking", type_=Uuid)
_of_events = bookings.c.event_id == any_(bindparam("event_ids", type_=ARRAY(Uuid)))
_of_attendee = bookings.c.user_id == bindparam("attendee", type_=Uuid)
_expired = (bookings.c.status == literal_column("'pending'"), bookings.c.expires_at <= now_parameter)

_CANCEL_ONE = _cancelling(live, _this_booking)
_EXPIRE_ONE = _cancelling(*_expired, _this_booking, expired=True)
_CANCEL_OF_EVENTS = _cancelling(live, _of_events)
_CANCEL_OF_ATTENDEE = _cancelling(live, _of_attendee, _of_events)


def cancel_one(
    connection: Connection, booking_id: UUID, *, reason: CancellationReason, now: datetime
) -> None:
    """Cancel a booking if it is live."""
    connection.execute(_CANCEL_ONE, {"this_booking": booking_id, "reason": reason, "now": now})


def expire_one(connection: Connection, booking_id: UUID, now: datetime) -> None:
    """Expire a hold whose time is over. A booking that was paid stays."""
    connection.execute(_EXPIRE_ONE, {"this_booking": booking_id, "reason": "unpaid", "now": now})


def cancel_of_events(
    connection: Connection, event_ids: Collection[UUID], *, reason: CancellationReason, now: datetime
) -> None:
    """Cancel all live bookings of events."""
    connection.execute(_CANCEL_OF_EVENTS, {"event_ids": event_ids, "reason": reason, "now": now})


def cancel_of_attendee(
    connection: Connection,
    attendee_id: UUID,
    event_ids: Collection[UUID],
    *,
    reason: CancellationReason,
    now: datetime,
) -> None:
    """Cancel an attendee's live bookings of these events."""
    values = {"attendee": attendee_id, "event_ids": event_ids, "reason": reason, "now": now}
    connection.execute(_CANCEL_OF_ATTENDEE, values)
