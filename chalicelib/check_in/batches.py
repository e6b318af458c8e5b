"""Record scans that were made while a scanner was offline: repeatable, in any order."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Literal, cast
from uuid import UUID

from sqlalchemy import Connection, Row, Select, Uuid, any_, bindparam, or_, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY

from chalicelib.bookings.models import bookings, tickets
from chalicelib.bookings.references import reference_of
from chalicelib.check_in.models import Direction, Outcome, check_ins, holder_name
from chalicelib.check_in.ticket_codes import TicketVersion
from chalicelib.check_in.timeline import CheckIn, replay
from chalicelib.events.models import ticket_types
from chalicelib.platform import ids
from chalicelib.platform.database.columns import now_parameter, sql_literal
from chalicelib.platform.errors import Unavailable
from chalicelib.users.models import users

MAX_SCANS = 500
"""Of one batch."""

MAX_AHEAD = timedelta(minutes=1)
"""How far ahead the clock of a scanner may be."""

ScanOutcome = (
    Outcome | Literal["wrong-event", "no-such-ticket", "no-re-entry", "nonce-reused", "invalid-time"]
)

_UNRECORDED: frozenset[ScanOutcome] = frozenset(
    {"wrong-event", "no-such-ticket", "no-re-entry", "nonce-reused", "invalid-time"}
)
"""Scans that leave no row: of no ticket of the event, or with values that cannot be right."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A scan that an offline scanner has accepted."""

    nonce: UUID
    ticket_id: UUID | None
    """None: the code is not one of this deployment."""
    serial: int | None
    """Of the code. None: the ticket was found by name."""
    at: datetime
    """By the clock of the server."""
    gate: str | None
    direction: Direction

    @classmethod
    def of_code(
        cls, nonce: UUID, ticket: TicketVersion | None, at: datetime, gate: str | None, direction: Direction
    ) -> "Scan":
        ticket_id, serial = ticket or (None, None)
        return cls(nonce=nonce, ticket_id=ticket_id, serial=serial, at=at, gate=gate, direction=direction)


@dataclass(frozen=True, kw_only=True)
class TicketView:
    """A ticket as scanners show it."""

    ticket_id: UUID
    ticket_type_id: UUID
    name: str
    """Of the ticket type."""
    status: str
    holder_name: str | None
    reference: str


@dataclass(frozen=True, kw_only=True)
class ScanResult:
    """What became of a scan, by all that is known now."""

    nonce: UUID
    outcome: ScanOutcome
    ticket: TicketView | None = None
    check_in: CheckIn | None = None
    first: CheckIn | None = None
    """The earlier check-in that has admitted the ticket."""
    later: Sequence[CheckIn] = ()
    """Later check-ins that had admitted the ticket, or would have."""


_TICKETS: Select[Any] = (
    select(
        tickets.c.ticket_id,
        tickets.c.ticket_type_id,
        ticket_types.c.name,
        tickets.c.status,
        tickets.c.serial,
        holder_name,
        bookings.c.booking_id,
        bookings.c.event_id,
    )
    .join(bookings, bookings.c.booking_id == tickets.c.booking_id)
    .join(ticket_types, ticket_types.c.ticket_type_id == tickets.c.ticket_type_id)
    .outerjoin(users, users.c.user_id == bookings.c.user_id)
)
_LOCK = (
    _TICKETS.where(tickets.c.ticket_id == any_(bindparam("ticket_ids", type_=ARRAY(Uuid))))
    .order_by(tickets.c.ticket_id)
    .with_for_update(key_share=True, of=tickets)
)
_columns = [check_ins.c[name] for name in CheckIn.__dataclass_fields__]
_OF_TICKETS: Select[Any] = (
    select(*_columns, check_ins.c.event_id)
    .where(
        or_(
            check_ins.c.ticket_id == any_(bindparam("ticket_ids", type_=ARRAY(Uuid))),
            (check_ins.c.event_id == bindparam("this_event", type_=Uuid))
            & (check_ins.c.nonce == any_(bindparam("nonces", type_=ARRAY(Uuid)))),
        )
    )
    .order_by(check_ins.c.ticket_id)
)
_CHANGE = text("""
    UPDATE check_ins SET
        outcome = changed.outcome, left_at = changed.left_at, conflicts_with = changed.conflicts_with
    FROM unnest(
        CAST(:ids AS uuid[]), CAST(:outcomes AS text[]), CAST(:left AS timestamptz[]),
        CAST(:winners AS uuid[])
    ) AS changed (check_in_id, outcome, left_at, conflicts_with)
    WHERE check_ins.check_in_id = changed.check_in_id
""")
_INSERT = text("""
    INSERT INTO check_ins (
        check_in_id, event_id, ticket_id, nonce, direction, outcome, scanned_at, recorded_at, gate,
        door_key_id, by_hand, left_at, conflicts_with
    )
    SELECT check_in_id, :event_id, ticket_id, nonce, direction, outcome, scanned_at, :now, gate,
        CAST(:door_key_id AS uuid), by_hand, left_at, conflicts_with
    FROM unnest(
        CAST(:ids AS uuid[]), CAST(:ticket_ids AS uuid[]), CAST(:nonces AS uuid[]),
        CAST(:directions AS text[]), CAST(:outcomes AS text[]), CAST(:times AS timestamptz[]),
        CAST(:gates AS text[]), CAST(:by_hand AS boolean[]), CAST(:left AS timestamptz[]),
        CAST(:winners AS uuid[])
    ) AS made (
        check_in_id, ticket_id, nonce, direction, outcome, scanned_at, gate, by_hand, left_at, conflicts_with
    )
    ON CONFLICT (event_id, nonce) DO NOTHING
""")
_MARK_TICKETS = (
    update(tickets)
    .where(
        tickets.c.ticket_id == any_(bindparam("ticket_ids", type_=ARRAY(Uuid))),
        tickets.c.status.in_([sql_literal("valid"), sql_literal("used")]),
    )
    .values(
        status=bindparam("new_status"),
        version=tickets.c.version + 1,
        updated_at=now_parameter,
    )
)


