"""Tickets: what they add up to in their bookings, as SQL."""

from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, Subquery, func, literal_column, select
from sqlalchemy.dialects.postgresql import aggregate_order_by

from chalicelib.bookings.references import booking_reference
from chalicelib.events.models import ticket_types
from chalicelib.platform.database.rendering import json_object
from chalicelib.platform.errors import Conflict, Forbidden, NotFound


class NoSuchTicket(NotFound):
    """Ticket not found."""


class NotYourTicket(Forbidden):
    """Only the attendee who booked the ticket can do this."""


class BookingUnpaid(Conflict):
    """The booking is not paid."""


class TicketCancelled(Conflict):
    """The ticket is cancelled."""


class TicketUsed(Conflict):
    """The ticket has been used."""


class TicketTransferred(Conflict):
    """The ticket has been transferred."""


def with_tickets(booked: FromClause, rows: FromClause) -> Subquery:
    """Join rows of `bookings` with what their `rows` of `tickets` add up to, as domain events show it."""
    sums = (
        select(
            rows.c.booking_id,
            func.count().label("quantity"),
            discount(rows).label("discount"),
            func.json_agg(
                aggregate_order_by(
                    json_object(ticketId=rows.c.ticket_id, ticketTypeId=rows.c.ticket_type_id),
                    rows.c.ticket_id,
                )
            ).label("tickets"),
        )
        .group_by(rows.c.booking_id)
        .subquery("sums")
    )
    lines = _lines(rows)
    items = (
        select(lines.c.booking_id, _items(lines).label("items"))
        .join(ticket_types, ticket_types.c.ticket_type_id == lines.c.ticket_type_id)
        .group_by(lines.c.booking_id)
        .subquery("items")
    )
    columns = [column for column in booked.c if column.name != "quantity"]
    columns += [sums.c.quantity, sums.c.discount, sums.c.tickets, items.c["items"]]
    return (
        select(*columns, booking_reference(booked.c.booking_id).label("reference"))
        .join(sums, sums.c.booking_id == booked.c.booking_id)
        .join(items, items.c.booking_id == booked.c.booking_id)
        .subquery("with_tickets")
    )


def discount(rows: FromClause) -> ColumnElement[Any]:
    """Sum up what a code has taken off the prices of rows of `tickets`; null if it is nothing."""
    return func.nullif(func.sum(rows.c.list_price - rows.c.price), literal_column("0"))


def items(rows: FromClause) -> Select[Any]:
    """Select the items of one booking in JSON. `rows` are its rows of `tickets`."""
    lines = _lines(rows)
    return select(_items(lines)).join(ticket_types, ticket_types.c.ticket_type_id == lines.c.ticket_type_id)


def _lines(rows: FromClause) -> Subquery:
    line = (rows.c.booking_id, rows.c.ticket_type_id, rows.c.list_price)
    return select(*line, func.count().label("quantity")).group_by(*line).subquery("lines")


def _items(lines: FromClause) -> ColumnElement[Any]:
    """Collect lines, joined with their ticket types, in the order of the types."""
    item = json_object(
        ticketTypeId=lines.c.ticket_type_id,
        name=ticket_types.c.name,
        quantity=lines.c.quantity,
        unitPrice=lines.c.list_price,
    )
    return func.json_agg(aggregate_order_by(item, lines.c.ticket_type_id))
