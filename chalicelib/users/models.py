"""Users: tables."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

from chalicelib.platform.database.columns import SystemTime
from chalicelib.platform.database.engine import metadata

users = Table(
    "users",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("role", Text, nullable=False),
    Column("name", Text, nullable=True),
    Column("email", Text, nullable=True),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("created_at", SystemTime(), nullable=False),
    Column("updated_at", SystemTime(), nullable=False),
    Column("deleted_at", SystemTime(), nullable=True),
    Column("email_verified_at", SystemTime(), nullable=True),
    Column("pending_email", Text, nullable=True),
    Column(
        "words",
        TSVECTOR,
        Computed("array_to_tsvector(search_words(coalesce(name, '')))", persisted=True),
        nullable=False,
    ),
    CheckConstraint("role IN ('host', 'attendee')", name="role"),
    CheckConstraint("deleted_at IS NOT NULL OR (name IS NOT NULL AND email IS NOT NULL)", name="known"),
)
"""The row of a deleted user stays, without name and e-mail, because payments refer to it."""

credentials = Table(
    "credentials",
    metadata,
    Column("user_id", Uuid, ForeignKey("users.user_id"), primary_key=True),
    Column("password_hash", Text, nullable=False),
    Column("token_version", Integer, nullable=False),
)
"""Separate from `users`, so that no query for users can return a hash. Deleted with the account."""

follows = Table(
    "follows",
    metadata,
    Column("host_id", Uuid, ForeignKey("credentials.user_id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", Uuid, ForeignKey("credentials.user_id", ondelete="CASCADE"), primary_key=True),
    Column("followed_at", SystemTime(), nullable=False),
    Index(None, "user_id", "host_id"),
)
"""Followers of hosts, who are notified of new events. Deleted with either account."""

email_tokens = Table(
    "email_tokens",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("user_id", Uuid, ForeignKey("credentials.user_id", ondelete="CASCADE"), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("created_at", SystemTime(), nullable=False),
    Column("expires_at", SystemTime(), nullable=False),
    CheckConstraint("purpose IN ('verify-email', 'reset-password')", name="purpose"),
    Index(None, "user_id", "purpose"),
    Index(None, "expires_at"),
)
"""Tokens for verifying an e-mail address or resetting a password. Only hashes are stored. Used
tokens expire."""

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("family_id", Uuid, nullable=False),
    Column("user_id", Uuid, ForeignKey("credentials.user_id", ondelete="CASCADE"), nullable=False),
    Column("logged_in_at", SystemTime(), nullable=False),
    Column("created_at", SystemTime(), nullable=False),
    Column("expires_at", SystemTime(), nullable=False),
    Column("used_at", SystemTime(), nullable=True),
    Index(None, "family_id"),
    Index(None, "user_id"),
    Index(None, "expires_at"),
)
"""Tokens that continue a login. Those of one login are a family. Used ones stay, to detect their reuse."""

not_deleted = users.c.deleted_at.is_(None)

Index("uq_users_email", func.lower(users.c.email), unique=True)

Index("ix_users_name", func.lower(users.c.name), users.c.user_id, postgresql_where=not_deleted)

Index("ix_users_words", users.c.words, postgresql_using="gin")
