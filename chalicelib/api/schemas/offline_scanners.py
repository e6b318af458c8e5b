"""Request and response bodies of scanners that work offline."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from chalicelib.api.schemas.check_ins import CheckIn, Gate, NewCheckIn, ScannedTicket
from chalicelib.check_in.batches import MAX_SCANS, ScanOutcome
from chalicelib.check_in.door_list import MAX_TICKETS
from chalicelib.platform.http.validation import Body, Id, Time

T = TypeVar("T", bound=Struct)


class OfflineScan(NewCheckIn, kw_only=True):
    """A scan that a scanner has accepted. It has either `code` or `ticketId`."""

    at: Annotated[Time, Meta(description="When it was scanned, by the scanner's clock.")]


class ScanBatch(Body, kw_only=True):
    """Scans that were made offline, in any order."""

    scans: Annotated[
        list[OfflineScan],
        Meta(min_length=1, max_length=MAX_SCANS, description="No nonce can occur twice."),
    ]
    sent_at: (
        Annotated[
            Time,
            Meta(
                description="The scanner's clock now. The times of the scans are corrected by its difference "
                "to the server's clock. Left out: the clock is right."
            ),
        ]
        | UnsetType
    ) = UNSET


class OtherCheckIn(Struct, kw_only=True, rename="camel"):
    """Another check-in of the same ticket."""

    check_in_id: Id
    scanned_at: Time
    gate: Gate | UnsetType = UNSET


class ScanResult(Struct, kw_only=True, rename="camel"):
    """What became of a scan, by all that is known now. Later batches can change it."""

    nonce: UUID
    outcome: ScanOutcome
    ticket: ScannedTicket | UnsetType = UNSET
    check_in: CheckIn | UnsetType = UNSET
    first: Annotated[OtherCheckIn, Meta(description="The earlier scan, which wins.")] | UnsetType = UNSET
    later: (
        Annotated[list[OtherCheckIn], Meta(description="Later scans of the ticket, which conflict.")]
        | UnsetType
    ) = UNSET


class ScanResults(Struct, kw_only=True, rename="camel"):
    """The results of a batch, in the order of its scans."""

    results: list[ScanResult]


class DoorListQuery(Struct, kw_only=True, rename="camel"):
    since: Annotated[str, Meta(max_length=200, description="The `mark` of the last door list.")] | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_TICKETS, description="Tickets per page.")] = 500


class ListedType(Struct, kw_only=True, rename="camel"):
    """A ticket type."""

    ticket_type_id: Id
    name: str


class ListedTicket(Struct, kw_only=True, rename="camel"):
    """A ticket as an offline scanner knows it. Members without a value are left out."""

    ticket_id: Id
    ticket_type_id: Id
    status: Annotated[
        Literal["valid", "used", "cancelled"],
        Meta(description="`used` tickets have been admitted. `cancelled` ones are to be removed."),
    ]
    inside: bool
    holder_name: str | UnsetType = UNSET
    reference: Annotated[str, Meta(description="Of the booking.")]
    code_hashes: Annotated[
        list[str],
        Meta(description="SHA-256 of each valid code in hexadecimal: of the code in upper case."),
    ]
    checked_in_at: Annotated[Time, Meta(description="The last admission.")] | UnsetType = UNSET
    gate: Gate | UnsetType = UNSET


class DoorList(Struct, kw_only=True, rename="camel"):
    """A page of an event's tickets, or of what has changed."""

    event_id: Id
    title: str
    start_date_time: Time
    doors_open_at: Time
    timezone: str
    re_entry_allowed: bool
    server_time: Time
    mark: Annotated[str, Meta(description="For `since`.")]
    more: Annotated[bool, Meta(description="There is another page: ask again with `mark`.")]
    full: Annotated[bool, Meta(description="The list started from nothing: drop what you have.")]
    ticket_types: Sequence[ListedType]
    tickets: Sequence[ListedTicket]


def of(kind: type[T], row: object, **others: Any) -> T:
    """Make a struct of a row's attributes. Those that are None are left out."""
    found = {name: getattr(row, name) for name in kind.__struct_fields__ if name not in others}
    return kind(**{name: value for name, value in (found | others).items() if value is not None})
