"""Cancel or delete events, so that they can no longer be booked."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, Row, case, select, update

from chalicelib.domain_events import EventCancelled
from chalicelib.events import snapshots
from chalicelib.events.locks import (
    EVENT_DETAILS,
    EventEnded,
    NotPublished,
    details_of,
    lock_event,
    lock_places,
)
from chalicelib.events.models import events, places


def cancel(
    connection: Connection,
    host_id: UUID,
    event_id: UUID,
    *,
    reason: str | None,
    expected: Collection[int] | None,
    now: datetime,
) -> bool:
    """Cancel an event. Idempotent: the first reason stays. Return whether its bookings must be cancelled.

    The caller must cancel them in the same transaction. Until it ends, the event's places stay locked.

    Raises:
        NoSuchEvent, NotYourEvent, StaleVersion: See `lock_event`.
        NotPublished, EventEnded: The event can only be deleted.
    """
    row = lock_event(connection, host_id, event_id, expected)
    if row.status == "cancelled":
        return False
    if row.status == "draft":
        raise NotPublished
    if row.ends_at <= now:
        raise EventEnded
    return _close(connection, row, now, how="cancelled", reason=reason)


def delete(
    connection: Connection,
    host_id: UUID,
    event_id: UUID,
    *,
    expected: Collection[int] | None,
    now: datetime,
) -> bool:
    """Delete an event. Return whether its bookings must be cancelled, as for `cancel`.

    The bookings of an event that has ended stay.

    Raises:
        NoSuchEvent, NotYourEvent, StaleVersion: See `lock_event`.
    """
    row = lock_event(connection, host_id, event_id, expected)
    return _close(connection, row, now, how="deleted")


def _close(
    connection: Connection,
    row: Row[Any],
    now: datetime,
    *,
    how: Literal["cancelled", "deleted"],
    reason: str | None = None,
) -> bool:
    """Cancel or delete a locked event. Return whether it was live."""
    event_id, host_id = row.event_id, row.host_id
    connection.execute(
        update(events)
        .where(events.c.event_id == event_id)
        .values(
            version=row.version + 1,
            updated_at=now,
            **(
                {"status": "cancelled", "cancellation_reason": reason}
                if how == "cancelled"
                else {"deleted_at": now}
            ),
        )
    )
    lock_places(connection, [event_id])
    connection.execute(
        update(places).where(places.c.event_id == event_id).values(revision=places.c.revision + 1)
    )
    live = bool(row.status == "published" and row.ends_at > now)
    if live:
        details = details_of(row)
        snapshots.record(connection, EventCancelled, event_id, host_id, details, now, how=how, reason=reason)
    return live


def cancel_all_of_host(connection: Connection, host_id: UUID, now: datetime) -> list[UUID]:
    """Cancel a host's upcoming events and delete the drafts. Return the ids of the cancelled events.

    The caller must cancel their bookings in the same transaction. Until it ends, the events' places stay
    locked.
    """
    upcoming = (
        events.c.host_id == host_id,
        events.c.deleted_at.is_(None),
        events.c.status != "cancelled",
        events.c.ends_at > now,
    )
    connection.execute(
        select(events.c.event_id).where(*upcoming).order_by(events.c.event_id).with_for_update(key_share=True)
    )
    rows = {row.event_id: row for row in connection.execute(EVENT_DETAILS.where(*upcoming))}
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
