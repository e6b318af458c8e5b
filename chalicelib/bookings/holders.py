"""Holders of tickets: the attendee of the booking, a person whom the attendee names, or a new holder."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Uuid, and_, any_, bindparam, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from chalicelib.bookings.models import bookings, ticket_transfers, tickets
from chalicelib.bookings.ticket_locks import lock_ticket
from chalicelib.bookings.ticket_queries import find_access
from chalicelib.bookings.tickets import NotYourTicket, TicketCancelled, TicketTransferred
from chalicelib.events.locks import EventStarted
from chalicelib.platform.database.engine import check_version
from chalicelib.platform.errors import FieldError, InvalidInput
from chalicelib.users.models import users

_ERASE_NAMED = (
    update(tickets)
    .where(
        tickets.c.booking_id.in_(
            select(bookings.c.booking_id).where(
                or_(
                    bookings.c.user_id == bindparam("account", type_=Uuid),
                    and_(
                        bookings.c.host_id == bindparam("account", type_=Uuid),
                        bookings.c.paid_by.is_not(None),
                    ),
                )
            )
        ),
        tickets.c.transferred_at.is_(None),
        or_(tickets.c.holder_name.is_not(None), tickets.c.holder_email.is_not(None)),
    )
    .values(holder_name=None, holder_email=None)
)
_ERASE_HOLDER = (
    update(tickets)
    .where(
        tickets.c.transferred_at.is_not(None),
        func.lower(tickets.c.holder_email)
        == select(func.lower(users.c.email))
        .where(users.c.user_id == bindparam("account", type_=Uuid), users.c.email_verified_at.is_not(None))
        .scalar_subquery(),
    )
    .values(holder_name=None, holder_email=None)
    .returning(tickets.c.ticket_id)
)
_DELETE_TRANSFERS = delete(ticket_transfers).where(
    ticket_transfers.c.ticket_id == any_(bindparam("ticket_ids", type_=ARRAY(Uuid)))
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

    Once the ticket is transferred, only its holder can change it, and only the name.

    Raises:
        NoSuchTicket: It does not exist or belongs to others.
        NotYourTicket: The user is the event's host, or the holder without a transfer.
        StaleVersion: It has changed since.
        TicketCancelled
        TicketTransferred: The user has booked the ticket, but does not hold it any more.
        EventStarted
        InvalidInput: The holder cannot change the address.
    """
    access = find_access(connection, user_id, ticket_id)
    if not access.is_booker and not access.is_holder:
        raise NotYourTicket
    ticket = lock_ticket(connection, ticket_id)
    is_transferred = ticket.transferred_at is not None
    if not access.is_booker and not is_transferred:
        raise NotYourTicket
    check_version(ticket.version, expected)
    if ticket.status == "cancelled":
        raise TicketCancelled
    if is_transferred and not access.is_holder:
        raise TicketTransferred
    if ticket.starts_at <= now:
        raise EventStarted
    if is_transferred and "holder_email" in changes:
        message = "cannot be changed, because the ticket has been transferred to you"
        raise InvalidInput(errors=[FieldError("holderEmail", message)])
    if changes:
        connection.execute(
            update(tickets)
            .where(tickets.c.ticket_id == ticket_id)
            .values(**changes, version=ticket.version + 1, updated_at=now)
        )


def erase(connection: Connection, user_id: UUID) -> None:
    """Erase the holders and customers that an account has named, and the account where it is a holder.

    The tickets stay, and their codes still admit: the people who got them by a transfer may carry them.
    """
    connection.execute(_ERASE_NAMED, {"account": user_id})
    held = connection.scalars(_ERASE_HOLDER, {"account": user_id}).all()
    if held:
        connection.execute(_DELETE_TRANSFERS, {"ticket_ids": held})
