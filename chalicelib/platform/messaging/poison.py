"""Poisoned domain events: look into the outbox, and take out what can never be published."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    SmallInteger,
    Table,
    Text,
    Uuid,
    bindparam,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.dialects.postgresql import JSON, distinct_on

from chalicelib.platform.database.columns import SystemTime
from chalicelib.platform.database.engine import Database, metadata
from chalicelib.platform.messaging.bodies import Lane
from chalicelib.platform.messaging.outbox import outbox

RETENTION = timedelta(days=30)

skipped_domain_events = Table(
    "skipped_domain_events",
    metadata,
    Column("domain_event_id", Uuid, primary_key=True),
    Column("lane", SmallInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("subject", Uuid, nullable=False),
    Column("occurred_at", SystemTime(), nullable=False),
    Column("request_id", Text, nullable=True),
    Column("body", JSON, nullable=False),
    Column("reason", Text, nullable=False),
    Column("skipped_at", SystemTime(), nullable=False, index=True),
)
"""The outbox's dead letters: domain events that a person has taken out of it, so that later ones of their
subject are published."""

_SHARED = (
    "domain_event_id", "lane", "type", "version", "subject", "occurred_at", "request_id", "body"
)  # fmt: skip
_this_row = outbox.c.domain_event_id == bindparam("this_domain_event", type_=Uuid)
_this_skipped = skipped_domain_events.c.domain_event_id == bindparam("this_domain_event", type_=Uuid)
_COUNT = select(outbox.c.lane, func.count().label("rows")).group_by(outbox.c.lane)
_OLDEST = select(outbox).ext(distinct_on(outbox.c.lane)).order_by(outbox.c.lane, outbox.c.position)


def by_lane(connection: Connection) -> dict[str, Any]:
    """Return the number of domain events that wait in each lane, and the oldest of them."""
    counts = {row.lane: row.rows for row in connection.execute(_COUNT)}
    oldest = {row.lane: _summary(row) for row in connection.execute(_OLDEST)}
    return {
        lane.name.lower().replace("_", "-"): {"waiting": counts.get(lane, 0), "oldest": oldest.get(lane)}
        for lane in Lane
    }


def find(connection: Connection, domain_event_id: UUID) -> dict[str, Any] | None:
    """Return a waiting domain event. Account e-mails have no body here, because it has an address."""
    row = connection.execute(select(outbox).where(_this_row), {"this_domain_event": domain_event_id}).first()
    if row is None:
        return None
    return {**_summary(row), "body": None if row.lane == Lane.ACCOUNT_EMAILS else row.body}


def skip(connection: Connection, domain_event_id: UUID, *, reason: str, now: datetime) -> bool:
    """Take a domain event out of the outbox, and keep it. Return False if it is not there."""
    row = connection.execute(
        delete(outbox).where(_this_row).returning(outbox), {"this_domain_event": domain_event_id}
    ).first()
    if row is None:
        return False
    kept = {name: getattr(row, name) for name in _SHARED}
    connection.execute(insert(skipped_domain_events).values(**kept, reason=reason, skipped_at=now))
    return True


def put_back(connection: Connection, domain_event_id: UUID) -> bool:
    """Put a skipped domain event at the end of its lane. Return False if it was not skipped."""
    row = connection.execute(
        delete(skipped_domain_events).where(_this_skipped).returning(skipped_domain_events),
        {"this_domain_event": domain_event_id},
    ).first()
    if row is None:
        return False
    connection.execute(insert(outbox).values({name: getattr(row, name) for name in _SHARED}))
    return True


def purge(database: Database, now: datetime) -> int:
    """Delete what was skipped long ago. Return how many."""
    return database.purge(skipped_domain_events.c.skipped_at, now - RETENTION)


def _summary(row: Any) -> dict[str, Any]:
    return {
        "domainEventId": row.domain_event_id,
        "type": row.type,
        "version": row.version,
        "subject": row.subject,
        "occurredAt": row.occurred_at,
        "requestId": row.request_id,
    }
