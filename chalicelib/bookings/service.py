"""Bookings: taking a place, giving it back, finding."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Row,
    Text,
    Update,
    Uuid,
    any_,
    bindparam,
    cast,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from chalicelib import ids
from chalicelib.bookings.models import (
    ATTENDEES_BOOKINGS,
    HOSTS_BOOKINGS,
    Status,
    attendees_booking_json,
    booking_members,
    booking_rows,
    bookings,
    hosts_booking_json,
    live,
)
from chalicelib.db import Database, Session, check_version
from chalicelib.errors import Conflict, IdempotencyKeyReused, NotFound, Refusal, Unavailable
from chalicelib.events.finding import NoSuchEvent
from chalicelib.events.models import events, places
from chalicelib.events.service import EventCancelled, EventEnded, EventStarted
from chalicelib.listing import Page, Slice
from chalicelib.outbox import outbox
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
    now: datetime,
) -> Booked:
    """Take one place, durably, by the one path there is; `key` is of the Idempotency-Key.

    One round trip, and a transaction of its own, so that it takes no session: see book_place_v1.sql.

    Raises:
        NoSuchEvent, EventCancelled, EventEnded, SaleNotStarted, SaleEnded, AlreadyBooked, SoldOut,
        InvalidToken, IdempotencyKeyReused: Nothing was changed.
        Unavailable: Nothing was changed, or it is not known whether; a retry with the key will tell.
    """
    hashed_key, fingerprint = key or (None, None)
    outcome, booking = database.call(
        "CALL book_place_v1("
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


_row = booking_rows.subquery("booking")
_this = _row.c.booking_id == bindparam("booking_id", type_=Uuid)
_GET_AS_ATTENDEE = select(cast(attendees_booking_json(_row), Text), _row.c.version).where(
    _this, _row.c.user_id == bindparam("caller", type_=Uuid)
)
_GET_AS_HOST = select(cast(hosts_booking_json(_row), Text), _row.c.version).where(
    _this, _row.c.host_id == bindparam("caller", type_=Uuid)
)


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


Ender = Literal["attendee", "host", "event-cancelled", "event-deleted", "account-deleted"]
"""Why a booking ended, as the fact tells it."""

_LOCK_ITS_PLACES = (
    select(places.c.event_id)
    .where(
        places.c.event_id
        == select(bookings.c.event_id)
        .where(bookings.c.booking_id == bindparam("booking_id", type_=Uuid))
        .scalar_subquery()
    )
    .with_for_update()
)
_READ = (
    select(bookings, events.c.starts_at)
    .join(events, events.c.event_id == bookings.c.event_id)
    .where(
        bookings.c.booking_id == bindparam("booking_id", type_=Uuid),
        or_(
            bookings.c.user_id == bindparam("caller", type_=Uuid),
            bookings.c.host_id == bindparam("caller", type_=Uuid),
        ),
    )
)


def cancel(
    session: Session,
    caller: Caller,
    booking_id: UUID,
    *,
    expected: Collection[int] | None,
    now: datetime,
) -> None:
    """Give a place back, at once; one that was given back before stays so.

    Locks the event's places first, as all who lock both do, so that none waits for another in a ring.

    Raises:
        NoSuchBooking: Or it is of others.
        StaleVersion: It has changed since.
        EventStarted: Too late.
    """
    row = _read(session, caller, booking_id)
    if row.status in {"cancelled", "expired"}:
        return
    session.execute(_LOCK_ITS_PLACES, {"booking_id": booking_id})
    row = _read(session, caller, booking_id)
    check_version(row.version, expected)
    if row.starts_at <= now:
        raise EventStarted
    reason: Ender = "host" if caller.role == "host" else "attendee"
    session.execute(END_ONE, {"this_booking": booking_id, "reason": reason, "now": now})


def _read(session: Session, caller: Caller, booking_id: UUID) -> Row[Any]:
    row = session.execute(_READ, {"booking_id": booking_id, "caller": caller.user_id}).one_or_none()
    if row is None:
        raise NoSuchBooking
    return row


def _end(*which: ColumnElement[bool]) -> Update:
    """A statement that ends live bookings, writes a fact for each, and frees their places.

    The places must be locked before, in the order of event ids.
    """
    now = bindparam("now", type_=DateTime(timezone=True))
    reason = bindparam("reason", type_=Text)
    ended = (
        update(bookings)
        .where(live, *which)
        .values(status="cancelled", end_reason=reason, version=bookings.c.version + 1, updated_at=now)
        .returning(bookings)
        .cte("ended")
    )
    body = func.json_strip_nulls(
        func.json_build_object(*booking_members(ended), "reason", cast(reason, Text))
    )
    facts = (
        insert(outbox)
        .from_select(
            ["fact_id", "type", "subject", "occurred_at", "body"],
            select(func.uuidv7(), literal_column("'booking-cancelled'"), ended.c.event_id, now, body),
        )
        .cte("facts")
    )
    freed = (
        select(ended.c.event_id, func.sum(ended.c.quantity).label("places"))
        .group_by(ended.c.event_id)
        .subquery("freed")
    )
    return (
        update(places)
        .where(places.c.event_id == freed.c.event_id)
        .values(taken=places.c.taken - freed.c.places)
        .add_cte(facts)
    )


_event_ids = bindparam("event_ids", type_=ARRAY(Uuid))
# Not `booking_id`: SQLAlchemy would take a parameter named like a column for a value to set.
END_ONE = _end(bookings.c.booking_id == bindparam("this_booking", type_=Uuid))
END_OF_EVENTS = _end(bookings.c.event_id == any_(_event_ids))
END_OF_ATTENDEE = _end(
    bookings.c.user_id == bindparam("attendee", type_=Uuid),
    bookings.c.event_id == any_(_event_ids),
)
