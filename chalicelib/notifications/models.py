"""Notifications: what a person was told in the app and by e-mail, and what they want to be told."""

from typing import Literal

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
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
from chalicelib.platform.messaging.ports import DomainEvent

Topic = Literal["newEvent", "saleStarted", "bookingConfirmed", "bookingCancelled", "eventChanged"]
"""What a person can have e-mails of, or not. That an event is cancelled is always told, and so is what
became of money."""
TOPICS: tuple[Topic, ...] = (
    "newEvent",
    "saleStarted",
    "bookingConfirmed",
    "bookingCancelled",
    "eventChanged",
)

_TOPICS_OF_FACTS: dict[str, Topic] = {
    "event-published": "newEvent",
    "sale-started": "saleStarted",
    "booking-confirmed": "bookingConfirmed",
    "booking-cancelled": "bookingCancelled",
    "event-changed": "eventChanged",
}


def is_receipt(domain_event: DomainEvent) -> bool:
    """Whether a domain event confirms a booking that was paid for."""
    return domain_event.type == "booking-confirmed" and domain_event.body["amount"] > 0


def topic_of(domain_event: DomainEvent) -> Topic | None:
    """The topic whose e-mails a domain event is among; None where they are sent whatever a person wants."""
    return None if is_receipt(domain_event) else _TOPICS_OF_FACTS.get(domain_event.type)


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
"""The in-app inbox: one row per domain event and person, whatever is delivered twice."""

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
    Column("user_id", Uuid, ForeignKey("credentials.user_id", ondelete="CASCADE"), primary_key=True),
    Column("claimed_at", SystemTime(), nullable=False),
    Column("sent_at", SystemTime(), nullable=True),
    Index(None, "claimed_at"),
)
"""E-mails: claimed before sending, marked after, so that a chunk that is delivered again sends only what
is missing, and two deliveries at once do not both send."""

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
"""Addresses, in lower case, that bounced for good or complained: mail to them stops."""


INBOX = ListQuery(
    rows=select(notifications).where(notifications.c.user_id == bindparam("owner", type_=Uuid)),
    id="notification_id",
    sorts={"createdAt": Sort((), "desc")},
    filters={
        "unread": notifications.c.read_at.is_(None),
        "read": notifications.c.read_at.is_not(None),
    },
)
