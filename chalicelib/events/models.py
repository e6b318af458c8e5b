"""Events: their tables, their rules, and an event as clients see it."""

from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import (
    CheckConstraint,
    Column,
    ColumnElement,
    Computed,
    DateTime,
    Double,
    ForeignKey,
    FromClause,
    Index,
    Integer,
    ScalarSelect,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    not_,
    select,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

from chalicelib.platform.database.engine import metadata
from chalicelib.platform.database.listing import (
    ListQuery,
    Sort,
    json_object,
    system_time_json,
    user_time_json,
)

Status = Literal["draft", "published", "cancelled"]

MAX_DURATION = timedelta(days=14)
"""The longest an event lasts."""

events = Table(
    "events",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("host_id", Uuid, ForeignKey("users.user_id"), nullable=False),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=True),
    Column("location", Text, nullable=True),
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("ends_at", DateTime(timezone=True), nullable=False),
    Column("timezone", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("sale_starts_at", DateTime(timezone=True), nullable=True),
    Column("sale_ends_at", DateTime(timezone=True), nullable=True),
    Column("status", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("deleted_at", DateTime(timezone=True), nullable=True),
    Column("sale_announced_at", DateTime(timezone=True), nullable=True),
    Column("refund_until", DateTime(timezone=True), nullable=True),
    Column(
        "words",
        TSVECTOR,
        Computed("to_tsvector('simple', title || ' ' || coalesce(description, ''))", persisted=True),
        nullable=False,
    ),
    CheckConstraint("status IN ('draft', 'published', 'cancelled')", name="status"),
    CheckConstraint("starts_at < ends_at", name="duration"),
)
"""A deleted event's row stays, unseen, for the bookings and the ledger that point at it.
`sale_announced_at` is when the domain event that its sale started was written."""

interests = Table(
    "interests",
    metadata,
    Column("event_id", Uuid, ForeignKey("events.event_id"), primary_key=True),
    Column("user_id", Uuid, ForeignKey("credentials.user_id", ondelete="CASCADE"), primary_key=True),
    Column("shown_at", DateTime(timezone=True), nullable=False),
    Index(None, "user_id", "event_id"),
)
"""Who wants to hear when an event's sale starts."""

ticket_types = Table(
    "ticket_types",
    metadata,
    Column("ticket_type_id", Uuid, primary_key=True),
    Column("event_id", Uuid, ForeignKey("events.event_id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("price", Integer, nullable=False),
    CheckConstraint("price >= 0", name="price"),
    UniqueConstraint("event_id"),
)

places = Table(
    "places",
    metadata,
    Column("event_id", Uuid, ForeignKey("events.event_id"), primary_key=True),
    Column("capacity", Integer, nullable=False),
    Column("taken", Integer, nullable=False, server_default="0"),
    Column("revision", Integer, nullable=False, server_default="1"),
    Column("popularity", Integer, nullable=False, server_default="0"),
    CheckConstraint("capacity > 0", name="capacity"),
    CheckConstraint("taken BETWEEN 0 AND capacity", name="taken"),
    postgresql_with={"fillfactor": "50"},
)
"""The places of an event: the one row that all of its bookings write.

It is apart from `events` because bookings point there with a foreign key, and the share locks of such
checks on the row that holds the counter would make every booking wait for every other.
`revision` moves with each change of the event, so that a booking can tell, when it takes its place, that
the event it looked at is still the event. `popularity` grows with `taken` but in steps, so that its
index is not touched by every booking (PostgreSQL's heap-only updates) and still leads in order. Whoever
writes `taken` writes it too, see `counted`; a generated column would be worked out from its text each time.
"""


def place_counters(taken: ColumnElement[int]) -> dict[str, ColumnElement[int]]:
    """The columns of `places` where so many are taken; the booking procedure writes the same."""
    popularity = cast(literal_column("10") * func.ln(cast(taken + 1, Double)), Integer)
    return {"taken": taken, "popularity": popularity}


def _duration(event: FromClause) -> ColumnElement[timedelta]:
    return event.c.ends_at - event.c.starts_at


_visible = events.c.deleted_at.is_(None)
_published = and_(_visible, events.c.status == literal_column("'published'"))
_cancelled = and_(_visible, events.c.status == literal_column("'cancelled'"))

Index(
    "ix_events_date",
    events.c.starts_at,
    events.c.event_id,
    events.c.ends_at,  # so that what has ended is passed over in the index
    postgresql_where=_published,
)
Index("ix_events_title", func.lower(events.c.title), events.c.event_id, postgresql_where=_published)
Index("ix_events_created", events.c.event_id, postgresql_where=_published)
Index("ix_events_cancelled", events.c.starts_at, events.c.event_id, postgresql_where=_cancelled)
Index("ix_events_host_id", events.c.host_id, events.c.starts_at, events.c.event_id)
Index(
    "ix_events_sale_starts_at",
    events.c.sale_starts_at,
    postgresql_where=and_(_published, events.c.sale_announced_at.is_(None)),
)
Index("ix_events_words", events.c.words, postgresql_using="gin")
Index("ix_events_duration", _duration(events))
Index("ix_places_popularity", places.c.popularity)

_now = bindparam("now", type_=DateTime(timezone=True))


def _on_sale(event: Any, place: Any) -> ColumnElement[bool]:
    """Whether a place can be booked now; the booking procedure has the same conditions, singly."""
    return and_(
        event.deleted_at.is_(None),
        event.status == literal_column("'published'"),
        func.coalesce(event.sale_starts_at, _now) <= _now,
        _now < func.coalesce(event.sale_ends_at, event.ends_at),
        _now < event.ends_at,
        place.taken < place.capacity,
    )


def _price(row: FromClause) -> ScalarSelect[int]:
    return (
        select(func.min(ticket_types.c.price))
        .where(ticket_types.c.event_id == row.c.event_id)
        .scalar_subquery()
    )


def event_json(row: FromClause) -> ColumnElement[Any]:
    """An event as clients see it at the time of the parameter `now`.

    Deleted ones are seen by who booked them: as cancelled, unless they had taken place.
    """
    its_types = select(
        func.json_agg(
            json_object(
                "ticketTypeId",
                ticket_types.c.ticket_type_id,
                "name",
                ticket_types.c.name,
                "price",
                ticket_types.c.price,
                "currency",
                row.c.currency,
            )
        )
    ).where(ticket_types.c.event_id == row.c.event_id)
    return func.json_strip_nulls(
        json_object(
            "eventId",
            row.c.event_id,
            "hostId",
            row.c.host_id,
            "title",
            row.c.title,
            "description",
            row.c.description,
            "location",
            row.c.location,
            "startDateTime",
            user_time_json(row.c.starts_at),
            "endDateTime",
            user_time_json(row.c.ends_at),
            "timezone",
            row.c.timezone,
            "capacity",
            row.c.capacity,
            "numberOfAttendees",
            row.c.taken,
            "price",
            _price(row),
            "currency",
            row.c.currency,
            "saleStartsAt",
            user_time_json(row.c.sale_starts_at),
            "saleEndsAt",
            user_time_json(func.coalesce(row.c.sale_ends_at, row.c.ends_at)),
            "refundUntil",
            case((_price(row) > 0, user_time_json(func.coalesce(row.c.refund_until, row.c.starts_at)))),
            "status",
            case((row.c.deleted_at < row.c.ends_at, "cancelled"), else_=row.c.status),
            "ticketTypes",
            its_types.scalar_subquery(),
            "onSale",
            _on_sale(row.c, row.c),
            "createdAt",
            system_time_json(row.c.created_at),
            "updatedAt",
            system_time_json(row.c.updated_at),
        )
    )


event_rows = select(
    events,
    places.c.capacity,
    places.c.taken,
    places.c.popularity,
    func.lower(events.c.title, type_=Text).label("sort_title"),
).outerjoin(places, places.c.event_id == events.c.event_id)
visible_events = event_rows.where(_visible)

_others = events.alias("others")
_max_duration = select(func.max(_duration(_others))).scalar_subquery()
"""Of the events that there are; read from the end of its index."""
_from = bindparam("from", type_=DateTime(timezone=True))
_to = bindparam("to", type_=DateTime(timezone=True))

EVENTS = ListQuery(
    rows=visible_events,
    id="event_id",
    sorts={
        "date": Sort(("starts_at",)),
        "title": Sort(("sort_title",)),
        "createdAt": Sort((), "desc"),
        "popularity": Sort(("popularity", "taken"), "desc"),
    },
    filters={
        # Literals, not parameters: an index on the published ones serves only who says so.
        **{
            status: events.c.status == literal_column(f"'{status}'")
            for status in ("draft", "published", "cancelled")
        },
        "host": events.c.host_id == bindparam("host", type_=Uuid),
        # Implied by the first; bounds the part of the index that is read.
        "from": and_(events.c.ends_at > _from, events.c.starts_at > _from - _max_duration),
        "to": events.c.starts_at < _to,
        "q": events.c.words.op("@@")(func.to_tsquery("simple", bindparam("q", type_=Text))),
        "on_sale": _on_sale(events.c, places.c),
        "not_on_sale": not_(_on_sale(events.c, places.c)),
    },
    item=event_json,
    searched=frozenset({"q"}),
)
