"""Cancellation: cancel bookings and free their places."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    DateTime,
    Row,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.dml import Insert, Update

from chalicelib.bookings.models import booking_members, bookings, live
from chalicelib.bookings.queries import NoSuchBooking
from chalicelib.events.locks import EventStarted
from chalicelib.events.models import events, place_counters, places
from chalicelib.payments.models import payments
from chalicelib.platform.database.engine import check_version
from chalicelib.platform.database.listing import json_object
from chalicelib.platform.messaging.outbox import recording
from chalicelib.platform.security import Caller

CancellationReason = Literal[
    "attendee",
    "host",
    "event-cancelled",
    "event-deleted",
    "account-deleted",
    "refunded",
    "dispute-lost",
]
"""Why a booking ended, as the domain event tells it. The last two: its money went back by another way than ours."""

ATTENDEE_REASONS = frozenset({"attendee", "account-deleted"})
"""Who ends it so gets the money back until the time agreed; in all other cases it always goes back."""

REFUND_CHECK_AFTER = timedelta(minutes=10)
"""How long the domain event that a refund is due has for reaching the function that makes it."""

_LOCK_PLACES = (
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
    connection: Connection,
    caller: Caller,
    booking_id: UUID,
    *,
    expected: Collection[int] | None,
    now: datetime,
) -> None:
    """Give a place back, at once, and its money with it; one that was given back before stays so.

    Locks the event's places first, as all who lock both do, so that none waits for another in a ring.

    Raises:
        NoSuchBooking: Or it is of others.
        StaleVersion: It has changed since.
        EventStarted: Too late.
    """
    row = _read(connection, caller, booking_id)
    if row.status in {"cancelled", "expired"}:
        return
    connection.execute(_LOCK_PLACES, {"booking_id": booking_id})
    row = _read(connection, caller, booking_id)
    check_version(row.version, expected)
    if row.starts_at <= now:
        raise EventStarted
    cancel_booking(connection, booking_id, reason="host" if caller.role == "host" else "attendee", now=now)


def _read(connection: Connection, caller: Caller, booking_id: UUID) -> Row[Any]:
    row = connection.execute(_READ, {"booking_id": booking_id, "caller": caller.user_id}).one_or_none()
    if row is None:
        raise NoSuchBooking
    return row


def lock_places_of_booking(connection: Connection, booking_id: UUID) -> None:
    """Lock the places of a booking's event, as whoever ends a booking does before anything else."""
    connection.execute(_LOCK_PLACES, {"booking_id": booking_id})


def cancel_booking(
    connection: Connection, booking_id: UUID, *, reason: CancellationReason, now: datetime
) -> None:
    """End a booking, if it is live. Its event's places must be locked."""
    connection.execute(_CANCEL_ONE, {"this_booking": booking_id, "reason": reason, "now": now})
    connection.execute(_REFUND_ONE, refund_parameters(reason, now) | {"this_booking": booking_id})


def expire(connection: Connection, booking_id: UUID, now: datetime) -> None:
    """Free the place of a hold that has run out and is not to be paid any more; one that was paid stays.

    Its event's places must be locked.
    """
    connection.execute(_EXPIRE_ONE, {"this_booking": booking_id, "reason": "unpaid", "now": now})


def refund_late_payment(connection: Connection, booking_id: UUID, now: datetime) -> None:
    """Have what was paid for a booking that has ended already go back, all of it."""
    values = refund_parameters("late-payment", now) | {"this_booking": booking_id}
    connection.execute(_REFUND_ONE, values)


def cancel_bookings_of_events(
    connection: Connection, event_ids: Collection[UUID], reason: CancellationReason, now: datetime
) -> None:
    connection.execute(_CANCEL_OF_EVENTS, {"event_ids": event_ids, "reason": reason, "now": now})
    connection.execute(_REFUND_OF_EVENTS, refund_parameters(reason, now) | {"event_ids": event_ids})


def refund_parameters(reason: str, now: datetime) -> dict[str, Any]:
    return {
        "reason": reason,
        "always": reason not in ATTENDEE_REASONS,
        "now": now,
        "next_refund_check_at": now + REFUND_CHECK_AFTER,
    }


_now = bindparam("now", type_=DateTime(timezone=True))

_reason = bindparam("reason", type_=Text)


