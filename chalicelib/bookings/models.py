"""Bookings: table and statuses."""

from typing import Literal

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    and_,
    literal_column,
)

from chalicelib.platform.database.columns import SystemTime, UserTime, sql_literal
from chalicelib.platform.database.engine import metadata

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
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("created_at", SystemTime(), nullable=False),
    Column("updated_at", SystemTime(), nullable=False),
    Column("expires_at", SystemTime(), nullable=True),
    Column("refund_until", UserTime(), nullable=True),
    Column("cancellation_reason", Text, nullable=True),
    CheckConstraint("status IN ('pending', 'confirmed', 'cancelled', 'expired')", name="status"),
    CheckConstraint("quantity > 0", name="quantity"),
    CheckConstraint("amount >= 0", name="amount"),
    CheckConstraint("amount = 0 OR expires_at IS NOT NULL", name="held"),
)
"""`host_id` copies the event's, which never changes, so that a host's bookings are one index scan. `amount`
and `refund_until` are the terms at the time of booking. A priced booking starts as a hold until `expires_at`;
the check `held` enforces that it has one. Ids are in the order of creation, so an index that ends in an id is
sorted by time.
"""

live = bookings.c.status.in_([sql_literal("pending"), sql_literal("confirmed")])
"""The booking occupies a place."""

Index("uq_bookings_live", bookings.c.event_id, bookings.c.user_id, unique=True, postgresql_where=live)
Index(
    "ix_bookings_holds",
    bookings.c.user_id,
    bookings.c.status,
    bookings.c.event_id,
    postgresql_where=and_(
        bookings.c.amount > literal_column("0"), bookings.c.status != sql_literal("confirmed")
    ),
)
Index("ix_bookings_event_id", bookings.c.event_id, bookings.c.booking_id)
Index("ix_bookings_host_id", bookings.c.host_id, bookings.c.booking_id)
Index("ix_bookings_user_id", bookings.c.user_id, bookings.c.booking_id)
