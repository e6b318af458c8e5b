"""Re-issue a ticket: give it a new code."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, update

from chalicelib.bookings.models import tickets
from chalicelib.bookings.ticket_locks import lock_ticket, require_valid
from chalicelib.bookings.ticket_queries import find_access
from chalicelib.bookings.tickets import TicketTransferred
from chalicelib.domain_events import TicketReissued
from chalicelib.events.locks import EventEnded
from chalicelib.platform.errors import Conflict
from chalicelib.platform.messaging import outbox

MAX_SERIAL = 100
"""Codes of one ticket."""


class TooManyReissues(Conflict):
    """The ticket has been re-issued too often."""


def reissue(connection: Connection, user_id: UUID, ticket_id: UUID, now: datetime) -> None:
    """Give a ticket a new code, as its holder, the attendee who booked it, or the event's host.

    Raises:
        NoSuchTicket: It does not exist or belongs to others.
        TicketTransferred: The user has booked the ticket, but does not hold it any more.
        TicketCancelled, TicketUsed, BookingUnpaid, EventEnded
        TooManyReissues
    """
    access = find_access(connection, user_id, ticket_id)
    ticket = lock_ticket(connection, ticket_id)
    require_valid(ticket)
    if ticket.transferred_at is not None and not access.is_holder and not access.is_host:
        raise TicketTransferred
    if ticket.ends_at <= now:
        raise EventEnded
    if ticket.serial >= MAX_SERIAL:
        raise TooManyReissues
    connection.execute(
        update(tickets)
        .where(tickets.c.ticket_id == ticket_id)
        .values(serial=ticket.serial + 1, version=ticket.version + 1, updated_at=now)
    )
    reissued = TicketReissued(ticket_id=ticket_id, booking_id=ticket.booking_id, event_id=ticket.event_id)
    outbox.record(connection, reissued, subject=ticket.event_id, now=now)
