"""Remove ticket types: those that have tickets are archived, others are deleted."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select

from chalicelib.bookings.models import bookings, tickets
from chalicelib.events import ticket_types


def remove(
    connection: Connection,
    host_id: UUID,
    event_id: UUID,
    type_id: UUID,
    *,
    expected: Collection[int] | None,
    now: datetime,
) -> None:
    """Remove a ticket type from what an event offers. Tickets that are booked stay. Idempotent if it has any.

    Raises:
        NoSuchEvent, NotYourEvent, StaleVersion, EventCancelled, EventEnded, NoSuchTicketType, LastTicketType:
            See `ticket_types.lock_type`.
    """
    event, row = ticket_types.lock_type(connection, host_id, event_id, type_id, expected=expected, now=now)
    if row.archived_at is not None:
        return
    # Before the places are locked, because it can take long. The pool counts those booked meanwhile.
    has_tickets = connection.scalar(
        select(
            select(tickets.c.ticket_id)
            .join(bookings, bookings.c.booking_id == tickets.c.booking_id)
            .where(bookings.c.event_id == event_id, tickets.c.ticket_type_id == type_id)
            .exists()
        )
    )
    ticket_types.archive(connection, event, type_id, now, has_tickets=bool(has_tickets))
