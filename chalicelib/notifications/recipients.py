"""Audiences: whom a domain event concerns, a page at a time, and the rows of their inboxes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Executable,
    Integer,
    Select,
    Text,
    Uuid,
    bindparam,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from chalicelib.bookings.models import bookings, live
from chalicelib.events.models import events, interests
from chalicelib.notifications.models import notifications
from chalicelib.payments.models import payments
from chalicelib.platform.messaging.ports import DomainEvent
from chalicelib.users.models import credentials, follows

START_KEY = UUID(int=0)
"""Comes before all ids: the first page is after it."""

_after = bindparam("after", type_=Uuid)
_event_id = bindparam("event_id", type_=Uuid)
_at_most = bindparam("at_most", type_=Integer)

_open_event = (
    select(events.c.event_id)
    .where(
        events.c.event_id == _event_id,
        events.c.status == "published",
        events.c.deleted_at.is_(None),
        events.c.ends_at > bindparam("now", type_=DateTime(timezone=True)),
    )
    .exists()
)
"""What is told of an event that is to come is told while it still is."""

_living = bookings.join(credentials, credentials.c.user_id == bookings.c.user_id)

_flagged = (
    select(payments.c.booking_id)
    .where(payments.c.booking_id == bookings.c.booking_id, payments.c.flag.is_not(None))
    .exists()
)

VALID_WHILE: dict[str, ColumnElement[bool]] = {
    "booking-confirmed": live,
    "booking-expired": (bookings.c.status == "expired") & ~_flagged,
    "payment-failed": bookings.c.status == "pending",
}
"""How the booking of a domain event must still be for the domain event to be told. A hold that has run out may have been
confirmed since, by a payment that came late; of one with a flag it is not certain that nothing was paid."""


def _page(key: Any, user_id: Any, *which: Any) -> Select[Any]:
    """The people of an audience in the order of a key, each person once."""
    return (
        select(key.label("key"), user_id.label("user_id"))
        .where(*which, key > _after)
        .order_by(key)
        .limit(_at_most)
    )


def _attendee(*which: ColumnElement[bool]) -> Select[Any]:
    """Who made the booking of a domain event."""
    return _page(
        bookings.c.user_id,
        bookings.c.user_id,
        bookings.c.booking_id == bindparam("booking_id", type_=Uuid(as_uuid=False)),
        *which,
    ).select_from(_living)


_host_id = bindparam("host_id", type_=Uuid(as_uuid=False))
_host = _page(credentials.c.user_id, credentials.c.user_id, credentials.c.user_id == _host_id)

_RECIPIENTS: dict[str, Select[Any]] = {
    "event-published": _page(
        follows.c.user_id,
        follows.c.user_id,
        follows.c.host_id == _host_id,
        _open_event,
    ),
    "sale-started": _page(
        interests.c.user_id, interests.c.user_id, interests.c.event_id == _event_id, _open_event
    ),
    "event-changed": _page(
        bookings.c.user_id, bookings.c.user_id, bookings.c.event_id == _event_id, live, _open_event
    ).select_from(_living),
    # By booking, since who booked, cancelled and booked again has several; one of them ended this way.
    "event-cancelled": _page(
        bookings.c.booking_id,
        bookings.c.user_id,
        bookings.c.event_id == _event_id,
        bookings.c.cancellation_reason.in_(["event-cancelled", "event-deleted"]),
    ).select_from(_living),
    **{kind: _attendee(still) for kind, still in VALID_WHILE.items()},
    # Those that ended with their event are told so by event-cancelled.
    "booking-cancelled": _attendee(
        bookings.c.cancellation_reason.in_(["attendee", "host", "refunded", "dispute-lost"])
    ),
    "payment-refund-due": _attendee(),
    "payment-disputed": _host,
    "payment-dispute-closed": _host,
}


def _notifying(audience: Select[Any]) -> Executable:
    """A statement that writes a page of an audience's inbox rows and returns the page.

    Who has the row already is returned too: the e-mails of a page may be missing though its rows are not.
    """
    page = audience.cte("page")
    rows = select(
        func.uuidv7(),
        page.c.user_id,
        bindparam("domain_event_id", type_=Uuid),
        bindparam("domain_event_type", type_=Text),
        _event_id,
        select(events.c.title).where(events.c.event_id == _event_id).scalar_subquery(),
        bindparam("now", type_=DateTime(timezone=True)),
    )
    columns = ["notification_id", "user_id", "domain_event_id", "type", "event_id", "title", "created_at"]
    told = (
        insert(notifications)
        .from_select(columns, rows)
        .on_conflict_do_nothing(index_elements=["domain_event_id", "user_id"])
        .cte("told")
    )
    return select(page.c.key, page.c.user_id).order_by(page.c.key).add_cte(told)


_NOTIFY = {kind: _notifying(audience) for kind, audience in _RECIPIENTS.items()}


@dataclass(frozen=True)
class NotifiedPage:
    """A page of people who have the domain event in their inbox now."""

    people: list[UUID]
    next_after: UUID | None
    """Where the next page begins; None after the last."""


def notify(
    connection: Connection, domain_event: DomainEvent, after: UUID, at_most: int, now: datetime
) -> NotifiedPage:
    """Put a domain event into the inboxes of the next people whom it concerns, each once, by one statement."""
    rows = connection.execute(
        _NOTIFY[domain_event.type],
        {
            "after": after,
            "at_most": at_most,
            "event_id": domain_event.subject,
            "host_id": domain_event.body.get("hostId"),
            "booking_id": domain_event.body.get("bookingId"),
            "domain_event_id": domain_event.domain_event_id,
            "domain_event_type": domain_event.type,
            "now": now,
        },
    ).all()
    full = len(rows) == at_most
    return NotifiedPage([row.user_id for row in rows], rows[-1].key if full else None)
