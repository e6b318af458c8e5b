"""Booking: call the procedure in book.sql."""

import json
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import get_args
from uuid import UUID

from chalicelib.bookings.codes import Code
from chalicelib.bookings.models import PaidBy
from chalicelib.bookings.references import reference_of
from chalicelib.events.locks import EventCancelled, EventEnded, NotYourEvent
from chalicelib.events.search import NoSuchEvent
from chalicelib.platform import ids
from chalicelib.platform.database.engine import Database, waited_for_lock_on
from chalicelib.platform.errors import (
    Conflict,
    FieldError,
    Forbidden,
    IdempotencyKeyReused,
    InvalidInput,
    Refusal,
    RequestInProgress,
    StaleVersion,
    Unavailable,
)
from chalicelib.platform.observability import metrics, request_context
from chalicelib.platform.observability.request_context import RequestId
from chalicelib.platform.security import Caller, InvalidToken
from chalicelib.users.verification import EmailNotVerified


class OwnEvent(Forbidden):
    """Hosts cannot book their own events."""


class EventNotPublished(Conflict):
    """The event is a draft."""


class AlreadyBooked(Conflict):
    """You have already booked this event."""


class LimitReached(Conflict):
    """You cannot book that many places of this event."""


class SoldOut(Conflict):
    """The event is sold out."""


class CodeInvalid(InvalidInput):
    """The code is not valid for this order."""


class SaleNotStarted(Conflict):
    """Ticket sales have not started yet."""


class SaleEnded(Conflict):
    """Ticket sales have ended."""


class TooManyHolds(Conflict):
    """You cannot hold another unpaid place now."""


REFUSALS: dict[str, type[Refusal]] = {
    refusal.slug(): refusal
    for refusal in (
        NoSuchEvent,
        OwnEvent,
        NotYourEvent,
        EventNotPublished,
        EventCancelled,
        EventEnded,
        SaleNotStarted,
        SaleEnded,
        AlreadyBooked,
        EmailNotVerified,
        InvalidToken,
        IdempotencyKeyReused,
        StaleVersion,
    )
}
"""The refusals of the booking procedure that need no further words, by its `outcome`."""

ITEM_REFUSALS = {
    "no-such-ticket-type": ("ticketTypeId", "must be a ticket type of this event that is on offer"),
    "code-required": ("ticketTypeId", "can be booked with a code only"),
    "too-few": ("quantity", "must be at least {limit} for this ticket type"),
    "too-many": ("quantity", "must be at most {limit} for this ticket type"),
}
"""The member of an item that is refused, and why, by the `outcome` of the booking procedure."""

_REFUSALS_ABOUT: dict[str, Callable[[str], Refusal]] = {
    "sold-out": lambda about: SoldOut(members={"ticketTypeIds": json.loads(about)}),
    "limit-reached": lambda about: LimitReached(f"You can book {about} more.", members={"left": int(about)}),
    "code-invalid": lambda _: CodeInvalid(errors=[FieldError("code", "is not valid for this order")]),
    "items-required": lambda _: InvalidInput(
        errors=[FieldError("items", "must name the ticket types, because the event has several")]
    ),
    "too-many-holds": lambda about: TooManyHolds(
        "You hold as many unpaid bookings as one account can. Pay for one of them first.",
        retry_after=int(about),
    ),
    "hold-cooldown": lambda about: TooManyHolds(
        "Your last hold of this event ended a short time ago: it expired, you cancelled it, or Stripe refused"
        " its payment.",
        retry_after=int(about),
    ),
    "unavailable": lambda _: Unavailable("The event kept changing during the booking.", retry_after=1),
}
"""The refusals of the booking procedure that have something to say, by its `outcome`."""

PROCEDURE = "book"
"""The name of the booking procedure in book.sql."""

FIRST_CHECK_AFTER = timedelta(minutes=5)
"""Delay before the reconciler first asks Stripe about a hold."""


@dataclass(frozen=True, kw_only=True)
class BookingLimits:
    """What a deployment asks of all bookings."""

    hold: timedelta
    """Until an unpaid hold expires."""
    max_open_holds: int | None
    """Of one account. None for no limit."""
    hold_cooldown: timedelta
    """After the unpaid end of a hold, until the account can hold the event again."""
    verified_attendees_only: bool
    """Whether the attendee's e-mail address must be verified, whatever the event says."""


