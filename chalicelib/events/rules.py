"""Validation rules for an event's details: time, duration, sale window, price."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.events import prices
from chalicelib.events.models import MAX_DURATION, Status
from chalicelib.platform import time_zones
from chalicelib.platform.errors import FieldError
from chalicelib.platform.money import CURRENCIES

MIN_DURATION = timedelta(minutes=5)
MAX_TIME_AHEAD = timedelta(days=3653)
MAX_CAPACITY = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Details:
    """The details of an event that its host sets."""

    title: str
    description: str | None = None
    location: str | None = None
    starts_at: datetime
    ends_at: datetime
    timezone: str = "UTC"
    capacity: int
    price: int | None = 0
    """Of the only ticket type, in minor units of the currency. None: the event has several types."""
    currency: str
    sale_starts_at: datetime | None = None
    """None: the sale starts when the event is published."""
    sale_ends_at: datetime | None = None
    """None: the sale ends when the event ends."""
    refund_until: datetime | None = None
    """Attendees who cancel until then get a refund. None: until the event starts."""
    doors_open_at: datetime | None = None
    """Tickets are admitted from then on. None: DOORS_OPEN_BEFORE the start."""
    re_entry_allowed: bool = False
    """Whether attendees who have left can come in again."""
    verified_attendees_only: bool = False
    """Only attendees with a verified e-mail address can book."""
    max_per_attendee: int = 1
    """Live tickets of one attendee."""
    status: Status = "published"


def violations(
    details: Details, now: datetime, *, started: bool = False, charges: bool
) -> Iterator[FieldError]:
    """Yield an error for each violated rule.

    `started` allows an event to keep a start in the past. `charges` is whether the app can charge for
    bookings.
    """
    if details.starts_at <= now and not started:
        yield FieldError("startDateTime", "must be in the future")
    elif details.starts_at > now + MAX_TIME_AHEAD:
        yield FieldError("startDateTime", "must be within ten years from now")
    if details.ends_at <= details.starts_at:
        yield FieldError("endDateTime", "must be after startDateTime")
    elif not MIN_DURATION <= details.ends_at - details.starts_at <= MAX_DURATION:
        yield FieldError("endDateTime", "must be 5 minutes to 14 days after startDateTime")
    if details.timezone not in time_zones.names():
        yield FieldError("timezone", "must be the name of an IANA time zone, such as Europe/Berlin")
    yield from _price_violations(details, charges=charges)
    sale_ends_at = details.sale_ends_at or details.ends_at
    if sale_ends_at > details.ends_at:
        yield FieldError("saleEndsAt", "must not be after endDateTime")
    if details.sale_starts_at is not None and details.sale_starts_at >= sale_ends_at:
        yield FieldError("saleStartsAt", "must be before the sale and the event end")
    if details.refund_until is not None and details.refund_until > details.starts_at:
        yield FieldError("refundUntil", "must not be after startDateTime")
    if details.doors_open_at is not None and details.doors_open_at > details.starts_at:
        yield FieldError("doorsOpenAt", "must not be after startDateTime")


def _price_violations(details: Details, *, charges: bool) -> Iterator[FieldError]:
    if details.currency not in CURRENCIES:
        yield FieldError("currency", "must be an ISO 4217 code in lower case, such as eur")
    elif details.price is not None:
        yield from price_violations(details.price, details.currency, charges=charges)


def price_violations(price: int, currency: str, *, charges: bool) -> Iterator[FieldError]:
    if price > 0 and not charges:
        yield FieldError("price", "must be 0: payments are not set up")
    elif price > 0 and (message := prices.violation(price, currency)):
        yield FieldError("price", message)
