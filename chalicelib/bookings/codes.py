"""Codes that attendees enter for a discount or for access to ticket types, as hosts manage them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from sqlalchemy import Connection, Row, Text, Uuid, bindparam, cast, func, insert, select, true, update

from chalicelib.bookings.models import CodeKind, codes
from chalicelib.events.locks import increase_revision, lock_changeable, lock_places, require_own_event
from chalicelib.events.models import events, pools, ticket_types
from chalicelib.platform import ids
from chalicelib.platform.database.listing import ListQuery, Page, PageRequest, Sort
from chalicelib.platform.database.rendering import Render
from chalicelib.platform.errors import Conflict, FieldError, InvalidInput, NotFound

PATTERN = "^[A-Z0-9][A-Z0-9_-]{2,39}$"
"""Letters are upper case, so that a code has one spelling."""

MAX_CODES = 1_000
"""Of one event, without deleted ones."""

MAX_USES = 1_000_000

_MAX_PERCENT = 100


class NoSuchCode(NotFound):
    """Code not found."""


class CodeExists(Conflict):
    """The event already has this code."""


class TooManyCodes(Conflict):
    """An event can have at most 1,000 codes."""


class MaxUsesBelowUses(Conflict):
    """The code has been used more often than that."""


class Code(str):
    """A well-formed code. It may not exist."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if not re.fullmatch(PATTERN, text):
            raise ValueError("not a code")
        return super().__new__(cls, text)


@dataclass(frozen=True, kw_only=True)
class CodeDetails:
    """The details of a code that a host sets."""

    code: str
    kind: CodeKind
    value: int | None = None
    """Percent, or minor units of the event's currency. None for access."""
    ticket_type_ids: Sequence[UUID] | None = None
    """None: all ticket types."""
    max_uses: int | None = None
    """Live bookings with the code. None: no limit."""
    max_per_attendee: int | None = None
    """Live bookings with the code of one attendee. None: no limit."""
    valid_from: datetime | None = None
    valid_until: datetime | None = None


_codes = select(codes, pools.c.capacity.label("max_uses"), pools.c.taken.label("uses")).join(
    pools, pools.c.pool_id == codes.c.code_id
)

CODES = ListQuery(
    rows=_codes.where(
        codes.c.event_id == bindparam("event", type_=Uuid),
        codes.c.deleted_at.is_(None),
        select(events.c.event_id)
        .where(
            events.c.event_id == codes.c.event_id,
            events.c.deleted_at.is_(None),
            events.c.host_id == bindparam("caller", type_=Uuid),
        )
        .exists(),
    ),
    id="code_id",
    sorts={"createdAt": Sort((), "desc"), "code": Sort(("code",))},
    filters={},
)


class CodeQueries:
    """Read codes as JSON text."""

    def __init__(self, render: Render) -> None:
        self._render = render
        row = _codes.subquery("code")
        self._get = select(cast(render(row), Text)).where(row.c.code_id == bindparam("code_id", type_=Uuid))

    def get(self, connection: Connection, code_id: UUID) -> str:
        """Return a code that exists."""
        json: str = connection.execute(self._get, {"code_id": code_id}).scalar_one()
        return json

    def list_codes(self, connection: Connection, host_id: UUID, event_id: UUID, page: PageRequest) -> Page:
        """List the codes of a host's event.

        Raises:
            NoSuchEvent: It does not exist, is deleted, or is another host's draft.
            NotYourEvent: It belongs to another host.
        """
        values = {"event": event_id, "caller": host_id}
        found = CODES.fetch(connection, page, [], values, self._render)
        if not found.total:
            require_own_event(connection, host_id, event_id)
        return found


def create(
    connection: Connection, host_id: UUID, event_id: UUID, details: CodeDetails, now: datetime
) -> UUID:
    """Create a code of an event. Return its id.

    Raises:
        NoSuchEvent, NotYourEvent, EventCancelled, EventEnded: See `lock_changeable`.
        InvalidInput: The details violate a rule.
        CodeExists, TooManyCodes
    """
    lock_changeable(connection, host_id, event_id, None, now)
    _check(connection, event_id, details)
    _require_unused(connection, event_id, details.code)
    count = select(func.count()).where(codes.c.event_id == event_id, codes.c.deleted_at.is_(None))
    if connection.execute(count).scalar_one() >= MAX_CODES:
        raise TooManyCodes
    code_id = ids.new(now)
    columns = asdict(details)
    max_uses = columns.pop("max_uses")
    connection.execute(
        insert(codes).values(code_id=code_id, event_id=event_id, created_at=now, updated_at=now, **columns)
    )
    connection.execute(
        insert(pools).values(pool_id=code_id, event_id=event_id, kind="code", capacity=max_uses, taken=0)
    )
    increase_revision(connection, event_id)
    return code_id


