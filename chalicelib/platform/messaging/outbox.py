"""Domain events: what happened, written in the same transaction as the change, and relayed from there."""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Identity,
    Insert,
    Integer,
    Row,
    Table,
    Text,
    Uuid,
    any_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON
from sqlalchemy.dialects.postgresql import insert as upsert

from chalicelib.platform import ids
from chalicelib.platform.database.columns import SystemTime
from chalicelib.platform.database.engine import Database, metadata
from chalicelib.platform.errors import Unavailable, Unreachable
from chalicelib.platform.messaging.ports import DomainEvent, Publisher
from chalicelib.platform.observability import metrics, request_context

outbox = Table(
    "outbox",
    metadata,
    Column("position", BigInteger, Identity(always=True), primary_key=True),
    Column("domain_event_id", Uuid, nullable=False),
    Column("type", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("subject", Uuid, nullable=False),
    Column("occurred_at", SystemTime(), nullable=False),
    Column("request_id", Text, nullable=True),
    Column("body", JSON, nullable=False),
)
"""`subject` is what the domain event is about and within which order is kept: an event's id, or a user's.
`request_id` is of the request that it goes back to.
A domain event that follows from another is written after the other has committed or under the same lock, so
that their order is that of `position`."""

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Uuid, nullable=False),
    Column("held_until", SystemTime(), nullable=False),
)
"""Work that one process does at a time, without a lock that outlives a transaction."""

BATCH_SIZE = 100
"""Domain events of one round of the relay."""
LEASE = timedelta(minutes=2)
"""How long a relay that died keeps the next one waiting; a live one renews it every round.

Longer than a round can take, so that no two publish at once: ten calls that succeed within the time limit of
one, and one that does not.
"""
POLL_INTERVAL_SECONDS = 1.0
"""Seconds between looks at an empty outbox."""

_RECORD = insert(outbox)


def record(connection: Connection, kind: str, subject: UUID, body: dict[str, Any], now: datetime) -> None:
    """Write a domain event, named in the past tense and kebab-case, as part of the transaction."""
    connection.execute(
        _RECORD,
        {
            "domain_event_id": ids.new(now),
            "type": kind,
            "subject": subject,
            "occurred_at": now,
            "request_id": request_context.current(),
            "body": body,
        },
    )


_request_id = bindparam("outbox_request_id", callable_=request_context.current, type_=Text)


def recording(
    kind: str,
    subject: ColumnElement[UUID],
    body: ColumnElement[Any],
    now: ColumnElement[datetime],
    *which: ColumnElement[bool],
) -> Insert:
    """A statement that writes a domain event for each row of what it is made from, as `record` writes one."""
    name = cast(literal_column(f"'{kind}'"), Text)
    domain_events = select(func.uuidv7(), name, subject, now, _request_id, body).where(*which)
    columns = ["domain_event_id", "type", "subject", "occurred_at", "request_id", "body"]
    return insert(outbox).from_select(columns, domain_events)


def relay(
    database: Database, publisher: Publisher, go_on: Callable[[], bool], pause: float = POLL_INTERVAL_SECONDS
) -> int:
    """Publish what is in the outbox, and what comes in, for as long as `go_on` says.

    Several may run at once: the holder of a lease works, the others look again. A domain event is published at
    least once, and after all earlier ones of its subject. Nothing is lost when SNS is out of reach, or
    the database, or this process: a domain event leaves the outbox only when it is known to be published.
    Between looks at an empty outbox it rests for `pause` seconds. Returns how many were published.
    """
    holder = uuid4()
    published = 0
    while go_on():
        try:
            done = _round(database, publisher, holder)
        except (Unreachable, Unavailable):
            logging.getLogger("event-booking").exception("Domain events wait in the outbox")
            done = 0
        published += done
        if not done:
            time.sleep(pause)
    with database.transaction() as connection:
        connection.execute(delete(leases).where(leases.c.holder == holder))
    return published


def _round(database: Database, publisher: Publisher, holder: UUID) -> int:
    """Take the lease and the oldest domain events, publish them outside any transaction, delete them.

    The commit of the first transaction is synchronous and flushes the log before it, so that no domain event is
    told of a booking that a crash could still undo: such a booking commits without waiting for its flush.
    """
    now = datetime.now(UTC)
    with database.transaction() as connection:
        if not _acquire_lease(connection, holder, now):
            return 0
        rows = connection.execute(_OLDEST, {"at_most": BATCH_SIZE}).all()
    metrics.put("OutboxAge", (now - rows[0].occurred_at).total_seconds() if rows else 0, "Seconds")
    if not rows:
        return 0
    refused = publisher.publish([_event_of(row) for row in rows])
    if refused:
        logging.getLogger("event-booking").error("Domain events were refused: %s", sorted(map(str, refused)))
    told = _published_positions(rows, refused)
    _log_published(rows, told)
    with database.transaction() as connection:
        connection.execute(_DELETE, {"positions": told})
    metrics.put("DomainEventsPublished", len(told), "Count")
    return len(told)


def _acquire_lease(connection: Connection, holder: UUID, now: datetime) -> bool:
    claim = upsert(leases).values(name="relay", holder=holder, held_until=now + LEASE)
    taken = connection.execute(
        claim.on_conflict_do_update(
            index_elements=["name"],
            set_={"holder": claim.excluded.holder, "held_until": claim.excluded.held_until},
            where=or_(leases.c.holder == holder, leases.c.held_until < now),
        ).returning(leases.c.name)
    )
    return taken.first() is not None


_OLDEST = select(outbox).order_by(outbox.c.position).limit(bindparam("at_most", type_=Integer))
_DELETE = delete(outbox).where(outbox.c.position == any_(bindparam("positions", type_=ARRAY(BigInteger))))


def _event_of(row: Row[Any]) -> DomainEvent:
    return DomainEvent(
        domain_event_id=row.domain_event_id,
        type=row.type,
        version=row.version,
        subject=row.subject,
        time=row.occurred_at,
        request_id=row.request_id,
        body=row.body,
    )


def _log_published(rows: Sequence[Row[Any]], told: Sequence[int]) -> None:
    """Log what was published, so that a request can be followed."""
    log = logging.getLogger("event-booking")
    for row in rows:
        if row.position in told:
            members = {
                "type": row.type,
                "domainEventId": str(row.domain_event_id),
                "requestId": row.request_id,
            }
            log.info("domainEvent", extra={"members": members})


def _published_positions(rows: Sequence[Row[Any]], refused: set[UUID]) -> list[int]:
    """The positions that are done.

    Not the refused ones, nor what came after one of its subject: that is published again, in order.
    """
    held_back: set[UUID] = set()
    told: list[int] = []
    for row in rows:
        if row.domain_event_id in refused:
            held_back.add(row.subject)
        if row.subject not in held_back:
            told.append(row.position)
    return told
