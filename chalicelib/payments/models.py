"""Payments: one row per priced booking, the refunds of payments, and the events received from Stripe."""

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
    and_,
    case,
    func,
    literal_column,
    select,
)

from chalicelib.platform.database.columns import SystemTime, sql_literal
from chalicelib.platform.database.engine import metadata

PaymentStatus = Literal["requires_payment", "paid", "partly_refunded", "refund_pending", "refunded", "failed"]

RefundStatus = Literal["pending", "refunded", "covered"]

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
    "refund_pending": frozenset({"partly_refunded", "refunded"}),
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

- `status` follows from the sums, once the payment has arrived: `refund_pending` while a refund of it is
  pending, else `refunded`, `partly_refunded` or `paid`, by how much has gone back.
- `attempt` counts the calls that Stripe has definitively rejected. It is part of the idempotency key, so that
  every other retry is the same request.
- `open_until` is when an open payment is canceled at Stripe.
- `next_check_at` is when the reconciler next asks Stripe, or null if there is nothing to ask.
- `refunded_amount` is the sum of the refunds that were made, also in Stripe's dashboard.
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

refunds = Table(
    "refunds",
    metadata,
    Column("refund_id", Uuid, primary_key=True),
    Column("booking_id", Uuid, ForeignKey("payments.booking_id"), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("stripe_refund_id", Text, nullable=True, unique=True),
    Column("next_check_at", SystemTime(), nullable=True),
    Column("flag", Text, nullable=True),
    Column("created_at", SystemTime(), nullable=False),
    Column("updated_at", SystemTime(), nullable=False),
    Column("refunded_at", SystemTime(), nullable=True),
    CheckConstraint("status IN ('pending', 'refunded', 'covered')", name="status"),
    CheckConstraint("amount > 0", name="amount"),
    CheckConstraint("(status = 'refunded') = (refunded_at IS NOT NULL)", name="refunded"),
    Index(None, "booking_id"),
)
"""A refund for each decision to cancel tickets of a payment. The tickets refer to it.

- `status` is `covered` if the money has gone back in another way: by Stripe's dashboard or a lost dispute.
- `attempt` counts the attempts that have failed. It is part of the idempotency key.
- `stripe_refund_id` is set while Stripe has accepted the refund. A bank may still refuse or return it.
- `next_check_at` is when the reconciler next makes the refund or asks about it.
- `flag` is set after the last attempt, for manual handling.
"""

is_waiting = and_(refunds.c.status == sql_literal("pending"), refunds.c.stripe_refund_id.is_(None))
"""Stripe has not accepted the refund, as far as is known here."""

pending_amount = (
    select(func.coalesce(func.sum(refunds.c.amount), literal_column("0")))
    .where(refunds.c.booking_id == payments.c.booking_id, refunds.c.status == sql_literal("pending"))
    .scalar_subquery()
)
"""The sum of the pending refunds of a payment."""

Index(
    "ix_refunds_next_check_at",
    refunds.c.next_check_at,
    postgresql_where=refunds.c.next_check_at.is_not(None),
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
