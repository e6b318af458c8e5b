"""Request and response bodies of /events/{eventId}/codes."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import ColumnElement, FromClause

from chalicelib.bookings.codes import MAX_USES, PATTERN
from chalicelib.bookings.models import CodeKind
from chalicelib.events.prices import MAX_PRICE
from chalicelib.events.ticket_types import MAX_TYPES
from chalicelib.platform.database.rendering import as_json
from chalicelib.platform.http.pagination import PageQuery
from chalicelib.platform.http.validation import Body, Id, Time

CodeText = Annotated[
    str,
    Meta(
        pattern=PATTERN,
        description="For a discount, or for access to a ticket type.",
        examples=["EARLYBIRD"],
        extra={"message": "must be 3 to 40 upper-case letters, digits, hyphens or underscores"},
    ),
]

Value = Annotated[
    int,
    Meta(
        ge=1,
        le=MAX_PRICE,
        description="What is taken off each ticket: percent from 1 to 100, or minor units of the event's "
        "currency. Left out for `access`.",
        examples=[20],
    ),
]

TicketTypeIds = Annotated[
    list[Id],
    Meta(
        min_length=1,
        max_length=MAX_TYPES,
        description="What the code is for. Left out: all ticket types.",
    ),
]

MaxUses = Annotated[
    int,
    Meta(ge=1, le=MAX_USES, description="How many live bookings can have the code. Left out: any number."),
]

MaxPerAttendee = Annotated[
    int, Meta(ge=1, le=100, description="How many of them one attendee can have. Left out: any number.")
]

ValidFrom = Annotated[Time, Meta(description="Left out: as soon as tickets are on sale.")]

ValidUntil = Annotated[Time, Meta(description="Left out: as long as tickets are on sale.")]


class NewCode(Body):
    """A new code."""

    code: CodeText
    kind: CodeKind
    value: Value | None = None
    ticket_type_ids: TicketTypeIds | None = None
    max_uses: MaxUses | None = None
    max_per_attendee: MaxPerAttendee | None = None
    valid_from: ValidFrom | None = None
    valid_until: ValidUntil | None = None


class CodeChange(Body):
    """Parts of a code. null removes an optional member."""

    code: CodeText | UnsetType = UNSET
    kind: CodeKind | UnsetType = UNSET
    value: Value | UnsetType | None = UNSET
    ticket_type_ids: TicketTypeIds | UnsetType | None = UNSET
    max_uses: MaxUses | UnsetType | None = UNSET
    max_per_attendee: MaxPerAttendee | UnsetType | None = UNSET
    valid_from: ValidFrom | UnsetType | None = UNSET
    valid_until: ValidUntil | UnsetType | None = UNSET


class Code(Struct, kw_only=True, rename="camel"):
    """A code. Members without a value are left out."""

    code_id: Id
    code: CodeText
    kind: CodeKind
    value: Value | UnsetType = UNSET
    ticket_type_ids: TicketTypeIds | UnsetType = UNSET
    max_uses: MaxUses | UnsetType = UNSET
    uses: Annotated[int, Meta(description="The number of live bookings with the code.")]
    max_per_attendee: MaxPerAttendee | UnsetType = UNSET
    valid_from: ValidFrom | UnsetType = UNSET
    valid_until: ValidUntil | UnsetType = UNSET
    created_at: Time
    updated_at: Time


class CodeQuery(PageQuery, kw_only=True):
    sort: Literal["createdAt", "code"] = "createdAt"


def code_json(row: FromClause) -> ColumnElement[Any]:
    return as_json(Code, row)
