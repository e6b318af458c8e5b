"""Request and response bodies of /tickets."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field
from sqlalchemy import ColumnElement, FromClause, Text, case, select

from chalicelib.api.schemas.auth import EmailToken
from chalicelib.api.schemas.users import Email, Name
from chalicelib.bookings.models import TicketStatus, ticket_transfers
from chalicelib.platform.database.columns import now_parameter
from chalicelib.platform.database.rendering import as_json
from chalicelib.platform.http.pagination import PageQuery
from chalicelib.platform.http.validation import Body, Id, Time


class OpenTransfer(Struct, kw_only=True, rename="camel"):
    """An offer of a ticket that is not claimed yet."""

    email: str
    expires_at: Time


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
        Annotated[
            str,
            Meta(
                description="Shown to the attendee who booked the ticket, to the host, and to the holder of "
                "a transferred ticket."
            ),
        ]
        | UnsetType
    ) = UNSET
    holder_email: Annotated[str, Meta(description="Shown as `holderName`.")] | UnsetType = UNSET
    transferred_at: (
        Annotated[Time, Meta(description="Since then only its holder can use it.")] | UnsetType
    ) = UNSET
    transfer: (
        Annotated[OpenTransfer, Meta(description="Shown to the attendee who booked the ticket.")] | UnsetType
    ) = UNSET
    created_at: Time
    updated_at: Time


class TicketChange(Body):
    """The holder, if it is not the attendee who booked the ticket. null removes a member.

    The holder of a transferred ticket can change `holderName` only.
    """

    holder_name: Name | UnsetType | None = UNSET
    holder_email: Email | UnsetType | None = UNSET


class TicketQuery(PageQuery, kw_only=True):
    sort: Literal["createdAt"] = "createdAt"


class HeldTicketQuery(PageQuery, kw_only=True):
    from_: Annotated[
        Time | None, Meta(description="Tickets of events that end after this time. Default: now.")
    ] = field(name="from", default=None)
    sort: Literal["createdAt", "date"] = "date"


class TransferRequest(Body):
    """Who the ticket is offered to."""

    email: Email


class Transfer(Struct, kw_only=True, rename="camel"):
    """An offer of a ticket. Until it is claimed, the ticket stays yours."""

    ticket_id: Id
    email: str
    created_at: Time
    expires_at: Annotated[Time, Meta(description="After 7 days, or when the event starts.")]


class TransferClaim(Body):
    """The token from the e-mail, and perhaps the name of the new holder."""

    token: EmailToken
    name: Name | UnsetType = UNSET


def ticket_json(row: FromClause) -> ColumnElement[Any]:
    """Render a ticket. Its code is a placeholder, for `TicketCodes.fill_in`."""
    offer = (
        select(as_json(OpenTransfer, ticket_transfers))
        .where(
            ticket_transfers.c.ticket_id == row.c.ticket_id,
            ticket_transfers.c.claimed_at.is_(None),
            ticket_transfers.c.cancelled_at.is_(None),
            ticket_transfers.c.expires_at > now_parameter,
        )
        .correlate(row)
        .scalar_subquery()
    )
    return as_json(
        Ticket,
        row,
        code=case((row.c.shows_code, row.c.ticket_id.cast(Text) + "/" + row.c.serial.cast(Text))),
        holder_name=case((row.c.shows_holder, row.c.holder_name)),
        holder_email=case((row.c.shows_holder, row.c.holder_email)),
        transfer=case((row.c.shows_transfer, offer)),
    )
