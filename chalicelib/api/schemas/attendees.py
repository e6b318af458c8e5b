"""Response bodies of the attendees of an event."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import ColumnElement, FromClause

from chalicelib.api.schemas.users import MAX_EMAIL_LENGTH
from chalicelib.bookings.models import TicketStatus
from chalicelib.bookings.references import booking_reference
from chalicelib.check_in.attendees import AttendeeFilters, PaidBy
from chalicelib.platform.database.listing import PageRequest
from chalicelib.platform.database.rendering import as_json
from chalicelib.platform.http.pagination import Cursor, PageQuery
from chalicelib.platform.http.validation import Id, Time, text

MAX_CSV_ROWS = 5_000
"""Of one page of the CSV file."""


class EventAttendee(Struct, kw_only=True, rename="camel"):
    """A ticket with its attendee. Members without a value are left out."""

    reference: Annotated[str, Meta(description="Of the booking, for people.", examples=["7YJ3K0QX"])]
    booking_id: Id
    ticket_id: Id
    ticket_type_id: Id
    ticket_type: Annotated[str, Meta(description="The name of the ticket type.")]
    name: Annotated[str, Meta(description="Of the holder, or else of the booker.")] | UnsetType = UNSET
    email: Annotated[str, Meta(description="Of the holder, or else of the booker.")] | UnsetType = UNSET
    status: TicketStatus
    price: Annotated[int, Meta(description="With a discount, in minor units.")]
    currency: str
    paid_by: Annotated[PaidBy, Meta(description="`online`: booked by an attendee.")]
    code: Annotated[str, Meta(description="With which it was booked.")] | UnsetType = UNSET
    booked_at: Time
    checked_in_at: Annotated[Time, Meta(description="For the first time.")] | UnsetType = UNSET
    gate: Annotated[str, Meta(description="Of the first check-in.")] | UnsetType = UNSET


Statuses = Annotated[list[TicketStatus], Meta(description="By default all but `cancelled`.")]
Words = Annotated[
    str,
    text(
        MAX_EMAIL_LENGTH,
        description="Words in the name of the holder or booker, their e-mail address, or the reference.",
    ),
]


class AttendeeQuery(PageQuery, kw_only=True):
    status: Statuses | None = None
    ticket_type_id: list[Id] | None = None
    checked_in: bool | None = None
    paid_by: list[PaidBy] | None = None
    q: Words | None = None
    sort: Literal["createdAt"] = "createdAt"


class AttendeeFileQuery(Struct, kw_only=True, rename="camel"):
    limit: Annotated[int, Meta(ge=1, le=MAX_CSV_ROWS, description="Rows per page.")] = MAX_CSV_ROWS
    cursor: Cursor | None = None
    bom: Annotated[
        bool, Meta(description="Whether the first page starts with a byte order mark, as Excel needs it.")
    ] = False
    status: Statuses | None = None
    ticket_type_id: list[Id] | None = None
    checked_in: bool | None = None
    paid_by: list[PaidBy] | None = None
    q: Words | None = None

    def page(self, limit: int) -> PageRequest:
        return PageRequest(sort="createdAt", limit=limit, cursor=self.cursor)


def filters_of(query: AttendeeQuery | AttendeeFileQuery) -> AttendeeFilters:
    return AttendeeFilters(
        statuses=query.status,
        ticket_type_ids=query.ticket_type_id,
        checked_in=query.checked_in,
        paid_by=query.paid_by,
        q=query.q,
    )


def attendee_json(row: FromClause) -> ColumnElement[Any]:
    return as_json(EventAttendee, row, reference=booking_reference(row.c.booking_id))
