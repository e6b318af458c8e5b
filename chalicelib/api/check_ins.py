"""/events/{eventId}/check-ins and /attendance: scan tickets at the door, undo, count."""

from uuid import UUID

from msgspec import UNSET
from sqlalchemy import Connection

from chalicelib.api.routing import new_router
from chalicelib.api.schemas.check_ins import Attendance, CheckInResult, NewCheckIn
from chalicelib.bookings.tickets import NoSuchTicket, TicketCancelled
from chalicelib.check_in import attendance, scanning, undo
from chalicelib.check_in.door import WrongDoor, require_door
from chalicelib.check_in.scanning import (
    AlreadyCheckedIn,
    CodeReplaced,
    NonceReused,
    NoReEntry,
    NotCheckedIn,
    NotYetValid,
    Scan,
    WrongEvent,
)
from chalicelib.check_in.ticket_codes import TicketCodes
from chalicelib.check_in.undo import NoSuchCheckIn
from chalicelib.events.locks import NotYourEvent
from chalicelib.events.search import NoSuchEvent
from chalicelib.platform.errors import FieldError, InvalidInput
from chalicelib.platform.http.request import Request, Response

DOOR_ERRORS = (NoSuchEvent, NotYourEvent, WrongDoor)

routes = new_router("check-ins", "At the door of an event: scan tickets, undo, count.")


@routes.post(
    "/events/{eventId}/check-ins",
    auth="scope:check-in",
    responses={200: CheckInResult},
    errors=(
        *DOOR_ERRORS,
        NoSuchTicket,
        WrongEvent,
        TicketCancelled,
        CodeReplaced,
        NotYetValid,
        AlreadyCheckedIn,
        NotCheckedIn,
        NoReEntry,
        NonceReused,
    ),
    account_check="view",  # the procedure checks it
)
def check_in(request: Request, event_id: UUID, body: NewCheckIn) -> Response:
    """Check a ticket in by its code, or by its id if it was found by name.

    A ticket is admitted once: 409 `already-checked-in`, whose `first` says when and where. Where the event
    has `reEntryAllowed`, `direction` `out` ends the stay, and the ticket can be admitted again. Doors open at
    `doorsOpenAt` of the event, or 12 hours before its start: 409 `not-yet-valid`. Refused scans are not
    recorded.

    If there is no response, send the same scan with the same `nonce` again to get the first response.
    """
    scanned = scanning.scan(
        request.database,
        event_id,
        _scan(request, body),
        caller=request.caller,
        key=request.access_key,
        now=request.now,
    )
    return Response(200, scanned)


@routes.delete(
    "/events/{eventId}/check-ins/{checkInId}",
    auth="scope:check-in",
    responses={204: None},
    errors=(*DOOR_ERRORS, NoSuchCheckIn),
)
def undo_check_in(request: Request, connection: Connection, event_id: UUID, check_in_id: UUID) -> Response:
    """Undo a check-in that was a mistake. The ticket can be admitted again. Repeating it changes nothing.

    After the undo of a check-out, the ticket is inside again.
    """
    _require_door(request, connection, event_id)
    undo.undo(connection, event_id, check_in_id, request.now)
    return Response(204)


@routes.get(
    "/events/{eventId}/attendance",
    auth="scope:check-in",
    responses={200: Attendance},
    errors=DOOR_ERRORS,
)
def get_attendance(request: Request, connection: Connection, event_id: UUID) -> Response:
    """Count who has come, by ticket type, gate and quarter of an hour, and list the latest conflicts."""
    _require_door(request, connection, event_id)
    return Response(200, attendance.count(connection, event_id))


def _require_door(request: Request, connection: Connection, event_id: UUID) -> None:
    require_door(connection, event_id, caller=request.caller, key=request.access_key, now=request.now)


def _scan(request: Request, body: NewCheckIn) -> Scan:
    ticket_id, serial = ticket_of(TicketCodes.of(request.settings), body)
    return Scan(
        ticket_id=ticket_id,
        serial=serial,
        nonce=body.nonce,
        direction=body.direction,
        scanned_at=request.now if body.at is UNSET else body.at,
        gate=None if body.gate is UNSET else body.gate,
    )


def ticket_of(codes: TicketCodes, scan: NewCheckIn, prefix: str = "") -> tuple[UUID | None, int | None]:
    """Return the ticket that a scan names, None if its code is not genuine, and the serial of the code.

    `prefix` comes before the names of members in errors.

    Raises:
        InvalidInput: It names the ticket by code and id, or not at all.
    """
    if (scan.code is UNSET) == (scan.ticket_id is UNSET):
        message = "must be given, or ticketId, but not both"
        raise InvalidInput(errors=[FieldError(f"{prefix}code", message)])
    if scan.ticket_id is not UNSET:
        return scan.ticket_id, None
    return codes.read(str(scan.code)) or (None, None)