@dataclass(frozen=True)
class Item:
    """Tickets of one type."""

    ticket_type_id: UUID
    quantity: int


@dataclass(frozen=True, kw_only=True)
class BoxOfficeSale:
    """How the host was paid at the box office, and the customer."""

    paid_by: PaidBy
    name: str
    email: str | None = None


@dataclass(frozen=True)
class Order:
    """What an attendee wants to book, or what the host sells at the box office."""

    event_id: UUID
    items: tuple[Item, ...] | None = None
    """At most one item of each ticket type. None: of the event's only type."""
    quantity: int = 1
    """Tickets, if there are no items."""
    code: Code | None = None
    revisions: Collection[int] | None = None
    """Revisions of the event, as of a quote. If none of them is current, the order is refused."""
    sale: BoxOfficeSale | None = None
    """None: an attendee books."""


@dataclass(frozen=True)
class BookingResult:
    """A new booking, or the booking of the first request with the same key."""

    booking: str
    """JSON text."""
    booking_id: UUID
    held: bool
    """The booking is not paid yet."""
    replayed: bool
    """The booking was made by an earlier request."""


def book(
    database: Database,
    caller: Caller,
    order: Order,
    *,
    key: tuple[UUID, UUID] | None,
    limits: BookingLimits,
    now: datetime,
) -> BookingResult:
    """Book places: all that are ordered, or none. `key` is the hashed Idempotency-Key and the fingerprint.

    A booking that costs something is pending for the time of a hold. The procedure needs one round trip and
    commits by itself, so it takes a database instead of a connection.

    Raises:
        NoSuchEvent, OwnEvent, EventCancelled, EventEnded, SaleNotStarted, SaleEnded, AlreadyBooked,
        LimitReached, SoldOut, CodeInvalid, InvalidInput, EmailNotVerified, TooManyHolds, StaleVersion,
        InvalidToken, IdempotencyKeyReused, RequestInProgress: Nothing was changed.
        Unavailable: The outcome is unknown. Retry with the same key.
    """
    booking_id = ids.new(now)
    call = _call(caller, order, booking_id, key=key, limits=limits, now=now, quote=False)
    started = time.perf_counter()
    outcome = Unavailable.slug()
    try:
        outcome, booking = database.call(call)
    except Unavailable as unavailable:
        if not waited_for_lock_on(unavailable.__cause__, "idempotency_keys"):
            raise
        outcome = RequestInProgress.slug()
        raise RequestInProgress(retry_after=1) from unavailable
    finally:
        elapsed_ms = (time.perf_counter() - started) * 1000
        metrics.put_all(
            {"Bookings": (1, "Count"), "BookingLatency": (elapsed_ms, "Milliseconds")}, outcome=outcome
        )
    if outcome == "replayed":
        first = json.loads(booking)
        request_context.add(bookingId=first["bookingId"])
        return BookingResult(
            booking, UUID(first["bookingId"]), held=first["status"] == "pending", replayed=True
        )
    if outcome not in {"booked", "held"}:
        raise _refusal(order, outcome, booking)
    request_context.add(bookingId=booking_id)
    return BookingResult(booking, booking_id, held=outcome == "held", replayed=False)


def quote(
    database: Database, caller: Caller, order: Order, *, limits: BookingLimits, now: datetime
) -> tuple[str, int]:
    """Return what an order would cost now as JSON text, and the event's revision. Nothing is changed.

    Raises:
        As `book`, except for the limits of holds.
    """
    call = _call(caller, order, ids.new(now), key=None, limits=limits, now=now, quote=True)
    outcome, quoted = database.call(call)
    if outcome != "quoted":
        raise _refusal(order, outcome, quoted)
    revision, _, quote = quoted.removeprefix('{"revision":').partition(',"quote":')
    return quote[:-1], int(revision)


