"""Lock an event and its places in the order that cannot deadlock."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Uuid, bindparam, select

from chalicelib.events.models import events, places, ticket_types
from chalicelib.events.rules import Details
from chalicelib.events.search import NoSuchEvent
from chalicelib.platform.database.engine import check_version
from chalicelib.platform.errors import Conflict, Forbidden


class NotYourEvent(Forbidden):
    """Only the event's host may do this."""


class EventCancelled(Conflict):
    """The event is cancelled."""


class EventEnded(Conflict):
    """The event has ended."""


class EventStarted(Conflict):
    """The event has started."""


class NotPublished(Conflict):
    """The event is a draft; delete it instead."""


def lock_places(connection: Connection, event_ids: Collection[UUID]) -> None:
    """Lock the places of several events, in the one order that cannot deadlock."""
    connection.execute(
        select(places.c.event_id)
        .where(places.c.event_id.in_(event_ids))
        .order_by(places.c.event_id)
        .with_for_update()
    )


_DETAILS = (
    select(events, places.c.capacity, ticket_types.c.price)
    .join(places, places.c.event_id == events.c.event_id)
    .join(ticket_types, ticket_types.c.event_id == events.c.event_id)
)

_this_event = events.c.event_id == bindparam("event_id", type_=Uuid)

_LOCK = select(events.c.event_id).where(_this_event).with_for_update(key_share=True)

_PRESENT = _DETAILS.where(_this_event, events.c.deleted_at.is_(None))


def lock_event(
    connection: Connection, host_id: UUID, event_id: UUID, expected: Collection[int] | None
) -> Row[Any]:
    """Lock an event of this host against other changes, then read it.

    In two statements: one that waited for the lock would see the event as it is now, but what it
    joins to as it was before.
    """
    connection.execute(_LOCK, {"event_id": event_id})
    row = connection.execute(_PRESENT, {"event_id": event_id}).one_or_none()
    if row is None or (row.status == "draft" and row.host_id != host_id):
        raise NoSuchEvent
    if row.host_id != host_id:
        raise NotYourEvent
    check_version(row.version, expected)
    return row


def details_of(row: Row[Any]) -> Details:
    return Details(**{name: getattr(row, name) for name in Details.__dataclass_fields__})
