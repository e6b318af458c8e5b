"""Tables of notifications: inboxes, sent e-mails, e-mail preferences and suppressed addresses."""

from typing import Literal, get_args

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    bindparam,
    select,
)

from chalicelib.platform.database.columns import SystemTime
from chalicelib.platform.database.engine import metadata
from chalicelib.platform.database.listing import ListQuery, Sort

Topic = Literal["newEvent", "saleStarted", "bookingConfirmed", "bookingCancelled", "eventChanged"]
"""E-mail topics that a user can opt out of. Cancelled events, money and the account are always e-mailed."""

TOPICS: tuple[Topic, ...] = get_args(Topic)

notifications = Table(
    "notifications",
    metadata,
    Column("notification_id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("credentials.user_id", ondelete="CASCADE"), nullable=False),
    Column("domain_event_id", Uuid, nullable=False),
    Column("type", Text, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("title", Text, nullable=False),
    Column("created_at", SystemTime(), nullable=False),
    Column("read_at", SystemTime(), nullable=True),
    UniqueConstraint("domain_event_id", "user_id"),
)
"""The inbox in the app: one row per domain event and user, also if a message is delivered twice."""

Index("ix_notifications_user_id", notifications.c.user_id, notifications.c.notification_id)
Index(
    "ix_notifications_unread",
    notifications.c.user_id,
    notifications.c.notification_id,
    postgresql_where=notifications.c.read_at.is_(None),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("domain_event_id", Uuid, primary_key=True),
    Column("user_id", Uuid, primary_key=True),
    Column("claimed_at", SystemTime(), nullable=False),
    Column("sent_at", SystemTime(), nullable=True),
    Column("sends", SmallInteger, nullable=False, server_default="0"),
    Index(None, "claimed_at"),
)
"""E-mails, claimed before sending and marked after: a redelivery sends only what is missing, and two
concurrent deliveries do not both send. `sends` counts the calls of SES that were begun and did not fail.
`user_id` is no foreign key, because the deletion of an account is e-mailed too."""

opt_outs = Table(
    "opt_outs",
    metadata,
    Column("user_id", Uuid, ForeignKey("credentials.user_id", ondelete="CASCADE"), primary_key=True),
    Column("topic", Text, primary_key=True),
)

suppressed_addresses = Table(
    "suppressed_addresses",
    metadata,
    Column("email", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("since", SystemTime(), nullable=False),
    CheckConstraint("reason IN ('bounce', 'complaint')", name="reason"),
)
"""Addresses, in lower case, with a permanent bounce or a complaint. They get no e-mails, except that a
bounce leaves those with a token, which the user asks for."""


INBOX = ListQuery(
    rows=select(notifications).where(notifications.c.user_id == bindparam("owner", type_=Uuid)),
    id="notification_id",
    sorts={"createdAt": Sort((), "desc")},
    filters={
        "unread": notifications.c.read_at.is_(None),
        "read": notifications.c.read_at.is_not(None),
    },
)
