"""What ends bookings: cancelling, a hold that runs out, an event called off, an account closed."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
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

from chalicelib.bookings.ledger import payments
from chalicelib.bookings.models import booking_members, bookings, live
from chalicelib.bookings.service import NoSuchBooking
from chalicelib.db import Session, check_version
from chalicelib.events import service as events_service
from chalicelib.events.models import counted, events, places
from chalicelib.events.service import EventStarted, lock_places
from chalicelib.listing import json_object
from chalicelib.outbox import recording
from chalicelib.security import Caller
from chalicelib.users import service as users_service

Ender = Literal[
    "attendee",
    "host",
    "event-cancelled",
    "event-deleted",
    "account-deleted",
    "refunded",
    "dispute-lost",
]
"""Why a booking ended, as the fact tells it. The last two: its money went back by another way than ours."""

BY_THE_ATTENDEE = frozenset({"attendee", "account-deleted"})
"""Who ends it so gets the money back until the time agreed; in all other cases it always goes back."""

REFUND_PATIENCE = timedelta(minutes=10)
"""How long the fact that a refund is due has for reaching the function that makes it."""

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
    """Give a place back, at once, and its money with it; one that was given back before stays so.

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
    end(session, booking_id, reason="host" if caller.role == "host" else "attendee", now=now)


def _read(session: Session, caller: Caller, booking_id: UUID) -> Row[Any]:
    row = session.execute(_READ, {"booking_id": booking_id, "caller": caller.user_id}).one_or_none()
    if row is None:
        raise NoSuchBooking
    return row


def lock_its_places(session: Session, booking_id: UUID) -> None:
    """Lock the places of a booking's event, as whoever ends a booking does before anything else."""
    session.execute(_LOCK_ITS_PLACES, {"booking_id": booking_id})


def end(session: Session, booking_id: UUID, *, reason: Ender, now: datetime) -> None:
    """End a booking, if it is live. Its event's places must be locked."""
    session.execute(_END_ONE, {"this_booking": booking_id, "reason": reason, "now": now})
    session.execute(_BACK_FOR_ONE, _money_back(reason, now) | {"this_booking": booking_id})


def expire(session: Session, booking_id: UUID, now: datetime) -> None:
    """Free the place of a hold that has run out and is not to be paid any more; one that was paid stays.

    Its event's places must be locked.
    """
    session.execute(_EXPIRE_ONE, {"this_booking": booking_id, "reason": "unpaid", "now": now})


def return_late_money(session: Session, booking_id: UUID, now: datetime) -> None:
    """Have what was paid for a booking that has ended already go back, all of it."""
    values = _money_back("late-payment", now) | {"this_booking": booking_id}
    session.execute(_BACK_FOR_ONE, values)


def call_off_event(
    session: Session,
    host_id: UUID,
    event_id: UUID,
    *,
    how: Literal["cancelled", "deleted"],
    expected: Collection[int] | None,
    now: datetime,
) -> None:
    """Cancel or delete an event and end its bookings, in one transaction.

    Raises:
        As `events.service.call_off`.
    """
    if events_service.call_off(session, host_id, event_id, how=how, expected=expected, now=now):
        reason: Ender = "event-cancelled" if how == "cancelled" else "event-deleted"
        _end_all_of_events(session, [event_id], reason, now)


def close_account(
    session: Session, caller: Caller, *, expected: Collection[int] | None, now: datetime
) -> None:
    """Delete an account: call off what it hosts, release what it booked, erase who it was.

    Past events and bookings stay, as the ledger, without the name. The caller's credentials must be
    locked for update, so that nothing is made for the account meanwhile.

    Raises:
        StaleVersion: The profile has changed since.
    """
    users_service.check_profile_version(session, caller.user_id, expected, goes=True)
    if caller.role == "host":
        cancelled = events_service.call_off_all(session, caller.user_id, now)
        _end_all_of_events(session, cancelled, "event-cancelled", now)
    else:
        booked = session.scalars(
            select(bookings.c.event_id)
            .join(events, events.c.event_id == bookings.c.event_id)
            .where(bookings.c.user_id == caller.user_id, live, events.c.starts_at > now)
        ).all()
        lock_places(session, booked)
        reason: Ender = "account-deleted"
        its = {"attendee": caller.user_id, "event_ids": booked}
        session.execute(_END_OF_ATTENDEE, its | {"reason": reason, "now": now})
        session.execute(_BACK_FOR_ATTENDEE, its | _money_back(reason, now))
    users_service.erase(session, caller.user_id, now)


def _end_all_of_events(session: Session, event_ids: Collection[UUID], reason: Ender, now: datetime) -> None:
    session.execute(_END_OF_EVENTS, {"event_ids": event_ids, "reason": reason, "now": now})
    session.execute(_BACK_FOR_EVENTS, _money_back(reason, now) | {"event_ids": event_ids})


def _money_back(reason: str, now: datetime) -> dict[str, Any]:
    return {
        "reason": reason,
        "always": reason not in BY_THE_ATTENDEE,
        "now": now,
        "refund_look_at": now + REFUND_PATIENCE,
    }


_now = bindparam("now", type_=DateTime(timezone=True))
_reason = bindparam("reason", type_=Text)


def _end(*which: ColumnElement[bool], status: str = "cancelled") -> Update:
    """A statement that ends bookings, writes a fact for each, and frees their places.

    The places must be locked before, in the order of event ids.
    """
    ended = (
        update(bookings)
        .where(*which)
        .values(status=status, end_reason=_reason, version=bookings.c.version + 1, updated_at=_now)
        .returning(bookings)
        .cte("ended")
    )
    members = booking_members(ended)
    if status == "cancelled":
        members = (*members, "reason", cast(_reason, Text))
    body = func.json_strip_nulls(json_object(*members))
    facts = recording(f"booking-{status}", ended.c.event_id, body, _now).cte("facts")
    freed = (
        select(ended.c.event_id, func.sum(ended.c.quantity).label("places"))
        .group_by(ended.c.event_id)
        .subquery("freed")
    )
    return (
        update(places)
        .where(places.c.event_id == freed.c.event_id)
        .values(counted(places.c.taken - freed.c.places))
        .add_cte(facts)
    )


def _back(*which: ColumnElement[bool]) -> Insert:
    """A statement that settles the money of bookings that have just been ended, by this transaction.

    What is paid is due back, with a fact for each, or kept where it was agreed so; what is not paid yet is to
    be called off at Stripe. A statement of its own, after the one that ended them: that one may have waited
    for a payment being noted, and would still see the ledger as it was before.
    """
    paid = payments.c.status == literal_column("'paid'")
    until = func.greatest(bookings.c.refund_until, func.coalesce(events.c.refund_until, events.c.starts_at))
    back = and_(paid, or_(bindparam("always", type_=Boolean), until > _now))
    refund_look_at = bindparam("refund_look_at", type_=DateTime(timezone=True))
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
            next_look_at=case((back, refund_look_at), (~paid, _now)),
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

_END_ONE = _end(live, _this)
_EXPIRE_ONE = _end(
    bookings.c.status == literal_column("'pending'"), bookings.c.expires_at <= _now, _this, status="expired"
)
_END_OF_EVENTS = _end(live, _of_events)
_END_OF_ATTENDEE = _end(live, _of_attendee)

_BACK_FOR_ONE = _back(_this)
_BACK_FOR_EVENTS = _back(_of_events)
_BACK_FOR_ATTENDEE = _back(_of_attendee)
