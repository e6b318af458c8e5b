"""Read tickets: one ticket, or those of a booking."""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Text, Uuid, and_, bindparam, cast, func, or_, select

from chalicelib.bookings.models import bookings, tickets
from chalicelib.bookings.queries import NoSuchBooking
from chalicelib.bookings.tickets import NoSuchTicket
from chalicelib.events.models import ticket_types
from chalicelib.platform.database.columns import sql_literal
from chalicelib.platform.database.listing import ListQuery, Page, PageRequest, Sort
from chalicelib.platform.database.rendering import Render
from chalicelib.users.models import users

_caller = bindparam("caller", type_=Uuid)
_holds = (
    select(users.c.user_id)
    .where(
        users.c.user_id == _caller,
        users.c.email_verified_at.is_not(None),
        func.lower(users.c.email) == func.lower(tickets.c.holder_email),
    )
    .exists()
)
"""The ticket has the caller's e-mail address, which is verified."""

_is_host = bookings.c.host_id == _caller
_is_booker = or_(bookings.c.user_id == _caller, and_(bookings.c.paid_by.is_not(None), _is_host))
"""The caller has booked the ticket, or sold it at the box office."""

_is_of_booking = or_(bookings.c.user_id == _caller, _is_host)
_admits = tickets.c.status.in_([sql_literal("valid"), sql_literal("used")])
_rows = (
    select(
        tickets,
        ticket_types.c.name,
        bookings.c.event_id,
        bookings.c.currency,
        bookings.c.created_at,
        _is_of_booking.label("shows_holder"),
        and_(_admits, or_(_holds, and_(_is_booker, tickets.c.transferred_at.is_(None)))).label("shows_code"),
    )
    .join(bookings, bookings.c.booking_id == tickets.c.booking_id)
    .join(ticket_types, ticket_types.c.ticket_type_id == tickets.c.ticket_type_id)
    .where(or_(_is_of_booking, _holds))
)

_this_booking = tickets.c.booking_id == bindparam("booking_id", type_=Uuid)
TICKETS = ListQuery(
    rows=_rows.where(_this_booking), id="ticket_id", sorts={"createdAt": Sort(())}, filters={}
)
"""The tickets of a booking that the caller can see: those that they booked, host or hold."""

_this_ticket = tickets.c.ticket_id == bindparam("ticket_id", type_=Uuid)
_SEES_BOOKING = select(_rows.where(_this_booking).exists())
_SEES_TICKET = select(_rows.where(_this_ticket).exists())


def require_visible(connection: Connection, caller_id: UUID, ticket_id: UUID) -> None:
    """Check that the caller is the ticket's holder or booker, or the event's host.

    Raises:
        NoSuchTicket: It does not exist or belongs to others.
    """
    if not connection.scalar(_SEES_TICKET, {"ticket_id": ticket_id, "caller": caller_id}):
        raise NoSuchTicket


class TicketQueries:
    """Read tickets as JSON text, for their holder, their booker and the event's host.

    The render can use two more columns: whether the caller may know the holder (`shows_holder`) and the code
    (`shows_code`).
    """

    def __init__(self, render: Render) -> None:
        self._render = render
        row = _rows.where(_this_ticket).subquery("ticket")
        self._get = select(cast(render(row), Text), row.c.version)

    def get(self, connection: Connection, caller_id: UUID, ticket_id: UUID) -> tuple[str, int]:
        """Return a ticket and its version.

        Raises:
            NoSuchTicket: It does not exist or belongs to others.
        """
        values = {"ticket_id": ticket_id, "caller": caller_id}
        row = connection.execute(self._get, values).one_or_none()
        if row is None:
            raise NoSuchTicket
        return row[0], row[1]

    def list_tickets(
        self, connection: Connection, caller_id: UUID, booking_id: UUID, page: PageRequest
    ) -> Page:
        """List the tickets of a booking. A holder sees the tickets that they hold.

        Raises:
            NoSuchBooking: It does not exist or belongs to others.
        """
        values: dict[str, Any] = {"booking_id": booking_id, "caller": caller_id}
        if not connection.scalar(_SEES_BOOKING, values):
            raise NoSuchBooking
        return TICKETS.fetch(connection, page, [], values, self._render)
