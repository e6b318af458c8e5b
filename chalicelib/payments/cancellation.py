"""Cancel bookings, tickets, events and accounts, and request the refunds."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, Row, Uuid, bindparam, or_, select

from chalicelib.bookings import cancellation, holders
from chalicelib.bookings.models import bookings, live, tickets
from chalicelib.bookings.queries import NoSuchBooking
from chalicelib.bookings.ticket_locks import lock_ticket, require_unused
from chalicelib.bookings.tickets import BookingUnpaid, NoSuchTicket, TicketUsed
from chalicelib.domain_events import CancellationReason
from chalicelib.events import cancellation as event_cancellation
from chalicelib.events.locks import EventStarted, lock_places
from chalicelib.events.models import events
from chalicelib.payments import refund_requests
from chalicelib.payments.locks import lock_booking_only, lock_places_of
from chalicelib.platform.database.engine import check_version
from chalicelib.platform.security import Caller
from chalicelib.users import deletion, profile

_is_of_caller = or_(
    bookings.c.user_id == bindparam("caller", type_=Uuid),
    bookings.c.host_id == bindparam("caller", type_=Uuid),
)
_READ = (
    select(bookings, events.c.starts_at)
    .join(events, events.c.event_id == bookings.c.event_id)
    .where(bookings.c.booking_id == bindparam("booking_id", type_=Uuid), _is_of_caller)
)
_READ_TICKET = (
    select(
        bookings,
        events.c.starts_at,
        tickets.c.status.label("ticket_status"),
        tickets.c.version.label("ticket_version"),
    )
    .join(events, events.c.event_id == bookings.c.event_id)
    .join(tickets, tickets.c.booking_id == bookings.c.booking_id)
    .where(tickets.c.ticket_id == bindparam("ticket_id", type_=Uuid), _is_of_caller)
)


def cancel_booking(
    connection: Connection,
    caller: Caller,
    booking_id: UUID,
    *,
    expected: Collection[int] | None,
    now: datetime,
) -> None:
    """Cancel a booking as its attendee or as the event's host, and request its refund. Idempotent.

    Raises:
        NoSuchBooking: It does not exist or belongs to others.
        StaleVersion: It has changed since.
        EventStarted: The event has started.
        TicketUsed: One of its tickets is used.
    """
    row = _read(connection, caller, booking_id)
    if row.status in {"cancelled", "expired"}:
        return
    lock_places_of(connection, booking_id)
    row = _read(connection, caller, booking_id)
    check_version(row.version, expected)
    if row.starts_at <= now:
        raise EventStarted
    lock_booking_only(connection, booking_id)
    require_unused(connection, booking_id)
    is_host = row.host_id == caller.user_id
    cancel_and_refund(connection, booking_id, reason="host" if is_host else "attendee", now=now)


def _read(connection: Connection, caller: Caller, booking_id: UUID) -> Row[Any]:
    row = connection.execute(_READ, {"booking_id": booking_id, "caller": caller.user_id}).one_or_none()
    if row is None:
        raise NoSuchBooking
    return row


def cancel_ticket(
    connection: Connection,
    caller: Caller,
    ticket_id: UUID,
    *,
    expected: Collection[int] | None,
    now: datetime,
) -> None:
    """Cancel a ticket as its booker or as the event's host, and request its refund. Idempotent.

    The last live ticket of a booking is cancelled with its booking. `expected` are versions of the ticket or
    of its booking.

    Raises:
        NoSuchTicket: It does not exist or belongs to others.
        StaleVersion: The ticket and its booking have changed since.
        EventStarted: The event has started.
        TicketUsed: It is used.
        BookingUnpaid: The payment is for all tickets of the booking.
    """
    row = _read_ticket(connection, caller, ticket_id)
    if row.ticket_status == "cancelled":
        return
    lock_places_of(connection, row.booking_id)
    row = _read_ticket(connection, caller, ticket_id)
    if row.ticket_status == "cancelled":
        return
    if expected is not None and row.ticket_version not in expected:
        check_version(row.version, expected)
    if row.starts_at <= now:
        raise EventStarted
    lock_booking_only(connection, row.booking_id)
    if lock_ticket(connection, ticket_id).status == "used":
        raise TicketUsed
    reason: Literal["attendee", "host"] = "host" if row.host_id == caller.user_id else "attendee"
    if row.quantity == 1:
        cancel_and_refund(connection, row.booking_id, reason=reason, now=now)
        return
    if row.status == "pending":
        raise BookingUnpaid
    cancellation.cancel_ticket(connection, row.booking_id, ticket_id, reason=reason, now=now)
    refund_requests.request_for_one(connection, row.booking_id, reason=reason, now=now)


def _read_ticket(connection: Connection, caller: Caller, ticket_id: UUID) -> Row[Any]:
    values = {"ticket_id": ticket_id, "caller": caller.user_id}
    row = connection.execute(_READ_TICKET, values).one_or_none()
    if row is None:
        raise NoSuchTicket
    return row


def cancel_and_refund(
    connection: Connection, booking_id: UUID, *, reason: CancellationReason, now: datetime
) -> None:
    """Cancel a booking if it is live, and request its refund. The places of its event must be locked."""
    cancellation.cancel_one(connection, booking_id, reason=reason, now=now)
    refund_requests.request_for_one(connection, booking_id, reason=reason, now=now)


def cancel_event(
    connection: Connection,
    host_id: UUID,
    event_id: UUID,
    *,
    reason: str | None,
    expected: Collection[int] | None,
    now: datetime,
) -> None:
    """Cancel an event with all its bookings, and request their refunds. Idempotent.

    Raises:
        As `events.cancellation.cancel`.
    """
    if event_cancellation.cancel(connection, host_id, event_id, reason=reason, expected=expected, now=now):
        _cancel_and_refund_all(connection, [event_id], "event-cancelled", now)


def delete_event(
    connection: Connection,
    host_id: UUID,
    event_id: UUID,
    *,
    expected: Collection[int] | None,
    now: datetime,
) -> None:
    """Delete an event. If it has not ended, cancel all its bookings and request their refunds.

    Raises:
        As `events.cancellation.delete`.
    """
    if event_cancellation.delete(connection, host_id, event_id, expected=expected, now=now):
        _cancel_and_refund_all(connection, [event_id], "event-deleted", now)


def delete_account(
    connection: Connection, caller: Caller, *, expected: Collection[int] | None, now: datetime
) -> None:
    """Delete an account: cancel its events and future bookings, and erase names and e-mail addresses.

    Past events, bookings and payments stay, without the name. So do bookings with a used ticket. The
    caller's credentials must be locked for update, so that no concurrent request adds rows to it.

    Raises:
        StaleVersion: The profile has changed since.
    """
    profile.lock_profile(connection, caller.user_id, expected, for_deletion=True)
    if caller.role == "host":
        cancelled = event_cancellation.cancel_all_of_host(connection, caller.user_id, now)
        _cancel_and_refund_all(connection, cancelled, "event-cancelled", now)
    _cancel_own_bookings(connection, caller.user_id, now)
    holders.erase(connection, caller.user_id)
    deletion.erase(connection, caller.user_id, now)


def _cancel_own_bookings(connection: Connection, user_id: UUID, now: datetime) -> None:
    booked = connection.scalars(
        select(bookings.c.event_id)
        .join(events, events.c.event_id == bookings.c.event_id)
        .where(bookings.c.user_id == user_id, live, events.c.starts_at > now)
    ).all()
    if not booked:
        return
    lock_places(connection, booked)
    cancellation.lock_for_attendee(connection, user_id, booked)
    reason: CancellationReason = "account-deleted"
    cancellation.cancel_for_attendee(connection, user_id, booked, reason=reason, now=now)
    refund_requests.request_for_attendee(connection, user_id, booked, reason=reason, now=now)


def _cancel_and_refund_all(
    connection: Connection, event_ids: Collection[UUID], reason: CancellationReason, now: datetime
) -> None:
    cancellation.cancel_for_events(connection, event_ids, reason=reason, now=now)
    refund_requests.request_for_events(connection, event_ids, reason=reason, now=now)
