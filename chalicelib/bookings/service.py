"""Bookings: taking a place, and finding who has one."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    DateTime,
    Text,
    Uuid,
    bindparam,
    cast,
    literal_column,
    select,
)

from chalicelib import ids
from chalicelib.bookings.models import (
    ATTENDEES_BOOKINGS,
    HOSTS_BOOKINGS,
    Status,
    attendees_booking_json,
    booking_rows,
    bookings,
    held_booking_json,
    hosts_booking_json,
)
from chalicelib.db import Database, Session
from chalicelib.errors import Conflict, IdempotencyKeyReused, NotFound, Refusal, Unavailable
from chalicelib.events.finding import NoSuchEvent
from chalicelib.events.service import EventCancelled, EventEnded
from chalicelib.listing import Page, Slice
from chalicelib.security import Caller, InvalidToken


class AlreadyBooked(Conflict):
    """You have a place at this event already."""


class SoldOut(Conflict):
    """No places left."""


class SaleNotStarted(Conflict):
    """The sale has not started."""


class SaleEnded(Conflict):
    """The sale has ended."""


class NoSuchBooking(NotFound):
    """No such booking, or not yours to see."""


REFUSALS: dict[str, type[Refusal]] = {
    refusal.slug(): refusal
    for refusal in (
        NoSuchEvent,
        EventCancelled,
        EventEnded,
        SaleNotStarted,
        SaleEnded,
        AlreadyBooked,
        SoldOut,
        InvalidToken,
        IdempotencyKeyReused,
        Unavailable,
    )
}
"""What the booking procedure may answer instead of a booking."""


FIRST_LOOK = timedelta(minutes=5)
"""After which it is asked at Stripe whether a hold was paid, had nobody told by then."""


@dataclass(frozen=True)
class Booked:
    """A place taken, now or by the first request with the same key; JSON text."""

    booking: str
    replayed: bool


def book(
    database: Database,
    caller: Caller,
    event_id: UUID,
    *,
    key: tuple[UUID, UUID] | None,
    hold: timedelta,
    now: datetime,
) -> Booked:
    """Take one place, durably, by the one path there is; `key` is of the Idempotency-Key.

    One that costs something is pending for the time of a hold. One round trip, and a transaction of its own,
    so that it takes no session: see book_place_v2.sql.

    Raises:
        NoSuchEvent, EventCancelled, EventEnded, SaleNotStarted, SaleEnded, AlreadyBooked, SoldOut,
        InvalidToken, IdempotencyKeyReused: Nothing was changed.
        Unavailable: Nothing was changed, or it is not known whether; a retry with the key will tell.
    """
    hashed_key, fingerprint = key or (None, None)
    outcome, booking = database.call(
        "CALL book_place_v2("
        + ", ".join(
            map(
                _literal,
                (
                    ids.new(now),
                    event_id,
                    caller.user_id,
                    caller.token_version,
                    hashed_key,
                    fingerprint,
                    ids.new(now),
                    now,
                    now + hold,
                    now + FIRST_LOOK,
                    None,
                    None,
                ),
            )
        )
        + ")"
    )
    if outcome in REFUSALS:
        raise REFUSALS[outcome](retry_after=1 if outcome == "unavailable" else None)
    return Booked(booking, replayed=outcome == "replayed")


def _literal(value: UUID | int | datetime | None) -> str:
    """Render a SQL literal of a type that cannot carry a quote."""
    match value:
        case None:
            return "NULL"
        case UUID():
            return f"'{value}'"
        case int():
            return str(value)
        case datetime():
            return f"'{value.isoformat()}'"


_HOLD = select(bookings.c.booking_id).where(
    bookings.c.event_id == bindparam("event_id", type_=Uuid),
    bookings.c.user_id == bindparam("caller", type_=Uuid),
    bookings.c.status == literal_column("'pending'"),
    bookings.c.expires_at > bindparam("now", type_=DateTime(timezone=True)),
)


def find_hold(session: Session, caller: Caller, event_id: UUID, now: datetime) -> UUID | None:
    """The booking by which somebody holds a place at an event that is still to be paid."""
    found: UUID | None = session.scalar(_HOLD, {"event_id": event_id, "caller": caller.user_id, "now": now})
    return found


_row = booking_rows.subquery("booking")
_this = _row.c.booking_id == bindparam("booking_id", type_=Uuid)
_GET_AS_ATTENDEE = select(cast(attendees_booking_json(_row), Text), _row.c.version).where(
    _this, _row.c.user_id == bindparam("caller", type_=Uuid)
)
_GET_AS_HOST = select(cast(hosts_booking_json(_row), Text), _row.c.version).where(
    _this, _row.c.host_id == bindparam("caller", type_=Uuid)
)


_GET_HOLD = select(cast(held_booking_json(_row), Text), _row.c.version).where(
    _this, _row.c.user_id == bindparam("caller", type_=Uuid)
)


def get_hold(session: Session, caller: Caller, booking_id: UUID) -> tuple[str, int]:
    """One's own booking with its payment but without its event, as JSON text, and its version.

    Raises:
        NoSuchBooking: Or it is of others.
    """
    row = session.execute(_GET_HOLD, {"booking_id": booking_id, "caller": caller.user_id}).one_or_none()
    if row is None:
        raise NoSuchBooking
    return row[0], row[1]


def get(session: Session, caller: Caller, booking_id: UUID, now: datetime) -> tuple[str, int]:
    """A booking as its attendee or the event's host sees it, as JSON text, and its version.

    Raises:
        NoSuchBooking: Or it is of others.
    """
    query = _GET_AS_HOST if caller.role == "host" else _GET_AS_ATTENDEE
    row = session.execute(
        query, {"booking_id": booking_id, "caller": caller.user_id, "now": now}
    ).one_or_none()
    if row is None:
        raise NoSuchBooking
    return row[0], row[1]


def list_bookings(
    session: Session,
    caller: Caller,
    *,
    page: Page,
    event_id: UUID | None,
    status: Status | None,
    now: datetime,
) -> Slice:
    """List an attendee's own bookings, or those of a host's events."""
    listing = HOSTS_BOOKINGS if caller.role == "host" else ATTENDEES_BOOKINGS
    values: dict[str, Any] = {caller.role: caller.user_id}
    if event_id is not None:
        values["event"] = event_id
    if status is not None:
        values["status"] = status
    return listing.fetch(session, page, list(values), {**values, "now": now})
