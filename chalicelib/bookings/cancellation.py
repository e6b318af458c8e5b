"""Cancel bookings and tickets or expire holds, and free their places. For refunds, see payments.cancellation.

Callers must lock the pools of the events or of the bookings first, see `lock_places` and `lock_places_of`.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    FromClause,
    Insert,
    Select,
    Text,
    Uuid,
    any_,
    bindparam,
    cast,
    func,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.dml import Update

from chalicelib.bookings.models import bookings, live, live_ticket, tickets
from chalicelib.bookings.tickets import with_tickets
from chalicelib.domain_events import (
    BookingCancelled,
    BookingDetails,
    BookingExpired,
    CancellationReason,
    TicketsCancelled,
)
from chalicelib.events.models import place_counters, places, pools
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
            quantity=0,
            cancellation_reason=_reason,
            version=bookings.c.version + 1,
            updated_at=now_parameter,
        )
        .returning(bookings)
        .cte("ended")
    )
    void = _void(ended)
    recorded = _record(ended, void, BookingExpired if expired else BookingCancelled)
    uses = (
        select(ended.c.code_id.label("pool_id"), func.count().label("freed"))
        .where(ended.c.code_id.is_not(None))
        .group_by(ended.c.code_id)
    )
    statement = _free_places(void, uses)
    return statement if silently else statement.add_cte(recorded.cte("recorded"))


def _void(ended: FromClause, *conditions: ColumnElement[bool]) -> CTE:
    """Cancel the live tickets of these bookings that meet the conditions."""
    return (
        update(tickets)
        .where(tickets.c.booking_id == ended.c.booking_id, live_ticket, *conditions)
        .values(
            status="cancelled",
            cancellation_reason=_reason,
            version=tickets.c.version + 1,
            updated_at=now_parameter,
        )
        .returning(tickets, ended.c.event_id)
        .cte("void")
    )


def _record(ended: FromClause, void: FromClause, event: type[BookingDetails]) -> Insert:
    """Record a domain event for each of these bookings, with the tickets that it has lost."""
    row = with_tickets(ended, void)
    reason = {} if event is BookingExpired else {"reason": cast(_reason, Text)}
    return recording(event, row, subject=row.c.event_id, now=now_parameter, **reason)


def _free_places(void: FromClause, *uses: Select[Any]) -> Update:
    """Free the places of cancelled tickets, and the uses of codes."""
    of_types = select(void.c.ticket_type_id.label("pool_id"), func.count().label("freed")).group_by(
        void.c.ticket_type_id
    )
    pooled = union_all(of_types, *uses).subquery("pooled")
    counted = (
        update(pools)
        .where(pools.c.pool_id == pooled.c.pool_id, pools.c.taken.is_not(None))
        .values(taken=pools.c.taken - pooled.c.freed)
        .cte("counted")
    )
    freed = select(void.c.event_id, func.count().label("places")).group_by(void.c.event_id).subquery("freed")
    return (
        update(places)
        .where(places.c.event_id == freed.c.event_id)
        .values(place_counters(places.c.taken - freed.c.places))
        .add_cte(counted)
    )


def _cancel_ticket_statement() -> Update:
    """Build a statement that cancels a ticket of a confirmed booking that has others, with a domain event."""
    this_ticket = tickets.c.ticket_id == bindparam("this_ticket", type_=Uuid)
    ended = (
        update(bookings)
        .where(_this_booking, bookings.c.status == sql_literal("confirmed"))
        .values(quantity=bookings.c.quantity - 1, version=bookings.c.version + 1, updated_at=now_parameter)
        .returning(bookings)
        .cte("ended")
    )
    void = _void(ended, this_ticket)
    return _free_places(void).add_cte(_record(ended, void, TicketsCancelled).cte("recorded"))


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
_has_used_ticket = (
    select(tickets.c.ticket_id)
    .where(tickets.c.booking_id == bookings.c.booking_id, tickets.c.status == sql_literal("used"))
    .exists()
)
_CANCEL_FOR_ATTENDEE = _cancel_statement(live, _of_attendee, _of_events, ~_has_used_ticket)
_LOCK_FOR_ATTENDEE = (
    select(bookings.c.booking_id)
    .where(live, _of_attendee, _of_events)
    .order_by(bookings.c.booking_id)
    .with_for_update(key_share=True)
)
_LOCK_TICKETS_FOR_ATTENDEE = (
    select(tickets.c.ticket_id)
    .join(bookings, bookings.c.booking_id == tickets.c.booking_id)
    .where(live, _of_attendee, _of_events)
    .order_by(tickets.c.ticket_id)
    .with_for_update(key_share=True, of=tickets)
)
_CANCEL_TICKET = _cancel_ticket_statement()


def cancel_ticket(
    connection: Connection, booking_id: UUID, ticket_id: UUID, *, reason: CancellationReason, now: datetime
) -> None:
    """Cancel one of several live tickets of a confirmed booking."""
    values = {"this_booking": booking_id, "this_ticket": ticket_id, "reason": reason, "now": now}
    connection.execute(_CANCEL_TICKET, values)


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


def lock_for_attendee(connection: Connection, attendee_id: UUID, event_ids: Collection[UUID]) -> None:
    """Lock an attendee's live bookings of these events and their tickets, against check-in."""
    values = {"attendee": attendee_id, "event_ids": event_ids}
    connection.execute(_LOCK_FOR_ATTENDEE, values)
    connection.execute(_LOCK_TICKETS_FOR_ATTENDEE, values)


def cancel_for_attendee(
    connection: Connection,
    attendee_id: UUID,
    event_ids: Collection[UUID],
    *,
    reason: CancellationReason,
    now: datetime,
) -> None:
    """Cancel an attendee's live bookings of these events, except for those with a used ticket."""
    values = {"attendee": attendee_id, "event_ids": event_ids, "reason": reason, "now": now}
    connection.execute(_CANCEL_FOR_ATTENDEE, values)
