"""Request and response bodies of /events."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from chalicelib.events.models import Status
from chalicelib.events.rules import MAX_CAPACITY
from chalicelib.platform.http.pagination import PageQuery
from chalicelib.platform.http.validation import Body, Id, Time, message, text

Title = Annotated[str, text(200, examples=["Jazz in the yard"])]

Description = Annotated[
    str, Meta(max_length=10_000, extra={"says": "must be text of at most 10000 characters"})
]

Location = Annotated[
    str,
    Meta(
        max_length=500,
        examples=["Kulturhof, Berlin"],
        extra={"says": "must be text of at most 500 characters"},
    ),
]

Timezone = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="IANA name.",
        examples=["Europe/Berlin"],
        extra={"says": "must be the name of an IANA time zone, such as Europe/Berlin"},
    ),
]

Capacity = Annotated[
    int,
    Meta(
        ge=1,
        le=MAX_CAPACITY,
        examples=[100],
        extra={"says": f"must be a whole number from 1 to {MAX_CAPACITY}"},
    ),
]

Price = Annotated[
    int,
    Meta(
        ge=0,
        le=99_999_999,
        description="Minor units of the currency, such as cents; 0 is free.",
        examples=[2500],
        extra={"says": "must be a whole number of minor units from 0 to 99999999"},
    ),
]

Currency = Annotated[
    str,
    Meta(
        pattern="^[a-z]{3}$",
        description="ISO 4217, in lower case.",
        examples=["eur"],
        extra={"says": "must be an ISO 4217 code in lower case, such as eur"},
    ),
]

Offered = Annotated[Literal["draft", "published"], message("must be draft or published")]

AnyStatus = Annotated[Status, message("must be draft, published or cancelled")]

Flag = Annotated[bool, Meta(extra={"says": "must be true or false", "lax": True})]

EventSort = Annotated[
    Literal["date", "title", "createdAt", "popularity"],
    message("must be date, title, createdAt or popularity"),
]


class EventDetails(Body):
    """An event as its host describes it. Optional members left out have their defaults."""

    title: Title
    starts_at: Time = field(name="startDateTime")
    ends_at: Time = field(name="endDateTime")
    capacity: Capacity
    description: Description | None = None
    location: Location | None = None
    timezone: Timezone = "UTC"
    price: Price = 0
    currency: Currency | None = None
    sale_starts_at: Time | None = None
    sale_ends_at: Time | None = None
    refund_until: Time | None = None
    status: Offered | None = None


class EventChange(Body):
    """Some members of an event; null takes an optional one away."""

    title: Title | UnsetType = UNSET
    starts_at: Time | UnsetType = field(name="startDateTime", default=UNSET)
    ends_at: Time | UnsetType = field(name="endDateTime", default=UNSET)
    capacity: Capacity | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    location: Location | UnsetType | None = UNSET
    timezone: Timezone | UnsetType = UNSET
    price: Price | UnsetType = UNSET
    currency: Currency | UnsetType = UNSET
    sale_starts_at: Time | UnsetType | None = UNSET
    sale_ends_at: Time | UnsetType | None = UNSET
    refund_until: Time | UnsetType | None = UNSET
    status: Offered | UnsetType = UNSET


class TicketType(Struct, kw_only=True, rename="camel"):
    """A kind of place that an event offers."""

    ticket_type_id: Id
    name: str
    price: int
    currency: str


class Event(Struct, kw_only=True, rename="camel"):
    """An event. Members without a value are left out."""

    event_id: Id
    host_id: Id
    title: str
    description: str | UnsetType = UNSET
    location: str | UnsetType = UNSET
    starts_at: Time = field(name="startDateTime")
    ends_at: Time = field(name="endDateTime")
    timezone: str
    capacity: int
    number_of_attendees: Annotated[int, Meta(description="Places taken.")]
    price: Annotated[int, Meta(description="Of the cheapest ticket type, in minor units.")]
    currency: str
    sale_starts_at: Time | UnsetType = UNSET
    sale_ends_at: Time
    refund_until: (
        Annotated[
            Time,
            Meta(description="Until when who cancels gets the money back. Left out where it is free."),
        ]
        | UnsetType
    ) = UNSET
    status: Status
    ticket_types: list[TicketType]
    on_sale: Annotated[bool, Meta(description="Whether a place can be booked right now.")]
    created_at: Time
    updated_at: Time


class EventQuery(PageQuery, kw_only=True):
    host_id: Annotated[Id, message("must be a UUID")] | None = None
    from_: Time | None = field(name="from", default=None)
    to: Time | None = None
    q: Annotated[str, text(200, description="Words that title and description have.")] | None = None
    status: AnyStatus | None = None
    on_sale: Flag | None = None
    mine: Flag = False
    sort: EventSort = "date"


class PlaceCounts(Struct, kw_only=True):
    """The counter, and what it counts."""

    capacity: int
    taken: int
    counted: Annotated[int, Meta(description="Of live bookings.")]


class BookingCounts(Struct, kw_only=True):
    """How many bookings there are of each status."""

    pending: int
    confirmed: int
    cancelled: int
    expired: int


class MoneyTotals(Struct, kw_only=True, rename="camel"):
    """Sums in minor units of one currency."""

    currency: str
    received: int
    refunded: int
    refund_pending: int
    kept: Annotated[int, Meta(description="Received, and neither refunded nor due back.")]
    kept_of_cancelled: Annotated[int, Meta(description="Of it, what was cancelled too late for a refund.")]
    confirmed: Annotated[int, Meta(description="What the confirmed bookings cost.")]
    disputed: int


class Difference(Struct, kw_only=True, rename="camel"):
    """Something that does not fit, for a person to look at."""

    booking_id: Annotated[Id | None, Meta(description="null where it is about the event's places.")]
    what: Annotated[str, Meta(examples=["amount-differs"])]


class Integrity(Struct, kw_only=True, rename="camel"):
    """An event's places and money, counted again."""

    event_id: Id
    checked_at: Time
    places: PlaceCounts
    bookings: BookingCounts
    money: list[MoneyTotals]
    differences: list[Difference]
