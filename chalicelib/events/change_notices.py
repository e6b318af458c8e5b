"""Announce changes of events: several within a few minutes are one domain event, with the last state."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from chalicelib.domain_events import EventChanged
from chalicelib.events import snapshots
from chalicelib.events.locks import EVENT_BY_ID, details_of
from chalicelib.events.models import event_notices, events
from chalicelib.events.rules import Details
from chalicelib.platform.database.engine import Database
from chalicelib.platform.times import rfc3339

QUIET = timedelta(seconds=15)
"""How long after the last change the first announcement is due."""

INTERVAL = timedelta(minutes=5)
"""Minimum time between two announcements about an event, and how long further changes can delay one."""

BATCH_SIZE = 100
"""Events per transaction."""


def schedule(connection: Connection, event_id: UUID, before: Details, now: datetime) -> bool:
    """Announce the change of an event, with the changes after it. The caller must have locked the event.

    Return False if an earlier change is still to be announced, so that both share an announcement.
    """
    new = insert(event_notices).values(
        event_id=event_id, before=_as_json(before), changed_at=now, due_at=now + QUIET
    )
    old = event_notices.c
    due_at = func.greatest(new.excluded.due_at, old.announced_at + INTERVAL)  # ignores null
    latest = func.greatest(old.changed_at, old.announced_at) + INTERVAL
    first_changed_at = connection.execute(
        new.on_conflict_do_update(
            index_elements=["event_id"],
            set_={
                "before": func.coalesce(old.before, new.excluded.before),
                "changed_at": func.coalesce(old.changed_at, new.excluded.changed_at),
                "due_at": func.least(due_at, latest),
            },
        ).returning(old.changed_at)
    ).scalar_one()
    return bool(first_changed_at == now)


def announce(database: Database, now: datetime) -> int:
    """Record `event-changed` for each event whose announcement is due. Return how many there were.

    An event that has its former details again, or is no longer upcoming, is not announced.
    """
    announced = 0
    while True:
        with database.transaction() as connection:
            # Changes lock the event too, so what is read after this is the last state.
            event_ids = connection.scalars(
                select(events.c.event_id)
                .join(event_notices, event_notices.c.event_id == events.c.event_id)
                .where(event_notices.c.due_at <= now)
                .order_by(event_notices.c.due_at)
                .limit(BATCH_SIZE)
                .with_for_update(key_share=True, skip_locked=True, of=events)
            ).all()
            announced += sum(_announce(connection, event_id, now) for event_id in event_ids)
        if len(event_ids) < BATCH_SIZE:
            return announced


def _announce(connection: Connection, event_id: UUID, now: datetime) -> bool:
    """Record `event-changed` for a locked event, unless another process has, or there is nothing to say."""
    own = event_notices.c.event_id == event_id
    notice = connection.execute(select(event_notices).where(own)).one()
    if notice.before is None or notice.due_at > now:
        return False
    row = connection.execute(EVENT_BY_ID, {"event_id": event_id}).one_or_none()
    changed = None
    if row is not None and row.status == "published" and row.ends_at > now:
        after = details_of(row)
        changed = snapshots.changes(_read(notice.before, after), after)
        if changed:
            snapshots.record(connection, EventChanged, event_id, row.host_id, after, now, changed=changed)
    announced_at = {"announced_at": now} if changed else {}
    connection.execute(
        update(event_notices).where(own).values(before=None, changed_at=None, due_at=None, **announced_at)
    )
    return changed is not None


def _as_json(details: Details) -> dict[str, Any]:
    return {
        "title": details.title,
        "location": details.location,
        "starts_at": rfc3339(details.starts_at),
        "ends_at": rfc3339(details.ends_at),
        "timezone": details.timezone,
    }


def _read(before: dict[str, Any], after: Details) -> Details:
    """The former details, among those that are announced."""
    times = {name: datetime.fromisoformat(before[name]) for name in ("starts_at", "ends_at")}
    return replace(after, **{**before, **times})
