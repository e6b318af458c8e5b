"""Read bookings: one booking, a list, or an open hold."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Connection,
    Select,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    func,
    not_,
    or_,
    select,
)

from chalicelib.bookings.models import Status, bookings, has_holder, holder_words, tickets
from chalicelib.bookings.references import id_suffix, suffix_of
from chalicelib.events.models import MAX_DURATION, events
from chalicelib.platform.database.columns import UserTime, now_parameter, sql_literal
from chalicelib.platform.database.listing import ListQuery, Page, PageRequest, Sort
from chalicelib.platform.database.rendering import Render
from chalicelib.platform.errors import NotFound
from chalicelib.platform.security import Caller
from chalicelib.users.models import users


class NoSuchBooking(NotFound):
    """Booking not found."""


_caller = bindparam("caller", type_=Uuid)


_refund_until = func.greatest(
    bookings.c.refund_until, func.coalesce(events.c.refund_until, events.c.starts_at), type_=UserTime()
)
"""As agreed at the time of booking, or later if the host has extended it since."""
_is_pending = bookings.c.status == sql_literal("pending")

_rows = select(
    *(column for column in bookings.c if column.name not in {"refund_until", "expires_at"}),
    events.c.starts_at,
    case((bookings.c.amount > 0, _refund_until)).label("refund_until"),
    case((_is_pending, bookings.c.expires_at)).label("expires_at"),
).outerjoin(events, events.c.event_id == bookings.c.event_id)

_from = bindparam("from", type_=UserTime())

BOOKINGS = ListQuery(
    rows=_rows.where(bookings.c.user_id == _caller),
    id="booking_id",
    sorts={"createdAt": Sort((), "desc"), "date": Sort(("starts_at",))},
    filters={
        "event": bookings.c.event_id == bindparam("event", type_=Uuid),
        "status": bookings.c.status == any_(bindparam("status", type_=ARRAY(Text))),
        "from": events.c.ends_at > _from,
    },
)
"""The caller's own bookings."""

_events_of_host = events.alias("events_of_host")
_ends_later = (
    select(_events_of_host.c.event_id)
    .where(
        _events_of_host.c.event_id == bookings.c.event_id,
        # These conditions follow from the others, and limit the part of the index of a host's events.
        _events_of_host.c.host_id == bookings.c.host_id,
        _events_of_host.c.starts_at > _from - MAX_DURATION,
        _events_of_host.c.ends_at > _from,
    )
    .exists()
)

HOST_BOOKINGS = replace(
    BOOKINGS,
    rows=_rows.where(bookings.c.host_id == _caller),
    also=_rows.where(bookings.c.user_id == _caller, bookings.c.host_id != _caller),
    filters={**BOOKINGS.filters, "from": _ends_later},
)
"""The bookings of a host's events, and the host's own at events of others."""

_q = bindparam("q", type_=Text)
_has_words = users.c.words.bool_op("@@")(func.search_query(_q))
_has_email = func.lower(users.c.email) == func.lower(_q)
_has_reference = id_suffix(bookings.c.booking_id) == bindparam("suffix", type_=Text)
_by_attendee = (
    select(users.c.user_id).where(users.c.user_id == bookings.c.user_id, or_(_has_words, _has_email)).exists()
)
_is_sold = bookings.c.paid_by.is_not(None)
_has_customer = and_(has_holder, holder_words.bool_op("@@")(func.holder_query(_q)))
_by_customer = and_(
    _is_sold,
    select(tickets.c.ticket_id).where(tickets.c.booking_id == bookings.c.booking_id, _has_customer).exists(),
)

