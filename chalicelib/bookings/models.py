"""Bookings: their table, and a booking as its attendee and the event's host see it."""

from typing import Any, Literal

from sqlalchemy import (
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    ForeignKey,
    FromClause,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    bindparam,
    case,
    func,
    literal_column,
    select,
)

from chalicelib.events.models import event_json, event_rows, events
from chalicelib.payments.models import payment_json
from chalicelib.platform.database.engine import metadata
from chalicelib.platform.database.listing import (
    ListQuery,
    Sort,
    json_object,
    system_time_json,
    user_time_json,
)
from chalicelib.users.models import users

Status = Literal["pending", "confirmed", "cancelled", "expired"]

bookings = Table(
    "bookings",
    metadata,
    Column("booking_id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.user_id"), nullable=False),
    Column("event_id", Uuid, ForeignKey("events.event_id"), nullable=False),
    Column("host_id", Uuid, nullable=False),
    Column("ticket_type_id", Uuid, nullable=False),
    Column("status", Text, nullable=False),
    Column("quantity", Integer, nullable=False, server_default="1"),
    Column("amount", Integer, nullable=False),
    Column("currency", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=True),
    Column("refund_until", DateTime(timezone=True), nullable=True),
    Column("cancellation_reason", Text, nullable=True),
    CheckConstraint("status IN ('pending', 'confirmed', 'cancelled', 'expired')", name="status"),
    CheckConstraint("quantity > 0", name="quantity"),
    CheckConstraint("amount >= 0", name="amount"),
    CheckConstraint("amount = 0 OR expires_at IS NOT NULL", name="held"),
)
"""`host_id` repeats the event's, which never changes, so that a host's bookings are one index scan.
`amount` and `refund_until` are what was agreed when it was made. What costs something begins as a hold, until
`expires_at`; the last check is a second net under that.
Ids are in the order of creation, so that each index that ends in one is also sorted by time."""

live = bookings.c.status.in_([literal_column("'pending'"), literal_column("'confirmed'")])
"""Holds a place."""

Index("uq_bookings_live", bookings.c.event_id, bookings.c.user_id, unique=True, postgresql_where=live)
Index("ix_bookings_event_id", bookings.c.event_id, bookings.c.booking_id)
Index("ix_bookings_host_id", bookings.c.host_id, bookings.c.booking_id)
Index("ix_bookings_user_id", bookings.c.user_id, bookings.c.booking_id)

booking_rows = select(
    bookings,
    events.c.starts_at,
    func.greatest(bookings.c.refund_until, func.coalesce(events.c.refund_until, events.c.starts_at)).label(
        "money_back_until"
    ),
).outerjoin(events, events.c.event_id == bookings.c.event_id)


def booking_members(row: FromClause) -> tuple[Any, ...]:
    """Names and values of a booking itself; the booking procedure writes the same for a new one."""
    return (
        "bookingId",
        row.c.booking_id,
        "userId",
        row.c.user_id,
        "eventId",
        row.c.event_id,
        "status",
        row.c.status,
        "quantity",
        row.c.quantity,
        "amount",
        row.c.amount,
        "currency",
        row.c.currency,
        "createdAt",
        system_time_json(row.c.created_at),
        "updatedAt",
        system_time_json(row.c.updated_at),
        "expiresAt",
        case((row.c.status == literal_column("'pending'"), system_time_json(row.c.expires_at))),
    )


def held_booking_json(row: FromClause) -> ColumnElement[Any]:
    """A booking with its payment, as it is answered when it is made."""
    payment = payment_json(row, to_attendee=True)
    return func.json_strip_nulls(json_object(*booking_members(row), "payment", payment))


def attendee_booking_json(row: FromClause) -> ColumnElement[Any]:
    """A booking with its payment and its event."""
    return func.json_strip_nulls(
        json_object(
            *booking_members(row),
            "payment",
            payment_json(row, to_attendee=True),
            "refundUntil",
            _refundable_until(row),
            "event",
            _event_of(row),
        )
    )


def host_booking_json(row: FromClause) -> ColumnElement[Any]:
    """A booking with its event and who comes, without name and e-mail once their account is gone."""
    attendee = (
        select(json_object("name", users.c.name, "email", users.c.email))
        .where(users.c.user_id == row.c.user_id)
        .scalar_subquery()
    )
    return func.json_strip_nulls(
        json_object(
            *booking_members(row),
            "payment",
            payment_json(row, to_attendee=False),
            "refundUntil",
            _refundable_until(row),
            "event",
            _event_of(row),
            "attendee",
            attendee,
        )
    )


def _refundable_until(row: FromClause) -> ColumnElement[str]:
    """Until when its attendee gets the money back: as agreed, or longer where the host has put it off."""
    return case((row.c.amount > 0, user_time_json(row.c.money_back_until)))


def _event_of(row: FromClause) -> ColumnElement[Any]:
    its = event_rows.subquery("its_event")
    return select(event_json(its)).where(its.c.event_id == row.c.event_id).scalar_subquery()


_FILTERS: dict[str, ColumnElement[bool]] = {
    "attendee": bookings.c.user_id == bindparam("attendee", type_=Uuid),
    "host": bookings.c.host_id == bindparam("host", type_=Uuid),
    "event": bookings.c.event_id == bindparam("event", type_=Uuid),
    "status": bookings.c.status == bindparam("status", type_=Text),
}
_SORTS = {"createdAt": Sort((), "desc"), "date": Sort(("starts_at",))}

ATTENDEE_BOOKINGS = ListQuery(
    rows=booking_rows,
    id="booking_id",
    sorts=_SORTS,
    filters=_FILTERS,
    item=attendee_booking_json,
)
HOST_BOOKINGS = ListQuery(
    rows=booking_rows, id="booking_id", sorts=_SORTS, filters=_FILTERS, item=host_booking_json
)
