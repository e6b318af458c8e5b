"""Sales that begin: noted once, and told as a domain event."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import select, update

from chalicelib.events import publishing
from chalicelib.events.models import events
from chalicelib.platform.database.engine import Database
from chalicelib.platform.errors import Unavailable

BATCH_SIZE = 100
POLL_INTERVAL_SECONDS = 1.0
"""Seconds between looks."""


def run(database: Database, go_on: Callable[[], bool]) -> None:
    """Tell of sales soon after they begin, for as long as `go_on` says."""
    while go_on():
        try:
            announce(database, datetime.now(UTC))
        except Unavailable:
            logging.getLogger("event-booking").exception("Sales wait to be told of")
        time.sleep(POLL_INTERVAL_SECONDS)


def announce(database: Database, now: datetime) -> int:
    """Write `sale-started` for each published event whose sale has begun, once, and say for how many.

    An event that is on sale from the moment it is published has no such moment, and nobody waits for it.
    """
    started = 0
    while True:
        with database.transaction() as connection:
            begun = connection.scalars(
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
                update(events).where(events.c.event_id.in_(begun)).values(sale_announced_at=now)
            )
            for event_id in begun:
                publishing.record_sale_started(connection, event_id, now)
        started += len(begun)
        if len(begun) < BATCH_SIZE:
            return started
