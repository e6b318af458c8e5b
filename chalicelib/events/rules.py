"""What makes an event's details acceptable: time, duration, sale window, price."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from zoneinfo import available_timezones

from chalicelib.errors import FieldError
from chalicelib.events.models import LONGEST, Status

SHORTEST = timedelta(minutes=5)
FURTHEST_AHEAD = timedelta(days=3653)
LARGEST_CAPACITY = 1_000_000

# ISO 4217, the codes of money in circulation.
_ISO_4217 = """
    aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd btn bwp byn bzd
    cad cdf chf clp cny cop crc cup cve czk djf dkk dop dzd egp ern etb eur fjd fkp gbp gel ghs gip gmd
    gnf gtq gyd hkd hnl htg huf idr ils inr iqd irr isk jmd jod jpy kes kgs khr kmf kpw krw kwd kyd kzt
    lak lbp lkr lrd lsl lyd mad mdl mga mkd mmk mnt mop mru mur mvr mwk mxn myr mzn nad ngn nio nok npr
    nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sdg sek sgd shp sle sos srd ssp
    stn svc syp szl thb tjs tmt tnd top try ttd twd tzs uah ugx usd uyu uzs ves vnd vuv wst xaf xcd xof
    xpf yer zar zmw
"""
CURRENCIES = frozenset(_ISO_4217.split())


@dataclass(frozen=True, kw_only=True)
class Details:
    """What a host says of an event."""

    title: str
    description: str | None
    location: str | None
    starts_at: datetime
    ends_at: datetime
    timezone: str
    capacity: int
    price: int
    """In minor units of the currency, for one place."""
    currency: str
    sale_starts_at: datetime | None
    """None: from the moment it is published."""
    sale_ends_at: datetime | None
    """None: until the event ends."""
    status: Status


def faults(details: Details, now: datetime, *, begun: bool = False) -> Iterator[FieldError]:
    """Yield what is not acceptable; `begun` is for an event that keeps a start in the past."""
    if details.starts_at <= now and not begun:
        yield FieldError("startDateTime", "must be in the future")
    elif details.starts_at > now + FURTHEST_AHEAD:
        yield FieldError("startDateTime", "must be within ten years from now")
    if details.ends_at <= details.starts_at:
        yield FieldError("endDateTime", "must be after startDateTime")
    elif not SHORTEST <= details.ends_at - details.starts_at <= LONGEST:
        yield FieldError("endDateTime", "must be 5 minutes to 14 days after startDateTime")
    if details.timezone not in _timezones():
        yield FieldError("timezone", "must be the name of an IANA time zone, such as Europe/Berlin")
    if details.currency not in CURRENCIES:
        yield FieldError("currency", "must be an ISO 4217 code in lower case, such as eur")
    if details.price > 0:
        yield FieldError("price", "must be 0: events with a price cannot be offered yet")
    sale_ends_at = details.sale_ends_at or details.ends_at
    if sale_ends_at > details.ends_at:
        yield FieldError("saleEndsAt", "must not be after endDateTime")
    if details.sale_starts_at is not None and details.sale_starts_at >= sale_ends_at:
        yield FieldError("saleStartsAt", "must be before the sale and the event end")


@cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())
