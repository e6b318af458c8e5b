"""Request and response bodies of /events/{eventId}/ticket-types."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import ColumnElement, FromClause, func

from chalicelib.events import expressions
from chalicelib.events.models import TypeAvailability, pools, ticket_types
from chalicelib.events.prices import MAX_PRICE
from chalicelib.events.rules import MAX_CAPACITY
from chalicelib.events.ticket_types import MAX_PER_BOOKING
from chalicelib.platform.database.rendering import as_json
from chalicelib.platform.http.validation import Body, Id, Time, text

Capacity = Annotated[
    int,
    Meta(
        ge=1,
        le=MAX_CAPACITY,
        examples=[100],
    ),
]

Price = Annotated[
    int,
    Meta(
        ge=0,
        le=MAX_PRICE,
        description="Minor units of the currency, such as cents; 0 is free. Most currencies allow 8 digits, "
        "inr 9, cop 10, idr 12.",
        examples=[2500],
    ),
]

Name = Annotated[str, text(200, examples=["Early bird"])]

Description = Annotated[str, Meta(max_length=500)]

OwnCapacity = Annotated[
    Capacity, Meta(description="Left out if only the capacity of the event limits the type.")
]

SaleStart = Annotated[Time, Meta(description="Left out if the type has the sale window of the event.")]

SaleEnd = Annotated[Time, Meta(description="Left out if the type has the sale window of the event.")]

MinPerBooking = Annotated[
    int, Meta(ge=1, le=MAX_PER_BOOKING, description="The fewest tickets of the type in one booking.")
]

MaxPerBooking = Annotated[
    int, Meta(ge=1, le=MAX_PER_BOOKING, description="The most tickets of the type in one booking.")
]

CodeRequired = Annotated[bool, Meta(description="Whether only attendees with a code can book the type.")]


class NewTicketType(Body):
    """A new ticket type. Optional members that are left out get their defaults."""

    name: Name
    price: Price
    description: Description | None = None
    capacity: OwnCapacity | None = None
    sale_starts_at: SaleStart | None = None
    sale_ends_at: SaleEnd | None = None
    min_per_booking: MinPerBooking = 1
    max_per_booking: MaxPerBooking = MAX_PER_BOOKING
    code_required: CodeRequired = False


class TicketTypeChange(Body):
    """Parts of a ticket type. null removes an optional member."""

    name: Name | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    price: Price | UnsetType = UNSET
    capacity: OwnCapacity | UnsetType | None = UNSET
    sale_starts_at: SaleStart | UnsetType | None = UNSET
    sale_ends_at: SaleEnd | UnsetType | None = UNSET
    min_per_booking: MinPerBooking | UnsetType = UNSET
    max_per_booking: MaxPerBooking | UnsetType = UNSET
    code_required: CodeRequired | UnsetType = UNSET


class TicketType(Struct, kw_only=True, rename="camel"):
    """A type of ticket. Members without a value are left out."""

    ticket_type_id: Id
    name: str
    description: str | UnsetType = UNSET
    price: int
    currency: str
    capacity: OwnCapacity | UnsetType = UNSET
    taken: Annotated[int, Meta(description="The number of its tickets that are booked.")]
    min_per_booking: MinPerBooking
    max_per_booking: MaxPerBooking
    sale_starts_at: SaleStart | UnsetType = UNSET
    sale_ends_at: SaleEnd | UnsetType = UNSET
    code_required: CodeRequired
    availability: Annotated[
        TypeAvailability,
        Meta(
            description="Whether it can be booked now, or why not. `not-started` also while the event is a "
            "draft, `ended` also if the event has ended or is cancelled, `sold-out` also if fewer tickets "
            "are left than `minPerBooking`."
        ),
    ]


def ticket_type_json(event: FromClause) -> ColumnElement[Any]:
    """A row of `ticket_types` joined with its pool, at the time of the parameter `now`.

    `event` has the columns of `events` and `places`.
    """
    return as_json(
        TicketType,
        ticket_types,
        currency=event.c.currency,
        capacity=pools.c.capacity,
        taken=func.coalesce(pools.c.taken, event.c.taken),
        availability=expressions.type_availability(event.c, ticket_types.c, pools.c),
    )
