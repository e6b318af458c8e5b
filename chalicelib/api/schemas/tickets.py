"""Request and response bodies of /tickets."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import ColumnElement, FromClause, Text, case

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
    code: (
        Annotated[
            str,
            Meta(
                description="What the QR code says, as text. Shown to the attendee who booked the ticket, to "
                "the host who sold it at the box office, and to its holder, while it is valid or used. "
                "Once it is transferred, to the holder only."
            ),
        ]
        | UnsetType
    ) = UNSET
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
    """Render a ticket. Its code is a placeholder, for `TicketCodes.fill_in`."""
    return as_json(
        Ticket,
        row,
        code=case((row.c.shows_code, row.c.ticket_id.cast(Text) + "/" + row.c.serial.cast(Text))),
        holder_name=case((row.c.shows_holder, row.c.holder_name)),
        holder_email=case((row.c.shows_holder, row.c.holder_email)),
    )
