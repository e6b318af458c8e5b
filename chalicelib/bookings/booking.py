"""Booking: one call of the procedure in book.sql."""

import json
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from chalicelib.events.locks import EventCancelled, EventEnded
from chalicelib.events.search import NoSuchEvent
from chalicelib.platform import ids
from chalicelib.platform.database.engine import Database, waited_for_lock_on
from chalicelib.platform.errors import Conflict, IdempotencyKeyReused, Refusal, RequestInProgress, Unavailable
from chalicelib.platform.observability import metrics, request_context
from chalicelib.platform.observability.request_context import RequestId
from chalicelib.platform.security import Caller, InvalidToken


class AlreadyBooked(Conflict):
    """You have a place at this event already."""


class SoldOut(Conflict):
    """No places left."""


class SaleNotStarted(Conflict):
    """The sale has not started."""


class SaleEnded(Conflict):
    """The sale has ended."""


REFUSALS: dict[str, type[Refusal]] = {
    refusal.slug(): refusal
    for refusal in (
        NoSuchEvent,
        EventCancelled,
        EventEnded,
        SaleNotStarted,
        SaleEnded,
        AlreadyBooked,
        SoldOut,
        InvalidToken,
        IdempotencyKeyReused,
        Unavailable,
    )
}
"""What the booking procedure may answer instead of a booking."""

PROCEDURE = "book"
"""The name of the booking procedure, which `book.sql` creates."""

FIRST_CHECK_AFTER = timedelta(minutes=5)
"""After which it is asked at Stripe whether a hold was paid, had nobody told by then."""


@dataclass(frozen=True)
class BookingResult:
    """A place taken, now or by the first request with the same key."""

    booking: str
    """As JSON text."""
    booking_id: UUID
    held: bool
    """It is still to be paid."""
    replayed: bool


def book(
    database: Database,
    caller: Caller,
    event_id: UUID,
    *,
    key: tuple[UUID, UUID] | None,
    hold: timedelta,
    now: datetime,
) -> BookingResult:
    """Take one place, durably, by the one path there is; `key` is of the Idempotency-Key.

    One that costs something is pending for the time of a hold. One round trip, and a transaction of its own,
    so that it takes no session: see book.sql.

    Raises:
        NoSuchEvent, EventCancelled, EventEnded, SaleNotStarted, SaleEnded, AlreadyBooked, SoldOut,
        InvalidToken, IdempotencyKeyReused, RequestInProgress: Nothing was changed.
        Unavailable: Nothing was changed, or it is not known whether; a retry with the key will tell.
    """
    booking_id = ids.new(now)
    hashed_key, fingerprint = key or (None, None)
    call = (
        f"CALL {PROCEDURE}({_uuid(booking_id)}, {_uuid(event_id)}, {_uuid(caller.user_id)},"
        f" {caller.token_version:d}, {_uuid(hashed_key)}, {_uuid(fingerprint)}, '{now.isoformat()}',"
        f" {hold.total_seconds():.0f}, {FIRST_CHECK_AFTER.total_seconds():.0f},"
        f" {_text(request_context.current())}, NULL, NULL)"
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
        took = (time.perf_counter() - started) * 1000
        metrics.put_all({"Bookings": (1, "Count"), "BookingLatency": (took, "Milliseconds")}, outcome=outcome)
    if outcome in REFUSALS:
        raise REFUSALS[outcome](retry_after=1 if outcome == "unavailable" else None)
    if outcome == "replayed":
        first = json.loads(booking)
        return BookingResult(
            booking, UUID(first["bookingId"]), held=first["status"] == "pending", replayed=True
        )
    return BookingResult(booking, booking_id, held=outcome == "held", replayed=False)


def _uuid(value: UUID | None) -> str:
    return "NULL" if value is None else f"'{value.hex}'"


def _text(value: RequestId | None) -> str:
    if value is None:
        return "NULL"
    if not isinstance(value, RequestId):
        raise TypeError("not a request id")
    return f"'{value}'"
