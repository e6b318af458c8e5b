"""What e-mails are composed from: recipients who may get them, and the event as it is now."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, Connection, Text, Uuid, any_, bindparam, case, false, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY

from chalicelib.events.models import Status, events
from chalicelib.notifications.models import Topic, opt_outs, suppressed_addresses
from chalicelib.platform.database.columns import now_parameter
from chalicelib.users.models import users


@dataclass(frozen=True, kw_only=True)
class Recipient:
    """A user who gets an e-mail."""

    user_id: UUID
    name: str
    email: str
    verified: bool
    """Whether the address belongs to the user. Other addresses get no words of other users."""


@dataclass(frozen=True, kw_only=True)
class EventView:
    """An event as e-mails show it."""

    event_id: UUID
    title: str
    description: str | None
    location: str | None
    starts_at: datetime
    ends_at: datetime
    timezone: str
    host_name: str | None
    """None if the host's account is deleted."""
    status: Status
    updated_at: datetime
    version: int


_suppressions = select(suppressed_addresses.c.email).where(
    suppressed_addresses.c.since <= now_parameter,
    or_(suppressed_addresses.c.reason == "complaint", bindparam("asked_for", type_=Boolean).is_(false())),
)
_suppressed = _suppressions.where(suppressed_addresses.c.email == func.lower(users.c.email)).exists()
_IS_SUPPRESSED = _suppressions.where(
    suppressed_addresses.c.email == func.lower(bindparam("address", type_=Text))
)
_opted_out = (
    select(opt_outs.c.topic)
    .where(
        opt_outs.c.user_id == users.c.user_id,
        opt_outs.c.topic == bindparam("topic", type_=Text),
    )
    .exists()
)
_FIND = (
    select(
        users.c.user_id,
        users.c.name,
        users.c.email,
        users.c.email_verified_at.is_not(None).label("verified"),
    )
    .where(
        users.c.user_id == any_(bindparam("user_ids", type_=ARRAY(Uuid))),
        users.c.deleted_at.is_(None),
        ~_suppressed,
        ~_opted_out,  # false without a topic, because no row equals null
    )
    .order_by(users.c.user_id)
)


def find(
    connection: Connection,
    user_ids: Collection[UUID],
    *,
    topic: Topic | None,
    now: datetime,
) -> list[Recipient]:
    """Find the users who may get e-mails about a topic, in the order of their ids.

    Deleted accounts, addresses suppressed by `now` and users who opted out of the topic are left out. Without
    a topic, the e-mail cannot be opted out of.
    """
    rows = connection.execute(
        _FIND, {"user_ids": list(user_ids), "topic": topic, "now": now, "asked_for": False}
    )
    return [Recipient(**row._asdict()) for row in rows]


def is_suppressed(connection: Connection, email: str, now: datetime, *, asked_for: bool = False) -> bool:
    """Whether an address is suppressed by `now`.

    An e-mail that was `asked_for` goes to an address that has bounced too, but not to one that complained.
    """
    values = {"address": email, "now": now, "asked_for": asked_for}
    return connection.execute(_IS_SUPPRESSED, values).first() is not None


_EVENT = (
    select(
        events.c.event_id,
        events.c.title,
        events.c.description,
        events.c.location,
        events.c.starts_at,
        events.c.ends_at,
        events.c.timezone,
        users.c.name.label("host_name"),
        case((events.c.deleted_at.is_not(None), "cancelled"), else_=events.c.status).label("status"),
        events.c.updated_at,
        events.c.version,
    )
    .join(users, users.c.user_id == events.c.host_id)
    .where(events.c.event_id == bindparam("event_id", type_=Uuid))
)


def event_view(connection: Connection, event_id: UUID) -> EventView | None:
    """An event as it is now. A deleted event is shown as cancelled."""
    row = connection.execute(_EVENT, {"event_id": event_id}).one_or_none()
    return EventView(**row._asdict()) if row else None
