"""Events: tables and statuses."""

from datetime import timedelta
from typing import Literal

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    Computed,
    Double,
    ForeignKey,
    FromClause,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    Uuid,
    and_,
    cast,
    func,
    literal_column,
    true,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

from chalicelib.platform.database.columns import SystemTime, UserTime, sql_literal
from chalicelib.platform.database.engine import metadata

Status = Literal["draft", "published", "cancelled"]

Availability = Literal["on-sale", "not-started", "ended", "sold-out"]

TypeAvailability = Literal["on-sale", "not-started", "ended", "sold-out", "archived"]

MAX_DURATION = timedelta(days=14)

DOORS_OPEN_BEFORE = timedelta(hours=12)
"""Before the start of an event for which the host has set no time."""

events = Table(
    "events",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("host_id", Uuid, ForeignKey("users.user_id"), nullable=False),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=True),
    Column("location", Text, nullable=True),
    Column("starts_at", UserTime(), nullable=False),
    Column("ends_at", UserTime(), nullable=False),
    Column("timezone", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("sale_starts_at", UserTime(), nullable=True),
    Column("sale_ends_at", UserTime(), nullable=True),
    Column("status", Text, nullable=False),
    Column("cancellation_reason", Text, nullable=True),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("created_at", SystemTime(), nullable=False),
    Column("updated_at", SystemTime(), nullable=False),
    Column("deleted_at", SystemTime(), nullable=True),
    Column("sale_announced_at", SystemTime(), nullable=True),
    Column("refund_until", UserTime(), nullable=True),
    Column("doors_open_at", UserTime(), nullable=True),
    Column("re_entry_allowed", Boolean, nullable=False, server_default="false"),
    Column("verified_attendees_only", Boolean, nullable=False, server_default="false"),
    Column("max_per_attendee", SmallInteger, nullable=False, server_default="1"),
    Column("min_charge", BigInteger, nullable=False),
    Column("max_charge", BigInteger, nullable=False),
    Column("charge_step", SmallInteger, nullable=False),
    Column(
        "words",
        TSVECTOR,
        Computed(
            "array_to_tsvector(search_words(title || ' ' || coalesce(description, '')))", persisted=True
        ),
        nullable=False,
    ),
    CheckConstraint("status IN ('draft', 'published', 'cancelled')", name="status"),
    CheckConstraint("starts_at < ends_at", name="duration"),
    CheckConstraint("max_per_attendee BETWEEN 1 AND 100", name="max_per_attendee"),
    CheckConstraint("min_charge BETWEEN 1 AND max_charge AND charge_step > 0", name="charge"),
)
"""The row of a deleted event stays, invisible to the API, because bookings and payments refer to it.
`sale_announced_at` is when the domain event `sale-started` was recorded. `min_charge`, `max_charge` and
`charge_step` are what Stripe can charge in the event's currency, for the booking procedure: see prices.py."""

interests = Table(
    "interests",
    metadata,
    Column("event_id", Uuid, ForeignKey("events.event_id"), primary_key=True),
    Column("user_id", Uuid, ForeignKey("credentials.user_id", ondelete="CASCADE"), primary_key=True),
    Column("shown_at", SystemTime(), nullable=False),
    Index(None, "user_id", "event_id"),
)
"""Users to notify when the sale of an event starts."""

event_notices = Table(
    "event_notices",
    metadata,
    Column("event_id", Uuid, ForeignKey("events.event_id"), primary_key=True),
    Column("before", JSON(none_as_null=True), nullable=True),
    Column("changed_at", SystemTime(), nullable=True),
    Column("due_at", SystemTime(), nullable=True),
    Column("announced_at", SystemTime(), nullable=True),
    Column("sale_announced_at", SystemTime(), nullable=True),
    Index(None, "due_at"),
)
"""When attendees are next notified of changes of an event, and when they and interested users last were.
`before` are the details before the first change since, at `changed_at`; null if there was none."""

