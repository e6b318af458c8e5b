"""Request and response bodies of /tickets."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import ColumnElement, FromClause, case

from chalicelib.api.schemas.users import Email, Name
from chalicelib.bookings.models import TicketStatus
from chalicelib.platform.database.rendering import as_json
from chalicelib.platform.http.pagination import PageQuery
from chalicelib.platform.http.validation import Body, Id, Time


class Ticket(Struct, kw_only=True, rename="camel"):
    """A ticket: one place at an event."""

    ticket_id: Id
    booking_id: Id
    event_id: Id
    ticket_type_id: Id
    name: Annotated[str, Meta(description="Of the ticket type.")]
    price: Annotated[int, Meta(description="What it costs, with a discount, in minor units.")]
    currency: str
    status: TicketStatus
    holder_name: (
        Annotated[str, Meta(description="Shown to the attendee who booked it and to the host.")] | UnsetType
    ) = UNSET
    holder_email: Annotated[str, Meta(description="Shown as `holderName`.")] | UnsetType = UNSET
    created_at: Time
    updated_at: Time


class TicketChange(Body):
    """The holder, if it is not the attendee who booked the ticket. null removes a member."""

    holder_name: Name | UnsetType | None = UNSET
    holder_email: Email | UnsetType | None = UNSET


class TicketQuery(PageQuery, kw_only=True):
    sort: Literal["createdAt"] = "createdAt"


def ticket_json(row: FromClause) -> ColumnElement[Any]:
    return as_json(
        Ticket,
        row,
        holder_name=case((row.c.shows_holder, row.c.holder_name)),
        holder_email=case((row.c.shows_holder, row.c.holder_email)),
    )
