"""Scans at the door: call the procedure in check_in.sql."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from chalicelib.bookings.tickets import NoSuchTicket, TicketCancelled
from chalicelib.check_in.door import WrongDoor
from chalicelib.check_in.models import Direction
from chalicelib.events.locks import NotYourEvent
from chalicelib.events.search import NoSuchEvent
from chalicelib.platform import ids
from chalicelib.platform.database.engine import Database
from chalicelib.platform.errors import Conflict, FieldError, InvalidInput, Refusal, Unavailable
from chalicelib.platform.security import AccessKey, Caller, InvalidToken


class AlreadyCheckedIn(Conflict):
    """The ticket is already checked in."""


class CodeReplaced(Conflict):
    """The code of this ticket was replaced."""


class NoReEntry(Conflict):
    """The event does not allow re-entry."""


class NonceReused(Conflict):
    """The nonce belongs to another scan."""


class NotCheckedIn(Conflict):
    """The ticket is not checked in."""


class NotYetValid(Conflict):
    """The ticket is not valid yet."""


class WrongEvent(Conflict):
    """The ticket is for another event."""


REFUSALS: dict[str, type[Refusal]] = {
    refusal.slug(): refusal
    for refusal in (
        InvalidToken,
        WrongDoor,
        NoSuchEvent,
        NotYourEvent,
        NoSuchTicket,
        WrongEvent,
        TicketCancelled,
        CodeReplaced,
        NotYetValid,
        AlreadyCheckedIn,
        NotCheckedIn,
        NoReEntry,
        NonceReused,
    )
}
"""The refusals of the procedure, by its `outcome`."""

PROCEDURE = "check_in"
"""The name of the procedure in check_in.sql."""

MAX_CLOCK_ERROR = timedelta(minutes=1)
"""How far in the future the time of a scan may be."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A scan of a ticket, or of a code that is not genuine."""

    ticket_id: UUID | None
    """None: the code is not genuine."""
    serial: int | None
    """The serial in the code. None: the ticket was found by name."""
    nonce: UUID
    """Chosen by the scanner. A scan that is sent again with its nonce is recorded once."""
    direction: Direction = "in"
    scanned_at: datetime
    gate: str | None = None


def scan(
    database: Database,
    event_id: UUID,
    scanned: Scan,
    *,
    caller: Caller | None,
    key: AccessKey | None,
    now: datetime,
) -> str:
    """Check a ticket in or out, as the event's host or with a door key. Return JSON text.

    It has the members `ticket` and `checkIn`. The procedure needs one round trip, checks the caller, and
    commits by itself.

    Raises:
        InvalidInput: The time of the scan is in the future.
        InvalidToken, WrongDoor, NoSuchEvent, NotYourEvent: The caller may not scan here.
        NoSuchTicket, WrongEvent, TicketCancelled, CodeReplaced, NotYetValid, AlreadyCheckedIn, NotCheckedIn,
        NoReEntry, NonceReused: Nothing was changed.
        Unavailable: The outcome is unknown. Retry with the same nonce.
    """
    if scanned.scanned_at > now + MAX_CLOCK_ERROR:
        raise InvalidInput(errors=[FieldError("at", "must not be in the future")])
    outcome, about = database.call(_call(event_id, scanned, caller, key, now))
    if outcome in {"admitted", "left", "replayed"}:
        return about
    if outcome == Unavailable.slug():
        raise Unavailable("The ticket kept changing during the scan.", retry_after=1)
    raise REFUSALS[outcome](members=json.loads(about or "{}"))


def _call(event_id: UUID, scanned: Scan, caller: Caller | None, key: AccessKey | None, now: datetime) -> str:
    """Return the call of the procedure. It has values of checked types only."""
    user_id, token_version = (caller.user_id, caller.token_version) if caller else (None, None)
    return (
        f"CALL {PROCEDURE}({_uuid(ids.new(now))}, {_uuid(event_id)}, {_uuid(user_id)},"
        f" {_integer(token_version)}, {_bytes(key.digest if key else None)},"
        f" {_uuid(scanned.ticket_id)}, {_integer(scanned.serial)}, {_uuid(scanned.nonce)},"
        f" {scanned.direction == 'out'},"
        f" {_bytes(None if scanned.gate is None else scanned.gate.encode())},"
        f" '{scanned.scanned_at.isoformat()}', '{now.isoformat()}', NULL, NULL)"
    )


def _uuid(value: UUID | None) -> str:
    return "NULL" if value is None else f"'{value.hex}'"


def _integer(value: int | None) -> str:
    return "NULL" if value is None else f"{value:d}"


def _bytes(value: bytes | None) -> str:
    return "NULL" if value is None else rf"'\x{value.hex()}'"
