"""Read one event, or list the events that match filters."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args
from uuid import UUID

from sqlalchemy import (
    Connection,
    Text,
    Uuid,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
    union_all,
)

from chalicelib.events.expressions import in_sale_window, on_sale, on_sale_unless_sold_out
from chalicelib.events.models import (
    MAX_DURATION,
    Status,
    duration,
    events,
    not_draft,
    open_type,
    places,
    pools,
    ticket_types,
    visible,
)
from chalicelib.platform.database.columns import UserTime, now_parameter, sql_literal
from chalicelib.platform.database.listing import ListQuery, Page, PageRequest, Sort
from chalicelib.platform.database.rendering import Render
from chalicelib.platform.errors import NotFound


class NoSuchEvent(NotFound):
    """Event not found."""


@dataclass(frozen=True, kw_only=True)
class EventFilters:
    """Filters of a list of events."""

    host_id: UUID | None = None
    ends_after: datetime | None = None
    starts_before: datetime | None = None
    q: str | None = None
    statuses: tuple[Status, ...] = ("published",)
    """Empty for any status, for a host's own events."""
    on_sale: bool | None = None


event_rows = select(
    events,
    places.c.capacity,
    places.c.taken,
    places.c.reserved,
    places.c.sold_out,
    places.c.popularity,
    func.lower(events.c.title, type_=Text).label("sort_title"),
).outerjoin(places, places.c.event_id == events.c.event_id)
_visible_events = event_rows.where(visible)

_others = events.alias("others")
_max_duration = select(func.max(duration(_others))).scalar_subquery()
"""The longest duration of all events. PostgreSQL reads it from the end of ix_events_duration."""
_from = bindparam("from", type_=UserTime())
_to = bindparam("to", type_=UserTime())

_sold_out = select(places.c.event_id).where(places.c.sold_out)
_published = events.c.status == sql_literal("published")
_sale_not_started = events.c.sale_starts_at > now_parameter
_sale_ended = events.c.sale_ends_at <= now_parameter
# The first condition follows from the second, and limits the part of the index that is read.
_event_ended = and_(events.c.starts_at < now_parameter, events.c.ends_at <= now_parameter)
_types = ticket_types.c
_with_closed_types = union_all(
    select(pools.c.event_id).where(pools.c.sold_out, pools.c.kind == sql_literal("ticket-type")),
    *(
        select(_types.event_id).where(open_type, condition)
        for condition in (
            _types.sale_starts_at > now_parameter,
            _types.sale_ends_at <= now_parameter,
            _types.min_per_booking > literal_column("1"),
        )
    ),
)
"""Events with a type that may not be on sale while its event is, each reason by its index."""
_not_bookable = or_(events.c.event_id.in_(_sold_out), not_(on_sale_unless_sold_out(events.c)))
_off_sale = (
    and_(_published, _sale_not_started, _not_bookable),
    and_(_published, _sale_ended, _sale_not_started.is_not(true()), _not_bookable),
    and_(_published, _event_ended, _sale_ended.is_not(true()), _sale_not_started.is_not(true())),
    and_(_published, events.c.event_id.in_(_sold_out), in_sale_window(events.c)),
    and_(
        _published,
        events.c.event_id.in_(_with_closed_types),
        events.c.event_id.not_in(_sold_out),
        in_sale_window(events.c),
        not_(on_sale_unless_sold_out(events.c)),
    ),
)
"""Why a published event cannot be booked now. Each reason has an index and excludes those before it.

A type can have a sale window of its own, so that some events are on sale outside their own window.
"""
_with_bookings = places.c.popularity > literal_column("0")
_without_bookings = and_(places.c.popularity == literal_column("0"), places.c.taken == literal_column("0"))

