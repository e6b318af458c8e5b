"""The first schema."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

BOOK_PLACE = Path(__file__).parents[2] / "bookings" / "book_place_v1.sql"


def upgrade() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("domain_event_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("subject", sa.Uuid(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_outbox")),
    )
    op.create_table(
        "users",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "words",
            postgresql.TSVECTOR(),
            sa.Computed("to_tsvector('simple', coalesce(name, ''))", persisted=True),
            nullable=False,
        ),
        sa.CheckConstraint("role IN ('host', 'attendee')", name=op.f("ck_users_role")),
        sa.CheckConstraint(
            "deleted_at IS NOT NULL OR (name IS NOT NULL AND email IS NOT NULL)",
            name=op.f("ck_users_known"),
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_users")),
    )
    op.create_index(
        "ix_users_name",
        "users",
        [sa.literal_column("lower(name)"), "user_id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index("ix_users_words", "users", ["words"], unique=False, postgresql_using="gin")
    op.create_index("uq_users_email", "users", [sa.literal_column("lower(email)")], unique=True)
    op.create_table(
        "credentials",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("token_version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name=op.f("fk_credentials_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_credentials")),
    )
    op.create_foreign_key(
        op.f("fk_idempotency_keys_user_id"),
        "idempotency_keys",
        "credentials",
        ["user_id"],
        ["user_id"],
        ondelete="CASCADE",
    )
    op.create_index(
        "ix_idempotency_keys_user_id",
        "idempotency_keys",
        ["user_id"],
        postgresql_where=sa.text("user_id IS NOT NULL"),
    )
    op.create_table(
        "events",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("host_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("location", sa.Text(), nullable=True),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("sale_starts_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sale_ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "words",
            postgresql.TSVECTOR(),
            sa.Computed("to_tsvector('simple', title || ' ' || coalesce(description, ''))", persisted=True),
            nullable=False,
        ),
        sa.CheckConstraint("status IN ('draft', 'published', 'cancelled')", name=op.f("ck_events_status")),
        sa.CheckConstraint("starts_at < ends_at", name=op.f("ck_events_duration")),
        sa.ForeignKeyConstraint(["host_id"], ["users.user_id"], name=op.f("fk_events_host_id")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_events")),
    )
    op.create_index(
        "ix_events_cancelled",
        "events",
        ["starts_at", "event_id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL AND status = 'cancelled'"),
    )
    op.create_index(
        "ix_events_created",
        "events",
        ["event_id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL AND status = 'published'"),
    )
    op.create_index(
        "ix_events_date",
        "events",
        ["starts_at", "event_id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL AND status = 'published'"),
    )
    op.create_index("ix_events_host_id", "events", ["host_id", "starts_at", "event_id"], unique=False)
    op.create_index(
        "ix_events_title",
        "events",
        [sa.literal_column("lower(title)"), "event_id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL AND status = 'published'"),
    )
    op.create_index("ix_events_words", "events", ["words"], unique=False, postgresql_using="gin")
    op.create_table(
        "bookings",
        sa.Column("booking_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("host_id", sa.Uuid(), nullable=False),
        sa.Column("ticket_type_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), server_default="1", nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('pending', 'confirmed', 'cancelled', 'expired')",
            name=op.f("ck_bookings_status"),
        ),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_bookings_amount")),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_bookings_quantity")),
        sa.ForeignKeyConstraint(["event_id"], ["events.event_id"], name=op.f("fk_bookings_event_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name=op.f("fk_bookings_user_id")),
        sa.PrimaryKeyConstraint("booking_id", name=op.f("pk_bookings")),
    )
    op.create_index("ix_bookings_event_id", "bookings", ["event_id", "booking_id"], unique=False)
    op.create_index("ix_bookings_host_id", "bookings", ["host_id", "booking_id"], unique=False)
    op.create_index("ix_bookings_user_id", "bookings", ["user_id", "booking_id"], unique=False)
    op.create_index(
        "uq_bookings_live",
        "bookings",
        ["event_id", "user_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('pending', 'confirmed')"),
    )
    op.create_table(
        "places",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column("taken", sa.Integer(), server_default="0", nullable=False),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column(
            "popularity",
            sa.Integer(),
            sa.Computed("(10 * ln((taken + 1)::double precision))::integer", persisted=True),
            nullable=False,
        ),
        sa.CheckConstraint("capacity > 0", name=op.f("ck_places_capacity")),
        sa.CheckConstraint("taken BETWEEN 0 AND capacity", name=op.f("ck_places_taken")),
        sa.ForeignKeyConstraint(["event_id"], ["events.event_id"], name=op.f("fk_places_event_id")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_places")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index("ix_places_popularity", "places", ["popularity"], unique=False)
    op.create_table(
        "ticket_types",
        sa.Column("ticket_type_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("price", sa.Integer(), nullable=False),
        sa.CheckConstraint("price >= 0", name=op.f("ck_ticket_types_price")),
        sa.ForeignKeyConstraint(["event_id"], ["events.event_id"], name=op.f("fk_ticket_types_event_id")),
        sa.PrimaryKeyConstraint("ticket_type_id", name=op.f("pk_ticket_types")),
    )
    op.create_index(op.f("ix_ticket_types_event_id"), "ticket_types", ["event_id"], unique=False)
    # Driver SQL: the procedure's text has colons and percent signs that are not parameters.
    op.get_bind().exec_driver_sql(BOOK_PLACE.read_text())


def downgrade() -> None:
    op.execute("DROP PROCEDURE book_place_v1")
    for table in (
        "ticket_types",
        "places",
        "bookings",
        "events",
        "idempotency_keys",
        "credentials",
        "users",
        "outbox",
    ):
        op.drop_table(table)
