"""What e-mails are composed from: recipients who may get them, and the event as it is now."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Select,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    false,
    func,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from chalicelib.bookings.models import bookings, live_ticket, tickets
from chalicelib.domain_events import BookingItem
from chalicelib.events.models import Status, events, ticket_types
from chalicelib.notifications.kinds import Kind
from chalicelib.notifications.models import Topic, opt_outs, suppressed_addresses
from chalicelib.notifications.recipients import ENDED_WITH_EVENT
from chalicelib.payments.models import payments
from chalicelib.platform.database.columns import now_parameter
from chalicelib.users.models import users


@dataclass(frozen=True, kw_only=True)
class Recipient:
    """A person who gets an e-mail."""

    user_id: UUID
    """The account. Of a customer of the box office, the booking; of the holder of a transferred ticket, the
    ticket; of an offer, the offer."""
    name: str
    email: str
    verified: bool
    """Whether the address belongs to the user. Other addresses get no words of other users."""
    is_holder: bool = False
    """The person holds a ticket that was transferred to the address, with or without an account."""


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
    sale_starts_at: datetime | None
    sale_ends_at: datetime | None
    status: Status
    updated_at: datetime
    version: int


@dataclass(frozen=True, kw_only=True)
class BookingView:
    """A booking as it is now."""

    booking_id: UUID
    version: int
    items: tuple[BookingItem, ...]
    """Its live tickets. If the booking has ended: those that it had until then."""


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
_has_paid = (
    select(payments.c.booking_id)
    .join(bookings, bookings.c.booking_id == payments.c.booking_id)
    .where(
        bookings.c.user_id == users.c.user_id,
        bookings.c.event_id == bindparam("event_id", type_=Uuid),
        payments.c.status.not_in(["requires_payment", "failed"]),
    )
    .exists()
)
_is_verified = users.c.email_verified_at.is_not(None)
_to_unverified = bindparam("to_unverified", type_=Text)
_FIND = (
    select(users.c.user_id, users.c.name, users.c.email, _is_verified.label("verified"))
    .where(
        users.c.user_id == any_(bindparam("user_ids", type_=ARRAY(Uuid))),
        users.c.deleted_at.is_(None),
        ~_suppressed,
        ~_opted_out,  # false without a topic, because no row equals null
        or_(_is_verified, _to_unverified == "always", and_(_to_unverified == "if-paid", _has_paid)),
    )
    .order_by(users.c.user_id)
)


def find(
    connection: Connection,
    user_ids: Collection[UUID],
    *,
    kind: Kind,
    topic: Topic | None,
    event_id: UUID | None,
    now: datetime,
) -> list[Recipient]:
    """Find the users who may get e-mails about a topic, in the order of their ids.

    Deleted accounts, addresses suppressed by `now` and users who opted out of the topic are left out. Without
    a topic, the e-mail cannot be opted out of. The kind says which unverified addresses get it.
    """
    parameters = {
        "user_ids": list(user_ids),
        "topic": topic,
        "event_id": event_id,
        "to_unverified": kind.to_unverified,
        "asked_for": False,
        "now": now,
    }
    return [Recipient(**row._asdict()) for row in connection.execute(_FIND, parameters)]


_HOLDERS = select(
    tickets.c.ticket_id.label("user_id"),
    func.coalesce(tickets.c.holder_name, "").label("name"),
    tickets.c.holder_email.label("email"),
    true().label("verified"),
    true().label("is_holder"),
).where(
    tickets.c.ticket_id == any_(bindparam("ticket_ids", type_=ARRAY(Uuid))),
    tickets.c.transferred_at.is_not(None),
    tickets.c.holder_email.is_not(None),
    ~_suppressions.where(suppressed_addresses.c.email == func.lower(tickets.c.holder_email)).exists(),
)
"""The holder has claimed the ticket by a link that was sent to the address."""


def find_holders(connection: Connection, ticket_ids: Collection[UUID], now: datetime) -> list[Recipient]:
    """Find the holders of those tickets that are transferred. Suppressed addresses are left out."""
    values = {"ticket_ids": list(ticket_ids), "asked_for": False, "now": now}
    return [Recipient(**row._asdict()) for row in connection.execute(_HOLDERS, values)]


def is_suppressed(connection: Connection, email: str, now: datetime, *, asked_for: bool = False) -> bool:
    """Whether an address is suppressed by `now`.

    An e-mail that was `asked_for` goes to an address that has bounced too, but not to one that complained.
    """
    values = {"address": email, "now": now, "asked_for": asked_for}
    return connection.execute(_IS_SUPPRESSED, values).first() is not None


_CUSTOMER = (
    select(tickets.c.booking_id, tickets.c.holder_name, tickets.c.holder_email)
    .where(
        tickets.c.booking_id == bindparam("booking_id", type_=Uuid),
        tickets.c.holder_email.is_not(None),
        ~_suppressions.where(suppressed_addresses.c.email == func.lower(tickets.c.holder_email)).exists(),
    )
    .limit(1)
)


def find_customer(connection: Connection, booking_id: UUID, now: datetime) -> Recipient | None:
    """Find the customer of a booking of the box office; None without an address that may get e-mails."""
    values = {"booking_id": booking_id, "asked_for": False, "now": now}
    row = connection.execute(_CUSTOMER, values).one_or_none()
    if row is None:
        return None
    return Recipient(
        user_id=row.booking_id, name=row.holder_name or "", email=row.holder_email, verified=True
    )


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
        events.c.sale_starts_at,
        events.c.sale_ends_at,
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


_ticket_ids = bindparam("ticket_ids", type_=ARRAY(Uuid))


def _bookings_of(recipient: Column[UUID]) -> Select[Any]:
    return (
        select(
            recipient.label("recipient"),
            bookings.c.booking_id,
            bookings.c.version,
            ticket_types.c.ticket_type_id,
            ticket_types.c.name,
            tickets.c.list_price,
            func.count().label("quantity"),
        )
        .join(tickets, tickets.c.booking_id == bookings.c.booking_id)
        .join(ticket_types, ticket_types.c.ticket_type_id == tickets.c.ticket_type_id)
        .where(
            bookings.c.event_id == bindparam("event_id", type_=Uuid),
            recipient == any_(bindparam("recipients", type_=ARRAY(Uuid))),
            bookings.c.status == any_(bindparam("statuses", type_=ARRAY(Text))),
            bookings.c.booking_id
            == func.coalesce(bindparam("booking_id", type_=Uuid), bookings.c.booking_id, type_=Uuid),
            or_(not_(bindparam("ended_with_event", type_=Boolean)), ENDED_WITH_EVENT),
            case(
                (_ticket_ids.is_not(None), tickets.c.ticket_id == any_(_ticket_ids)),
                else_=or_(live_ticket, tickets.c.cancellation_reason == bookings.c.cancellation_reason),
            ),
        )
        .group_by(bookings.c.booking_id, ticket_types.c.ticket_type_id, tickets.c.list_price)
        .order_by(bookings.c.booking_id, ticket_types.c.ticket_type_id, tickets.c.list_price)
    )


_OF_USERS = _bookings_of(bookings.c.user_id)
_OF_CUSTOMER = _bookings_of(bookings.c.booking_id)


def booking_views(
    connection: Connection,
    event_id: UUID,
    recipients: Collection[UUID],
    *,
    kind: Kind,
    booking_id: UUID | None,
    ticket_ids: Collection[UUID] | None,
    to_customer: bool = False,
) -> dict[UUID, list[BookingView]]:
    """The bookings that an e-mail shows, by recipient: the given one, or all that users have of the event.

    With `ticket_ids`, they have these tickets only, whether live or not. The recipient is a user, or
    `to_customer` the booking.
    """
    if not kind.shows_bookings:
        return {}
    parameters = {
        "event_id": event_id,
        "recipients": list(recipients),
        "statuses": list(kind.shows_bookings),
        "booking_id": booking_id,
        "ticket_ids": None if ticket_ids is None else list(ticket_ids),
        "ended_with_event": kind.calendar == "CANCEL" and booking_id is None,
    }
    views: dict[UUID, list[BookingView]] = {}
    rows = connection.execute(_OF_CUSTOMER if to_customer else _OF_USERS, parameters)
    by_booking = groupby(rows, lambda row: (row.recipient, row.booking_id, row.version))
    for (recipient, own_booking_id, version), lines in by_booking:
        items = tuple(
            BookingItem(
                ticket_type_id=line.ticket_type_id,
                name=line.name,
                quantity=line.quantity,
                unit_price=line.list_price,
            )
            for line in lines
        )
        view = BookingView(booking_id=own_booking_id, version=version, items=items)
        views.setdefault(recipient, []).append(view)
    return views
