"""Tables of notifications: inboxes, hosts' news, sent e-mails, e-mail preferences, suppressed addresses."""

from typing import Literal, get_args

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    and_,
    bindparam,
    select,
)

from chalicelib.platform.database.columns import SystemTime
from chalicelib.platform.database.engine import metadata
from chalicelib.platform.database.listing import ListQuery, Sort

Topic = Literal[
    "newEvent", "saleStarted", "bookingConfirmed", "bookingCancelled", "eventChanged", "dailyDigest"
]
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
    Column("count", Integer, nullable=True),
    Column("combined_on", Date, nullable=True),
    UniqueConstraint("domain_event_id", "user_id"),
)
"""The inbox in the app: one row per domain event and user, also if a message is delivered twice.

A row with a `count` combines that many bookings of an event, for its host: those of one day (UTC),
`combined_on`, until the host reads it. `domain_event_id` is then the first that it combines."""

is_growing = and_(notifications.c.combined_on.is_not(None), notifications.c.read_at.is_(None))
"""The notification combines bookings, and may still grow."""

Index("ix_notifications_user_id", notifications.c.user_id, notifications.c.notification_id)
Index(
    "ix_notifications_unread",
    notifications.c.user_id,
    notifications.c.notification_id,
    postgresql_where=notifications.c.read_at.is_(None),
)

Index(
    "uq_notifications_growing",
    notifications.c.event_id,
    notifications.c.combined_on,
    unique=True,
    postgresql_where=is_growing,
)

booking_activity = Table(
    "booking_activity",
    metadata,
    Column("domain_event_id", Uuid, primary_key=True),
    Column("host_id", Uuid, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("booked", Integer, nullable=False),
    Column("cancelled", Integer, nullable=False),
    Column("revenue", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("counted_at", SystemTime(), nullable=True),
    Index(None, "counted_at"),
    Index(None, "host_id", "counted_at"),
)
"""What happened to the bookings of hosts' events: one row per domain event, also if a message is delivered
twice. `revenue` is negative if money goes back. `counted_at` is when the row was added to the inbox."""

digests = Table("digests", metadata, Column("until", SystemTime(), primary_key=True))
"""One row: the end of the last daily digest, and the start of the next one."""

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
`user_id` is no foreign key, because the deletion of an account is e-mailed too, and because it is the id of
the booking if the recipient is a customer of the box office."""

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
