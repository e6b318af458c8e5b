"""The initial schema: tables, indexes, constraints, and the procedures of bookings and check-ins."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
release = "0.1.0"

_CHALICELIB = Path(__file__).parents[2]
_FUNCTIONS = _CHALICELIB / "platform" / "database" / "functions.sql"
_BOOKABLE = _CHALICELIB / "events" / "bookable.sql"
_BOOK = _CHALICELIB / "bookings" / "book.sql"
_CHECK_IN = _CHALICELIB / "check_in" / "check_in.sql"
_TICKET_CHANGES = _CHALICELIB / "bookings" / "ticket_changes.sql"


def upgrade() -> None:
    _run(_FUNCTIONS)
    _create_users()
    _create_events()
    _create_bookings()
    _create_payments()
    _create_check_ins()
    _create_notifications()
    _create_platform()
    _run(_BOOKABLE)
    _run(_BOOK)
    _run(_TICKET_CHANGES)
    _run(_CHECK_IN)


def _run(script: Path) -> None:
    # exec_driver_sql, because the text contains colons that are not parameters.
    op.get_bind().exec_driver_sql(script.read_text())


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("email", sa.Text()),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.Column("email_verified_at", sa.DateTime(timezone=True)),
        sa.Column("pending_email", sa.Text()),
        sa.Column(
            "words",
            postgresql.TSVECTOR(),
            sa.Computed("array_to_tsvector(search_words(coalesce(name, '')))", persisted=True),
            nullable=False,
        ),
        sa.CheckConstraint("role IN ('host', 'attendee')", name=op.f("ck_users_role")),
        sa.CheckConstraint(
            "deleted_at IS NOT NULL OR (name IS NOT NULL AND email IS NOT NULL)", name=op.f("ck_users_known")
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_users")),
    )
    op.create_index(
        "ix_users_name",
        "users",
        [sa.literal_column("lower(name)"), "user_id"],
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index("ix_users_words", "users", ["words"], postgresql_using="gin")
    op.create_index("uq_users_email", "users", [sa.literal_column("lower(email)")], unique=True)
    op.create_table(
        "credentials",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("token_version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name=op.f("fk_credentials_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_credentials")),
    )
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
    op.create_index(op.f("ix_email_tokens_expires_at"), "email_tokens", ["expires_at"])
    op.create_index(op.f("ix_email_tokens_user_id_purpose"), "email_tokens", ["user_id", "purpose"])
    op.create_table(
        "refresh_tokens",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("family_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("logged_in_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["user_id"], ["credentials.user_id"], name=op.f("fk_refresh_tokens_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_refresh_tokens")),
    )
    op.create_index(op.f("ix_refresh_tokens_expires_at"), "refresh_tokens", ["expires_at"])
    op.create_index(op.f("ix_refresh_tokens_family_id"), "refresh_tokens", ["family_id"])
    op.create_index(op.f("ix_refresh_tokens_user_id"), "refresh_tokens", ["user_id"])
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
    op.create_index(op.f("ix_follows_user_id_host_id"), "follows", ["user_id", "host_id"])


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("host_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("location", sa.Text()),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("sale_starts_at", sa.DateTime(timezone=True)),
        sa.Column("sale_ends_at", sa.DateTime(timezone=True)),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("cancellation_reason", sa.Text()),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.Column("sale_announced_at", sa.DateTime(timezone=True)),
        sa.Column("refund_until", sa.DateTime(timezone=True)),
        sa.Column("doors_open_at", sa.DateTime(timezone=True)),
        sa.Column("re_entry_allowed", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("verified_attendees_only", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("max_per_attendee", sa.SmallInteger(), server_default="1", nullable=False),
        sa.Column("min_charge", sa.BigInteger(), nullable=False),
        sa.Column("max_charge", sa.BigInteger(), nullable=False),
        sa.Column("charge_step", sa.SmallInteger(), nullable=False),
        sa.Column(
            "words",
            postgresql.TSVECTOR(),
            sa.Computed(
                "array_to_tsvector(search_words(title || ' ' || coalesce(description, '')))", persisted=True
            ),
            nullable=False,
        ),
        sa.CheckConstraint("status IN ('draft', 'published', 'cancelled')", name=op.f("ck_events_status")),
        sa.CheckConstraint("starts_at < ends_at", name=op.f("ck_events_duration")),
        sa.CheckConstraint("max_per_attendee BETWEEN 1 AND 100", name=op.f("ck_events_max_per_attendee")),
        sa.CheckConstraint(
            "min_charge BETWEEN 1 AND max_charge AND charge_step > 0", name=op.f("ck_events_charge")
        ),
        sa.ForeignKeyConstraint(["host_id"], ["users.user_id"], name=op.f("fk_events_host_id")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_events")),
    )
    op.create_index(
        "ix_events_cancelled",
        "events",
        ["starts_at", "event_id"],
        postgresql_where=sa.text("deleted_at IS NULL AND status = 'cancelled'"),
    )
    op.create_index(
        "ix_events_created",
        "events",
        ["event_id"],
        postgresql_where=sa.text("deleted_at IS NULL AND status = 'published'"),
    )
    op.create_index(
        "ix_events_date",
        "events",
        ["starts_at", "event_id", "ends_at"],
        postgresql_where=sa.text("deleted_at IS NULL AND status = 'published'"),
    )
    op.create_index("ix_events_duration", "events", [sa.literal_column("(ends_at - starts_at)")])
    op.create_index("ix_events_host_id", "events", ["host_id", "starts_at", "event_id"])
    op.create_index(
        "ix_events_public",
        "events",
        ["starts_at", "event_id"],
        postgresql_where=sa.text("deleted_at IS NULL AND (status <> 'draft') IS TRUE"),
    )
    for name, column in (("ix_events_sale_from", "sale_starts_at"), ("ix_events_sale_until", "sale_ends_at")):
        op.create_index(
            name,
            "events",
            [column, "starts_at", "event_id", "ends_at"],
            postgresql_where=sa.text(f"deleted_at IS NULL AND status = 'published' AND {column} IS NOT NULL"),
        )
    op.create_index(
        "ix_events_sale_starts_at",
        "events",
        ["sale_starts_at"],
        postgresql_where=sa.text("deleted_at IS NULL AND status = 'published' AND sale_announced_at IS NULL"),
    )
    op.create_index(
        "ix_events_title",
        "events",
        [sa.literal_column("lower(title)"), "event_id"],
        postgresql_where=sa.text("deleted_at IS NULL AND status = 'published'"),
    )
    op.create_index("ix_events_words", "events", ["words"], postgresql_using="gin")
    op.create_table(
        "ticket_types",
        sa.Column("ticket_type_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("sale_starts_at", sa.DateTime(timezone=True)),
        sa.Column("sale_ends_at", sa.DateTime(timezone=True)),
        sa.Column("min_per_booking", sa.SmallInteger(), server_default="1", nullable=False),
        sa.Column("max_per_booking", sa.SmallInteger(), server_default="100", nullable=False),
        sa.Column("code_required", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True)),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("price >= 0", name=op.f("ck_ticket_types_price")),
        sa.CheckConstraint(
            "1 <= min_per_booking AND min_per_booking <= max_per_booking",
            name=op.f("ck_ticket_types_per_booking"),
        ),
        sa.CheckConstraint("sale_starts_at < sale_ends_at", name=op.f("ck_ticket_types_sale")),
        sa.CheckConstraint(
            "deleted_at IS NULL OR archived_at IS NOT NULL", name=op.f("ck_ticket_types_deleted")
        ),
        sa.ForeignKeyConstraint(["event_id"], ["events.event_id"], name=op.f("fk_ticket_types_event_id")),
        sa.PrimaryKeyConstraint("ticket_type_id", name=op.f("pk_ticket_types")),
    )
    op.create_index(
        op.f("ix_ticket_types_event_id_ticket_type_id"), "ticket_types", ["event_id", "ticket_type_id"]
    )
    for name, column in (
        ("ix_ticket_types_sale_from", "sale_starts_at"),
        ("ix_ticket_types_sale_until", "sale_ends_at"),
    ):
        op.create_index(
            name,
            "ticket_types",
            [column],
            postgresql_where=sa.text(f"archived_at IS NULL AND {column} IS NOT NULL"),
        )
    op.create_index(
        "ix_ticket_types_groups",
        "ticket_types",
        ["event_id"],
        postgresql_where=sa.text("archived_at IS NULL AND min_per_booking > 1"),
    )
    op.create_table(
        "places",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column("taken", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reserved", sa.Integer(), server_default="0", nullable=False),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("popularity", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "sold_out",
            sa.Boolean(),
            sa.Computed("taken + reserved >= capacity", persisted=True),
            nullable=False,
        ),
        sa.CheckConstraint("capacity > 0", name=op.f("ck_places_capacity")),
        sa.CheckConstraint(
            "taken >= 0 AND reserved >= 0 AND taken + reserved <= capacity", name=op.f("ck_places_taken")
        ),
        sa.ForeignKeyConstraint(["event_id"], ["events.event_id"], name=op.f("fk_places_event_id")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_places")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "pools",
        sa.Column("pool_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("capacity", sa.Integer()),
        sa.Column("taken", sa.Integer()),
        sa.Column("reserved", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sold_out", sa.Boolean(), sa.Computed("taken + reserved >= capacity", persisted=True)),
        sa.CheckConstraint("kind IN ('code', 'ticket-type')", name=op.f("ck_pools_kind")),
        sa.CheckConstraint(
            "capacity > 0 AND (capacity IS NULL OR taken IS NOT NULL)", name=op.f("ck_pools_capacity")
        ),
        sa.CheckConstraint(
            "taken >= 0 AND reserved >= 0 AND taken + reserved <= capacity", name=op.f("ck_pools_taken")
        ),
        sa.ForeignKeyConstraint(["event_id"], ["events.event_id"], name=op.f("fk_pools_event_id")),
        sa.PrimaryKeyConstraint("pool_id", name=op.f("pk_pools")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index(op.f("ix_pools_event_id"), "pools", ["event_id"])
    op.create_index(
        "ix_pools_sold_out",
        "pools",
        ["event_id"],
        postgresql_where=sa.text("sold_out AND kind = 'ticket-type'"),
    )
    op.create_index("ix_places_popularity", "places", ["popularity", "event_id"])
    op.create_index("ix_places_sold_out", "places", ["event_id"], postgresql_where=sa.text("sold_out"))
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
    op.create_index(op.f("ix_interests_user_id_event_id"), "interests", ["user_id", "event_id"])
    op.create_table(
        "event_notices",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("before", sa.JSON()),
        sa.Column("changed_at", sa.DateTime(timezone=True)),
        sa.Column("due_at", sa.DateTime(timezone=True)),
        sa.Column("announced_at", sa.DateTime(timezone=True)),
        sa.Column("sale_announced_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["event_id"], ["events.event_id"], name=op.f("fk_event_notices_event_id")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_event_notices")),
    )
    op.create_index(op.f("ix_event_notices_due_at"), "event_notices", ["due_at"])


def _create_bookings() -> None:
    op.create_table(
        "codes",
        sa.Column("code_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger()),
        sa.Column("ticket_type_ids", postgresql.ARRAY(sa.Uuid())),
        sa.Column("max_per_attendee", sa.SmallInteger()),
        sa.Column("valid_from", sa.DateTime(timezone=True)),
        sa.Column("valid_until", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("kind IN ('percent', 'amount', 'access')", name=op.f("ck_codes_kind")),
        sa.CheckConstraint("(kind = 'access') = (value IS NULL) AND value > 0", name=op.f("ck_codes_value")),
        sa.CheckConstraint("kind <> 'percent' OR value <= 100", name=op.f("ck_codes_percent")),
        sa.CheckConstraint("max_per_attendee > 0", name=op.f("ck_codes_max_per_attendee")),
        sa.CheckConstraint("valid_from < valid_until", name=op.f("ck_codes_validity")),
        sa.ForeignKeyConstraint(["event_id"], ["events.event_id"], name=op.f("fk_codes_event_id")),
        sa.PrimaryKeyConstraint("code_id", name=op.f("pk_codes")),
    )
    op.create_index(
        "uq_codes_code",
        "codes",
        ["event_id", "code"],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "bookings",
        sa.Column("booking_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid()),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("host_id", sa.Uuid(), nullable=False),
        sa.Column("code_id", sa.Uuid()),
        sa.Column("paid_by", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("quantity", sa.SmallInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("sole", sa.Boolean()),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("refund_until", sa.DateTime(timezone=True)),
        sa.Column("cancellation_reason", sa.Text()),
        sa.CheckConstraint(
            "status IN ('pending', 'confirmed', 'cancelled', 'expired')", name=op.f("ck_bookings_status")
        ),
        sa.CheckConstraint(
            "amount = 0 OR expires_at IS NOT NULL OR paid_by IS NOT NULL", name=op.f("ck_bookings_held")
        ),
        sa.CheckConstraint("paid_by IN ('cash', 'card', 'free')", name=op.f("ck_bookings_paid_by")),
        sa.CheckConstraint("(user_id IS NULL) = (paid_by IS NOT NULL)", name=op.f("ck_bookings_box_office")),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_bookings_amount")),
        sa.CheckConstraint(
            "(quantity > 0) = (status IN ('pending', 'confirmed'))", name=op.f("ck_bookings_quantity")
        ),
        sa.CheckConstraint("sole", name=op.f("ck_bookings_sole")),
        sa.ForeignKeyConstraint(["code_id"], ["codes.code_id"], name=op.f("fk_bookings_code_id")),
        sa.ForeignKeyConstraint(["event_id"], ["events.event_id"], name=op.f("fk_bookings_event_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.user_id"], name=op.f("fk_bookings_user_id")),
        sa.PrimaryKeyConstraint("booking_id", name=op.f("pk_bookings")),
    )
    op.create_index("ix_bookings_event_id", "bookings", ["event_id", "booking_id"])
    op.create_index(
        "ix_bookings_holds",
        "bookings",
        ["user_id", "status", "event_id"],
        postgresql_where=sa.text("amount > 0 AND status <> 'confirmed'"),
    )
    op.create_index("ix_bookings_host_id", "bookings", ["host_id", "booking_id"])
    op.create_index("ix_bookings_user_id", "bookings", ["user_id", "booking_id"])
    op.create_index(
        "uq_bookings_live",
        "bookings",
        ["event_id", "user_id", "sole"],
        unique=True,
        postgresql_where=sa.text("status IN ('pending', 'confirmed')"),
    )
    op.create_table(
        "tickets",
        sa.Column("ticket_id", sa.Uuid(), nullable=False),
        sa.Column("booking_id", sa.Uuid(), nullable=False),
        sa.Column("ticket_type_id", sa.Uuid(), nullable=False),
        sa.Column("list_price", sa.BigInteger(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("serial", sa.SmallInteger(), server_default="1", nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "changed_in",
            sa.BigInteger(),
            server_default=sa.text("pg_current_xact_id()::text::bigint"),
            nullable=False,
        ),
        sa.Column("holder_name", sa.Text()),
        sa.Column("holder_email", sa.Text()),
        sa.Column("transferred_at", sa.DateTime(timezone=True)),
        sa.Column("cancellation_reason", sa.Text()),
        sa.Column("refund_id", sa.Uuid()),
        sa.Column("kept_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "status IN ('held', 'valid', 'used', 'cancelled')", name=op.f("ck_tickets_status")
        ),
        sa.CheckConstraint("price >= 0 AND price <= list_price", name=op.f("ck_tickets_price")),
        sa.CheckConstraint(
            "(status = 'cancelled') = (cancellation_reason IS NOT NULL)", name=op.f("ck_tickets_cancelled")
        ),
        sa.CheckConstraint(
            "status = 'cancelled' OR (refund_id IS NULL AND kept_at IS NULL)",
            name=op.f("ck_tickets_returned"),
        ),
        sa.ForeignKeyConstraint(["booking_id"], ["bookings.booking_id"], name=op.f("fk_tickets_booking_id")),
        sa.ForeignKeyConstraint(
            ["ticket_type_id"], ["ticket_types.ticket_type_id"], name=op.f("fk_tickets_ticket_type_id")
        ),
        sa.PrimaryKeyConstraint("ticket_id", name=op.f("pk_tickets")),
    )
    op.create_index(op.f("ix_tickets_booking_id"), "tickets", ["booking_id"])
    op.create_index(
        "ix_tickets_transferred",
        "tickets",
        [sa.literal_column("lower(holder_email)"), "ticket_id"],
        postgresql_where=sa.text("transferred_at IS NOT NULL"),
    )
    op.create_index(
        "ix_tickets_holder_words",
        "tickets",
        [sa.text("holder_words(holder_name, holder_email)")],
        postgresql_using="gin",
        postgresql_where=sa.text("holder_name IS NOT NULL OR holder_email IS NOT NULL"),
    )


def _create_payments() -> None:
    op.create_table(
        "payments",
        sa.Column("booking_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("intent_id", sa.Text()),
        sa.Column("client_secret", sa.Text()),
        sa.Column("open_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_check_at", sa.DateTime(timezone=True)),
        sa.Column("paid_at", sa.DateTime(timezone=True)),
        sa.Column("refunded_amount", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("dispute", sa.Text()),
        sa.Column("dispute_id", sa.Text()),
        sa.Column("disputed_amount", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("flag", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "refunded_amount >= 0 AND disputed_amount >= 0", name=op.f("ck_payments_returned")
        ),
        sa.CheckConstraint("dispute IN ('open', 'won', 'lost')", name=op.f("ck_payments_dispute")),
        sa.CheckConstraint(
            "status IN ('requires_payment', 'paid', 'partly_refunded', 'refund_pending', 'refunded',"
            " 'failed')",
            name=op.f("ck_payments_status"),
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_payments_amount")),
        sa.ForeignKeyConstraint(["booking_id"], ["bookings.booking_id"], name=op.f("fk_payments_booking_id")),
        sa.PrimaryKeyConstraint("booking_id", name=op.f("pk_payments")),
        sa.UniqueConstraint("intent_id", name=op.f("uq_payments_intent_id")),
    )
    op.create_index(
        "ix_payments_next_check_at",
        "payments",
        ["next_check_at"],
        postgresql_where=sa.text("next_check_at IS NOT NULL"),
    )
    op.create_table(
        "refunds",
        sa.Column("refund_id", sa.Uuid(), nullable=False),
        sa.Column("booking_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("stripe_refund_id", sa.Text()),
        sa.Column("next_check_at", sa.DateTime(timezone=True)),
        sa.Column("flag", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("refunded_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("status IN ('pending', 'refunded', 'covered')", name=op.f("ck_refunds_status")),
        sa.CheckConstraint("amount > 0", name=op.f("ck_refunds_amount")),
        sa.CheckConstraint(
            "(status = 'refunded') = (refunded_at IS NOT NULL)", name=op.f("ck_refunds_refunded")
        ),
        sa.ForeignKeyConstraint(["booking_id"], ["payments.booking_id"], name=op.f("fk_refunds_booking_id")),
        sa.PrimaryKeyConstraint("refund_id", name=op.f("pk_refunds")),
        sa.UniqueConstraint("stripe_refund_id", name=op.f("uq_refunds_stripe_refund_id")),
    )
    op.create_index(op.f("ix_refunds_booking_id"), "refunds", ["booking_id"])
    op.create_index(
        "ix_refunds_next_check_at",
        "refunds",
        ["next_check_at"],
        postgresql_where=sa.text("next_check_at IS NOT NULL"),
    )
    op.create_foreign_key(op.f("fk_tickets_refund_id"), "tickets", "refunds", ["refund_id"], ["refund_id"])
    op.create_table(
        "stripe_events",
        sa.Column("stripe_event_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text()),
        sa.Column("booking_id", sa.Uuid()),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("happened_at", sa.DateTime(timezone=True)),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("stripe_event_id", name=op.f("pk_stripe_events")),
    )
    op.create_index(op.f("ix_stripe_events_received_at"), "stripe_events", ["received_at"])
    op.create_table(
        "stripe_sweeps",
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("swept_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("livemode", name=op.f("pk_stripe_sweeps")),
    )


def _create_check_ins() -> None:
    op.create_table(
        "ticket_transfers",
        sa.Column("transfer_id", sa.Uuid(), nullable=False),
        sa.Column("ticket_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True)),
        sa.Column("cancelled_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "claimed_at IS NULL OR cancelled_at IS NULL", name=op.f("ck_ticket_transfers_end")
        ),
        sa.ForeignKeyConstraint(
            ["ticket_id"], ["tickets.ticket_id"], name=op.f("fk_ticket_transfers_ticket_id")
        ),
        sa.PrimaryKeyConstraint("transfer_id", name=op.f("pk_ticket_transfers")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_ticket_transfers_token_hash")),
    )
    op.create_index(
        op.f("ix_ticket_transfers_ticket_id_transfer_id"), "ticket_transfers", ["ticket_id", "transfer_id"]
    )
    op.create_index(op.f("ix_ticket_transfers_expires_at"), "ticket_transfers", ["expires_at"])
    op.create_index(
        "uq_ticket_transfers_open",
        "ticket_transfers",
        ["ticket_id"],
        unique=True,
        postgresql_where=sa.text("claimed_at IS NULL AND cancelled_at IS NULL"),
    )
    op.create_table(
        "door_keys",
        sa.Column("door_key_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["event_id"], ["events.event_id"], name=op.f("fk_door_keys_event_id")),
        sa.PrimaryKeyConstraint("door_key_id", name=op.f("pk_door_keys")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_door_keys_key_hash")),
    )
    op.create_index(op.f("ix_door_keys_event_id_door_key_id"), "door_keys", ["event_id", "door_key_id"])
    op.create_table(
        "check_ins",
        sa.Column("check_in_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("ticket_id", sa.Uuid(), nullable=False),
        sa.Column("nonce", sa.Uuid(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("scanned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("gate", sa.Text()),
        sa.Column("door_key_id", sa.Uuid()),
        sa.Column("by_hand", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("left_at", sa.DateTime(timezone=True)),
        sa.Column("conflicts_with", sa.Uuid()),
        sa.Column("undone_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("direction IN ('in', 'out')", name=op.f("ck_check_ins_direction")),
        sa.CheckConstraint(
            "outcome IN ('admitted', 'left', 'already-checked-in', 'not-checked-in', 'ticket-cancelled',"
            " 'code-replaced', 'not-yet-valid')",
            name=op.f("ck_check_ins_outcome"),
        ),
        sa.CheckConstraint("outcome = 'admitted' OR left_at IS NULL", name=op.f("ck_check_ins_left")),
        sa.ForeignKeyConstraint(["event_id"], ["events.event_id"], name=op.f("fk_check_ins_event_id")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.ticket_id"], name=op.f("fk_check_ins_ticket_id")),
        sa.PrimaryKeyConstraint("check_in_id", name=op.f("pk_check_ins")),
    )
    op.create_index("uq_check_ins_nonce", "check_ins", ["event_id", "nonce"], unique=True)
    op.create_index(op.f("ix_check_ins_ticket_id"), "check_ins", ["ticket_id"])
    op.create_index(
        "uq_check_ins_inside",
        "check_ins",
        ["ticket_id"],
        unique=True,
        postgresql_where=sa.text("outcome = 'admitted' AND left_at IS NULL AND undone_at IS NULL"),
    )


def _create_notifications() -> None:
    op.create_table(
        "notifications",
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("domain_event_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True)),
        sa.Column("count", sa.Integer()),
        sa.Column("combined_on", sa.Date()),
        sa.ForeignKeyConstraint(
            ["user_id"], ["credentials.user_id"], name=op.f("fk_notifications_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("notification_id", name=op.f("pk_notifications")),
        sa.UniqueConstraint(
            "domain_event_id", "user_id", name=op.f("uq_notifications_domain_event_id_user_id")
        ),
    )
    op.create_index(
        "ix_notifications_unread",
        "notifications",
        ["user_id", "notification_id"],
        postgresql_where=sa.text("read_at IS NULL"),
    )
    op.create_index("ix_notifications_user_id", "notifications", ["user_id", "notification_id"])
    op.create_index(
        "uq_notifications_growing",
        "notifications",
        ["event_id", "combined_on"],
        unique=True,
        postgresql_where=sa.text("combined_on IS NOT NULL AND read_at IS NULL"),
    )
    op.create_table(
        "booking_activity",
        sa.Column("domain_event_id", sa.Uuid(), nullable=False),
        sa.Column("host_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("booked", sa.Integer(), nullable=False),
        sa.Column("cancelled", sa.Integer(), nullable=False),
        sa.Column("revenue", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("domain_event_id", name=op.f("pk_booking_activity")),
    )
    op.create_index(op.f("ix_booking_activity_counted_at"), "booking_activity", ["counted_at"])
    op.create_index(
        op.f("ix_booking_activity_host_id_counted_at"), "booking_activity", ["host_id", "counted_at"]
    )
    op.create_table(
        "digests",
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("until", name=op.f("pk_digests")),
    )
    op.create_table(
        "deliveries",
        sa.Column("domain_event_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        sa.Column("sends", sa.SmallInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("domain_event_id", "user_id", name=op.f("pk_deliveries")),
    )
    op.create_index(op.f("ix_deliveries_claimed_at"), "deliveries", ["claimed_at"])
    op.create_table(
        "opt_outs",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["credentials.user_id"], name=op.f("fk_opt_outs_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "topic", name=op.f("pk_opt_outs")),
    )
    op.create_table(
        "suppressed_addresses",
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("reason IN ('bounce', 'complaint')", name=op.f("ck_suppressed_addresses_reason")),
        sa.PrimaryKeyConstraint("email", name=op.f("pk_suppressed_addresses")),
    )


def _create_platform() -> None:
    op.create_table(
        "outbox",
        sa.Column("lane", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("domain_event_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("subject", sa.Uuid(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("request_id", sa.Text()),
        sa.Column("body", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("lane", "position", name=op.f("pk_outbox")),
    )
    op.create_index(
        "ix_outbox_events", "outbox", ["subject", "position"], postgresql_where=sa.text("lane = 1")
    )
    op.create_index(
        "uq_outbox_account_emails",
        "outbox",
        ["subject", "type"],
        unique=True,
        postgresql_where=sa.text("lane = 2"),
    )
    op.create_table(
        "skipped_domain_events",
        sa.Column("domain_event_id", sa.Uuid(), nullable=False),
        sa.Column("lane", sa.SmallInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("subject", sa.Uuid(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("request_id", sa.Text()),
        sa.Column("body", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("skipped_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("domain_event_id", name=op.f("pk_skipped_domain_events")),
    )
    op.create_index(op.f("ix_skipped_domain_events_skipped_at"), "skipped_domain_events", ["skipped_at"])
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Uuid(), nullable=False),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("active_until", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "throttles",
        sa.Column("key", sa.Uuid(), nullable=False),
        sa.Column("hits", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_throttles")),
        prefixes=["UNLOGGED"],
    )
    op.create_index(op.f("ix_throttles_expires_at"), "throttles", ["expires_at"])
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("headers", postgresql.JSON(astext_type=sa.Text())),
        sa.Column("response", sa.Text()),
        sa.Column("user_id", sa.Uuid()),
        sa.ForeignKeyConstraint(
            ["user_id"], ["credentials.user_id"], name=op.f("fk_idempotency_keys_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"])
    op.create_index(
        "ix_idempotency_keys_user_id",
        "idempotency_keys",
        ["user_id"],
        postgresql_where=sa.text("user_id IS NOT NULL"),
    )
