"""Payments: one row per priced booking, and the events received from Stripe."""

from typing import Literal

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    case,
)

from chalicelib.platform.database.columns import SystemTime, sql_literal
from chalicelib.platform.database.engine import metadata

PaymentStatus = Literal["requires_payment", "paid", "partly_refunded", "refund_pending", "refunded", "failed"]

DisputeStatus = Literal["open", "won", "lost"]

PAYMENT_TRANSITIONS: dict[PaymentStatus, frozenset[PaymentStatus]] = {
    # To partly_refunded and refunded: the webhook of the refund arrived before the webhook of the payment.
    "requires_payment": frozenset({"paid", "failed", "partly_refunded", "refunded"}),
    # The money arrived after the hold had expired.
    "failed": frozenset({"paid", "partly_refunded", "refunded"}),
    # To partly_refunded and refunded: directly at Stripe, or by a lost dispute.
    "paid": frozenset({"partly_refunded", "refund_pending", "refunded"}),
    # To paid: a bank returned the only partial refund.
    "partly_refunded": frozenset({"paid", "refund_pending", "refunded"}),
    "refund_pending": frozenset({"refunded"}),
    "refunded": frozenset({"refund_pending"}),  # a bank returned the refund
}


def check_transition(before: PaymentStatus, after: PaymentStatus) -> None:
    """Raise an AssertionError if the code tries a transition that is not in PAYMENT_TRANSITIONS."""
    if after != before and after not in PAYMENT_TRANSITIONS[before]:
        raise AssertionError(f"forbidden payment transition: {before} to {after}")


PARTLY_REFUNDED = "partly-refunded"
"""The flag of a payment of which a part has gone back, by a refund in the dashboard or by a lost dispute."""


payments = Table(
    "payments",
    metadata,
    Column("booking_id", Uuid, ForeignKey("bookings.booking_id"), primary_key=True),
    Column("amount", BigInteger, nullable=False),
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
    Column("refunded_amount", BigInteger, nullable=False, server_default="0"),
    Column("dispute", Text, nullable=True),
    Column("dispute_id", Text, nullable=True),
    Column("disputed_amount", BigInteger, nullable=False, server_default="0"),
    Column("flag", Text, nullable=True),
    Column("created_at", SystemTime(), nullable=False),
    Column("updated_at", SystemTime(), nullable=False),
    CheckConstraint(
        "status IN ('requires_payment', 'paid', 'partly_refunded', 'refund_pending', 'refunded', 'failed')",
        name="status",
    ),
    CheckConstraint("amount > 0", name="amount"),
    CheckConstraint("refunded_amount >= 0 AND disputed_amount >= 0", name="returned"),
    CheckConstraint("dispute IN ('open', 'won', 'lost')", name="dispute"),
)
"""Created with the hold by the booking procedure, and never deleted: payments outlive events and accounts.

- `attempt` and `refund_attempt` count the calls that Stripe has definitively rejected. They are part of the
  idempotency keys, so that every other retry is the same request.
- `open_until` is when an open payment is canceled at Stripe.
- `next_check_at` is when the reconciler next asks Stripe, or null if there is nothing to ask.
- `kept_at` is set if a booking was cancelled too late for a refund.
- `refunded_amount` is the sum of the refunds, without one that is still pending here.
- `disputed_amount` has gone back too if the dispute is lost.
- `flag` names a problem for manual handling.
"""

lost_amount = case((payments.c.dispute == sql_literal("lost"), payments.c.disputed_amount), else_=0)
"""The amount that the attendee's bank has taken back."""

returned_amount = payments.c.refunded_amount + lost_amount
"""The amount that has gone back to the attendee, by refunds and by a lost dispute."""

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


stripe_sweeps = Table(
    "stripe_sweeps",
    metadata,
    Column("livemode", Boolean, primary_key=True),
    Column("swept_until", SystemTime(), nullable=False),
)
"""The time until which Stripe's events have been listed and applied, for its test mode and its live mode."""
