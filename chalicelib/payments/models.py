"""Payments: one row per priced booking, and the events received from Stripe."""

from typing import Literal

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
)

from chalicelib.platform.database.columns import SystemTime
from chalicelib.platform.database.engine import metadata

PaymentStatus = Literal["requires_payment", "paid", "refund_pending", "refunded", "failed"]

DisputeStatus = Literal["open", "won", "lost"]

PAYMENT_TRANSITIONS: dict[PaymentStatus, frozenset[PaymentStatus]] = {
    # To refunded: the webhook of the refund arrived before the webhook of the payment.
    "requires_payment": frozenset({"paid", "failed", "refunded"}),
    "failed": frozenset({"paid", "refunded"}),  # the money arrived after the hold had expired
    "paid": frozenset({"refund_pending", "refunded"}),  # refunded directly at Stripe, or by a lost dispute
    "refund_pending": frozenset({"refunded"}),
    "refunded": frozenset({"refund_pending"}),  # a bank returned the refund
}


def check_transition(before: PaymentStatus, after: PaymentStatus) -> None:
    """Raise an AssertionError if the code tries a transition that is not in PAYMENT_TRANSITIONS."""
    if after != before and after not in PAYMENT_TRANSITIONS[before]:
        raise AssertionError(f"forbidden payment transition: {before} to {after}")


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
    Column("open_until", SystemTime(), nullable=False),
    Column("next_check_at", SystemTime(), nullable=True),
    Column("paid_at", SystemTime(), nullable=True),
    Column("kept_at", SystemTime(), nullable=True),
    Column("refund_reason", Text, nullable=True),
    Column("refund_attempt", Integer, nullable=False, server_default="0"),
    Column("refund_id", Text, nullable=True, unique=True),
    Column("refunded_at", SystemTime(), nullable=True),
    Column("dispute", Text, nullable=True),
    Column("flag", Text, nullable=True),
    Column("created_at", SystemTime(), nullable=False),
    Column("updated_at", SystemTime(), nullable=False),
    CheckConstraint(
        "status IN ('requires_payment', 'paid', 'refund_pending', 'refunded', 'failed')", name="status"
    ),
    CheckConstraint("amount > 0", name="amount"),
    CheckConstraint("dispute IN ('open', 'won', 'lost')", name="dispute"),
)
"""Created with the hold by the booking procedure, and never deleted: payments outlive events and accounts.

- `attempt` and `refund_attempt` count the calls that Stripe has definitively rejected. They are part of the
  idempotency keys, so that every other retry is the same request.
- `open_until` is when an open payment is canceled at Stripe.
- `next_check_at` is when the reconciler next asks Stripe, or null if there is nothing to ask.
- `kept_at` is set if a booking was cancelled too late for a refund.
- `flag` names a problem for manual handling.
"""

Index(
    "ix_payments_next_check_at",
    payments.c.next_check_at,
    postgresql_where=payments.c.next_check_at.is_not(None),
)


stripe_events = Table(
    "stripe_events",
    metadata,
    Column("stripe_event_id", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("object_id", Text, nullable=True),
    Column("booking_id", Uuid, nullable=True),
    Column("outcome", Text, nullable=False),
    Column("happened_at", SystemTime(), nullable=True),
    Column("received_at", SystemTime(), nullable=False),
    Index(None, "received_at"),
)
"""Each event is recorded in the same transaction as its effect. `outcome` names the effect."""