ticket_types = Table(
    "ticket_types",
    metadata,
    Column("ticket_type_id", Uuid, primary_key=True),
    Column("event_id", Uuid, ForeignKey("events.event_id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=True),
    Column("price", BigInteger, nullable=False),
    Column("sale_starts_at", UserTime(), nullable=True),
    Column("sale_ends_at", UserTime(), nullable=True),
    Column("min_per_booking", SmallInteger, nullable=False, server_default="1"),
    Column("max_per_booking", SmallInteger, nullable=False, server_default="100"),
    Column("code_required", Boolean, nullable=False, server_default="false"),
    Column("created_at", SystemTime(), nullable=False),
    Column("archived_at", SystemTime(), nullable=True),
    Column("deleted_at", SystemTime(), nullable=True),
    CheckConstraint("price >= 0", name="price"),
    CheckConstraint("1 <= min_per_booking AND min_per_booking <= max_per_booking", name="per_booking"),
    CheckConstraint("sale_starts_at < sale_ends_at", name="sale"),
    CheckConstraint("deleted_at IS NULL OR archived_at IS NOT NULL", name="deleted"),
    Index(None, "event_id", "ticket_type_id"),
)
"""Ids are in the order in which the host lists the types. A type whose sale window is null has the window of
its event. An archived type can no longer be booked; it stays, because tickets refer to it.

A deleted type is archived too, and hidden. Its row stays, because a booking that is running may have read it:
its tickets would violate the foreign key, instead of finding that `places.revision` has changed.
"""

places = Table(
    "places",
    metadata,
    Column("event_id", Uuid, ForeignKey("events.event_id"), primary_key=True),
    Column("capacity", Integer, nullable=False),
    Column("taken", Integer, nullable=False, server_default="0"),
    Column("reserved", Integer, nullable=False, server_default="0"),
    Column("revision", Integer, nullable=False, server_default="1"),
    Column("popularity", Integer, nullable=False, server_default="0"),
    Column("sold_out", Boolean, Computed("taken + reserved >= capacity", persisted=True), nullable=False),
    CheckConstraint("capacity > 0", name="capacity"),
    CheckConstraint("taken >= 0 AND reserved >= 0 AND taken + reserved <= capacity", name="taken"),
    postgresql_with={"fillfactor": "50"},
)
"""The pool of an event's places: one row that all bookings of the event update.

- The table is separate from `events`, because the foreign keys of bookings lock the row in `events`, and such
  locks on the row with the counter would serialize all bookings.
- `reserved` places are kept for offers.
- `revision` increases with each change of the event, its ticket types and its codes. A booking checks it to
  detect a change since it read them.
- `popularity` grows with `taken` in steps, so that most bookings do not touch its index (PostgreSQL's
  heap-only updates). Every statement that writes `taken` writes it too, see `place_counters`. A generated
  column would cost more.
- `sold_out` is a column, because an index with a condition on `taken` would also exclude heap-only updates.
"""

pools = Table(
    "pools",
    metadata,
    Column("pool_id", Uuid, primary_key=True),
    Column("event_id", Uuid, ForeignKey("events.event_id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("capacity", Integer, nullable=True),
    Column("taken", Integer, nullable=True),
    Column("reserved", Integer, nullable=False, server_default="0"),
    Column("sold_out", Boolean, Computed("taken + reserved >= capacity", persisted=True), nullable=True),
    CheckConstraint("kind IN ('code', 'ticket-type')", name="kind"),
    CheckConstraint("capacity > 0 AND (capacity IS NULL OR taken IS NOT NULL)", name="capacity"),
    CheckConstraint("taken >= 0 AND reserved >= 0 AND taken + reserved <= capacity", name="taken"),
    Index(None, "event_id"),
    postgresql_with={"fillfactor": "50"},
)
"""The pools of an event besides `places`: one for the places of each ticket type, one for the uses of each
code. `pool_id` is the id of the type or of the code.

- They are not columns of `ticket_types` and `codes`, for the reason that `places` is a table of its own.
- `capacity` is null without a limit, and then `sold_out` is null too.
- `taken` is null while the event has a single ticket type without a capacity of its own: then all places of
  the event are of that type, and a booking updates one counter only.
"""


def place_counters(taken: ColumnElement[int]) -> dict[str, ColumnElement[int]]:
    """Return the counters for a number of taken places. The booking procedure writes the same."""
    popularity = cast(literal_column("10") * func.ln(cast(taken + 1, Double)), Integer)
    return {"taken": taken, "popularity": popularity}


def duration(event: FromClause) -> ColumnElement[timedelta]:
    return event.c.ends_at - event.c.starts_at


open_type = ticket_types.c.archived_at.is_(None)
"""The type can be booked, as far as its sale window and its places allow."""

visible = events.c.deleted_at.is_(None)
# IS TRUE keeps the index of this condition for statements with this condition: for published events alone,
# PostgreSQL would else choose it instead of ix_events_date, whose `ends_at` it needs.
not_draft = (events.c.status != sql_literal("draft")).is_(true())
_published = and_(visible, events.c.status == sql_literal("published"))
_cancelled = and_(visible, events.c.status == sql_literal("cancelled"))

Index(
    "ix_events_date",
    events.c.starts_at,
    events.c.event_id,
    events.c.ends_at,  # to skip past events within the index
    postgresql_where=_published,
)
Index("ix_events_title", func.lower(events.c.title), events.c.event_id, postgresql_where=_published)
Index("ix_events_created", events.c.event_id, postgresql_where=_published)
Index("ix_events_cancelled", events.c.starts_at, events.c.event_id, postgresql_where=_cancelled)
Index(
    "ix_events_public",
    events.c.starts_at,
    events.c.event_id,
    postgresql_where=and_(visible, not_draft),
)
Index("ix_events_host_id", events.c.host_id, events.c.starts_at, events.c.event_id)
Index(
    "ix_events_sale_starts_at",
    events.c.sale_starts_at,
    postgresql_where=and_(_published, events.c.sale_announced_at.is_(None)),
)
Index(
    "ix_events_sale_from",
    events.c.sale_starts_at,
    events.c.starts_at,
    events.c.event_id,
    events.c.ends_at,
    postgresql_where=and_(_published, events.c.sale_starts_at.is_not(None)),
)
Index(
    "ix_events_sale_until",
    events.c.sale_ends_at,
    events.c.starts_at,
    events.c.event_id,
    events.c.ends_at,
    postgresql_where=and_(_published, events.c.sale_ends_at.is_not(None)),
)
Index("ix_events_words", events.c.words, postgresql_using="gin")
Index("ix_events_duration", duration(events))
Index(
    "ix_ticket_types_sale_from",
    ticket_types.c.sale_starts_at,
    postgresql_where=and_(open_type, ticket_types.c.sale_starts_at.is_not(None)),
)
Index(
    "ix_ticket_types_sale_until",
    ticket_types.c.sale_ends_at,
    postgresql_where=and_(open_type, ticket_types.c.sale_ends_at.is_not(None)),
)
Index(
    "ix_ticket_types_groups",
    ticket_types.c.event_id,
    postgresql_where=and_(open_type, ticket_types.c.min_per_booking > literal_column("1")),
)
Index(
    "ix_pools_sold_out",
    pools.c.event_id,
    postgresql_where=and_(pools.c.sold_out, pools.c.kind == sql_literal("ticket-type")),
)
Index("ix_places_popularity", places.c.popularity, places.c.event_id)
Index("ix_places_sold_out", places.c.event_id, postgresql_where=places.c.sold_out)
