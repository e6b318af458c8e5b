"""Queries for the recipients of domain events, a page at a time, and conditions on their bookings.

A recipient is an account, a transferred ticket, whose holder may have no account, or the offer of a ticket.

Parameters: `event_id`, `host_id`, `booking_id`, `transfer_id`, `ticket_ids`, `since`, `until`, `now`, and for
the page `after` and `at_most`.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Uuid,
    and_,
    any_,
    bindparam,
    func,
    or_,
    select,
    union,
    union_all,
)

from chalicelib.bookings.models import bookings, live, live_ticket, ticket_transfers, tickets
from chalicelib.events.models import events, interests
from chalicelib.notifications.models import booking_activity
from chalicelib.payments.models import payments
from chalicelib.platform.database.columns import SystemTime, now_parameter
from chalicelib.users.models import credentials, follows, users

START_KEY = UUID(int=0)
"""Precedes all ids: the first page is the one after it."""

_event_id = bindparam("event_id", type_=Uuid)
_host_id = bindparam("host_id", type_=Uuid)
_booking_id = bindparam("booking_id", type_=Uuid)


def _page(key: Any, user_id: Any, *where: Any) -> Select[Any]:
    """Select recipients in the order of a key that is unique among them."""
    return (
        select(key.label("key"), user_id.label("user_id"))
        .where(*where, key > bindparam("after", type_=Uuid))
        .order_by(key)
        .limit(bindparam("at_most", type_=Integer))
    )


_event_is_upcoming = (
    select(events.c.event_id)
    .where(
        events.c.event_id == _event_id,
        events.c.status == "published",
        events.c.deleted_at.is_(None),
        events.c.ends_at > now_parameter,
    )
    .exists()
)
"""Notify about upcoming events only while they are upcoming."""

_bookings_with_account = bookings.join(credentials, credentials.c.user_id == bookings.c.user_id)


def _attendee(*where: ColumnElement[bool]) -> Select[Any]:
    """The attendee of one booking."""
    return _page(
        bookings.c.user_id, bookings.c.user_id, bookings.c.booking_id == _booking_id, *where
    ).select_from(_bookings_with_account)


_sale_has_started = (
    select(events.c.event_id)
    .where(
        events.c.event_id == _event_id,
        or_(events.c.sale_starts_at.is_(None), events.c.sale_starts_at <= now_parameter),
    )
    .exists()
)
"""The host may have put the sale off since."""

FOLLOWERS = _page(follows.c.user_id, follows.c.user_id, follows.c.host_id == _host_id, _event_is_upcoming)
INTERESTED = _page(
    interests.c.user_id,
    interests.c.user_id,
    interests.c.event_id == _event_id,
    _event_is_upcoming,
    _sale_has_started,
)
HOST = _page(credentials.c.user_id, credentials.c.user_id, credentials.c.user_id == _host_id)
ATTENDEE = _attendee()
ATTENDEE_OF_CANCELLED_BOOKING = _attendee(
    # Bookings cancelled with their event are covered by event-cancelled.
    bookings.c.cancellation_reason.in_(["attendee", "host", "refunded", "dispute-lost"])
)

_has_new_holder = and_(tickets.c.transferred_at.is_not(None), tickets.c.holder_email.is_not(None))
_these_tickets = tickets.c.ticket_id == any_(bindparam("ticket_ids", type_=ARRAY(Uuid)))
_transferred = _page(
    tickets.c.ticket_id,
    tickets.c.ticket_id,
    _these_tickets,
    _has_new_holder,
)


def with_holders(*recipients: Select[Any]) -> Select[Any]:
    """These recipients, and the holders of those of the `ticket_ids` that are transferred."""
    everyone = union(*(part.order_by(None).limit(None) for part in (*recipients, _transferred)))
    either = everyone.subquery("either")
    return _page(either.c.key, either.c.user_id)


CARRIERS = with_holders(
    _page(bookings.c.user_id, bookings.c.user_id, _these_tickets, tickets.c.transferred_at.is_(None))
    .select_from(_bookings_with_account)
    .join(tickets, tickets.c.booking_id == bookings.c.booking_id),
    _page(
        users.c.user_id,
        users.c.user_id,
        _these_tickets,
        tickets.c.transferred_at.is_(None),
        users.c.email_verified_at.is_not(None),
    ).join(tickets, func.lower(tickets.c.holder_email) == func.lower(users.c.email)),
)
"""Who can carry the tickets: the holder once they are transferred, else the booker and a named holder."""

OFFER = _page(
    ticket_transfers.c.transfer_id,
    ticket_transfers.c.transfer_id,
    ticket_transfers.c.transfer_id == bindparam("transfer_id", type_=Uuid),
)

_attendees = (
    _page(bookings.c.user_id, bookings.c.user_id, bookings.c.event_id == _event_id, live, _event_is_upcoming)
    .select_from(_bookings_with_account)
    .distinct()
)
_holders_of_event = _page(
    tickets.c.ticket_id,
    tickets.c.ticket_id,
    bookings.c.event_id == _event_id,
    live,
    live_ticket,
    _has_new_holder,
    _event_is_upcoming,
).join(bookings, bookings.c.booking_id == tickets.c.booking_id)
_on_event = union_all(
    select(_attendees.subquery("attendees")), select(_holders_of_event.subquery("holders"))
).subquery("on_event")
ATTENDEES_AND_HOLDERS = _page(_on_event.c.key, _on_event.c.user_id)
"""With a booking of the event, or a ticket that was transferred to them."""
_earlier = bookings.alias("earlier")


def _ended_with_event(booking: FromClause) -> ColumnElement[bool]:
    return booking.c.cancellation_reason.in_(["event-cancelled", "event-deleted"])


ENDED_WITH_EVENT = _ended_with_event(bookings)
ATTENDEES_OF_CANCELLED_EVENT = _page(
    # By booking, because there is an index for it: the first of each attendee's bookings.
    bookings.c.booking_id,
    bookings.c.user_id,
    bookings.c.event_id == _event_id,
    ENDED_WITH_EVENT,
    ~select(_earlier.c.booking_id)
    .where(
        _earlier.c.user_id == bookings.c.user_id,
        _earlier.c.event_id == _event_id,
        _earlier.c.booking_id < bookings.c.booking_id,
        _ended_with_event(_earlier),
    )
    .exists(),
).select_from(_bookings_with_account)

IN_DIGEST = and_(
    booking_activity.c.counted_at >= bindparam("since", type_=SystemTime()),
    booking_activity.c.counted_at < bindparam("until", type_=SystemTime()),
)
HOSTS_WITH_ACTIVITY = (
    _page(booking_activity.c.host_id, booking_activity.c.host_id, IN_DIGEST)
    .distinct()
    .select_from(booking_activity.join(credentials, credentials.c.user_id == booking_activity.c.host_id))
)

_is_flagged = (
    select(payments.c.booking_id)
    .where(payments.c.booking_id == bookings.c.booking_id, payments.c.flag.is_not(None))
    .exists()
)

BOOKING_IS_LIVE = live
BOOKING_CAN_BE_PAID = (bookings.c.status == "pending") & (bookings.c.expires_at > now_parameter)
BOOKING_IS_EXPIRED = (bookings.c.status == "expired") & ~_is_flagged
"""A late payment may have confirmed it since. If its payment is flagged, some money may have been charged."""
