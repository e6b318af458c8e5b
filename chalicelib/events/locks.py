"""Lock events and their places, in one order, to avoid deadlocks."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Select, Uuid, any_, bindparam, case, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from chalicelib.events.models import events, open_type, places, pools, ticket_types
from chalicelib.events.rules import Details
from chalicelib.events.search import NoSuchEvent
from chalicelib.platform.database.engine import check_version
from chalicelib.platform.errors import Conflict, Forbidden


class NotYourEvent(Forbidden):
    """Only the event's host can do this."""


class EventCancelled(Conflict):
    """The event is cancelled."""


class CapacityBelowTaken(Conflict):
    """Capacity is below the number of booked places."""


class EventEnded(Conflict):
    """The event has ended."""


class EventStarted(Conflict):
    """The event has started."""


class NotPublished(Conflict):
    """A draft cannot be cancelled. Delete it instead."""


_sole_price = (
    select(case((func.count() == 1, func.min(ticket_types.c.price))))
    .where(ticket_types.c.event_id == events.c.event_id, open_type)
    .scalar_subquery()
)
EVENT_DETAILS = select(events, places.c.capacity, _sole_price.label("price")).join(
    places, places.c.event_id == events.c.event_id
)

_this_event = events.c.event_id == bindparam("event_id", type_=Uuid)

_OWNER: Select[Any] = select(events.c.host_id, events.c.status, events.c.title).where(
    _this_event, events.c.deleted_at.is_(None)
)
_LOCK = select(events.c.event_id).where(_this_event).with_for_update(key_share=True)

EVENT_BY_ID = EVENT_DETAILS.where(_this_event, events.c.deleted_at.is_(None))


_of_events = pools.c.event_id == any_(bindparam("event_ids", type_=ARRAY(Uuid)))
_LOCK_POOLS = (
    select(pools.c.pool_id).where(_of_events).order_by(pools.c.kind, pools.c.pool_id).with_for_update()
)
_LOCK_PLACES = (
    select(places.c.event_id)
    .where(places.c.event_id == any_(bindparam("event_ids", type_=ARRAY(Uuid))))
    .order_by(places.c.event_id)
    .with_for_update()
)


def lock_places(connection: Connection, event_ids: Collection[UUID]) -> None:
    """Lock all pools of several events, in the order in which bookings lock them, to avoid deadlocks.

    First the pools of codes, then those of ticket types, then the events' own; each in the order of the ids.
    """
    connection.execute(_LOCK_POOLS, {"event_ids": list(event_ids)})
    connection.execute(_LOCK_PLACES, {"event_ids": list(event_ids)})


def own_event(row: Row[Any] | None, host_id: UUID) -> Row[Any]:
    """Return a row with an event's `status` and `host_id`, after checking that the event is the host's.

    Raises:
        NoSuchEvent: There is no row, or it is another host's draft.
        NotYourEvent: The event belongs to another host.
    """
    if row is None or (row.status == "draft" and row.host_id != host_id):
        raise NoSuchEvent
    if row.host_id != host_id:
        raise NotYourEvent
    return row


def require_own_event(connection: Connection, host_id: UUID, event_id: UUID) -> Row[Any]:
    """Check that an event is a host's, without a lock. Return its `title`.

    Raises:
        NoSuchEvent, NotYourEvent: See `own_event`.
    """
    return own_event(connection.execute(_OWNER, {"event_id": event_id}).one_or_none(), host_id)


def lock_event(
    connection: Connection, host_id: UUID, event_id: UUID, expected: Collection[int] | None
) -> Row[Any]:
    """Lock a host's event against other changes, and return it with its details.

    Two statements, because a single one that waits for the lock reads the event as it is after the wait, but
    the joined rows as they were before.

    Raises:
        NoSuchEvent: It does not exist, is deleted, or is another host's draft.
        NotYourEvent: It belongs to another host.
        StaleVersion: It has changed since.
    """
    connection.execute(_LOCK, {"event_id": event_id})
    row = own_event(connection.execute(EVENT_BY_ID, {"event_id": event_id}).one_or_none(), host_id)
    check_version(row.version, expected)
    return row


def lock_changeable(
    connection: Connection, host_id: UUID, event_id: UUID, expected: Collection[int] | None, now: datetime
) -> Row[Any]:
    """Lock a host's event in order to change it, its ticket types or its codes, as `lock_event` does.

    Raises:
        NoSuchEvent, NotYourEvent, StaleVersion: See `lock_event`.
        EventCancelled, EventEnded: The event can no longer be changed.
    """
    row = lock_event(connection, host_id, event_id, expected)
    if row.status == "cancelled":
        raise EventCancelled
    if row.status == "published" and row.ends_at <= now:
        raise EventEnded
    return row


def increase_revision(connection: Connection, event_id: UUID) -> None:
    """Make running bookings read an event, its ticket types and its codes again: they have changed."""
    connection.execute(
        update(places).where(places.c.event_id == event_id).values(revision=places.c.revision + 1)
    )


def details_of(row: Row[Any]) -> Details:
    return Details(**{name: getattr(row, name) for name in Details.__dataclass_fields__})
