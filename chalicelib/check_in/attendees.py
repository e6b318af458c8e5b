"""The attendees of an event, for its host: a row for each ticket."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Select,
    Text,
    Uuid,
    any_,
    bindparam,
    case,
    func,
    not_,
    or_,
    select,
)

from chalicelib.bookings.models import (
    TicketStatus,
    bookings,
    codes,
    has_holder,
    holder_words,
    live_ticket,
    tickets,
)
from chalicelib.bookings.references import id_suffix, suffix_of
from chalicelib.check_in.models import check_ins
from chalicelib.events.models import ticket_types
from chalicelib.platform.database.columns import sql_literal
from chalicelib.platform.database.listing import ListQuery, Page, PageRequest, Sort
from chalicelib.platform.database.rendering import Render
from chalicelib.users.models import users

PaidBy = Literal["online", "cash", "card", "free"]
"""`online`: booked by an attendee."""

_paid_by = func.coalesce(bookings.c.paid_by, sql_literal("online"), type_=Text)

_admitted = (
    check_ins.c.ticket_id == tickets.c.ticket_id,
    check_ins.c.outcome == sql_literal("admitted"),
    check_ins.c.undone_at.is_(None),
)
_first_admission = (
    select(check_ins.c.scanned_at, check_ins.c.gate)
    .where(*_admitted)
    .order_by(check_ins.c.scanned_at, check_ins.c.check_in_id)
    .limit(1)
)
_is_checked_in = select(check_ins.c.check_in_id).where(*_admitted).exists()

_rows = (
    select(
        tickets.c.ticket_id,
        bookings.c.booking_id,
        tickets.c.ticket_type_id,
        ticket_types.c.name.label("ticket_type"),
        case((has_holder, tickets.c.holder_name), else_=users.c.name).label("name"),
        func.coalesce(tickets.c.holder_email, users.c.email).label("email"),
        tickets.c.status,
        tickets.c.price,
        bookings.c.currency,
        _paid_by.label("paid_by"),
        codes.c.code,
        bookings.c.created_at.label("booked_at"),
        _first_admission.with_only_columns(check_ins.c.scanned_at).scalar_subquery().label("checked_in_at"),
        _first_admission.with_only_columns(check_ins.c.gate).scalar_subquery().label("gate"),
    )
    .select_from(tickets)
    .join(bookings, bookings.c.booking_id == tickets.c.booking_id)
    .outerjoin(ticket_types, ticket_types.c.ticket_type_id == tickets.c.ticket_type_id)
    .outerjoin(users, users.c.user_id == bookings.c.user_id)
    .outerjoin(codes, codes.c.code_id == bookings.c.code_id)
    .where(bookings.c.event_id == bindparam("event", type_=Uuid))
)

_q = bindparam("q", type_=Text)
_has_words = users.c.words.bool_op("@@")(func.search_query(_q))
_has_email = func.lower(users.c.email) == func.lower(_q)


def _is_among(column: ColumnElement[UUID], found: Select[tuple[UUID]]) -> ColumnElement[bool]:
    """Compare with an array: PostgreSQL counts the cost of a subquery once per ticket, of an array once."""
    return column == any_(func.array(found.correlate(None).scalar_subquery(), type_=ARRAY(Uuid)))


# Found by the indexes of words first: making the words of each row takes longer.
_by_booker = _is_among(bookings.c.user_id, select(users.c.user_id).where(or_(_has_words, _has_email)))
_of_holder = holder_words.bool_op("@@")(func.holder_query(_q))
_by_holder = _is_among(tickets.c.ticket_id, select(tickets.c.ticket_id).where(has_holder, _of_holder))
_by_reference = id_suffix(bookings.c.booking_id) == bindparam("suffix", type_=Text)

ATTENDEES = ListQuery(
    rows=_rows,
    id="ticket_id",
    sorts={"createdAt": Sort(("booking_id",))},
    filters={
        "live": live_ticket,
        "status": tickets.c.status == any_(bindparam("status", type_=ARRAY(Text))),
        "type": tickets.c.ticket_type_id == any_(bindparam("type", type_=ARRAY(Uuid))),
        "paid_by": _paid_by == any_(bindparam("paid_by", type_=ARRAY(Text))),
        "checked_in": _is_checked_in,
        "not_checked_in": not_(_is_checked_in),
        "q": or_(_by_booker, _by_holder, _by_reference),
    },
)
"""The tickets of an event. Bookings are read in the order of their index, and their tickets one by one."""


@dataclass(frozen=True, kw_only=True)
class AttendeeFilters:
    """What a list of attendees is limited to. None: no limit."""

    statuses: Collection[TicketStatus] | None = None
    """None: tickets that are not cancelled."""
    ticket_type_ids: Collection[UUID] | None = None
    checked_in: bool | None = None
    paid_by: Collection[PaidBy] | None = None
    q: str | None = None
    """Words in the holder's or booker's name, an e-mail address, or a reference."""


def list_attendees(
    connection: Connection, event_id: UUID, filters: AttendeeFilters, page: PageRequest, render: Render
) -> Page:
    """List the tickets of an event with their attendees. The caller must be the host."""
    values: dict[str, Any] = {"event": event_id}
    names = [] if filters.statuses is not None else ["live"]
    for name, value in (
        ("status", filters.statuses),
        ("type", filters.ticket_type_ids),
        ("paid_by", filters.paid_by),
        ("q", filters.q),
    ):
        if value is not None:
            names.append(name)
            values[name] = value if isinstance(value, str) else list(value)
    if filters.q is not None:
        values["suffix"] = suffix_of(filters.q)
    if filters.checked_in is not None:
        names.append("checked_in" if filters.checked_in else "not_checked_in")
    return ATTENDEES.fetch(connection, page, names, values, render)
