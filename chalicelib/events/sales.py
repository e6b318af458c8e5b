"""Sales that begin: noted once, and told as a fact."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import select, update

from chalicelib.db import Database
from chalicelib.errors import Unavailable
from chalicelib.events import service
from chalicelib.events.models import events

AT_ONCE = 100
PAUSE = 1.0
"""Seconds between looks."""


def watch(database: Database, go_on: Callable[[], bool]) -> None:
    """Tell of sales soon after they begin, for as long as `go_on` says."""
    while go_on():
        try:
            start(database, datetime.now(UTC))
        except Unavailable:
            logging.getLogger("event-booking").exception("Sales wait to be told of")
        time.sleep(PAUSE)


def start(database: Database, now: datetime) -> int:
    """Write `sale-started` for each published event whose sale has begun, once, and say for how many.

    An event that is on sale from the moment it is published has no such moment, and nobody waits for it.
    """
    started = 0
    while True:
        with database.transaction() as session:
            begun = session.scalars(
                select(events.c.event_id)
                .where(
                    events.c.sale_starts_at <= now,
                    events.c.sale_told_at.is_(None),
                    events.c.status == "published",
                    events.c.deleted_at.is_(None),
                )
                .order_by(events.c.sale_starts_at)
                .limit(AT_ONCE)
                .with_for_update(key_share=True, skip_locked=True)
            ).all()
            session.execute(update(events).where(events.c.event_id.in_(begun)).values(sale_told_at=now))
            for event_id in begun:
                service.record_sale_started(session, event_id, now)
        started += len(begun)
        if len(begun) < AT_ONCE:
            return started
