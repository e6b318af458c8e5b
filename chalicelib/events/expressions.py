"""SQL expressions for members of an event that are derived from its row."""

from typing import Any

from sqlalchemy import ColumnElement, FromClause, ScalarSelect, and_, case, func, select

from chalicelib.events.models import ticket_types
from chalicelib.platform.database.columns import UserTime, now_parameter, sql_literal


def on_sale(event: Any, places: Any) -> ColumnElement[bool]:
    """Whether a place can be booked now. The booking procedure checks the same conditions one by one."""
    return and_(in_sale_window(event), places.taken + places.reserved < places.capacity)


def in_sale_window(event: Any) -> ColumnElement[bool]:
    """Whether places can be booked now, as long as some are left."""
    return and_(
        event.deleted_at.is_(None),
        event.status == sql_literal("published"),
        func.coalesce(event.sale_starts_at, now_parameter) <= now_parameter,
        now_parameter < func.coalesce(event.sale_ends_at, event.ends_at),
        now_parameter < event.ends_at,
    )


def min_price(row: FromClause) -> ScalarSelect[int]:
    """Return the lowest price of an event's ticket types, without archived ones if there are others."""
    return (
        select(
            func.coalesce(
                func.min(ticket_types.c.price).filter(ticket_types.c.archived_at.is_(None)),
                func.min(ticket_types.c.price),
            )
        )
        .where(ticket_types.c.event_id == row.c.event_id)
        .scalar_subquery()
    )


def sale_end(row: FromClause) -> ColumnElement[Any]:
    return func.coalesce(row.c.sale_ends_at, row.c.ends_at, type_=UserTime())


def refundable_until(row: FromClause) -> ColumnElement[Any]:
    """When the refund period ends. Null for a free event."""
    # Not EXISTS: for a page of events, PostgreSQL may hash the types of all events for it.
    highest_price = (
        select(func.max(ticket_types.c.price))
        .where(ticket_types.c.event_id == row.c.event_id)
        .scalar_subquery()
    )
    return case((highest_price > 0, func.coalesce(row.c.refund_until, row.c.starts_at, type_=UserTime())))


def visible_status(row: FromClause) -> ColumnElement[str]:
    """The status that attendees see: an event that was deleted before its end is shown as cancelled."""
    return case((row.c.deleted_at < row.c.ends_at, "cancelled"), else_=row.c.status)