HOST_SEARCH = replace(
    HOST_BOOKINGS,
    also=None,
    filters={**HOST_BOOKINGS.filters, "q": or_(_by_attendee, _by_customer, _has_reference)},
    searched=frozenset({"q"}),
    found_by={
        "q": (
            bookings.c.user_id.in_(select(users.c.user_id).where(_has_words)),
            bookings.c.user_id.in_(select(users.c.user_id).where(_has_email, not_(_has_words))),
            and_(_is_sold, bookings.c.booking_id.in_(select(tickets.c.booking_id).where(_has_customer))),
            and_(_has_reference, not_(or_(_by_attendee, _by_customer))),
        )
    },
)
"""The bookings of a host's events, searched by attendee, customer of the box office, or reference."""

_HOLD = select(bookings.c.booking_id).where(
    bookings.c.event_id == bindparam("event_id", type_=Uuid),
    bookings.c.user_id == _caller,
    _is_pending,
    bookings.c.expires_at > now_parameter,
)


def find_hold(connection: Connection, caller: Caller, event_id: UUID, now: datetime) -> UUID | None:
    """Return the caller's open hold of an event, or None."""
    values = {"event_id": event_id, "caller": caller.user_id, "now": now}
    found: UUID | None = connection.scalar(_HOLD, values)
    return found


class BookingQueries:
    """Read bookings as JSON text, rendered for an attendee, a host, or an attendee who has just booked.

    The renders can use the parameter `caller`, the id of the caller.
    """

    def __init__(self, *, for_attendee: Render, for_host: Render, for_hold: Render) -> None:
        self._renders = {"attendee": for_attendee, "host": for_host}
        self._get = {
            "attendee": _get(for_attendee, "user_id"),
            "host": _get(for_host, "host_id", "user_id"),
        }
        self._get_hold = _get(for_hold, "user_id")

    def get(self, connection: Connection, caller: Caller, booking_id: UUID, now: datetime) -> tuple[str, int]:
        """Return a booking for its attendee or for the event's host, and the booking's version.

        Raises:
            NoSuchBooking: It does not exist or belongs to others.
        """
        return _read(connection, self._get[caller.role], caller, booking_id, now)

    def get_hold(
        self, connection: Connection, caller: Caller, booking_id: UUID, now: datetime
    ) -> tuple[str, int]:
        """Return the caller's own booking without its event, and the booking's version.

        Raises:
            NoSuchBooking: It does not exist or belongs to others.
        """
        return _read(connection, self._get_hold, caller, booking_id, now)

    def list_bookings(
        self,
        connection: Connection,
        caller: Caller,
        page: PageRequest,
        *,
        event_id: UUID | None,
        statuses: list[Status] | None,
        ends_after: datetime | None,
        words: str | None,
        now: datetime,
    ) -> Page:
        """List the caller's own bookings, and for a host also the bookings of the host's events.

        `words` are for hosts: words in the attendee's name, the attendee's e-mail address, or a reference. At
        the box office, the attendee is the customer.
        They find bookings of the host's events only.
        """
        values: dict[str, Any] = {}
        if event_id is not None:
            values["event"] = event_id
        if statuses is not None:
            values["status"] = statuses
        if ends_after is not None:
            values["from"] = ends_after
        query = HOST_BOOKINGS if caller.role == "host" else BOOKINGS
        parameters: dict[str, Any] = {"caller": caller.user_id, "now": now}
        if words is not None:
            values["q"] = words
            query = HOST_SEARCH
            parameters["suffix"] = suffix_of(words)
        return query.fetch(connection, page, list(values), parameters | values, self._renders[caller.role])


def _get(render: Render, *owners: str) -> Select[Any]:
    row = _rows.subquery("booking")
    return select(cast(render(row), Text), row.c.version).where(
        row.c.booking_id == bindparam("booking_id", type_=Uuid),
        or_(*(row.c[owner] == _caller for owner in owners)),
    )


def _read(
    connection: Connection, statement: Select[Any], caller: Caller, booking_id: UUID, now: datetime
) -> tuple[str, int]:
    values = {"booking_id": booking_id, "caller": caller.user_id, "now": now}
    row = connection.execute(statement, values).one_or_none()
    if row is None:
        raise NoSuchBooking
    return row[0], row[1]
