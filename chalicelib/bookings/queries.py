"""Read bookings: one, a page of them, or an open hold."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Connection,
    DateTime,
    Text,
    Uuid,
    bindparam,
    cast,
    literal_column,
    select,
)

from chalicelib.bookings.models import (
    ATTENDEE_BOOKINGS,
    HOST_BOOKINGS,
    Status,
    attendee_booking_json,
    booking_rows,
    bookings,
    held_booking_json,
    host_booking_json,
)
from chalicelib.platform.database.listing import Page, PageRequest
from chalicelib.platform.errors import NotFound
from chalicelib.platform.security import Caller


class NoSuchBooking(NotFound):
    """No such booking, or not yours to see."""


_HOLD = select(bookings.c.booking_id).where(
    bookings.c.event_id == bindparam("event_id", type_=Uuid),
    bookings.c.user_id == bindparam("caller", type_=Uuid),
    bookings.c.status == literal_column("'pending'"),
    bookings.c.expires_at > bindparam("now", type_=DateTime(timezone=True)),
)


def find_hold(connection: Connection, caller: Caller, event_id: UUID, now: datetime) -> UUID | None:
    """The booking by which somebody holds a place at an event that is still to be paid."""
    found: UUID | None = connection.scalar(
        _HOLD, {"event_id": event_id, "caller": caller.user_id, "now": now}
    )
    return found


_row = booking_rows.subquery("booking")

_this = _row.c.booking_id == bindparam("booking_id", type_=Uuid)

_GET_AS_ATTENDEE = select(cast(attendee_booking_json(_row), Text), _row.c.version).where(
    _this, _row.c.user_id == bindparam("caller", type_=Uuid)
)

_GET_AS_HOST = select(cast(host_booking_json(_row), Text), _row.c.version).where(
    _this, _row.c.host_id == bindparam("caller", type_=Uuid)
)


_GET_HOLD = select(cast(held_booking_json(_row), Text), _row.c.version).where(
    _this, _row.c.user_id == bindparam("caller", type_=Uuid)
)


def get_hold(connection: Connection, caller: Caller, booking_id: UUID) -> tuple[str, int]:
    """One's own booking with its payment but without its event, as JSON text, and its version.

    Raises:
        NoSuchBooking: Or it is of others.
    """
    row = connection.execute(_GET_HOLD, {"booking_id": booking_id, "caller": caller.user_id}).one_or_none()
    if row is None:
        raise NoSuchBooking
    return row[0], row[1]


def get(connection: Connection, caller: Caller, booking_id: UUID, now: datetime) -> tuple[str, int]:
    """A booking as its attendee or the event's host sees it, as JSON text, and its version.

    Raises:
        NoSuchBooking: Or it is of others.
    """
    query = _GET_AS_HOST if caller.role == "host" else _GET_AS_ATTENDEE
    row = connection.execute(
        query, {"booking_id": booking_id, "caller": caller.user_id, "now": now}
    ).one_or_none()
    if row is None:
        raise NoSuchBooking
    return row[0], row[1]


def list_bookings(
    connection: Connection,
    caller: Caller,
    *,
    page: PageRequest,
    event_id: UUID | None,
    status: Status | None,
    now: datetime,
) -> Page:
    """List an attendee's own bookings, or those of a host's events."""
    listing = HOST_BOOKINGS if caller.role == "host" else ATTENDEE_BOOKINGS
    values: dict[str, Any] = {caller.role: caller.user_id}
    if event_id is not None:
        values["event"] = event_id
    if status is not None:
        values["status"] = status
    return listing.fetch(connection, page, list(values), {**values, "now": now})
