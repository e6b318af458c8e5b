"""Accounts: their tables, and a user as JSON."""

from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    ColumnElement,
    Computed,
    DateTime,
    ForeignKey,
    FromClause,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    bindparam,
    case,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

from chalicelib.platform.database.engine import metadata
from chalicelib.platform.database.listing import ListQuery, Sort, json_object, system_time_json

users = Table(
    "users",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("role", Text, nullable=False),
    Column("name", Text, nullable=True),
    Column("email", Text, nullable=True),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("deleted_at", DateTime(timezone=True), nullable=True),
    Column("email_verified_at", DateTime(timezone=True), nullable=True),
    Column(
        "words",
        TSVECTOR,
        Computed("to_tsvector('simple', coalesce(name, ''))", persisted=True),
        nullable=False,
    ),
    CheckConstraint("role IN ('host', 'attendee')", name="role"),
    CheckConstraint("deleted_at IS NOT NULL OR (name IS NOT NULL AND email IS NOT NULL)", name="known"),
)
"""A deleted user's row stays for the money records that point at it, without name and e-mail."""

follows = Table(
    "follows",
    metadata,
    Column("host_id", Uuid, ForeignKey("credentials.user_id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", Uuid, ForeignKey("credentials.user_id", ondelete="CASCADE"), primary_key=True),
    Column("followed_at", DateTime(timezone=True), nullable=False),
    Index(None, "user_id", "host_id"),
)
"""Who wants to hear of a host's new events. Goes with the account of either."""

email_tokens = Table(
    "email_tokens",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("user_id", Uuid, ForeignKey("credentials.user_id", ondelete="CASCADE"), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("purpose IN ('verify-email', 'reset-password')", name="purpose"),
    Index(None, "user_id", "purpose"),
    Index(None, "expires_at"),
)
"""What was sent by e-mail to prove that the address is one's own, hashed; deleted when it is used."""

_present = users.c.deleted_at.is_(None)

Index("uq_users_email", func.lower(users.c.email), unique=True)

Index("ix_users_name", func.lower(users.c.name), users.c.user_id, postgresql_where=_present)

Index("ix_users_words", users.c.words, postgresql_using="gin")


def user_json(row: FromClause, *extra: Any) -> ColumnElement[Any]:
    """A user as the parameter `caller` sees them: e-mail and last change on one's own profile only."""
    own = row.c.user_id == bindparam("caller", type_=Uuid)
    return func.json_strip_nulls(
        json_object(
            "userId",
            row.c.user_id,
            "name",
            row.c.name,
            "email",
            case((own, row.c.email)),
            "emailVerified",
            case((own, row.c.email_verified_at.is_not(None))),
            "role",
            row.c.role,
            "createdAt",
            system_time_json(row.c.created_at),
            "updatedAt",
            case((own, system_time_json(row.c.updated_at))),
            *extra,
        )
    )


present_users = select(users, func.lower(users.c.name, type_=Text).label("sort_name")).where(_present)

USERS = ListQuery(
    rows=present_users,
    id="user_id",
    sorts={"name": Sort(("sort_name",)), "createdAt": Sort((), "desc")},
    filters={
        "role": users.c.role == bindparam("role"),
        "q": users.c.words.op("@@")(func.to_tsquery("simple", bindparam("q", type_=Text))),
    },
    item=user_json,
    searched=frozenset({"q"}),
)


credentials = Table(
    "credentials",
    metadata,
    Column("user_id", Uuid, ForeignKey("users.user_id"), primary_key=True),
    Column("password_hash", Text, nullable=False),
    Column("token_version", Integer, nullable=False),
)
"""Apart from the profile, so that no list of users can touch a hash. Goes when the account goes."""
