"""Read tickets: one ticket, those of a booking, or those that were transferred to an account."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    Uuid,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    or_,
    select,
    true,
)

from chalicelib.bookings.models import bookings, tickets
from chalicelib.bookings.queries import NoSuchBooking
from chalicelib.bookings.tickets import NoSuchTicket
from chalicelib.events.models import events, ticket_types
from chalicelib.platform.database.columns import UserTime, sql_literal
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
_is_of_booking = or_(bookings.c.user_id == _caller, _is_host)
_is_transferred = tickets.c.transferred_at.is_not(None)

visible = or_(_is_of_booking, _holds)
"""The caller has booked the ticket, holds it, or hosts the event."""

ordered = or_(bookings.c.user_id == _caller, and_(_is_host, bookings.c.paid_by.is_not(None)))
"""The caller has booked the ticket, or has sold it at the box office."""

carries = or_(_holds, and_(ordered, ~_is_transferred))
"""The caller may have the ticket's code while it admits. Once it is transferred, only its holder may."""

admits = tickets.c.status.in_([sql_literal("valid"), sql_literal("used")])
"""The ticket has a code."""


def _rows_for(
    *,
    shows_holder: ColumnElement[bool],
    shows_code: ColumnElement[bool],
    shows_transfer: ColumnElement[bool] | None = None,
) -> Select[Any]:
    hidden: ColumnElement[bool] = literal_column("false")
    return (
        select(
            tickets,
            ticket_types.c.name,
            bookings.c.event_id,
            bookings.c.currency,
            bookings.c.created_at,
            shows_holder.label("shows_holder"),
            and_(admits, shows_code).label("shows_code"),
            (hidden if shows_transfer is None else shows_transfer).label("shows_transfer"),
        )
        .join(bookings, bookings.c.booking_id == tickets.c.booking_id)
        .join(ticket_types, ticket_types.c.ticket_type_id == tickets.c.ticket_type_id)
    )


_rows = _rows_for(
    shows_holder=or_(_is_of_booking, and_(_is_transferred, _holds)),
    shows_code=carries,
    shows_transfer=and_(ordered, tickets.c.status == sql_literal("valid")),
).where(visible)

_this_booking = tickets.c.booking_id == bindparam("booking_id", type_=Uuid)
TICKETS = ListQuery(
    rows=_rows.where(_this_booking), id="ticket_id", sorts={"createdAt": Sort(())}, filters={}
)
"""The tickets of a booking that the caller can see: those that they booked, host or hold."""

_own_address = (
    select(func.lower(users.c.email))
    .where(users.c.user_id == _caller, users.c.email_verified_at.is_not(None))
    .scalar_subquery()
)
TRANSFERRED = ListQuery(
    rows=_rows_for(shows_holder=true(), shows_code=true())
    .add_columns(events.c.starts_at)
    .join(events, events.c.event_id == bookings.c.event_id)
    .where(_is_transferred, func.lower(tickets.c.holder_email) == _own_address),
    id="ticket_id",
    sorts={"date": Sort(("starts_at",)), "createdAt": Sort((), "desc")},
    filters={"from": events.c.ends_at > bindparam("from", type_=UserTime())},
)
"""The tickets that were transferred to the caller."""

_this_ticket = tickets.c.ticket_id == bindparam("ticket_id", type_=Uuid)
_SEES_BOOKING = select(_rows.where(_this_booking).exists())
_ACCESS = (
    select(
        ordered.label("is_booker"),
        (bookings.c.host_id == _caller).label("is_host"),
        _holds.label("is_holder"),
    )
    .join(tickets, tickets.c.booking_id == bookings.c.booking_id)
    .where(_this_ticket)
)


class Access(NamedTuple):
    """What somebody is to a ticket."""

    is_booker: bool
    is_host: bool
    is_holder: bool
    """Named by e-mail address, which is verified. Whether the ticket is transferred does not matter."""


def find_access(connection: Connection, caller_id: UUID, ticket_id: UUID) -> Access:
    """Return what the caller is to a ticket.

    Raises:
        NoSuchTicket: It does not exist or belongs to others.
    """
    row = connection.execute(_ACCESS, {"ticket_id": ticket_id, "caller": caller_id}).one_or_none()
    if row is None or not any(row):
        raise NoSuchTicket
    return Access(*map(bool, row))


class TicketQueries:
    """Read tickets as JSON text, for their holder, their booker and the event's host.

    The render can use more columns: whether the caller may know the holder (`shows_holder`), the code
    (`shows_code`) and an open offer to transfer the ticket (`shows_transfer`); and the parameter `now`.
    """

    def __init__(self, render: Render) -> None:
        self._render = render
        self._get = _get(_rows, render)
        self._get_claimed = _get(_rows_for(shows_holder=true(), shows_code=true()), render)

    def get(self, connection: Connection, caller_id: UUID, ticket_id: UUID, now: datetime) -> tuple[str, int]:
        """Return a ticket and its version.

        Raises:
            NoSuchTicket: It does not exist or belongs to others.
        """
        values = {"ticket_id": ticket_id, "caller": caller_id, "now": now}
        row = connection.execute(self._get, values).one_or_none()
        if row is None:
            raise NoSuchTicket
        return row[0], row[1]

    def get_claimed(self, connection: Connection, ticket_id: UUID, now: datetime) -> tuple[str, int]:
        """Return a ticket and its version for its new holder, who may have no account."""
        values = {"ticket_id": ticket_id, "now": now}
        row = connection.execute(self._get_claimed, values).one()
        return row[0], row[1]

    def list_tickets(
        self, connection: Connection, caller_id: UUID, booking_id: UUID, page: PageRequest, now: datetime
    ) -> Page:
        """List the tickets of a booking. A holder sees the tickets that they hold.

        Raises:
            NoSuchBooking: It does not exist or belongs to others.
        """
        values: dict[str, Any] = {"booking_id": booking_id, "caller": caller_id, "now": now}
        if not connection.scalar(_SEES_BOOKING, values):
            raise NoSuchBooking
        return TICKETS.fetch(connection, page, [], values, self._render)

    def list_transferred(
        self,
        connection: Connection,
        caller_id: UUID,
        page: PageRequest,
        *,
        ends_after: datetime,
        now: datetime,
    ) -> Page:
        """List the tickets that were transferred to the caller's verified address."""
        values = {"caller": caller_id, "from": ends_after, "now": now}
        return TRANSFERRED.fetch(connection, page, ["from"], values, self._render)


def _get(rows: Select[Any], render: Render) -> Select[Any]:
    row = rows.where(_this_ticket).subquery("ticket")
    return select(cast(render(row), Text), row.c.version)
