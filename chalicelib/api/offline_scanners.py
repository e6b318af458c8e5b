"""/events/{eventId}/door-list and /check-ins/batch: for scanners that work offline."""

from collections import Counter
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from msgspec import UNSET
from sqlalchemy import Connection

from chalicelib.api.check_ins import DOOR_ERRORS, ticket_of
from chalicelib.api.routing import new_router
from chalicelib.api.schemas.check_ins import CheckIn, ScannedTicket
from chalicelib.api.schemas.offline_scanners import (
    DoorList,
    DoorListQuery,
    ListedTicket,
    ListedType,
    OfflineScan,
    OtherCheckIn,
    ScanBatch,
    ScanResult,
    ScanResults,
    of,
)
from chalicelib.check_in import batches, door_list
from chalicelib.check_in.batches import Scan
from chalicelib.check_in.door import require_door
from chalicelib.check_in.door_list import Mark
from chalicelib.check_in.ticket_codes import TicketCodes
from chalicelib.platform.errors import FieldError, InvalidInput
from chalicelib.platform.http.request import Request, Response

MAX_CLOCK_ERROR = timedelta(days=1)
"""A larger difference of the clocks is not corrected: the scanner's date is wrong."""

routes = new_router("offline-scanners", "For scanners that go on working without a network.")


@routes.get(
    "/events/{eventId}/door-list",
    auth="scope:check-in",
    responses={200: DoorList},
    errors=DOOR_ERRORS,
)
def get_door_list(request: Request, connection: Connection, event_id: UUID, query: DoorListQuery) -> Response:
    """List what a scanner needs offline: the tickets of an event with the hashes of their codes.

    Without `since` it has all tickets that can be admitted. With the `mark` of the last list it has those
    that have changed since, cancelled ones included. While `more` is true, ask again with the new `mark`. If
    `full` is true on the first page, drop what you have: the list has started from nothing.
    """
    mark = Mark.parse(query.since) if query.since is not None else None
    codes = TicketCodes.of(request.settings)
    event, _ = require_door(
        connection, event_id, caller=request.caller, key=request.access_key, now=request.now
    )
    listed = door_list.read(connection, codes, event_id, mark, query.limit)
    types = door_list.type_names(connection, event_id)
    answer = DoorList(
        event_id=event_id,
        title=event.title,
        start_date_time=event.starts_at,
        doors_open_at=event.doors_open_at,
        timezone=event.timezone,
        re_entry_allowed=event.re_entry_allowed,
        server_time=request.now,
        mark=str(listed.mark),
        more=listed.more,
        full=listed.full,
        ticket_types=[ListedType(ticket_type_id=type_id, name=name) for type_id, name in types],
        tickets=[of(ListedTicket, ticket) for ticket in listed.tickets],
    )
    return Response(200, msgspec.json.encode(answer).decode())


@routes.post(
    "/events/{eventId}/check-ins/batch",
    auth="scope:check-in",
    responses={200: ScanResults},
    errors=DOOR_ERRORS,
)
def record_offline_scans(
    request: Request, connection: Connection, event_id: UUID, body: ScanBatch
) -> Response:
    """Record scans that a scanner has accepted while it was offline.

    Send a batch again if there is no response: each nonce is recorded once. Batches can arrive in any order.
    The earliest scan of a ticket wins; later ones become `already-checked-in`, also if they were accepted
    online before. A ticket that was cancelled or whose code was replaced meanwhile is reported as such.
    Scans with the outcomes `wrong-event`, `no-such-ticket`, `no-re-entry`, `nonce-reused` and `invalid-time`
    are not recorded.
    """
    skew = _skew(request, body)
    codes = TicketCodes.of(request.settings)
    scans = [_scan(codes, index, scan, skew) for index, scan in enumerate(body.scans)]
    counts = Counter(scan.nonce for scan in scans)
    repeated = [
        FieldError(f"scans[{index}].nonce", "must not be that of another scan of the batch")
        for index, scan in enumerate(scans)
        if counts[scan.nonce] > 1
    ]
    if repeated:
        raise InvalidInput(errors=repeated)
    event, door_key_id = require_door(
        connection, event_id, caller=request.caller, key=request.access_key, now=request.now
    )
    results = batches.record(connection, event, door_key_id, scans, request.now)
    answer = ScanResults(results=[_result(result) for result in results])
    return Response(200, msgspec.json.encode(answer).decode())


def _skew(request: Request, body: ScanBatch) -> timedelta:
    """Return what to add to the scanner's times.

    Raises:
        InvalidInput: Its clock is wrong by more than MAX_CLOCK_ERROR.
    """
    if body.sent_at is UNSET:
        return timedelta(0)
    skew = request.now - body.sent_at
    if abs(skew) > MAX_CLOCK_ERROR:
        message = "must be the current time, to the day: set the clock of the scanner"
        raise InvalidInput(errors=[FieldError("sentAt", message)])
    return skew


def _scan(codes: TicketCodes, index: int, scan: OfflineScan, skew: timedelta) -> Scan:
    ticket_id, serial = ticket_of(codes, scan, f"scans[{index}].")
    return Scan(
        nonce=scan.nonce,
        ticket_id=ticket_id,
        serial=serial,
        at=_corrected(scan.at, skew),
        gate=None if scan.gate is UNSET else scan.gate,
        direction=scan.direction,
    )


def _corrected(at: datetime, skew: timedelta) -> datetime:
    """Return a time by the server's clock, to the millisecond."""
    try:
        corrected = at + skew
    except OverflowError:
        return at
    return corrected.replace(microsecond=corrected.microsecond // 1000 * 1000)


def _result(result: batches.ScanResult) -> ScanResult:
    later = [of(OtherCheckIn, one) for one in result.later]
    return ScanResult(
        nonce=result.nonce,
        outcome=result.outcome,
        ticket=of(ScannedTicket, result.ticket) if result.ticket else UNSET,
        check_in=of(CheckIn, result.check_in) if result.check_in else UNSET,
        first=of(OtherCheckIn, result.first) if result.first else UNSET,
        later=later or UNSET,
    )
