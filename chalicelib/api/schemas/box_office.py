"""Request and response bodies of the box office."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from chalicelib.api.schemas.bookings import OrderedItem, Quantity
from chalicelib.api.schemas.users import Email, Name
from chalicelib.bookings.models import PaidBy
from chalicelib.platform.http.validation import Body, Id


class NewSale(Body):
    """What to sell at the box office. Without `items`: tickets of the event's only type."""

    name: Annotated[Name, Meta(description="Of the customer.")]
    paid_by: Annotated[
        PaidBy, Meta(description="`cash` and `card`: at the prices of the ticket types. `free`: for nothing.")
    ]
    items: Annotated[list[OrderedItem], Meta(min_length=1, max_length=50)] | None = None
    quantity: Annotated[Quantity | None, Meta(description="Without `items`: 1 by default.")] = None
    email: Annotated[Email | None, Meta(description="The customer gets the tickets there.")] = None


class TicketSum(Struct, kw_only=True):
    """Tickets, and what they cost together."""

    tickets: int
    amount: Annotated[int, Meta(description="In minor units.")]


class FreeTickets(Struct, kw_only=True):
    """Tickets that were given away."""

    tickets: int


class CancelledSales(Struct, kw_only=True):
    """Cancelled tickets of the box office. The host gives their price back by hand."""

    cash: TicketSum
    card: TicketSum
    free: FreeTickets


class Takings(Struct, kw_only=True):
    """Tickets and what they cost in one currency, by how they were paid."""

    currency: str
    online: Annotated[TicketSum, Meta(description="Booked by attendees, and paid if they cost something.")]
    cash: TicketSum
    card: TicketSum
    free: FreeTickets
    cancelled: CancelledSales


class BoxOfficeReport(Takings, kw_only=True, rename="camel"):
    """What an event has sold: valid and used tickets, in the event's currency."""

    event_id: Id
    other_currencies: (
        Annotated[list[Takings], Meta(description="Sold before the host changed the event's currency.")]
        | UnsetType
    ) = UNSET
