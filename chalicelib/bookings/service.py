"""Bookings: taking a place, and finding who has one."""

import json
import time
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

from chalicelib import ids, metrics, tracing
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
from chalicelib.db import Database, Session, waited_for
from chalicelib.errors import (
    Conflict,
    IdempotencyKeyReused,
    NotFound,
    Refusal,
    RequestInProgress,
    Unavailable,
)
from chalicelib.events.finding import NoSuchEvent
from chalicelib.events.service import EventCancelled, EventEnded
from chalicelib.listing import Page, Slice
from chalicelib.security import Caller, InvalidToken
from chalicelib.tracing import RequestId


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
    """A place taken, now or by the first request with the same key."""

    booking: str
    """As JSON text."""
    booking_id: UUID
    held: bool
    """It is still to be paid."""
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
    so that it takes no session: see book_place_v3.sql.

    Raises:
        NoSuchEvent, EventCancelled, EventEnded, SaleNotStarted, SaleEnded, AlreadyBooked, SoldOut,
        InvalidToken, IdempotencyKeyReused, RequestInProgress: Nothing was changed.
        Unavailable: Nothing was changed, or it is not known whether; a retry with the key will tell.
    """
    booking_id = ids.new(now)
    hashed_key, fingerprint = key or (None, None)
    call = (
        f"CALL book_place_v3({_uuid(booking_id)}, {_uuid(event_id)}, {_uuid(caller.user_id)},"
        f" {caller.token_version:d}, {_uuid(hashed_key)}, {_uuid(fingerprint)}, '{now.isoformat()}',"
        f" {hold.total_seconds():.0f}, {FIRST_LOOK.total_seconds():.0f},"
        f" {_text(tracing.current())}, NULL, NULL)"
    )
    started = time.perf_counter()
    outcome = Unavailable.slug()
    try:
        outcome, booking = database.call(call)
    except Unavailable as unavailable:
        if not waited_for(unavailable.__cause__, "idempotency_keys"):
            raise
        outcome = RequestInProgress.slug()
        raise RequestInProgress(retry_after=1) from unavailable
    finally:
        took = (time.perf_counter() - started) * 1000
        metrics.put_all({"Bookings": (1, "Count"), "BookingLatency": (took, "Milliseconds")}, outcome=outcome)
    if outcome in REFUSALS:
        raise REFUSALS[outcome](retry_after=1 if outcome == "unavailable" else None)
    if outcome == "replayed":
        first = json.loads(booking)
        return Booked(booking, UUID(first["bookingId"]), held=first["status"] == "pending", replayed=True)
    return Booked(booking, booking_id, held=outcome == "held", replayed=False)


# SQL literals of types that cannot carry a quote; of any other type these fail.


def _uuid(value: UUID | None) -> str:
    return "NULL" if value is None else f"'{value.hex}'"


def _text(value: RequestId | None) -> str:
    if value is None:
        return "NULL"
    if not isinstance(value, RequestId):
        raise TypeError("not a request id")
    return f"'{value}'"


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
