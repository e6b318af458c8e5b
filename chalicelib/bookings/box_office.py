"""The box office: the host sells places without Stripe, or gives them away."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, text

from chalicelib.bookings import booking
from chalicelib.bookings.booking import BookingLimits, BookingResult, BoxOfficeSale, Order
from chalicelib.events.locks import own_event
from chalicelib.platform.database.engine import Database
from chalicelib.platform.security import Caller

MAX_TICKETS = 100
"""Of one sale."""

_NO_LIMITS = BookingLimits(
    hold=timedelta(0), max_open_holds=None, hold_cooldown=timedelta(0), verified_attendees_only=False
)


def sell(
    database: Database,
    caller: Caller,
    order: Order,
    sale: BoxOfficeSale,
    *,
    key: tuple[UUID, UUID] | None,
    now: datetime,
) -> BookingResult:
    """Sell places of the caller's event: all that are ordered, or none. They are confirmed immediately.

    Capacities apply. Sale times, limits of orders and of attendees, and codes do not. The JSON text of the
    result lacks the customer. `key` is as for `booking.book`.

    Raises:
        NoSuchEvent, NotYourEvent, EventNotPublished, EventCancelled, EventEnded, SoldOut, InvalidInput,
        InvalidToken, IdempotencyKeyReused, RequestInProgress: Nothing was changed.
        Unavailable: The outcome is unknown. Retry with the same key.
    """
    return booking.book(database, caller, replace(order, sale=sale), key=key, limits=_NO_LIMITS, now=now)


_REPORT = text(Path(__file__).with_name("box_office_report.sql").read_text())


def report(connection: Connection, host_id: UUID, event_id: UUID) -> str:
    """Return how the tickets of a host's event were paid, as JSON text.

    Raises:
        NoSuchEvent: It does not exist, is deleted, or is another host's draft.
        NotYourEvent: It belongs to another host.
    """
    row = own_event(connection.execute(_REPORT, {"event_id": event_id}).one_or_none(), host_id)
    report: str = row.report
    return report
