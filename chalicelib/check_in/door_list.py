"""The door list: what a scanner needs to know while it is offline, and what has changed since a mark."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Select,
    Uuid,
    and_,
    bindparam,
    func,
    or_,
    select,
    text,
    tuple_,
)

from chalicelib.bookings.models import bookings, tickets
from chalicelib.bookings.references import reference_of
from chalicelib.check_in.models import check_ins, holder_name, is_inside
from chalicelib.check_in.ticket_codes import TicketCodes, TicketVersion
from chalicelib.events.models import ticket_types
from chalicelib.platform.database.columns import sql_literal
from chalicelib.platform.errors import FieldError, InvalidInput
from chalicelib.users.models import users

MAX_TICKETS = 1000
"""Of one page."""

_MARK = re.compile("([0-9a-f]{8})[.]([0-9]{1,18})[.]([0-9]{1,18})[.]([0-9a-f]{64})?")
_FIRST = UUID(int=0)


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How far a scanner has read: the next page of a walk, or the changes after one.

    Transactions are numbered in the order of their starts. A walk reads the tickets that changed in
    transaction `since` or later. All earlier transactions had ended when the former walk started, so no
    change is missed. A ticket can be listed again without a change.
    """

    keys: str
    """The fingerprint of the keys of ticket codes. With other keys, all hashes are others."""
    since: int
    started: int
    """The oldest transaction that was running when the walk started. 0: the walk has not started."""
    after: tuple[UUID, UUID] = (_FIRST, _FIRST)
    """The booking and ticket that the last page ended with."""

    @classmethod
    def parse(cls, mark: str) -> "Mark":
        """Read a mark.

        Raises:
            InvalidInput: It was not made here.
        """
        found = _MARK.fullmatch(mark)
        if found is None:
            raise InvalidInput(errors=[FieldError("since", "must be the `mark` of a door list")])
        keys, since, started, after = found.groups()
        place = (UUID(after[:32]), UUID(after[32:])) if after else (_FIRST, _FIRST)
        return cls(keys=keys, since=int(since), started=int(started), after=place)

    def __str__(self) -> str:
        after = "".join(one.hex for one in self.after) if self.started else ""
        return f"{self.keys}.{self.since}.{self.started}.{after}"


@dataclass(frozen=True, kw_only=True)
class ListedTicket:
    """A ticket as scanners know it."""

    ticket_id: UUID
    ticket_type_id: UUID
    status: str
    inside: bool
    holder_name: str | None
    reference: str
    code_hashes: list[str]
    """SHA-256 in hexadecimal. None of a cancelled ticket."""
    checked_in_at: datetime | None
    """The last admission."""
    gate: str | None


@dataclass(frozen=True, kw_only=True)
class DoorList:
    """A page of the tickets of an event, or of their changes."""

    mark: Mark
    more: bool
    full: bool
    """The walk started from nothing. Tickets that it does not list are no longer valid."""
    tickets: list[ListedTicket]


_SNAPSHOT = text(
    "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest,"
    " pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next"
)
_TYPES = (
    select(ticket_types.c.ticket_type_id, ticket_types.c.name)
    .where(
        ticket_types.c.event_id == bindparam("event_id", type_=Uuid),
        ticket_types.c.deleted_at.is_(None),
    )
    .order_by(ticket_types.c.ticket_type_id)
)
_admission = (
    select(check_ins.c.scanned_at, check_ins.c.gate, is_inside.label("inside"))
    .where(
        check_ins.c.ticket_id == tickets.c.ticket_id,
        check_ins.c.outcome == sql_literal("admitted"),
        check_ins.c.undone_at.is_(None),
    )
    .order_by(check_ins.c.scanned_at.desc())
    .limit(1)
    .lateral("admission")
)
_since = bindparam("since", type_=BigInteger)
_PAGE: Select[Any] = (
    select(
        bookings.c.booking_id,
        tickets.c.ticket_id,
        tickets.c.ticket_type_id,
        tickets.c.status,
        tickets.c.serial,
        holder_name,
        _admission.c.scanned_at,
        _admission.c.gate,
        func.coalesce(_admission.c.inside, False).label("inside"),
    )
    .join(tickets, tickets.c.booking_id == bookings.c.booking_id)
    .outerjoin(users, users.c.user_id == bookings.c.user_id)
    .outerjoin(_admission, text("true"))
    .where(
        bookings.c.event_id == bindparam("event_id", type_=Uuid),
        bookings.c.booking_id >= bindparam("after_booking", type_=Uuid),
        tuple_(bookings.c.booking_id, tickets.c.ticket_id)
        > tuple_(bindparam("after_booking", type_=Uuid), bindparam("after_ticket", type_=Uuid)),
        tickets.c.changed_in >= _since,
        or_(
            tickets.c.status.in_([sql_literal("valid"), sql_literal("used")]),
            and_(tickets.c.status == sql_literal("cancelled"), _since > 0),
        ),
    )
    .order_by(bookings.c.booking_id, tickets.c.ticket_id)
    .limit(bindparam("at_most", type_=Integer))
)


def read(
    connection: Connection, codes: TicketCodes, event_id: UUID, mark: Mark | None, limit: int
) -> DoorList:
    """Read the next page of an event's valid, used and, after a mark, cancelled tickets.

    Without a mark, or with one of other keys or of another database, the list starts from nothing.
    """
    snapshot = connection.execute(_SNAPSHOT).one()
    if mark is None or mark.keys != codes.fingerprint or max(mark.since, mark.started) > snapshot.next:
        mark = Mark(keys=codes.fingerprint, since=0, started=0)
    started = mark.started or snapshot.oldest
    values = {
        "event_id": event_id,
        "after_booking": mark.after[0],
        "after_ticket": mark.after[1],
        "since": mark.since,
        "at_most": limit + 1,
    }
    rows = connection.execute(_PAGE, values).all()
    more, rows = len(rows) > limit, rows[:limit]
    following = Mark(keys=mark.keys, since=started, started=0)
    if more:
        after = (rows[-1].booking_id, rows[-1].ticket_id)
        following = Mark(keys=mark.keys, since=mark.since, started=started, after=after)
    return DoorList(
        mark=following, more=more, full=mark.since == 0, tickets=[_listed(row, codes) for row in rows]
    )


def _listed(row: Any, codes: TicketCodes) -> ListedTicket:
    is_cancelled = row.status == "cancelled"
    return ListedTicket(
        ticket_id=row.ticket_id,
        ticket_type_id=row.ticket_type_id,
        status=row.status,
        inside=row.inside,
        holder_name=row.holder_name,
        reference=reference_of(row.booking_id),
        code_hashes=[] if is_cancelled else codes.hashes(TicketVersion(row.ticket_id, row.serial)),
        checked_in_at=row.scanned_at,
        gate=row.gate,
    )


def type_names(connection: Connection, event_id: UUID) -> list[tuple[UUID, str]]:
    """List the ticket types of an event, archived ones too, with their names."""
    return [(row.ticket_type_id, row.name) for row in connection.execute(_TYPES, {"event_id": event_id})]