def record(
    connection: Connection, event: Row[Any], door_key_id: UUID | None, scans: Sequence[Scan], now: datetime
) -> list[ScanResult]:
    """Record scans of an event's tickets, and return what became of each by all that is known now.

    A scan whose nonce is recorded already is not recorded again. `event` is that of `require_door`.

    Raises:
        Unavailable: Another batch has used a nonce for another ticket. Retry.
    """
    found = lock(connection, {scan.ticket_id for scan in scans if scan.ticket_id})
    rows = _read(connection, event.event_id, found, [scan.nonce for scan in scans])
    recorded = {row.nonce: _check_in(row) for row in rows if row.event_id == event.event_id}
    before = [_check_in(row) for row in rows if row.ticket_id in found]
    outcomes: dict[UUID, ScanOutcome] = {}
    made: list[CheckIn] = []
    for scan in scans:
        if scan.nonce in recorded:
            if recorded[scan.nonce].ticket_id != scan.ticket_id:
                outcomes[scan.nonce] = "nonce-reused"
            continue
        ticket = found.get(scan.ticket_id) if scan.ticket_id else None
        outcomes[scan.nonce] = outcome = _outcome(scan, ticket, event, now)
        if scan.ticket_id and outcome not in _UNRECORDED:
            made.append(_new(scan, scan.ticket_id, outcome, now))
    after = _decide([*before, *made])
    changed = _write(connection, event.event_id, door_key_id, before=before, made=made, after=after, now=now)
    _mark_tickets(connection, changed, after.values(), now)
    used = {one.ticket_id for one in after.values() if one.is_admission}
    by_nonce = recorded | {one.nonce: one for one in after.values()}
    later: dict[UUID | None, list[CheckIn]] = {}
    for one in after.values():
        later.setdefault(one.conflicts_with, []).append(one)
    results = []
    for scan in scans:
        check_in = by_nonce.get(scan.nonce)
        if check_in is None or outcomes.get(scan.nonce) in _UNRECORDED:
            results.append(ScanResult(nonce=scan.nonce, outcome=outcomes[scan.nonce]))
            continue
        ticket = found.get(check_in.ticket_id)
        results.append(
            ScanResult(
                nonce=scan.nonce,
                outcome=check_in.outcome,
                ticket=_view(ticket, is_used=check_in.ticket_id in used) if ticket else None,
                check_in=check_in,
                first=after.get(check_in.conflicts_with) if check_in.conflicts_with else None,
                later=later.get(check_in.check_in_id, ()),
            )
        )
    return results


def lock(connection: Connection, ticket_ids: Collection[UUID]) -> dict[UUID, Row[Any]]:
    """Lock tickets in the order of their ids, so that batches of the same tickets do not deadlock."""
    found = connection.execute(_LOCK, {"ticket_ids": list(ticket_ids)})
    return {row.ticket_id: row for row in found}


def _read(
    connection: Connection, event_id: UUID, ticket_ids: Iterable[UUID], nonces: Sequence[UUID]
) -> Sequence[Row[Any]]:
    """Read the check-ins of these tickets, which are locked, and those that have these nonces."""
    values = {"ticket_ids": list(ticket_ids), "this_event": event_id, "nonces": list(nonces)}
    return connection.execute(_OF_TICKETS, values).all()


def _check_in(row: Row[Any]) -> CheckIn:
    return CheckIn(**{name: getattr(row, name) for name in CheckIn.__dataclass_fields__})


