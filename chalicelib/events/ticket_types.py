"""Ticket types: what an event sells, at which price, how many, and when."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, insert

from chalicelib.events.models import pools, ticket_types
from chalicelib.platform import ids

GENERAL_ADMISSION = "General admission"
"""The name of the ticket type of an event that is created without any."""

MAX_TYPES = 50
"""Of one event, archived ones included."""

MAX_PER_BOOKING = 100


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


def insert_types(
    connection: Connection, event_id: UUID, types: Sequence[TypeDetails], now: datetime, *, counted: bool
) -> list[UUID]:
    """Insert ticket types with their pools. Return their ids, which are in the given order.

    `counted` is whether their tickets are counted by type. They must be, unless a type is the event's only
    one and has no capacity of its own.
    """
    made = []
    for number, details in enumerate(types):
        type_id = ids.new(now + timedelta(milliseconds=number))
        columns = asdict(details)
        capacity = columns.pop("capacity")
        connection.execute(
            insert(ticket_types).values(ticket_type_id=type_id, event_id=event_id, created_at=now, **columns)
        )
        connection.execute(
            insert(pools).values(
                pool_id=type_id,
                event_id=event_id,
                kind="ticket-type",
                capacity=capacity,
                taken=0 if counted or capacity is not None else None,
            )
        )
        made.append(type_id)
    return made
