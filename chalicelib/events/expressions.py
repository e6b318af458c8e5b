"""SQL expressions for members of an event that are derived from its row."""

from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    FromClause,
    ScalarSelect,
    and_,
    case,
    func,
    or_,
    select,
)

from chalicelib.events.models import open_type, pools, ticket_types
from chalicelib.platform.database.columns import UserTime, now_parameter, sql_literal


def type_availability(event: Any, kind: Any, pool: Any) -> ColumnElement[str]:
    """Whether tickets of a type can be booked now, or why not. The booking procedure checks the same.

    `event` has the columns of `events` and `places`, `kind` those of `ticket_types`, and `pool` those of
    `pools`. A type of which fewer tickets are left than its minimum per booking is sold out.
    """
    left = func.least(_left(pool), _left(event))  # ignores null
    return case(
        (kind.archived_at.is_not(None), sql_literal("archived")),
        (or_(~_is_live(event), event.ends_at <= now_parameter), sql_literal("ended")),
        (event.status == sql_literal("draft"), sql_literal("not-started")),
        (
            func.coalesce(kind.sale_starts_at, event.sale_starts_at) > now_parameter,
            sql_literal("not-started"),
        ),
        (
            func.coalesce(kind.sale_ends_at, event.sale_ends_at, event.ends_at) <= now_parameter,
            sql_literal("ended"),
        ),
        (left < kind.min_per_booking, sql_literal("sold-out")),
        else_=sql_literal("on-sale"),
    )


def availability(row: FromClause) -> ScalarSelect[str]:
    """Whether a ticket of any type can be booked now, or else why not. Archived types do not count."""
    of_type = type_availability(row.c, ticket_types.c, pools.c)
    types = (
        select(of_type.label("availability"))
        .join_from(ticket_types, pools, pools.c.pool_id == ticket_types.c.ticket_type_id)
        .where(ticket_types.c.event_id == row.c.event_id, open_type)
        .correlate(row)
        .subquery("types")
    )
    first = [sql_literal(name) for name in ("on-sale", "not-started", "sold-out")]
    return select(
        case(
            *((func.bool_or(types.c.availability == name), name) for name in first),
            else_=sql_literal("ended"),
        )
    ).scalar_subquery()


def on_sale(event: Any, places: Any) -> ColumnElement[bool]:
    """Whether a ticket of any type can be booked now."""
    return and_(_is_published_and_upcoming(event), ~places.sold_out, _has_bookable_type(event))


def on_sale_unless_sold_out(event: Any) -> ColumnElement[bool]:
    """Equivalent of `on_sale` for an event that is not sold out."""
    return and_(_is_published_and_upcoming(event), _has_bookable_type(event))


def in_sale_window(event: Any) -> ColumnElement[bool]:
    """Whether now is in the sale window of an event, which its types have unless they have their own."""
    return and_(
        _is_published_and_upcoming(event),
        func.coalesce(event.sale_starts_at, now_parameter) <= now_parameter,
        now_parameter < func.coalesce(event.sale_ends_at, event.ends_at),
    )


def _has_bookable_type(event: Any) -> ColumnElement[bool]:
    sale_ends_at = func.coalesce(event.sale_ends_at, event.ends_at)
    return func.has_bookable_type(
        event.event_id, event.sale_starts_at, sale_ends_at, now_parameter, type_=Boolean
    )


def _is_published_and_upcoming(event: Any) -> ColumnElement[bool]:
    return and_(
        event.deleted_at.is_(None), event.status == sql_literal("published"), now_parameter < event.ends_at
    )


def _is_live(event: Any) -> ColumnElement[bool]:
    return and_(event.deleted_at.is_(None), event.status != sql_literal("cancelled"))


def _left(pool: Any) -> ColumnElement[int]:
    left: ColumnElement[int] = pool.capacity - pool.taken - pool.reserved
    return left


def min_price(row: FromClause) -> ScalarSelect[int]:
    """Return the lowest price of an event's ticket types that are not archived."""
    return (
        select(func.min(ticket_types.c.price))
        .where(ticket_types.c.event_id == row.c.event_id, open_type)
        .scalar_subquery()
    )


def sale_end(row: FromClause) -> ColumnElement[Any]:
    return func.coalesce(row.c.sale_ends_at, row.c.ends_at, type_=UserTime())


def refundable_until(row: FromClause) -> ColumnElement[Any]:
    """When the refund period ends. Null for a free event."""
    # Not EXISTS: for a page of events, PostgreSQL may hash the types of all events for it.
    highest_price = (
        select(func.max(ticket_types.c.price))
        .where(ticket_types.c.event_id == row.c.event_id, ticket_types.c.deleted_at.is_(None))
        .scalar_subquery()
    )
    return case((highest_price > 0, func.coalesce(row.c.refund_until, row.c.starts_at, type_=UserTime())))


def visible_status(row: FromClause) -> ColumnElement[str]:
    """The status that attendees see: an event that was deleted before its end is shown as cancelled."""
    return case((row.c.deleted_at < row.c.ends_at, "cancelled"), else_=row.c.status)
