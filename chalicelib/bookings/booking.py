"""Booking: call the procedure in book.sql."""

import json
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from chalicelib.events.locks import EventCancelled, EventEnded
from chalicelib.events.search import NoSuchEvent
from chalicelib.platform import ids
from chalicelib.platform.database.engine import Database, waited_for_lock_on
from chalicelib.platform.errors import (
    Conflict,
    Forbidden,
    IdempotencyKeyReused,
    Refusal,
    RequestInProgress,
    Unavailable,
)
from chalicelib.platform.observability import metrics, request_context
from chalicelib.platform.observability.request_context import RequestId
from chalicelib.platform.security import Caller, InvalidToken
from chalicelib.users.verification import EmailNotVerified


class OwnEvent(Forbidden):
    """Hosts cannot book their own events."""


class AlreadyBooked(Conflict):
    """You have already booked this event."""


class SoldOut(Conflict):
    """The event is sold out."""


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
        EventCancelled,
        EventEnded,
        SaleNotStarted,
        SaleEnded,
        AlreadyBooked,
        SoldOut,
        EmailNotVerified,
        InvalidToken,
        IdempotencyKeyReused,
    )
}
"""The refusals of the booking procedure, by its `outcome`."""

HOLD_REFUSALS = {
    "too-many-holds": "You hold as many unpaid places as one account can. Pay for one of them first.",
    "hold-cooldown": "Your last hold of this event ended a short time ago: it expired, you cancelled it, or"
    " Stripe refused its payment.",
}
"""The details of TooManyHolds, by the `outcome` of the booking procedure."""

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
    event_id: UUID,
    *,
    key: tuple[UUID, UUID] | None,
    limits: BookingLimits,
    now: datetime,
) -> BookingResult:
    """Book one place. `key` is the hashed Idempotency-Key and the fingerprint of the request.

    A priced booking is pending for the time of a hold. The procedure needs one round trip and commits by
    itself, so it takes a database instead of a connection.

    Raises:
        NoSuchEvent, OwnEvent, EventCancelled, EventEnded, SaleNotStarted, SaleEnded, AlreadyBooked, SoldOut,
        EmailNotVerified, TooManyHolds, InvalidToken, IdempotencyKeyReused, RequestInProgress: Nothing was
            changed.
        Unavailable: The outcome is unknown. Retry with the same key.
    """
    booking_id = ids.new(now)
    hashed_key, fingerprint = key or (None, None)
    call = (
        f"CALL {PROCEDURE}({_uuid_literal(booking_id)}, {_uuid_literal(event_id)},"
        f" {_uuid_literal(caller.user_id)}, {caller.token_version:d},"
        f" {_uuid_literal(hashed_key)}, {_uuid_literal(fingerprint)}, '{now.isoformat()}',"
        f" {limits.hold.total_seconds():.0f}, {_integer_literal(limits.max_open_holds)},"
        f" {limits.hold_cooldown.total_seconds():.0f}, {limits.verified_attendees_only is True},"
        f" {FIRST_CHECK_AFTER.total_seconds():.0f},"
        f" {_request_id_literal(request_context.current())}, NULL, NULL)"
    )
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
    if outcome == Unavailable.slug():
        raise Unavailable("The event kept changing during the booking.", retry_after=1)
    if outcome in HOLD_REFUSALS:
        raise TooManyHolds(HOLD_REFUSALS[outcome], retry_after=int(booking))
    if outcome in REFUSALS:
        raise REFUSALS[outcome]
    if outcome == "replayed":
        first = json.loads(booking)
        return BookingResult(
            booking, UUID(first["bookingId"]), held=first["status"] == "pending", replayed=True
        )
    return BookingResult(booking, booking_id, held=outcome == "held", replayed=False)


def _uuid_literal(value: UUID | None) -> str:
    return "NULL" if value is None else f"'{value.hex}'"


def _integer_literal(value: int | None) -> str:
    return "NULL" if value is None else f"{value:d}"


def _request_id_literal(value: RequestId | None) -> str:
    if value is None:
        return "NULL"
    if not isinstance(value, RequestId):
        raise TypeError("not a RequestId")
    return f"'{value}'"
