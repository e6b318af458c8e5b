"""Ticket types: what an event sells, at which price, how many, and when."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Text, Uuid, bindparam, cast, delete, insert, select, true, update

from chalicelib.events.locks import (
    CapacityBelowTaken,
    details_of,
    increase_revision,
    lock_changeable,
    lock_places,
)
from chalicelib.events.models import events, places, pools, ticket_types
from chalicelib.events.rules import Details, price_violations
from chalicelib.events.search import event_rows
from chalicelib.platform import ids
from chalicelib.platform.database.rendering import Render
from chalicelib.platform.errors import Conflict, FieldError, InvalidInput, NotFound
from chalicelib.platform.money import CURRENCIES

GENERAL_ADMISSION = "General admission"
"""The name of the ticket type of an event that is created without any."""

MAX_TYPES = 50
"""Of one event, archived ones included."""

MAX_PER_BOOKING = 100


class NoSuchTicketType(NotFound):
    """Ticket type not found."""


class TooManyTicketTypes(Conflict):
    """An event can have at most 50 ticket types."""


class TicketTypeArchived(Conflict):
    """The ticket type is archived."""


class LastTicketType(Conflict):
    """The last ticket type that can be booked cannot be removed."""


@dataclass(frozen=True, kw_only=True)
class TypeDetails:
    """The details of a ticket type that a host sets."""

    name: str
    description: str | None = None
    price: int
    """In minor units of the event's currency."""
    capacity: int | None = None
    """None: limited by the capacity of the event only."""
    sale_starts_at: datetime | None = None
    """None: as the sale of the event."""
    sale_ends_at: datetime | None = None
    min_per_booking: int = 1
    max_per_booking: int = MAX_PER_BOOKING
    code_required: bool = False


class TicketTypeQueries:
    """Read ticket types as JSON text. `render` gets the event, and can use the parameter `now`."""

    def __init__(self, render: Render) -> None:
        event = event_rows.subquery("event")
        self._get = (
            select(cast(render(event), Text))
            .select_from(ticket_types)
            .join(pools, pools.c.pool_id == ticket_types.c.ticket_type_id)
            .join(event, event.c.event_id == ticket_types.c.event_id)
            .where(ticket_types.c.ticket_type_id == bindparam("type_id", type_=Uuid))
        )

    def get(self, connection: Connection, type_id: UUID, now: datetime) -> str:
        """Return a ticket type that exists."""
        json: str = connection.execute(self._get, {"type_id": type_id, "now": now}).scalar_one()
        return json


def type_violations(details: TypeDetails, event: Details, *, charges: bool) -> Iterator[FieldError]:
    """Yield an error for each rule that a ticket type of an event violates."""
    if event.currency in CURRENCIES:  # else the event violates a rule
        yield from price_violations(details.price, event.currency, charges=charges)
    if details.min_per_booking > details.max_per_booking:
        yield FieldError("minPerBooking", "must not be more than maxPerBooking")
    if details.sale_ends_at is not None and details.sale_ends_at > event.ends_at:
        yield FieldError("saleEndsAt", "must not be after endDateTime of the event")
    starts_at = details.sale_starts_at or event.sale_starts_at
    ends_at = details.sale_ends_at or event.sale_ends_at or event.ends_at
    if starts_at is not None and starts_at >= ends_at:
        if details.sale_starts_at is not None:
            yield FieldError("saleStartsAt", "must be before the sale of the ticket type and the event end")
        elif details.sale_ends_at is not None:
            yield FieldError("saleEndsAt", "must be after the sale of the event starts")


def insert_types(
    connection: Connection, event_id: UUID, types: Sequence[TypeDetails], now: datetime, *, counted: bool
) -> list[UUID]:
    """Insert ticket types with their pools. Return their ids, which are in the given order.

    `counted` is whether their tickets are counted by type. They must be, unless a type is the event's only
    one and has no capacity of its own.
    """
    made = [ids.new(now + timedelta(milliseconds=number)) for number in range(len(types))]
    new_types, new_pools = [], []
    for type_id, details in zip(made, types, strict=True):
        columns = asdict(details)
        capacity = columns.pop("capacity")
        new_types.append({"ticket_type_id": type_id, "event_id": event_id, "created_at": now, **columns})
        taken = 0 if counted or capacity is not None else None
        new_pools.append(
            {
                "pool_id": type_id,
                "event_id": event_id,
                "kind": "ticket-type",
                "capacity": capacity,
                "taken": taken,
            }
        )
    connection.execute(insert(ticket_types).values(new_types))
    connection.execute(insert(pools).values(new_pools))
    return made


def open_types(connection: Connection, event_id: UUID) -> dict[int, TypeDetails]:
    """Return the ticket types that are not archived, each with its number in the event's list."""
    rows = enumerate(_types_of(connection, event_id))
    return {number: _details_of(row) for number, row in rows if row.archived_at is None}


def add(
    connection: Connection,
    host_id: UUID,
    event_id: UUID,
    details: TypeDetails,
    *,
    expected: Collection[int] | None,
    now: datetime,
    charges: bool,
) -> tuple[UUID, int]:
    """Add a ticket type to an event. Return its id and the event's new version.

    Raises:
        NoSuchEvent, NotYourEvent, StaleVersion, EventCancelled, EventEnded: See `lock_changeable`.
        InvalidInput: The details violate a rule.
        TooManyTicketTypes
    """
    event = lock_changeable(connection, host_id, event_id, expected, now)
    _check(details, event, charges=charges)
    if len(_types_of(connection, event_id)) >= MAX_TYPES:
        raise TooManyTicketTypes
    lock_places(connection, [event_id])
    _count_by_type(connection, event_id)
    [type_id] = insert_types(connection, event_id, [details], now, counted=True)
    return type_id, _increase_version(connection, event, now)


