"""Announce the start of sales: record a domain event for each, once."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import select, update

from chalicelib.events import publishing
from chalicelib.events.models import events
from chalicelib.platform.database.engine import Database
from chalicelib.platform.errors import Unavailable
from chalicelib.platform.observability import logs

BATCH_SIZE = 100
"""Events per transaction."""

POLL_INTERVAL_SECONDS = 1.0


def run(database: Database, keep_going: Callable[[], bool]) -> None:
    """Poll for sales that have started and announce them, while `keep_going` returns True."""
    while keep_going():
        try:
            announce(database, datetime.now(UTC))
        except Unavailable:
            logs.exception("sale announcement failed")
        time.sleep(POLL_INTERVAL_SECONDS)


def announce(database: Database, now: datetime) -> int:
    """Record `sale-started` once for each published event whose sale has started. Return how many there were.

    An event whose sale starts when it is published is not announced.
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
                )
                .order_by(events.c.sale_starts_at)
                .limit(BATCH_SIZE)
                .with_for_update(key_share=True, skip_locked=True)
            ).all()
            connection.execute(
                update(events).where(events.c.event_id.in_(event_ids)).values(sale_announced_at=now)
            )
            for event_id in event_ids:
                publishing.record_sale_started(connection, event_id, now)
        announced += len(event_ids)
        if len(event_ids) < BATCH_SIZE:
            return announced
