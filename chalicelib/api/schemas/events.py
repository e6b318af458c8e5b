"""Request and response bodies of /events."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field
from sqlalchemy import ColumnElement, FromClause, Uuid, bindparam, case, func, literal_column, select
from sqlalchemy.dialects.postgresql import aggregate_order_by

from chalicelib.api.schemas.ticket_types import (
    Capacity,
    NewTicketType,
    Price,
    TicketType,
    ticket_type_json,
)
from chalicelib.bookings.models import bookings, live
from chalicelib.events import expressions
from chalicelib.events.models import Availability, Status, interests, pools, ticket_types
from chalicelib.events.ticket_types import MAX_TYPES
from chalicelib.platform.database.rendering import as_json
from chalicelib.platform.http.pagination import PageQuery
from chalicelib.platform.http.validation import Body, Id, Time, text
from chalicelib.users.models import follows, users

Title = Annotated[str, text(200, examples=["Jazz in the yard"])]

Description = Annotated[str, Meta(max_length=10_000)]

Location = Annotated[
    str,
    Meta(max_length=500, examples=["Kulturhof, Berlin"]),
]

Timezone = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="IANA name.",
        examples=["Europe/Berlin"],
        extra={"message": "must be the name of an IANA time zone, such as Europe/Berlin"},
    ),
]

Currency = Annotated[
    str,
    Meta(
        pattern="^[a-z]{3}$",
        description="ISO 4217, in lower case.",
        examples=["eur"],
        extra={"message": "must be an ISO 4217 code in lower case, such as eur"},
    ),
]

MaxPerAttendee = Annotated[
    int, Meta(ge=1, le=100, description="Tickets that one attendee can have at the same time.")
]

DoorsOpenAt = Annotated[
    Time, Meta(description="Tickets are admitted from then on. Without it, 12 hours before the start.")
]

ReEntryAllowed = Annotated[bool, Meta(description="Whether attendees who have left can come in again.")]

VerifiedAttendeesOnly = Annotated[
    bool, Meta(description="Whether only attendees with a verified e-mail address can book.")
]


class EventDetails(Body):
    """The details of an event. Optional members that are left out get their defaults."""

    title: Title
    starts_at: Time = field(name="startDateTime")
    ends_at: Time = field(name="endDateTime")
    capacity: Capacity
    description: Description | None = None
    location: Location | None = None
    timezone: Timezone = "UTC"
    price: (
        Annotated[
            Price,
            Meta(
                description="0 by default. Leave it out if there are several ticket types: they have prices."
            ),
        ]
        | UnsetType
    ) = UNSET
    currency: Currency | None = None
    sale_starts_at: Time | None = None
    sale_ends_at: Time | None = None
    refund_until: Time | None = None
    doors_open_at: DoorsOpenAt | None = None
    re_entry_allowed: ReEntryAllowed = False
    max_per_attendee: MaxPerAttendee = 1
    verified_attendees_only: VerifiedAttendeesOnly = False
    status: Literal["draft", "published"] | None = None


class NewEvent(EventDetails):
    """A new event. Optional members that are left out get their defaults."""

    ticket_types: (
        Annotated[
            list[NewTicketType],
            Meta(
                min_length=1,
                max_length=MAX_TYPES,
                description='By default one, "General admission", at the `price` of the event.',
            ),
        ]
        | UnsetType
    ) = UNSET


class EventChange(Body):
    """Parts of an event. null removes an optional member."""

    title: Title | UnsetType = UNSET
    starts_at: Time | UnsetType = field(name="startDateTime", default=UNSET)
    ends_at: Time | UnsetType = field(name="endDateTime", default=UNSET)
    capacity: Capacity | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    location: Location | UnsetType | None = UNSET
    timezone: Timezone | UnsetType = UNSET
    price: (
        Annotated[Price, Meta(description="Of the only ticket type. If there are several, change those.")]
        | UnsetType
    ) = UNSET
    currency: Currency | UnsetType = UNSET
    sale_starts_at: Time | UnsetType | None = UNSET
    sale_ends_at: Time | UnsetType | None = UNSET
    refund_until: Time | UnsetType | None = UNSET
    doors_open_at: DoorsOpenAt | UnsetType | None = UNSET
    re_entry_allowed: ReEntryAllowed | UnsetType = UNSET
    max_per_attendee: MaxPerAttendee | UnsetType = UNSET
    verified_attendees_only: VerifiedAttendeesOnly | UnsetType = UNSET
    status: Literal["draft", "published"] | UnsetType = UNSET


class EventCancellation(Body):
    """What to tell the attendees."""

    reason: Annotated[str, Meta(max_length=500, description="Sent to the attendees.")] | None = None


class EventHost(Struct, kw_only=True, rename="camel"):
    """The host of an event. The name is left out if the account is deleted."""

    user_id: Id
    name: str | UnsetType = UNSET


class Viewer(Struct, kw_only=True, rename="camel"):
    """What the caller has to do with an event."""

    following: Annotated[bool, Meta(description="Whether you follow its host.")]
    interested: Annotated[bool, Meta(description="Whether you are notified when its sale starts.")]
    booking_ids: Annotated[list[Id], Meta(description="Your pending and confirmed bookings.")]


class Event(Struct, kw_only=True, rename="camel"):
    """An event. Members without a value are left out."""

    event_id: Id
    host_id: Id
    host: EventHost
    title: str
    description: str | UnsetType = UNSET
    location: str | UnsetType = UNSET
    starts_at: Time = field(name="startDateTime")
    ends_at: Time = field(name="endDateTime")
    timezone: str
    capacity: int
    number_of_attendees: Annotated[int, Meta(description="The number of places taken.")]
    price: Annotated[
        int,
        Meta(description="The lowest price of its ticket types that are not archived, in minor units."),
    ]
    currency: str
    sale_starts_at: Time | UnsetType = UNSET
    sale_ends_at: Time
    refund_until: (
        Annotated[
            Time,
            Meta(description="Attendees who cancel until then are refunded. Left out for free events."),
        ]
        | UnsetType
    ) = UNSET
    doors_open_at: DoorsOpenAt | UnsetType = UNSET
    re_entry_allowed: ReEntryAllowed
    max_per_attendee: MaxPerAttendee
    verified_attendees_only: VerifiedAttendeesOnly
    status: Status
    cancellation_reason: Annotated[str, Meta(description="In the host's words.")] | UnsetType = UNSET
    ticket_types: Annotated[
        list[TicketType], Meta(description="In the order of the host, archived ones included.")
    ]
    availability: Annotated[
        Availability,
        Meta(
            description="`on-sale` if a ticket of any type can be booked now. Else `not-started` if the "
            "sale of a type is still to start, also while the event is a draft; else `sold-out` if a type is "
            "sold out; else `ended`, also if the event is cancelled."
        ),
    ]
    on_sale: Annotated[bool, Meta(description="Whether a ticket can be booked now.")]
    created_at: Time
    updated_at: Time
    viewer: Annotated[Viewer, Meta(description="Of events that you read with a token.")] | UnsetType = UNSET


def event_json(row: FromClause) -> ColumnElement[Any]:
    """An event at the time of the parameter `now`, without its viewer."""
    return _event_json(row, literal_column("NULL::json"))


def viewed_event_json(row: FromClause) -> ColumnElement[Any]:
    """An event for the parameter `caller`, which is null if nobody is logged in."""
    caller = bindparam("caller", type_=Uuid)
    following = (
        select(follows.c.user_id).where(follows.c.host_id == row.c.host_id, follows.c.user_id == caller)
    ).exists()
    interested = (
        select(interests.c.user_id).where(
            interests.c.event_id == row.c.event_id, interests.c.user_id == caller
        )
    ).exists()
    booking_ids = (
        select(func.json_agg(aggregate_order_by(bookings.c.booking_id, bookings.c.booking_id)))
        .where(bookings.c.event_id == row.c.event_id, bookings.c.user_id == caller, live)
        .scalar_subquery()
    )
    viewer = as_json(
        Viewer,
        row,
        following=following,
        interested=interested,
        booking_ids=func.coalesce(booking_ids, literal_column("'[]'::json")),
    )
    return _event_json(row, case((caller.is_not(None), viewer)))


def _event_json(row: FromClause, viewer: ColumnElement[Any]) -> ColumnElement[Any]:
    types = (
        select(func.json_agg(aggregate_order_by(ticket_type_json(row), ticket_types.c.ticket_type_id)))
        .join_from(ticket_types, pools, pools.c.pool_id == ticket_types.c.ticket_type_id)
        .where(ticket_types.c.event_id == row.c.event_id, ticket_types.c.deleted_at.is_(None))
        .scalar_subquery()
    )
    host = select(as_json(EventHost, users)).where(users.c.user_id == row.c.host_id).scalar_subquery()
    return as_json(
        Event,
        row,
        host=host,
        number_of_attendees=row.c.taken,
        price=expressions.min_price(row),
        sale_ends_at=expressions.sale_end(row),
        refund_until=expressions.refundable_until(row),
        status=expressions.visible_status(row),
        ticket_types=types,
        availability=expressions.availability(row),
        on_sale=expressions.on_sale(row.c, row.c),
        viewer=viewer,
    )


class EventQuery(PageQuery, kw_only=True):
    host_id: Id | None = None
    from_: Time | None = field(name="from", default=None)
    to: Time | None = None
    q: Annotated[str, text(200, description="Words in the title or description.")] | None = None
    status: list[Status] | None = None
    on_sale: bool | None = None
    mine: bool = False
    sort: Literal["date", "title", "createdAt", "popularity"] = "date"


class PlaceCounts(Struct, kw_only=True):
    """The stored counter, and the recount."""

    capacity: int
    taken: int
    counted: Annotated[int, Meta(description="Recounted from live tickets.")]


class TypeCounts(Struct, kw_only=True, rename="camel"):
    """The stored counter of a ticket type, and the recount."""

    ticket_type_id: Id
    name: str
    capacity: Annotated[int, Meta(description="Left out without a limit of its own.")] | UnsetType = UNSET
    taken: int
    counted: Annotated[int, Meta(description="Recounted from live tickets.")]


class CodeCounts(Struct, kw_only=True, rename="camel"):
    """The stored number of uses of a code, and the recount."""

    code_id: Id
    code: str
    max_uses: Annotated[int, Meta(description="Left out without a limit.")] | UnsetType = UNSET
    taken: int
    counted: Annotated[int, Meta(description="Recounted from live bookings.")]


class BookingCounts(Struct, kw_only=True):
    """The number of bookings by status."""

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
    kept: Annotated[int, Meta(description="Received, and neither refunded nor to be refunded.")]
    kept_of_cancelled: Annotated[
        int, Meta(description="The part of `kept` that was cancelled too late for a refund.")
    ]
    confirmed: Annotated[int, Meta(description="The total of the confirmed bookings.")]
    disputed: int


class Difference(Struct, kw_only=True, rename="camel"):
    """A difference between stored and recounted values, for a person to resolve."""

    booking_id: Annotated[Id | None, Meta(description="null if the difference is in a counter of the event.")]
    ticket_type_id: Annotated[Id, Meta(description="If it is in the places of a type.")] | UnsetType = UNSET
    code_id: Annotated[Id, Meta(description="If it is in the uses of a code.")] | UnsetType = UNSET
    what: Annotated[str, Meta(examples=["amount-differs"])]


class Integrity(Struct, kw_only=True, rename="camel"):
    """The places and the money of an event, recounted."""

    event_id: Id
    checked_at: Time
    places: PlaceCounts
    ticket_types: list[TypeCounts]
    codes: list[CodeCounts]
    bookings: BookingCounts
    money: list[MoneyTotals]
    differences: list[Difference]
