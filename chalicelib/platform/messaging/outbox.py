"""The outbox: domain events recorded in the transaction of their change, and relayed to SNS from there."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Identity,
    Index,
    Insert,
    Integer,
    Row,
    SmallInteger,
    Table,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    tuple_,
    union,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON
from sqlalchemy.dialects.postgresql import insert as upsert

from chalicelib.platform import ids
from chalicelib.platform.clock import SYSTEM_CLOCK, Clock
from chalicelib.platform.database.columns import SystemTime, sql_literal
from chalicelib.platform.database.engine import Database, metadata
from chalicelib.platform.errors import Unavailable, Unreachable
from chalicelib.platform.messaging.bodies import DomainEventBody, Lane
from chalicelib.platform.messaging.ports import DomainEvent, Publisher
from chalicelib.platform.observability import logs, metrics, request_context
from chalicelib.platform.polling import POLL_INTERVAL_SECONDS, NextDue

outbox = Table(
    "outbox",
    metadata,
    Column("lane", SmallInteger, primary_key=True, autoincrement=False, server_default="0"),
    Column("position", BigInteger, Identity(always=True), primary_key=True),
    Column("domain_event_id", Uuid, nullable=False),
    Column("type", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("subject", Uuid, nullable=False),
    Column("occurred_at", SystemTime(), nullable=False),
    Column("request_id", Text, nullable=True),
    Column("body", JSON, nullable=False),
)
"""`lane` comes from the type: lower lanes are published first, but never before an earlier domain event of
their subject. `subject` is what the domain event is about: an event, a user or an e-mail address. Order is
kept per subject. `request_id` is the id of the request that caused it.
A domain event that follows from another one is recorded after that one has committed, or under the same lock,
so that `position` is their order."""

Index("ix_outbox_events", outbox.c.subject, outbox.c.position, postgresql_where=outbox.c.lane == Lane.EVENTS)
Index(
    "uq_outbox_account_emails",
    outbox.c.subject,
    outbox.c.type,
    unique=True,
    postgresql_where=outbox.c.lane == Lane.ACCOUNT_EMAILS,
)
"""One waiting request per address and purpose, however often it is made."""

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Uuid, nullable=False),
    Column("held_until", SystemTime(), nullable=False),
    Column("active_until", SystemTime(), nullable=True),
)
"""Work that one process does at a time. No lock outlives a transaction.

`active_until` is how long its holders go on polling without finding work."""

BATCH_SIZE = 100
"""Domain events per round of the relay."""
LEASE = timedelta(minutes=2)
"""How long a dead relay delays the next one; a live one renews its lease every round.

Longer than the longest round, so that two relays never publish concurrently. A round is ten calls to SNS that
succeed within the timeout of one, and one that does not.
"""
IDLE_AFTER = timedelta(minutes=2)
"""How long the relay goes on polling after the last domain event, over several runs.

