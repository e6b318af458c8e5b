"""Holders of tickets: the attendee of the booking, or a person whom the attendee names."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Uuid, and_, bindparam, or_, select, update

from chalicelib.bookings.models import bookings, tickets
from chalicelib.bookings.ticket_queries import require_visible
from chalicelib.events.locks import EventStarted
from chalicelib.events.models import events
from chalicelib.platform.database.engine import check_version
from chalicelib.platform.errors import Conflict, Forbidden


class NotYourTicket(Forbidden):
    """Only the attendee who booked the ticket can do this."""


class TicketCancelled(Conflict):
    """The ticket is cancelled."""


_this_ticket = tickets.c.ticket_id == bindparam("ticket_id", type_=Uuid)
_BOOKING = (
    select(bookings.c.user_id, events.c.starts_at)
    .join(events, events.c.event_id == bookings.c.event_id)
    .join(tickets, tickets.c.booking_id == bookings.c.booking_id)
    .where(_this_ticket)
)
_LOCK = select(tickets.c.status, tickets.c.version).where(_this_ticket).with_for_update()
_ERASE = (
    update(tickets)
    .where(
        tickets.c.booking_id.in_(
            select(bookings.c.booking_id).where(
                or_(
                    bookings.c.user_id == bindparam("user", type_=Uuid),
                    and_(
                        bookings.c.host_id == bindparam("user", type_=Uuid), bookings.c.paid_by.is_not(None)
                    ),
                )
            )
        ),
        or_(tickets.c.holder_name.is_not(None), tickets.c.holder_email.is_not(None)),
    )
    .values(holder_name=None, holder_email=None)
)


def change(
    connection: Connection,
    user_id: UUID,
    ticket_id: UUID,
    *,
    changes: dict[str, Any],
    expected: Collection[int] | None,
    now: datetime,
) -> None:
    """Change the name or e-mail address of a ticket's holder, as the attendee of its booking.

    Raises:
        NoSuchTicket: It does not exist or belongs to others.
        NotYourTicket: The user is its holder or the event's host.
        StaleVersion: It has changed since.
        TicketCancelled
        EventStarted
    """
    require_visible(connection, user_id, ticket_id)
    booking = connection.execute(_BOOKING, {"ticket_id": ticket_id}).one()
    if booking.user_id != user_id:
        raise NotYourTicket
    ticket = connection.execute(_LOCK, {"ticket_id": ticket_id}).one()
    check_version(ticket.version, expected)
    if ticket.status == "cancelled":
        raise TicketCancelled
    if booking.starts_at <= now:
        raise EventStarted
    if changes:
        connection.execute(
            update(tickets)
            .where(tickets.c.ticket_id == ticket_id)
            .values(**changes, version=ticket.version + 1, updated_at=now)
        )


def erase(connection: Connection, user_id: UUID) -> None:
    """Erase the holders whom an attendee has named, and the customers of a host. The tickets stay."""
    connection.execute(_ERASE, {"user": user_id})