def change(
    connection: Connection,
    host_id: UUID,
    event_id: UUID,
    code_id: UUID,
    *,
    changes: Mapping[str, Any],
    now: datetime,
) -> None:
    """Change details of a code. Bookings keep the discount that they have.

    Raises:
        NoSuchEvent, NotYourEvent, EventCancelled, EventEnded: See `lock_changeable`.
        NoSuchCode: The event does not have it.
        InvalidInput: The new details violate a rule.
        CodeExists: Another code of the event has the new text.
        MaxUsesBelowUses: More live bookings use the code than the new limit allows.
    """
    row = _lock_code(connection, host_id, event_id, code_id, now)
    before = CodeDetails(**{name: getattr(row, name) for name in CodeDetails.__dataclass_fields__})
    after = replace(before, **changes)
    _check(connection, event_id, after)
    if after == before:
        return
    if after.code != before.code:
        _require_unused(connection, event_id, after.code)
    columns = asdict(after)
    max_uses = columns.pop("max_uses")
    connection.execute(update(codes).where(codes.c.code_id == code_id).values(updated_at=now, **columns))
    if max_uses != before.max_uses:
        lock_places(connection, [event_id])
        fits = true() if max_uses is None else pools.c.taken + pools.c.reserved <= max_uses
        limited = connection.execute(
            update(pools).where(pools.c.pool_id == code_id, fits).values(capacity=max_uses)
        )
        if not limited.rowcount:
            raise MaxUsesBelowUses
    increase_revision(connection, event_id)


def delete(connection: Connection, host_id: UUID, event_id: UUID, code_id: UUID, now: datetime) -> None:
    """Delete a code, so that it can no longer be used. Bookings keep the discount that they have.

    Raises:
        NoSuchEvent, NotYourEvent, EventCancelled, EventEnded: See `lock_changeable`.
        NoSuchCode: The event does not have it.
    """
    _lock_code(connection, host_id, event_id, code_id, now)
    connection.execute(update(codes).where(codes.c.code_id == code_id).values(deleted_at=now, updated_at=now))
    increase_revision(connection, event_id)


def _lock_code(
    connection: Connection, host_id: UUID, event_id: UUID, code_id: UUID, now: datetime
) -> Row[Any]:
    """Lock the event against other changes, and return the code."""
    lock_changeable(connection, host_id, event_id, None, now)
    row = connection.execute(
        _codes.where(codes.c.code_id == code_id, codes.c.event_id == event_id, codes.c.deleted_at.is_(None))
    ).one_or_none()
    if row is None:
        raise NoSuchCode
    return row


def _require_unused(connection: Connection, event_id: UUID, code: str) -> None:
    """Refuse a code that the event has. The caller must have locked the event."""
    found = select(codes.c.code_id).where(
        codes.c.event_id == event_id, codes.c.code == code, codes.c.deleted_at.is_(None)
    )
    if connection.execute(found).first() is not None:
        raise CodeExists


def _check(connection: Connection, event_id: UUID, details: CodeDetails) -> None:
    errors = [*_violations(details), *_unknown_types(connection, event_id, details.ticket_type_ids or ())]
    if errors:
        raise InvalidInput(errors=errors)


def _violations(details: CodeDetails) -> Iterator[FieldError]:
    if details.kind == "access" and details.value is not None:
        yield FieldError("value", "must be left out: a code for access has no discount")
    elif details.kind != "access" and details.value is None:
        yield FieldError("value", "is required for a discount")
    elif details.kind == "percent" and not 1 <= (details.value or 0) <= _MAX_PERCENT:
        yield FieldError("value", "must be a whole number from 1 to 100 for a code in percent")
    if details.valid_from is not None and details.valid_until is not None:  # noqa: SIM102
        if details.valid_from >= details.valid_until:
            yield FieldError("validUntil", "must be after validFrom")


def _unknown_types(connection: Connection, event_id: UUID, type_ids: Sequence[UUID]) -> Iterator[FieldError]:
    if not type_ids:
        return
    known = connection.scalars(
        select(ticket_types.c.ticket_type_id).where(
            ticket_types.c.event_id == event_id, ticket_types.c.deleted_at.is_(None)
        )
    ).all()
    for index, type_id in enumerate(type_ids):
        if type_id not in known:
            yield FieldError(f"ticketTypeIds[{index}]", "must be a ticket type of this event")
        elif type_id in type_ids[:index]:
            yield FieldError(f"ticketTypeIds[{index}]", "must not be repeated")
