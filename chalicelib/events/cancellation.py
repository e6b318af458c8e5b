"""Event cancellation: cancel or delete an event so that it can no longer be booked."""

from collections.abc import Collection
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection, case, select, update

from chalicelib.domain_events import EventCancelled
from chalicelib.events import snapshots
from chalicelib.events.locks import _DETAILS, EventEnded, NotPublished, details_of, lock_event, lock_places
from chalicelib.events.models import events, places


def cancel(
    connection: Connection,
    host_id: UUID,
    event_id: UUID,
    *,
    how: Literal["cancelled", "deleted"],
    expected: Collection[int] | None,
    now: datetime,
) -> bool:
    """Cancel an event, or delete it, so that no booking can be made any more.

    Its bookings are for the caller to end in the same transaction; the event's places stay locked
    until then. Returns whether they are to be ended: not those of an event that has taken place,
    nor those of one that was called off before.

    Raises:
        NoSuchEvent, NotYourEvent, StaleVersion: As everywhere.
        NotPublished, EventEnded: Such an event can be deleted, but not cancelled.
    """
    row = lock_event(connection, host_id, event_id, expected)
    already = row.status == "cancelled"
    if how == "cancelled":
        if already:
            return False
        if row.status == "draft":
            raise NotPublished
        if row.ends_at <= now:
            raise EventEnded
    connection.execute(
        update(events)
        .where(events.c.event_id == event_id)
        .values(
            version=row.version + 1,
            updated_at=now,
            **({"status": "cancelled"} if how == "cancelled" else {"deleted_at": now}),
        )
    )
    connection.execute(
        update(places).where(places.c.event_id == event_id).values(revision=places.c.revision + 1)
    )
    live = bool(row.status == "published" and row.ends_at > now)
    if live:
        snapshots.record(connection, EventCancelled, event_id, host_id, details_of(row), now, how=how)
    return live


def cancel_all_of_host(connection: Connection, host_id: UUID, now: datetime) -> list[UUID]:
    """Cancel what a host who leaves still has ahead, drop the drafts, and return what was cancelled.

    As with one event, the places stay locked until the transaction ends; taken in the order of ids.
    """
    ahead = (
        events.c.host_id == host_id,
        events.c.deleted_at.is_(None),
        events.c.status != "cancelled",
        events.c.ends_at > now,
    )
    connection.execute(
        select(events.c.event_id).where(*ahead).order_by(events.c.event_id).with_for_update(key_share=True)
    )
    rows = {row.event_id: row for row in connection.execute(_DETAILS.where(*ahead))}
    connection.execute(
        update(events)
        .where(events.c.event_id.in_(rows))
        .values(
            version=events.c.version + 1,
            updated_at=now,
            status=case((events.c.status == "draft", "draft"), else_="cancelled"),
            deleted_at=case((events.c.status == "draft", now)),
        )
    )
    lock_places(connection, rows)
    connection.execute(
        update(places).where(places.c.event_id.in_(rows)).values(revision=places.c.revision + 1)
    )
    cancelled = [event_id for event_id, row in rows.items() if row.status == "published"]
    for event_id in cancelled:
        details = details_of(rows[event_id])
        snapshots.record(connection, EventCancelled, event_id, host_id, details, now, how="cancelled")
    return cancelled
