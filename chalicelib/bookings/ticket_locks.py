"""Lock tickets against check-in, cancellation and other changes: after bookings and before payments."""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Uuid, bindparam, select

from chalicelib.bookings.models import bookings, tickets
from chalicelib.bookings.tickets import BookingUnpaid, TicketCancelled, TicketUsed
from chalicelib.events.models import events

_this_ticket = tickets.c.ticket_id == bindparam("ticket_id", type_=Uuid)
_LOCK = select(tickets.c.ticket_id).where(_this_ticket).with_for_update(key_share=True)
_LOCKED = (
    select(
        tickets,
        bookings.c.event_id,
        bookings.c.user_id.label("booker_id"),
        events.c.starts_at,
        events.c.ends_at,
    )
    .join(bookings, bookings.c.booking_id == tickets.c.booking_id)
    .join(events, events.c.event_id == bookings.c.event_id)
    .where(_this_ticket)
)
_this_booking = tickets.c.booking_id == bindparam("this_booking", type_=Uuid)
_LOCK_ALL = (
    select(tickets.c.status)
    .where(_this_booking)
    .order_by(tickets.c.ticket_id)
    .with_for_update(key_share=True)
)


def lock_ticket(connection: Connection, ticket_id: UUID) -> Row[Any]:
    """Lock a ticket, and return it with its event's times and the attendee who booked it.

    Two statements: a single one that waits for the lock would read the joined rows as they were before.
    """
    connection.execute(_LOCK, {"ticket_id": ticket_id})
    return connection.execute(_LOCKED, {"ticket_id": ticket_id}).one()


def require_valid(ticket: Row[Any]) -> None:
    """Check that a locked ticket admits, and has not yet.

    Raises:
        TicketCancelled, TicketUsed, BookingUnpaid
    """
    if ticket.status == "cancelled":
        raise TicketCancelled
    if ticket.status == "used":
        raise TicketUsed
    if ticket.status == "held":
        raise BookingUnpaid


def require_unused(connection: Connection, booking_id: UUID) -> None:
    """Lock the tickets of a booking, and check that none of them is used.

    Raises:
        TicketUsed
    """
    if "used" in connection.scalars(_LOCK_ALL, {"this_booking": booking_id}).all():
        raise TicketUsed
