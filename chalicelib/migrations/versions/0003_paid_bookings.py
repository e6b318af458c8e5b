"""Paid bookings: holds, the ledger, the inbox of Stripe's events; and domain events know their request.

`book_place_v1` stays for the code before, which knows of no prices. Should it meet one, the check `held`
keeps it from giving the place away.
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

BOOK_PLACE = Path(__file__).parents[2] / "bookings" / "book_place_v2.sql"


def upgrade() -> None:
    op.drop_index("ix_events_date", table_name="events")
    op.create_index(
        "ix_events_date",
        "events",
        ["starts_at", "event_id", "ends_at"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL AND status = 'published'"),
    )
    op.add_column("events", sa.Column("refund_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("outbox", sa.Column("request_id", sa.Text(), nullable=True))
    op.add_column("bookings", sa.Column("refund_until", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(op.f("ck_bookings_held"), "bookings", "amount = 0 OR expires_at IS NOT NULL")
    op.create_table(
        "payments",
        sa.Column("booking_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("intent_id", sa.Text(), nullable=True),
        sa.Column("client_secret", sa.Text(), nullable=True),
        sa.Column("open_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_check_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("kept_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refund_reason", sa.Text(), nullable=True),
        sa.Column("refund_attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("refund_id", sa.Text(), nullable=True),
        sa.Column("refunded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dispute", sa.Text(), nullable=True),
        sa.Column("flag", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status IN ('requires_payment', 'paid', 'refund_pending', 'refunded', 'failed')",
            name=op.f("ck_payments_status"),
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_payments_amount")),
        sa.CheckConstraint("dispute IN ('open', 'won', 'lost')", name=op.f("ck_payments_dispute")),
        sa.ForeignKeyConstraint(["booking_id"], ["bookings.booking_id"], name=op.f("fk_payments_booking_id")),
        sa.PrimaryKeyConstraint("booking_id", name=op.f("pk_payments")),
        sa.UniqueConstraint("intent_id", name=op.f("uq_payments_intent_id")),
        sa.UniqueConstraint("refund_id", name=op.f("uq_payments_refund_id")),
    )
    op.create_index(
        "ix_payments_next_look_at",
        "payments",
        ["next_check_at"],
        unique=False,
        postgresql_where=sa.text("next_check_at IS NOT NULL"),
    )
    op.create_table(
        "stripe_events",
        sa.Column("stripe_event_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=True),
        sa.Column("booking_id", sa.Uuid(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("stripe_event_id", name=op.f("pk_stripe_events")),
    )
    op.create_index(op.f("ix_stripe_events_received_at"), "stripe_events", ["received_at"], unique=False)
    # Driver SQL: the procedure's text has colons and percent signs that are not parameters.
    op.get_bind().exec_driver_sql(BOOK_PLACE.read_text())


def downgrade() -> None:
    op.drop_index("ix_events_date", table_name="events")
    op.create_index(
        "ix_events_date",
        "events",
        ["starts_at", "event_id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL AND status = 'published'"),
    )
    op.execute("DROP PROCEDURE book_place_v2")
    op.drop_table("stripe_events")
    op.drop_table("payments")
    op.drop_constraint(op.f("ck_bookings_held"), "bookings")
    op.drop_column("bookings", "refund_until")
    op.drop_column("events", "refund_until")
    op.drop_column("outbox", "request_id")
