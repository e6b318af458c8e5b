"""Announce the start of sales and changes of events: record a domain event for each, once."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy import ColumnElement, Insert, func, select, update
from sqlalchemy.dialects.postgresql import insert

from chalicelib.events import change_notices, publishing
from chalicelib.events.change_notices import INTERVAL
from chalicelib.events.models import event_notices, events
from chalicelib.platform.clock import SYSTEM_CLOCK, Clock
from chalicelib.platform.database.engine import Database
from chalicelib.platform.polling import HORIZON, poll

BATCH_SIZE = 100
"""Events per transaction."""

_IS_UNANNOUNCED = (
    events.c.sale_announced_at.is_(None),
    events.c.status == "published",
    events.c.deleted_at.is_(None),
)


def run(database: Database, keep_going: Callable[[], bool], clock: Clock = SYSTEM_CLOCK) -> None:
    """Announce started sales and changes, and go on while more are due within the minute."""

    def announce_due(now: datetime) -> None:
        announce(database, now)
        change_notices.announce(database, now)

    poll(announce_due, partial(next_due, database), keep_going=keep_going, clock=clock)


def next_due(database: Database, after: datetime) -> datetime | None:
    """Return when the next sale starts or the next change is announced, if that is within the minute."""
    sales = select(func.min(events.c.sale_starts_at)).where(
        events.c.sale_starts_at > after,
        events.c.sale_starts_at <= after + HORIZON,
        *_IS_UNANNOUNCED,
    )
    changes = select(func.min(event_notices.c.due_at)).where(
        event_notices.c.due_at > after, event_notices.c.due_at <= after + HORIZON
    )
    with database.transaction() as connection:
        due: datetime | None = connection.scalar(
            select(func.least(sales.scalar_subquery(), changes.scalar_subquery()))  # ignores null
        )
    return due


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
                    *_IS_UNANNOUNCED,
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
