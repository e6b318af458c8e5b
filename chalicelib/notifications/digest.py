"""The daily digest of bookings, which hosts get by e-mail at DIGEST_HOUR."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import Connection, Uuid, and_, any_, bindparam, case, delete, func, select
from sqlalchemy.dialects.postgresql import ARRAY, insert

from chalicelib.domain_events import DailyDigestDue
from chalicelib.events.models import events, places
from chalicelib.notifications import deliveries
from chalicelib.notifications.models import booking_activity, digests
from chalicelib.notifications.recipients import IN_DIGEST
from chalicelib.platform.database.columns import now_parameter
from chalicelib.platform.database.engine import Database
from chalicelib.platform.messaging import outbox

DIGEST_HOUR = 6
"""The hour of the day, in UTC, at which a digest ends and the next one begins."""

MARGIN = timedelta(minutes=5)
"""How long after DIGEST_HOUR the digest is sent: a function that counted before it may not have committed."""


def announce(database: Database, now: datetime) -> bool:
    """Record `daily-digest-due` once a day. Return whether this call has recorded it.

    If the schedule has missed some days, the next digest covers them.
    """
    end = now.astimezone(UTC) - MARGIN
    until = end.replace(hour=DIGEST_HOUR, minute=0, second=0, microsecond=0)
    if until > end:
        until -= timedelta(days=1)
    with database.transaction() as connection:
        if connection.scalar(select(digests.c.until).where(digests.c.until >= until)):
            return False
        added = insert(digests).values(until=until).on_conflict_do_nothing()
        if not connection.execute(added).rowcount:  # a concurrent run was faster
            return False
        last = delete(digests).where(digests.c.until < until).returning(digests.c.until)
        since = connection.scalar(last) or until - timedelta(days=1)
        due = DailyDigestDue(since=since, until=until)
        outbox.record(connection, due, subject=uuid5(NAMESPACE_URL, until.isoformat()), now=now)
    return True


@dataclass(frozen=True, kw_only=True)
class EventActivity:
    """What happened to the bookings of an event, as its host's digest shows it."""

    event_id: UUID
    title: str
    starts_at: datetime
    ends_at: datetime
    timezone: str
    is_cancelled: bool
    places_left: int | None
    """None if the event is cancelled or over."""
    booked: int
    cancelled: int
    revenue: dict[str, int]
    """By currency, in minor units. Negative if more money goes back than came in."""


_is_cancelled = events.c.deleted_at.is_not(None) | (events.c.status == "cancelled")
_EVENT = (
    events.c.event_id,
    events.c.title,
    events.c.starts_at,
    events.c.ends_at,
    events.c.timezone,
    _is_cancelled.label("is_cancelled"),
    case((and_(~_is_cancelled, events.c.ends_at > now_parameter), places.c.capacity - places.c.taken)).label(
        "places_left"
    ),
)
_READ = (
    select(
        booking_activity.c.host_id,
        booking_activity.c.currency,
        *_EVENT,
        func.sum(booking_activity.c.booked).label("booked"),
        func.sum(booking_activity.c.cancelled).label("cancelled"),
        func.sum(booking_activity.c.revenue).label("revenue"),
    )
    .join(events, events.c.event_id == booking_activity.c.event_id)
    .join(places, places.c.event_id == booking_activity.c.event_id)
    .where(booking_activity.c.host_id == any_(bindparam("hosts", type_=ARRAY(Uuid))), IN_DIGEST)
    .group_by(booking_activity.c.host_id, booking_activity.c.currency, events.c.event_id, places.c.event_id)
    .order_by(booking_activity.c.host_id, events.c.starts_at, events.c.event_id)
)


def read(
    connection: Connection, host_ids: Collection[UUID], due: DailyDigestDue, now: datetime
) -> dict[UUID, list[EventActivity]]:
    """The digests of hosts: their events with bookings or cancellations, in the order of their start."""
    parameters = {"hosts": list(host_ids), "since": due.since, "until": due.until, "now": now}
    found: dict[UUID, dict[UUID, EventActivity]] = {}
    for row in connection.execute(_READ, parameters):
        _add(found.setdefault(row.host_id, {}), row)
    return {host_id: list(activity.values()) for host_id, activity in found.items()}


def _add(activity: dict[UUID, EventActivity], row: Any) -> None:
    """Add a row, which is of an event and a currency. Bookings may be older than the event's currency."""
    earlier = activity.get(row.event_id)
    activity[row.event_id] = EventActivity(
        event_id=row.event_id,
        title=row.title,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        timezone=row.timezone,
        is_cancelled=row.is_cancelled,
        places_left=row.places_left,
        booked=row.booked + (earlier.booked if earlier else 0),
        cancelled=row.cancelled + (earlier.cancelled if earlier else 0),
        revenue={**(earlier.revenue if earlier else {}), row.currency: int(row.revenue)},
    )


def purge(database: Database, now: datetime) -> int:
    """Delete the activity that no digest and no redelivered message needs any more. Return how much."""
    return database.purge(booking_activity.c.counted_at, now - deliveries.RETENTION)
