"""Tickets as documents show them, read for the person who carries them."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from typing import Any, NoReturn, Self
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Uuid,
    and_,
    any_,
    bindparam,
    false,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from chalicelib.bookings.models import bookings, tickets
from chalicelib.bookings.queries import NoSuchBooking
from chalicelib.bookings.references import reference_of
from chalicelib.bookings.ticket_queries import admits, carries, ordered, visible
from chalicelib.bookings.tickets import NoSuchTicket, TicketCancelled
from chalicelib.check_in.ticket_codes import TicketCodes, TicketVersion
from chalicelib.events.models import events, ticket_types
from chalicelib.platform.errors import Conflict, Forbidden, NotFound
from chalicelib.users.models import users


class NotTheHolder(Forbidden):
    """Only the holder of the ticket can do this."""


class TicketUnpaid(Conflict):
    """The ticket is not paid yet."""


class WalletNotConfigured(NotFound):
    """This service has no passes for Apple Wallet."""


@dataclass(frozen=True, kw_only=True)
class OrderLine:
    """Tickets of one type at one price."""

    name: str
    quantity: int
    unit_price: int


@dataclass(frozen=True, kw_only=True)
class PrintedOrder:
    """What a booking costs, in minor units."""

    lines: tuple[OrderLine, ...]
    discount: int
    currency: str

    @property
    def has_prices(self) -> bool:
        return any(line.unit_price for line in self.lines)

    @property
    def total(self) -> int:
        return sum(line.quantity * line.unit_price for line in self.lines) - self.discount


@dataclass(frozen=True, kw_only=True)
class PrintedTicket:
    """A ticket that admits, as documents show it. Texts can be empty."""

    ticket_id: UUID
    booking_id: UUID
    serial: int
    code: str = field(repr=False)
    title: str
    venue: str
    starts_at: datetime
    ends_at: datetime
    timezone: str
    ticket_type: str
    holder: str
    reference: str
    number: int
    """Its place among the live tickets of the booking, from 1."""
    quantity: int
    """How many these are."""
    price: int
    currency: str
    order: PrintedOrder | None
    """None if the reader did not book the ticket."""

    def without_words(self) -> Self:
        """The ticket without what people wrote, for an address that may belong to a stranger."""
        lines = self.order.lines if self.order else ()
        order = self.order and replace(self.order, lines=tuple(replace(line, name="") for line in lines))
        return replace(self, title="", venue="", ticket_type="", holder="", order=order)


_bookers = users.alias("bookers")
_this_ticket = tickets.c.ticket_id == bindparam("ticket_id", type_=Uuid)
_this_booking = tickets.c.booking_id == bindparam("booking_id", type_=Uuid)
_these_tickets = tickets.c.ticket_id == any_(bindparam("ticket_ids", type_=ARRAY(Uuid)))
_these_bookings = tickets.c.booking_id == any_(bindparam("booking_ids", type_=ARRAY(Uuid)))


def _select(
    scope: ColumnElement[bool], *, is_printed: ColumnElement[bool], shows_order: ColumnElement[bool]
) -> Select[Any]:
    """Select all tickets that admit of the bookings that have a ticket in the scope."""
    booking_ids = select(tickets.c.booking_id).where(scope).correlate(None)
    return (
        select(
            tickets.c.booking_id,
            tickets.c.ticket_id,
            tickets.c.serial,
            tickets.c.list_price,
            tickets.c.price,
            func.coalesce(
                tickets.c.holder_name,
                tickets.c.holder_email,
                _bookers.c.name,
                literal_column("''"),
            ).label("holder"),
            ticket_types.c.ticket_type_id,
            ticket_types.c.name.label("ticket_type"),
            bookings.c.currency,
            events.c.title,
            func.coalesce(events.c.location, literal_column("''")).label("venue"),
            events.c.starts_at,
            events.c.ends_at,
            events.c.timezone,
            and_(scope, is_printed).label("is_printed"),
            shows_order.label("shows_order"),
        )
        .join(bookings, bookings.c.booking_id == tickets.c.booking_id)
        .join(events, events.c.event_id == bookings.c.event_id)
        .join(ticket_types, ticket_types.c.ticket_type_id == tickets.c.ticket_type_id)
        .outerjoin(_bookers, _bookers.c.user_id == bookings.c.user_id)
        .where(tickets.c.booking_id.in_(booking_ids), admits)
        .order_by(tickets.c.booking_id, tickets.c.ticket_id)
    )


_OF_TICKET = _select(_this_ticket, is_printed=carries, shows_order=ordered)
_OF_BOOKING = _select(_this_booking, is_printed=carries, shows_order=ordered)
_OF_BOOKINGS = _select(_these_bookings, is_printed=tickets.c.transferred_at.is_(None), shows_order=true())
_OF_TICKETS = _select(_these_tickets, is_printed=true(), shows_order=false())


def _carried(scope: ColumnElement[bool]) -> Select[Any]:
    """Select the tickets in the scope, whatever their status, and whether the caller carries them."""
    return (
        select(tickets.c.status, carries.label("is_carried"))
        .join(bookings, bookings.c.booking_id == tickets.c.booking_id)
        .where(scope, visible)
    )


_CARRIED_TICKET = _carried(_this_ticket)
_CARRIED_OF_BOOKING = _carried(_this_booking)


def get(connection: Connection, codes: TicketCodes, caller_id: UUID, ticket_id: UUID) -> PrintedTicket:
    """Return a ticket for the caller, who carries it.

    Raises:
        NoSuchTicket: It does not exist or belongs to others.
        NotTheHolder: The caller hosts the event, or has transferred the ticket.
        TicketUnpaid, TicketCancelled
    """
    values = {"ticket_id": ticket_id, "caller": caller_id}
    printed = _printed(connection.execute(_OF_TICKET, values), codes)
    if not printed:
        _refuse(connection.execute(_CARRIED_TICKET, values).all(), NoSuchTicket)
    return printed[0]


def list_of_booking(
    connection: Connection, codes: TicketCodes, caller_id: UUID, booking_id: UUID
) -> list[PrintedTicket]:
    """Return the tickets of a booking that the caller carries, at least one.

    Raises:
        NoSuchBooking: It does not exist or belongs to others.
        NotTheHolder: The caller carries none of its tickets.
        TicketUnpaid
        TicketCancelled: All are cancelled.
    """
    values = {"booking_id": booking_id, "caller": caller_id}
    printed = _printed(connection.execute(_OF_BOOKING, values), codes)
    if not printed:
        _refuse(connection.execute(_CARRIED_OF_BOOKING, values).all(), NoSuchBooking)
    return printed


def _refuse(rows: Sequence[Row[Any]], unknown: type[NotFound]) -> NoReturn:
    if not rows:
        raise unknown
    statuses = {row.status for row in rows if row.is_carried}
    if not statuses:
        raise NotTheHolder
    raise TicketUnpaid if "held" in statuses else TicketCancelled


def of_bookings(
    connection: Connection, codes: TicketCodes, booking_ids: Collection[UUID]
) -> list[PrintedTicket]:
    """Return the tickets of bookings for their attendee: all that admit and are not transferred."""
    return _printed(connection.execute(_OF_BOOKINGS, {"booking_ids": list(booking_ids)}), codes)


def of_tickets(
    connection: Connection, codes: TicketCodes, ticket_ids: Collection[UUID]
) -> list[PrintedTicket]:
    """Return those of these tickets that admit, for their holder, without what the order cost."""
    return _printed(connection.execute(_OF_TICKETS, {"ticket_ids": list(ticket_ids)}), codes)


def _printed(rows: Iterable[Row[Any]], codes: TicketCodes) -> list[PrintedTicket]:
    printed: list[PrintedTicket] = []
    for booking_id, group in groupby(rows, lambda row: row.booking_id):
        booked = list(group)
        order = _order(booked) if booked[0].shows_order else None
        printed += [
            PrintedTicket(
                ticket_id=row.ticket_id,
                booking_id=booking_id,
                serial=row.serial,
                code=codes.make(TicketVersion(row.ticket_id, row.serial)),
                title=row.title,
                venue=row.venue,
                starts_at=row.starts_at,
                ends_at=row.ends_at,
                timezone=row.timezone,
                ticket_type=row.ticket_type,
                holder=row.holder,
                reference=reference_of(booking_id),
                number=number,
                quantity=len(booked),
                price=row.price,
                currency=row.currency,
                order=order,
            )
            for number, row in enumerate(booked, 1)
            if row.is_printed
        ]
    return printed


def _order(booked: Sequence[Row[Any]]) -> PrintedOrder:
    """Sum up the tickets of a booking."""
    quantities = Counter((row.ticket_type_id, row.ticket_type, row.list_price) for row in booked)
    return PrintedOrder(
        lines=tuple(
            OrderLine(name=name, quantity=quantity, unit_price=unit_price)
            for (_, name, unit_price), quantity in sorted(quantities.items())
        ),
        discount=sum(row.list_price - row.price for row in booked),
        currency=booked[0].currency,
    )