EVENTS = ListQuery(
    rows=_visible_events,
    id="event_id",
    sorts={
        "date": Sort(("starts_at",)),
        "title": Sort(("sort_title",)),
        "createdAt": Sort((), "desc"),
        "popularity": Sort(
            ("popularity", "taken"),
            "desc",
            joined_by=places.c.event_id,
            # The index has the order of the events without bookings, which may be most. Within other steps of
            # `popularity`, PostgreSQL sorts.
            parts=(_with_bookings, _without_bookings),
        ),
    },
    filters={
        # Literals, not parameters: PostgreSQL uses a partial index only for a literal condition.
        **{status: events.c.status == sql_literal(status) for status in get_args(Status)},
        "cancelled or published": not_draft,
        "cancelled or draft": events.c.status != sql_literal("published"),
        "draft or published": events.c.status != sql_literal("cancelled"),
        "host": events.c.host_id == bindparam("host", type_=Uuid),
        # The second condition follows from the first, and limits the part of the index that is read.
        "from": and_(events.c.ends_at > _from, events.c.starts_at > _from - _max_duration),
        "to": events.c.starts_at < _to,
        "q": events.c.words.op("@@")(func.search_query(bindparam("q", type_=Text))),
        "on_sale": on_sale(events.c, places.c),
        "not_on_sale": not_(on_sale(events.c, places.c)),
        **{
            name: not_(on_sale(events.c, places.c))
            for name in ("published_not_on_sale", "public_not_on_sale")
        },
    },
    searched=frozenset({"q", "on_sale", "not_on_sale", "published_not_on_sale", "public_not_on_sale"}),
    found_by={
        # A constant, of which PostgreSQL can estimate how many events it leaves.
        "from": (and_(events.c.ends_at > _from, events.c.starts_at > _from - MAX_DURATION),),
        "on_sale": (and_(events.c.event_id.not_in(_sold_out), on_sale_unless_sold_out(events.c)),),
        "published_not_on_sale": _off_sale,
        "public_not_on_sale": (events.c.status == sql_literal("cancelled"), *_off_sale),
    },
)

_OFF_SALE_BY_INDEX = {"published": "published_not_on_sale", "cancelled or published": "public_not_on_sale"}


class EventQueries:
    """Read events as JSON text. `render` can use the parameters `now` and `caller`."""

    def __init__(self, render: Render) -> None:
        self._render = render
        row = _visible_events.subquery("event")
        visible_to_caller = or_(row.c.status != "draft", row.c.host_id == bindparam("caller", type_=Uuid))
        self._get = select(cast(render(row), Text), row.c.version).where(
            row.c.event_id == bindparam("event_id", type_=Uuid), visible_to_caller
        )

    def get(
        self, connection: Connection, event_id: UUID, *, caller_id: UUID | None, now: datetime
    ) -> tuple[str, int]:
        """Return an event and its version.

        Raises:
            NoSuchEvent: It does not exist, is deleted, or is another host's draft.
        """
        values = {"event_id": event_id, "caller": caller_id, "now": now}
        row = connection.execute(self._get, values).one_or_none()
        if row is None:
            raise NoSuchEvent
        return row[0], row[1]

    def list_events(
        self,
        connection: Connection,
        filters: EventFilters,
        page: PageRequest,
        *,
        caller_id: UUID | None,
        now: datetime,
    ) -> Page:
        """List events that are not deleted. The API decides whose drafts may be listed."""
        values: dict[str, Any] = {
            "host": filters.host_id,
            "from": filters.ends_after,
            "to": filters.starts_before,
            "q": filters.q,
        }
        names = [name for name, value in values.items() if value is not None]
        statuses = " or ".join(sorted(set(filters.statuses)))
        if statuses in EVENTS.filters:
            names.append(statuses)
        if filters.on_sale:
            names.append("on_sale")
        elif filters.on_sale is False and (not filters.statuses or "published" in filters.statuses):
            # A host's events, and those until a given time, are few enough to be checked one by one.
            is_short = filters.host_id is not None or filters.starts_before is not None
            by_index = {} if is_short else _OFF_SALE_BY_INDEX
            names.append(by_index.get(statuses, "not_on_sale"))
        bound = {name: value for name, value in values.items() if value is not None}
        parameters = {**bound, "caller": caller_id, "now": now}
        return EVENTS.fetch(connection, page, names, parameters, self._render)
