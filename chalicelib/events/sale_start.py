"""Announce the start of sales and changes of events: record a domain event for each, once."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Insert, select, update
from sqlalchemy.dialects.postgresql import insert

from chalicelib.events import change_notices, publishing
from chalicelib.events.change_notices import INTERVAL
from chalicelib.events.models import event_notices, events
from chalicelib.platform.database.engine import Database
from chalicelib.platform.errors import Unavailable
from chalicelib.platform.observability import logs

BATCH_SIZE = 100
"""Events per transaction."""

POLL_INTERVAL_SECONDS = 1.0


def run(database: Database, keep_going: Callable[[], bool]) -> None:
    """Poll for started sales and for changes, and announce them, while `keep_going` returns True."""
    while keep_going():
        try:
            now = datetime.now(UTC)
            announce(database, now)
            change_notices.announce(database, now)
        except Unavailable:
            logs.exception("announcement failed")
        time.sleep(POLL_INTERVAL_SECONDS)


def announce(database: Database, now: datetime) -> int:
    """Record `sale-started` once for each published event whose sale has started. Return how many there were.

    An event whose sale starts when it is published is not announced. A sale that is put off by its host is
    announced again, but not within INTERVAL.
    """
    announced = 0
    while True:
        with database.transaction() as connection:
            event_ids = connection.scalars(
                select(events.c.event_id)
                .where(
                    events.c.sale_starts_at <= now,
                    events.c.sale_announced_at.is_(None),
                    events.c.status == "published",
                    events.c.deleted_at.is_(None),
                    ~_recently_announced(now),
                )
                .order_by(events.c.sale_starts_at)
                .limit(BATCH_SIZE)
                .with_for_update(key_share=True, skip_locked=True)
            ).all()
            connection.execute(
                update(events).where(events.c.event_id.in_(event_ids)).values(sale_announced_at=now)
            )
            if event_ids:
                connection.execute(_remember(event_ids, now))
            for event_id in event_ids:
                publishing.record_sale_started(connection, event_id, now)
        announced += len(event_ids)
        if len(event_ids) < BATCH_SIZE:
            return announced


def _recently_announced(now: datetime) -> ColumnElement[bool]:
    return (
        select(event_notices.c.event_id)
        .where(
            event_notices.c.event_id == events.c.event_id,
            event_notices.c.sale_announced_at > now - INTERVAL,
        )
        .exists()
    )


def _remember(event_ids: Sequence[UUID], now: datetime) -> Insert:
    new = insert(event_notices).values(
        [{"event_id": event_id, "sale_announced_at": now} for event_id in event_ids]
    )
    return new.on_conflict_do_update(
        index_elements=["event_id"], set_={"sale_announced_at": new.excluded.sale_announced_at}
    )