A sale with a booking every two minutes is relayed without a pause, and so is a payment that follows its hold
within two minutes. A single domain event costs two minutes of the function: 0.0004 USD.
"""
_SETTLING = timedelta(seconds=5)
"""How long after the time of due work its domain event may be recorded."""
AGE_METRICS = {
    Lane.BOOKINGS: "OutboxAgeBookings",
    Lane.EVENTS: "OutboxAgeEvents",
    Lane.ACCOUNT_EMAILS: "OutboxAgeAccountEmails",
}
"""The metric of each lane: the age of its oldest domain event. One line has them all."""

_RECORD = insert(outbox)
_RECORD_ONCE = upsert(outbox).on_conflict_do_nothing(
    index_elements=["subject", "type"],
    index_where=outbox.c.lane == literal_column(str(Lane.ACCOUNT_EMAILS.value)),
)


def record(connection: Connection, event: DomainEventBody, *, subject: UUID, now: datetime) -> None:
    """Record a domain event in the transaction of the change.

    An account e-mail for which the same request is still waiting is not recorded again.
    """
    connection.execute(
        _RECORD_ONCE if event.lane == Lane.ACCOUNT_EMAILS else _RECORD,
        {
            "lane": event.lane.value,
            "domain_event_id": ids.new(now),
            "type": event.type,
            "version": event.version,
            "subject": subject,
            "occurred_at": now,
            "request_id": request_context.current(),
            "body": event.as_json(),
        },
    )


_request_id = bindparam("outbox_request_id", callable_=request_context.current, type_=Text)


def recording(
    event: type[DomainEventBody],
    row: FromClause,
    *where: ColumnElement[bool],
    subject: ColumnElement[UUID],
    now: ColumnElement[datetime],
    **columns: ColumnElement[Any],
) -> Insert:
    """INSERT … SELECT variant of `record`: one domain event per row. Fields and columns are matched by name.

    Raises:
        LookupError: A field of the body has no column.
    """
    values = {
        "lane": literal_column(str(event.lane.value)),
        "domain_event_id": func.uuidv7(),
        "type": cast(sql_literal(event.type), Text),
        "version": literal_column(str(event.version)),
        "subject": subject,
        "occurred_at": now,
        "request_id": _request_id,
        "body": event.json_column(row, **columns),
    }
    return insert(outbox).from_select(list(values), select(*values.values()).where(*where))


def _nothing_due(_after: datetime) -> None:
    return None


def relay(
    database: Database,
    publisher: Publisher,
    go_on: Callable[[], bool],
    pause: float = POLL_INTERVAL_SECONDS,
    *,
    next_due: NextDue = _nothing_due,
    clock: Clock = SYSTEM_CLOCK,
) -> int:
    """Publish the domain events in the outbox. Return how many were published.

    Bookings and money come first, then events, then account e-mails.

    It returns when `go_on` returns False, or when the outbox is empty, has been for IDLE_AFTER, and nothing
    is due within the minute that records a domain event (`next_due`). Until then an empty outbox is polled
    every `pause` seconds.

    Several relays may run: the holder of the lease works, the others poll. A domain event is published at
    least once, and after all earlier ones of its subject. It is deleted only after SNS has accepted it, so
    none is lost when SNS or the database cannot be reached or this process dies.
    """
    holder = uuid4()
    published = 0
    while go_on():
        now = clock.now()
        count = 0
        try:
            count, is_active = _round(database, publisher, holder, now)
            if not is_active and next_due(now - _SETTLING) is None:
                break
        except (Unreachable, Unavailable):
            logs.exception("outbox relay failed")
        published += count
        if not count:
            clock.sleep(pause)
    with database.transaction() as connection:
        connection.execute(update(leases).where(leases.c.holder == holder).values(held_until=clock.now()))
    return published


def _round(database: Database, publisher: Publisher, holder: UUID, now: datetime) -> tuple[int, bool]:
    """Acquire the lease, publish the oldest domain events outside any transaction, and delete them.

    Return how many were published, and whether to poll again in any case: because there were any, recently
    or now, or because another relay has the lease and may end.

    A booking commits without waiting for its own flush to disk. The first transaction commits synchronously,
    which flushes everything before it, so that no domain event reports a booking that a crash could undo.
    """
    with database.transaction() as connection:
        lease = _acquire_lease(connection, holder, now)
        if lease is None:
            return 0, True
        rows = connection.execute(_NEXT, {"at_most": BATCH_SIZE}).all()
        oldest = connection.execute(_OLDEST).all() if rows else []
    _measure_age({row.lane: row.occurred_at for row in oldest if row.occurred_at is not None}, now)
    if not rows:
        return 0, lease.active_until is not None and now < lease.active_until
    domain_events = [_domain_event(row) for row in rows]
    refused = publisher.publish(domain_events)
    published = _without_held_back(rows, refused)
    _log(domain_events, refused, {row.domain_event_id for row in published})
    with database.transaction() as connection:
        connection.execute(
            _DELETE,
            {
                "lanes": sorted({row.lane for row in published}),
                "positions": [row.position for row in published],
            },
        )
        connection.execute(
            update(leases).where(leases.c.holder == holder).values(active_until=now + IDLE_AFTER)
        )
    metrics.put("DomainEventsPublished", len(published), "Count")
    return len(published), True


def _measure_age(oldest: Mapping[int, datetime], now: datetime) -> None:
    """Measure how long the oldest domain event of each lane has waited."""
    ages = {name: (now - oldest.get(lane, now)).total_seconds() for lane, name in AGE_METRICS.items()}
    metrics.put_all({name: (age, "Seconds") for name, age in ages.items()})


def _acquire_lease(connection: Connection, holder: UUID, now: datetime) -> Row[Any] | None:
    """Return the lease, or None if another process has it."""
    claim = upsert(leases).values(name="relay", holder=holder, held_until=now + LEASE)
    return connection.execute(
        claim.on_conflict_do_update(
            index_elements=["name"],
            set_={"holder": claim.excluded.holder, "held_until": claim.excluded.held_until},
            where=or_(leases.c.holder == holder, leases.c.held_until <= now),
        ).returning(leases.c.active_until)
    ).one_or_none()


_first = (
    select(outbox.c.lane, outbox.c.position, outbox.c.subject)
    .order_by(outbox.c.lane, outbox.c.position)
    .limit(bindparam("at_most", type_=Integer))
    .cte("first")
)
# The lanes of bookings and of events share subjects: the events themselves.
_earlier_of_subject = select(outbox.c.lane, outbox.c.position).join(
    _first,
    and_(
        outbox.c.lane == literal_column(str(Lane.EVENTS.value)),
        outbox.c.subject == _first.c.subject,
        outbox.c.position < _first.c.position,
    ),
)
_NEXT = (
    select(outbox)
    .where(
        tuple_(outbox.c.lane, outbox.c.position).in_(
            union(select(_first.c.lane, _first.c.position), _earlier_of_subject)
        )
    )
    .order_by(outbox.c.position)
)
"""The next round: the oldest of the most urgent lanes, with all earlier ones of their subjects."""
_OLDEST = union_all(
    *(
        select(
            literal_column(str(lane.value)).label("lane"),
            select(outbox.c.occurred_at)
            .where(outbox.c.lane == literal_column(str(lane.value)))
            .order_by(outbox.c.position)
            .limit(1)
            .scalar_subquery()
            .label("occurred_at"),
        )
        for lane in Lane
    )
)
"""The time of the oldest domain event of each lane."""
_DELETE = delete(outbox).where(
    outbox.c.lane == any_(bindparam("lanes", type_=ARRAY(SmallInteger))),
    outbox.c.position == any_(bindparam("positions", type_=ARRAY(BigInteger))),
)


def _domain_event(row: Row[Any]) -> DomainEvent:
    return DomainEvent(
        domain_event_id=row.domain_event_id,
        type=row.type,
        version=row.version,
        subject=row.subject,
        time=row.occurred_at,
        request_id=row.request_id,
        body=row.body,
    )


def _without_held_back(rows: Sequence[Row[Any]], refused: set[UUID]) -> list[Row[Any]]:
    """Leave out refused rows and the later rows of their subjects: those are published again, in order."""
    held_back: set[UUID] = set()
    published: list[Row[Any]] = []
    for row in rows:
        if row.domain_event_id in refused:
            held_back.add(row.subject)
        if row.subject not in held_back:
            published.append(row)
    return published


def _log(domain_events: Sequence[DomainEvent], refused: set[UUID], published: set[UUID]) -> None:
    for domain_event in domain_events:
        with request_context.bind(domain_event.request_id, **domain_event.ids):
            if domain_event.domain_event_id in refused:
                logs.error("domain event refused")
            elif domain_event.domain_event_id in published:
                logs.info("domain event published")
