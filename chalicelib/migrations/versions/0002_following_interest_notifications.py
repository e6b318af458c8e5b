"""Following, interest, notifications."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Uuid(), nullable=False),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "suppressed_addresses",
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("reason IN ('bounce', 'complaint')", name=op.f("ck_suppressed_addresses_reason")),
        sa.PrimaryKeyConstraint("email", name=op.f("pk_suppressed_addresses")),
    )
    op.create_table(
        "deliveries",
        sa.Column("domain_event_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["credentials.user_id"], name=op.f("fk_deliveries_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("domain_event_id", "user_id", name=op.f("pk_deliveries")),
    )
    op.create_index(op.f("ix_deliveries_claimed_at"), "deliveries", ["claimed_at"], unique=False)
    op.create_table(
        "email_tokens",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "purpose IN ('verify-email', 'reset-password')", name=op.f("ck_email_tokens_purpose")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["credentials.user_id"], name=op.f("fk_email_tokens_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_email_tokens")),
    )
    op.create_index(op.f("ix_email_tokens_expires_at"), "email_tokens", ["expires_at"], unique=False)
    op.create_index(
        op.f("ix_email_tokens_user_id_purpose"), "email_tokens", ["user_id", "purpose"], unique=False
    )
    op.create_table(
        "follows",
        sa.Column("host_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("followed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["host_id"], ["credentials.user_id"], name=op.f("fk_follows_host_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["credentials.user_id"], name=op.f("fk_follows_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("host_id", "user_id", name=op.f("pk_follows")),
    )
    op.create_index(op.f("ix_follows_user_id_host_id"), "follows", ["user_id", "host_id"], unique=False)
    op.create_table(
        "interests",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("shown_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["events.event_id"], name=op.f("fk_interests_event_id")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["credentials.user_id"], name=op.f("fk_interests_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("event_id", "user_id", name=op.f("pk_interests")),
    )
    op.create_index(op.f("ix_interests_user_id_event_id"), "interests", ["user_id", "event_id"], unique=False)
    op.create_table(
        "notifications",
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("domain_event_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["credentials.user_id"], name=op.f("fk_notifications_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("notification_id", name=op.f("pk_notifications")),
        sa.UniqueConstraint("domain_event_id", "user_id", name=op.f("uq_notifications_domain_event_id_user_id")),
    )
    op.create_index(
        "ix_notifications_unread",
        "notifications",
        ["user_id", "notification_id"],
        unique=False,
        postgresql_where=sa.text("read_at IS NULL"),
    )
    op.create_index("ix_notifications_user_id", "notifications", ["user_id", "notification_id"], unique=False)
    op.create_table(
        "opt_outs",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["credentials.user_id"], name=op.f("fk_opt_outs_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "topic", name=op.f("pk_opt_outs")),
    )
    op.add_column("bookings", sa.Column("cancellation_reason", sa.Text(), nullable=True))
    op.add_column("events", sa.Column("sale_announced_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE events SET sale_announced_at = now() WHERE sale_starts_at <= now()")
    op.create_index(
        "ix_events_sale_starts_at",
        "events",
        ["sale_starts_at"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL AND status = 'published' AND sale_announced_at IS NULL"),
    )
    op.add_column("users", sa.Column("email_verified_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("users", "email_verified_at")
    op.drop_column("events", "sale_announced_at")
    op.drop_column("bookings", "cancellation_reason")
    for table in (
        "opt_outs",
        "notifications",
        "interests",
        "follows",
        "email_tokens",
        "deliveries",
        "suppressed_addresses",
        "leases",
    ):
        op.drop_table(table)