def _call(
    caller: Caller,
    order: Order,
    booking_id: UUID,
    *,
    key: tuple[UUID, UUID] | None,
    limits: BookingLimits,
    now: datetime,
    quote: bool,
) -> str:
    hashed_key, fingerprint = key or (None, None)
    types, quantities = _arrays(order)
    sale = "NULL, NULL, NULL" if order.sale is None else _sale_literals(order.sale)
    return (
        f"CALL {PROCEDURE}({_uuid_literal(booking_id)}, '{reference_of(booking_id)}',"
        f" {_uuid_literal(order.event_id)}, {_uuid_literal(caller.user_id)}, {caller.token_version:d},"
        f" {types}, {quantities}, {_code_literal(order.code)}, {_integers_literal(order.revisions)},"
        f" {quote is True}, {_uuid_literal(hashed_key)}, {_uuid_literal(fingerprint)}, '{now.isoformat()}',"
        f" {limits.hold.total_seconds():.0f}, {_integer_literal(limits.max_open_holds)},"
        f" {limits.hold_cooldown.total_seconds():.0f}, {limits.verified_attendees_only is True},"
        f" {FIRST_CHECK_AFTER.total_seconds():.0f},"
        f" {_request_id_literal(request_context.current())}, {sale}, NULL, NULL)"
    )


def _arrays(order: Order) -> tuple[str, str]:
    """Return the ticket types and their quantities as literals, in the order in which counters are locked."""
    if order.items is None:
        return "NULL", _integers_literal([order.quantity])
    items = _sorted(order.items)
    types = ",".join(item.ticket_type_id.hex for item in items)
    return f"'{{{types}}}'", _integers_literal([item.quantity for item in items])


def _sorted(items: Collection[Item]) -> list[Item]:
    return sorted(items, key=lambda item: item.ticket_type_id)


def _refusal(order: Order, outcome: str, about: str) -> Refusal:
    """Return the refusal of an outcome of the procedure, which says more `about` it."""
    if outcome in ITEM_REFUSALS:
        return _item_refusal(order, outcome, **json.loads(about or "{}"))
    if outcome == "amount-too-large":
        member = "quantity" if order.items is None else "items"
        message = f"must cost at most {about} minor units together, the maximum charge"
        return InvalidInput(errors=[FieldError(member, message)])
    if outcome in _REFUSALS_ABOUT:
        return _REFUSALS_ABOUT[outcome](about)
    return REFUSALS[outcome]()


def _item_refusal(order: Order, outcome: str, *, item: int = 1, limit: int | None = None) -> InvalidInput:
    """Return the refusal of an item. `item` counts from 1, in the order in which the procedure got them."""
    member, message = ITEM_REFUSALS[outcome]
    if order.items is not None:
        index = order.items.index(_sorted(order.items)[item - 1])
        member = f"items[{index}].{member}"
    elif outcome == "code-required":
        member, message = "code", "is required for this event"
    elif member != "quantity":
        member = "eventId"
    return InvalidInput(errors=[FieldError(member, message.format(limit=limit))])


def _uuid_literal(value: UUID | None) -> str:
    return "NULL" if value is None else f"'{value.hex}'"


def _integer_literal(value: int | None) -> str:
    return "NULL" if value is None else f"{value:d}"


def _integers_literal(values: Collection[int] | None) -> str:
    return "NULL" if values is None else f"'{{{','.join(f'{value:d}' for value in values)}}}'"


def _code_literal(code: Code | None) -> str:
    if code is None:
        return "NULL"
    if not isinstance(code, Code):
        raise TypeError("not a Code")
    return f"'{code}'"


def _request_id_literal(value: RequestId | None) -> str:
    if value is None:
        return "NULL"
    if not isinstance(value, RequestId):
        raise TypeError("not a RequestId")
    return f"'{value}'"


def _sale_literals(sale: BoxOfficeSale) -> str:
    if sale.paid_by not in get_args(PaidBy):
        raise ValueError("not a way to pay")
    return f"'{sale.paid_by}', {_text_literal(sale.name)}, {_text_literal(sale.email)}"


def _text_literal(value: str | None) -> str:
    """Return free text in hexadecimal digits, which need no quoting."""
    return "NULL" if value is None else f"convert_from('\\x{value.encode().hex()}', 'UTF8')"