def _cancelling(*which: ColumnElement[bool], status: str = "cancelled") -> Update:
    """A statement that ends bookings, writes a domain event for each, and frees their places.

    The places must be locked before, in the order of event ids.
    """
    ended = (
        update(bookings)
        .where(*which)
        .values(status=status, cancellation_reason=_reason, version=bookings.c.version + 1, updated_at=_now)
        .returning(bookings)
        .cte("ended")
    )
    members = booking_members(ended)
    if status == "cancelled":
        members = (*members, "reason", cast(_reason, Text))
    body = func.json_strip_nulls(json_object(*members))
    domain_events = recording(f"booking-{status}", ended.c.event_id, body, _now).cte("domain_events")
    freed = (
        select(ended.c.event_id, func.sum(ended.c.quantity).label("places"))
        .group_by(ended.c.event_id)
        .subquery("freed")
    )
    return (
        update(places)
        .where(places.c.event_id == freed.c.event_id)
        .values(place_counters(places.c.taken - freed.c.places))
        .add_cte(domain_events)
    )


def _refunding(*which: ColumnElement[bool]) -> Insert:
    """A statement that settles the money of bookings that have just been ended, by this transaction.

    What is paid is due back, with a domain event for each, or kept where it was agreed so; what is not paid yet is to
    be called off at Stripe. A statement of its own, after the one that ended them: that one may have waited
    for a payment being noted, and would still see the ledger as it was before.
    """
    paid = payments.c.status == literal_column("'paid'")
    until = func.greatest(bookings.c.refund_until, func.coalesce(events.c.refund_until, events.c.starts_at))
    back = and_(paid, or_(bindparam("always", type_=Boolean), until > _now))
    next_refund_check_at = bindparam("next_refund_check_at", type_=DateTime(timezone=True))
    moved = (
        update(payments)
        .where(
            payments.c.booking_id == bookings.c.booking_id,
            bookings.c.event_id == events.c.event_id,
            bookings.c.status.in_([literal_column("'cancelled'"), literal_column("'expired'")]),
            payments.c.status.in_([literal_column("'paid'"), literal_column("'requires_payment'")]),
            payments.c.kept_at.is_(None),
            *which,
        )
        .values(
            status=case((back, literal_column("'refund_pending'")), else_=payments.c.status),
            refund_reason=case((back, _reason)),
            kept_at=case((and_(paid, ~back), _now)),
            open_until=case((paid, payments.c.open_until), else_=func.least(payments.c.open_until, _now)),
            next_check_at=case((back, next_refund_check_at), (~paid, _now)),
            updated_at=_now,
        )
        .returning(
            payments.c.booking_id,
            payments.c.status,
            payments.c.amount,
            payments.c.currency,
            bookings.c.event_id,
            bookings.c.user_id,
        )
        .cte("moved")
    )
    body = json_object(
        "bookingId",
        moved.c.booking_id,
        "userId",
        moved.c.user_id,
        "eventId",
        moved.c.event_id,
        "amount",
        moved.c.amount,
        "currency",
        moved.c.currency,
        "reason",
        cast(_reason, Text),
    )
    due = moved.c.status == literal_column("'refund_pending'")
    return recording("payment-refund-due", moved.c.event_id, body, _now, due)


_event_ids = bindparam("event_ids", type_=ARRAY(Uuid))

# Not `booking_id`: SQLAlchemy would take a parameter named like a column for a value to set.
_this = bookings.c.booking_id == bindparam("this_booking", type_=Uuid)

_of_events = bookings.c.event_id == any_(_event_ids)

_of_attendee = and_(bookings.c.user_id == bindparam("attendee", type_=Uuid), _of_events)

_CANCEL_ONE = _cancelling(live, _this)

_EXPIRE_ONE = _cancelling(
    bookings.c.status == literal_column("'pending'"), bookings.c.expires_at <= _now, _this, status="expired"
)

_CANCEL_OF_EVENTS = _cancelling(live, _of_events)

_CANCEL_OF_ATTENDEE = _cancelling(live, _of_attendee)

_REFUND_ONE = _refunding(_this)

_REFUND_OF_EVENTS = _refunding(_of_events)

_REFUND_OF_ATTENDEE = _refunding(_of_attendee)