def change(
    connection: Connection,
    host_id: UUID,
    event_id: UUID,
    type_id: UUID,
    *,
    changes: Mapping[str, Any],
    expected: Collection[int] | None,
    now: datetime,
    charges: bool,
) -> int:
    """Change details of a ticket type. Tickets that are booked keep their price. Return the event's version.

    Raises:
        NoSuchEvent, NotYourEvent, StaleVersion, EventCancelled, EventEnded: See `lock_changeable`.
        NoSuchTicketType: The event does not have it.
        TicketTypeArchived: It can no longer be changed.
        InvalidInput: The new details violate a rule.
        CapacityBelowTaken: More tickets are booked than the new capacity allows.
    """
    event = lock_changeable(connection, host_id, event_id, expected, now)
    row = _find(_types_of(connection, event_id), type_id)
    if row.archived_at is not None:
        raise TicketTypeArchived
    before = _details_of(row)
    after = replace(before, **changes)
    _check(after, event, charges=charges)
    if after == before:
        return int(event.version)
    columns = asdict(after)
    capacity = columns.pop("capacity")
    connection.execute(update(ticket_types).where(ticket_types.c.ticket_type_id == type_id).values(**columns))
    if capacity != before.capacity:
        lock_places(connection, [event_id])
        _count_by_type(connection, event_id)
        fits = true() if capacity is None else pools.c.taken + pools.c.reserved <= capacity
        resized = connection.execute(
            update(pools).where(pools.c.pool_id == type_id, fits).values(capacity=capacity)
        )
        if not resized.rowcount:
            raise CapacityBelowTaken
    return _increase_version(connection, event, now)


def lock_type(
    connection: Connection,
    host_id: UUID,
    event_id: UUID,
    type_id: UUID,
    *,
    expected: Collection[int] | None,
    now: datetime,
) -> tuple[Row[Any], Row[Any]]:
    """Lock an event in order to remove one of its ticket types. Return the event and the type.

    Raises:
        NoSuchEvent, NotYourEvent, StaleVersion, EventCancelled, EventEnded: See `lock_changeable`.
        NoSuchTicketType: The event does not have it.
        LastTicketType: The others are archived.
    """
    event = lock_changeable(connection, host_id, event_id, expected, now)
    types = _types_of(connection, event_id)
    row = _find(types, type_id)
    if row.archived_at is None and all(
        other.archived_at is not None for other in types if other.ticket_type_id != type_id
    ):
        raise LastTicketType
    return event, row


def archive(
    connection: Connection, event: Row[Any], type_id: UUID, now: datetime, *, has_tickets: bool
) -> None:
    """Archive a ticket type that is locked by `lock_type`, or delete it if no ticket was ever booked."""
    lock_places(connection, [event.event_id])
    this_pool = pools.c.pool_id == type_id
    has_tickets = has_tickets or bool(connection.scalar(select(pools.c.taken).where(this_pool)))
    connection.execute(
        update(ticket_types)
        .where(ticket_types.c.ticket_type_id == type_id)
        .values(archived_at=now, deleted_at=None if has_tickets else now)
    )
    if not has_tickets:
        connection.execute(delete(pools).where(this_pool))
    _increase_version(connection, event, now)


def _types_of(connection: Connection, event_id: UUID) -> Sequence[Row[Any]]:
    """Return the ticket types of an event in the order of its list."""
    return connection.execute(
        select(ticket_types, pools.c.capacity)
        .join(pools, pools.c.pool_id == ticket_types.c.ticket_type_id)
        .where(ticket_types.c.event_id == event_id, ticket_types.c.deleted_at.is_(None))
        .order_by(ticket_types.c.ticket_type_id)
    ).all()


def _find(types: Sequence[Row[Any]], type_id: UUID) -> Row[Any]:
    for row in types:
        if row.ticket_type_id == type_id:
            return row
    raise NoSuchTicketType


def _details_of(row: Row[Any]) -> TypeDetails:
    return TypeDetails(**{name: getattr(row, name) for name in TypeDetails.__dataclass_fields__})


def _check(details: TypeDetails, event: Row[Any], *, charges: bool) -> None:
    errors = list(type_violations(details, details_of(event), charges=charges))
    if errors:
        raise InvalidInput(errors=errors)


def _count_by_type(connection: Connection, event_id: UUID) -> None:
    """Count the tickets of the event's only type in its pool, if they are not. The places must be locked."""
    taken = select(places.c.taken).where(places.c.event_id == event_id).scalar_subquery()
    connection.execute(
        update(pools)
        .where(pools.c.event_id == event_id, pools.c.kind == "ticket-type", pools.c.taken.is_(None))
        .values(taken=taken)
    )


def _increase_version(connection: Connection, event: Row[Any], now: datetime) -> int:
    """Make a new version of a locked event. Return it."""
    version = int(event.version) + 1
    connection.execute(
        update(events).where(events.c.event_id == event.event_id).values(version=version, updated_at=now)
    )
    increase_revision(connection, event.event_id)
    return version
