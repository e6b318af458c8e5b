"""Payments: one row per booking that costs money, and the inbox of Stripe's events."""

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
    case,
    literal_column,
    select,
)

from chalicelib.platform.database.engine import metadata
from chalicelib.platform.database.listing import json_object

PaymentStatus = Literal["requires_payment", "paid", "refund_pending", "refunded", "failed"]

DisputeStatus = Literal["open", "won", "lost"]

payments = Table(
    "payments",
    metadata,
    Column("booking_id", Uuid, ForeignKey("bookings.booking_id"), primary_key=True),
    Column("amount", Integer, nullable=False),
    Column("currency", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("intent_id", Text, nullable=True, unique=True),
    Column("client_secret", Text, nullable=True),
    Column("open_until", DateTime(timezone=True), nullable=False),
    Column("next_check_at", DateTime(timezone=True), nullable=True),
    Column("paid_at", DateTime(timezone=True), nullable=True),
    Column("kept_at", DateTime(timezone=True), nullable=True),
    Column("refund_reason", Text, nullable=True),
    Column("refund_attempt", Integer, nullable=False, server_default="0"),
    Column("refund_id", Text, nullable=True, unique=True),
    Column("refunded_at", DateTime(timezone=True), nullable=True),
    Column("dispute", Text, nullable=True),
    Column("flag", Text, nullable=True),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    CheckConstraint(
        "status IN ('requires_payment', 'paid', 'refund_pending', 'refunded', 'failed')", name="status"
    ),
    CheckConstraint("amount > 0", name="amount"),
    CheckConstraint("dispute IN ('open', 'won', 'lost')", name="dispute"),
)
"""Made with the hold, by the booking procedure, and kept for good: money records outlive events and accounts.

`attempt` and `refund_attempt` count what Stripe has definitely refused, and are part of the idempotency keys:
until then every try is the same try. `open_until` is when the payment is to be called off at Stripe, and
`next_check_at` when a schedule asks Stripe about it next; null where there is nothing to ask.
`kept_at` is set where a booking was cancelled too late for a refund. `flag` is for a person to look at.
"""

Index(
    "ix_payments_next_check_at",
    payments.c.next_check_at,
    postgresql_where=payments.c.next_check_at.is_not(None),
)


def payment_json(row: FromClause, *, to_attendee: bool) -> ColumnElement[Any]:
    """The payment of a booking; null for a free one, and for one that Stripe does not know of yet.

    The client secret lets a browser pay, so it is shown to who is to pay, and as long as there is to be paid.
    """
    unpaid = payments.c.status == literal_column("'requires_payment'")
    payable = unpaid & (row.c.status == literal_column("'pending'"))
    secret = case((payable, payments.c.client_secret)) if to_attendee else literal_column("NULL::text")
    return (
        select(
            json_object(
                "provider",
                literal_column("'stripe'"),
                "paymentIntentId",
                payments.c.intent_id,
                "clientSecret",
                secret,
                "status",
                payments.c.status,
                "dispute",
                payments.c.dispute,
            )
        )
        .where(
            payments.c.booking_id == row.c.booking_id,
            ~(unpaid & payments.c.intent_id.is_(None)),
        )
        .scalar_subquery()
    )


stripe_events = Table(
    "stripe_events",
    metadata,
    Column("stripe_event_id", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("object_id", Text, nullable=True),
    Column("booking_id", Uuid, nullable=True),
    Column("outcome", Text, nullable=False),
    Column("happened_at", DateTime(timezone=True), nullable=True),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Index(None, "received_at"),
)
"""Written in the transaction of what the event brings about. `outcome` says what that was, in one word."""
