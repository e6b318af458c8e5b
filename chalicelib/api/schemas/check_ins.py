"""Request and response bodies of /events/{eventId}/check-ins and of the attendance."""

from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType, field

from chalicelib.bookings.models import TicketStatus
from chalicelib.check_in.models import Direction, Outcome
from chalicelib.platform.http.validation import Body, Id, Time, text

MAX_CODE_LENGTH = 200

Gate = Annotated[str, text(50, description="Where it was scanned.", examples=["North"])]

Code = Annotated[
    str,
    text(
        MAX_CODE_LENGTH,
        description="What the QR code says. The case of letters, spaces and hyphens do not matter.",
    ),
]


class NewCheckIn(Body, kw_only=True):
    """A scan. It has either `code` or `ticketId`."""

    code: Code | UnsetType = UNSET
    ticket_id: (
        Annotated[UUID, Meta(description="Instead of the code, if the ticket was found by name.")] | UnsetType
    ) = UNSET
    nonce: Annotated[
        UUID,
        Meta(description="A UUID of the scanner's own. A scan that is sent again is recorded once."),
    ]
    at: Annotated[Time, Meta(description="When it was scanned, at most now. Left out: now.")] | UnsetType = (
        UNSET
    )
    gate: Gate | UnsetType = UNSET
    direction: Annotated[Direction, Meta(description="`out` where re-entry is allowed.")] = "in"


class ScannedTicket(Struct, kw_only=True, rename="camel"):
    """A ticket as the door sees it."""

    ticket_id: Id
    ticket_type_id: Id
    name: Annotated[str, Meta(description="Of the ticket type.")]
    status: TicketStatus
    holder_name: (
        Annotated[str, Meta(description="The attendee, unless the ticket names a holder.")] | UnsetType
    ) = UNSET
    reference: Annotated[str, Meta(description="Of the booking.")]


class CheckIn(Struct, kw_only=True, rename="camel"):
    """A scan that was recorded."""

    check_in_id: Id
    ticket_id: Id
    direction: Direction
    outcome: Outcome
    scanned_at: Time
    gate: Gate | UnsetType = UNSET
    by_hand: Annotated[bool, Meta(description="The ticket was found by name.")]


class CheckInResult(Struct, kw_only=True, rename="camel"):
    """An accepted scan."""

    ticket: ScannedTicket
    check_in: CheckIn


class CheckInMoment(Struct, kw_only=True, rename="camel"):
    """When and where a ticket was scanned."""

    check_in_id: Id
    scanned_at: Time
    gate: Gate | UnsetType = UNSET


class TypeAttendance(Struct, kw_only=True, rename="camel"):
    """The attendance of one ticket type."""

    ticket_type_id: Id
    name: str
    sold: Annotated[int, Meta(description="Tickets that are paid or free, and not cancelled.")]
    admitted: int
    inside: int


class GateAttendance(Struct, kw_only=True, rename="camel"):
    """Admissions at one gate."""

    gate: Annotated[str, Meta(description="Left out for scans without a gate.")] | UnsetType = UNSET
    admissions: int


class QuarterAttendance(Struct, kw_only=True, rename="camel"):
    """First admissions in a quarter of an hour."""

    from_: Annotated[Time, Meta(description="In UTC.")] = field(name="from")
    admissions: int


class CheckInConflict(Struct, kw_only=True, rename="camel"):
    """A ticket that was scanned twice while scanners were offline."""

    ticket_id: Id
    reference: Annotated[str, Meta(description="Of the booking.")]
    scan: Annotated[CheckInMoment, Meta(description="The later scan.")]
    first: Annotated[CheckInMoment, Meta(description="The scan that admitted the ticket.")]


class Attendance(Struct, kw_only=True, rename="camel"):
    """Who has come to an event. Check-ins that were undone do not count."""

    event_id: Id
    inside: Annotated[int, Meta(description="Tickets that were admitted and have not left.")]
    admitted: Annotated[int, Meta(description="Tickets that were admitted at least once.")]
    conflicts: int
    ticket_types: list[TypeAttendance]
    gates: Annotated[list[GateAttendance], Meta(description="The 100 with the most admissions.")]
    quarters: Annotated[list[QuarterAttendance], Meta(description="The latest 1,000.")]
    conflict_list: Annotated[list[CheckInConflict], Meta(description="The latest 100.")]
