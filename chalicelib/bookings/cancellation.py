"""Cancel bookings or expire holds, and free their places. For refunds, see payments.cancellation.

Callers must lock the places of the events first, in the order of event ids.
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
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.dml import Update

from chalicelib.bookings.models import bookings, live
from chalicelib.domain_events import BookingCancelled, BookingExpired, CancellationReason
from chalicelib.events.models import place_counters, places
from chalicelib.platform.database.columns import now_parameter, sql_literal
from chalicelib.platform.messaging.outbox import recording

_reason = bindparam("reason", type_=Text)

PAYMENT_REFUSED = "payment-refused"
"""Why a hold has expired: the payment service does not accept its amount or currency."""


def _cancel_statement(
    *conditions: ColumnElement[bool], expired: bool = False, silently: bool = False
) -> Update:
    """Build a statement that cancels or expires bookings, with a domain event for each unless `silently`."""
    ended = (
        update(bookings)
        .where(*conditions)
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
    statement = (
        update(places)
        .where(places.c.event_id == freed.c.event_id)
        .values(place_counters(places.c.taken - freed.c.places))
    )
    return statement if silently else statement.add_cte(recorded)


_this_booking = bookings.c.booking_id == bindparam("this_booking", type_=Uuid)
_of_events = bookings.c.event_id == any_(bindparam("event_ids", type_=ARRAY(Uuid)))
_of_attendee = bookings.c.user_id == bindparam("attendee", type_=Uuid)
_expired = (bookings.c.status == sql_literal("pending"), bookings.c.expires_at <= now_parameter)

_CANCEL_ONE = _cancel_statement(live, _this_booking)
_EXPIRE_ONE = _cancel_statement(*_expired, _this_booking, expired=True)
_EXPIRE_REFUSED = _cancel_statement(
    bookings.c.status == sql_literal("pending"), _this_booking, expired=True, silently=True
)
_CANCEL_FOR_EVENTS = _cancel_statement(live, _of_events)
_CANCEL_FOR_ATTENDEE = _cancel_statement(live, _of_attendee, _of_events)


def cancel_one(
    connection: Connection, booking_id: UUID, *, reason: CancellationReason, now: datetime
) -> None:
    """Cancel a booking if it is live."""
    connection.execute(_CANCEL_ONE, {"this_booking": booking_id, "reason": reason, "now": now})


def expire_one(connection: Connection, booking_id: UUID, now: datetime) -> None:
    """Expire a hold whose time is over. A paid booking stays."""
    connection.execute(_EXPIRE_ONE, {"this_booking": booking_id, "reason": "unpaid", "now": now})


def expire_refused(connection: Connection, booking_id: UUID, now: datetime) -> None:
    """Expire a hold that cannot be paid. Its attendee learns it from the response, so there is no e-mail."""
    connection.execute(_EXPIRE_REFUSED, {"this_booking": booking_id, "reason": PAYMENT_REFUSED, "now": now})


def cancel_for_events(
    connection: Connection, event_ids: Collection[UUID], *, reason: CancellationReason, now: datetime
) -> None:
    """Cancel all live bookings of these events."""
    connection.execute(_CANCEL_FOR_EVENTS, {"event_ids": event_ids, "reason": reason, "now": now})


def cancel_for_attendee(
    connection: Connection,
    attendee_id: UUID,
    event_ids: Collection[UUID],
    *,
    reason: CancellationReason,
    now: datetime,
) -> None:
    """Cancel an attendee's live bookings of these events."""
    values = {"attendee": attendee_id, "event_ids": event_ids, "reason": reason, "now": now}
    connection.execute(_CANCEL_FOR_ATTENDEE, values)