def _outcome(scan: Scan, ticket: Row[Any] | None, event: Row[Any], now: datetime) -> ScanOutcome:
    """What a scan means by itself. Whether it is `admitted` or `left` depends on the ticket's other scans."""
    if ticket is None:
        return "no-such-ticket"
    refusals: tuple[tuple[bool, ScanOutcome], ...] = (
        (ticket.event_id != event.event_id, "wrong-event"),
        (scan.at > now + MAX_AHEAD, "invalid-time"),
        (scan.direction == "out" and not event.re_entry_allowed, "no-re-entry"),
        (ticket.status == "cancelled", "ticket-cancelled"),
        (scan.serial not in {None, ticket.serial}, "code-replaced"),
        (ticket.status == "held" or scan.at < event.doors_open_at, "not-yet-valid"),
    )
    accepted: ScanOutcome = "admitted" if scan.direction == "in" else "left"
    return next((outcome for is_refused, outcome in refusals if is_refused), accepted)


def _new(scan: Scan, ticket_id: UUID, outcome: ScanOutcome, now: datetime) -> CheckIn:
    return CheckIn(
        check_in_id=ids.new(now),
        ticket_id=ticket_id,
        nonce=scan.nonce,
        direction=scan.direction,
        outcome=cast("Outcome", outcome),
        scanned_at=scan.at,
        gate=scan.gate,
        by_hand=scan.serial is None,
    )


def _decide(scans: Iterable[CheckIn]) -> dict[UUID, CheckIn]:
    """Return check-ins with their outcomes, by id. All scans of their tickets must be among them."""
    ordered = sorted(scans, key=lambda one: one.ticket_id)
    return {
        one.check_in_id: one
        for _, of_ticket in groupby(ordered, key=lambda one: one.ticket_id)
        for one in replay(of_ticket)
    }


def _write(
    connection: Connection,
    event_id: UUID,
    door_key_id: UUID | None,
    *,
    before: Sequence[CheckIn],
    made: Sequence[CheckIn],
    after: Mapping[UUID, CheckIn],
    now: datetime,
) -> set[UUID]:
    """Write what is new and what has changed. Return the tickets whose timeline has changed."""
    changed = [after[one.check_in_id] for one in before if after[one.check_in_id] != one]
    # One ticket is inside once only, also in between: first those that are not inside any more.
    for is_inside in (False, True):
        _change(connection, [one for one in changed if one.is_inside == is_inside])
    inserted = [after[one.check_in_id] for one in made]
    if inserted:
        values = {
            "event_id": event_id,
            "door_key_id": door_key_id,
            "now": now,
            **_arrays(inserted),
            "ticket_ids": [one.ticket_id for one in inserted],
            "nonces": [one.nonce for one in inserted],
            "directions": [one.direction for one in inserted],
            "times": [one.scanned_at for one in inserted],
            "gates": [one.gate for one in inserted],
            "by_hand": [one.by_hand for one in inserted],
        }
        if connection.execute(_INSERT, values).rowcount < len(inserted):
            raise Unavailable(retry_after=1)
    return {one.ticket_id for one in [*changed, *inserted] if one.is_on_timeline}


def _change(connection: Connection, changed: Sequence[CheckIn]) -> None:
    if changed:
        connection.execute(_CHANGE, _arrays(changed))


def _arrays(rows: Sequence[CheckIn]) -> dict[str, Any]:
    return {
        "ids": [row.check_in_id for row in rows],
        "outcomes": [row.outcome for row in rows],
        "left": [row.left_at for row in rows],
        "winners": [row.conflicts_with for row in rows],
    }


def _mark_tickets(
    connection: Connection, ticket_ids: Collection[UUID], rows: Iterable[CheckIn], now: datetime
) -> None:
    """Set the status of tickets whose check-ins have changed, and mark the change for door lists."""
    used = {row.ticket_id for row in rows if row.is_admission}
    for status, of_status in (("used", used & set(ticket_ids)), ("valid", set(ticket_ids) - used)):
        if of_status:
            values = {"ticket_ids": sorted(of_status), "new_status": status, "now": now}
            connection.execute(_MARK_TICKETS, values)


def _view(ticket: Row[Any], *, is_used: bool) -> TicketView:
    return TicketView(
        ticket_id=ticket.ticket_id,
        ticket_type_id=ticket.ticket_type_id,
        name=ticket.name,
        status="used" if is_used and ticket.status == "valid" else ticket.status,
        holder_name=ticket.holder_name,
        reference=reference_of(ticket.booking_id),
    )


def decide_anew(connection: Connection, event_id: UUID, ticket_id: UUID, now: datetime) -> None:
    """Decide about all scans of a ticket again, after one of them was undone. The ticket must be locked."""
    before = [_check_in(row) for row in _read(connection, event_id, [ticket_id], [])]
    after = _decide(before)
    _write(connection, event_id, None, before=before, made=[], after=after, now=now)
    _mark_tickets(connection, [ticket_id], after.values(), now)
