"""The booking procedure: called directly, or replaced by its text without some of its guards."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pg8000

from chalicelib.bookings import booking
from chalicelib.bookings.booking import Order
from chalicelib.platform.database.engine import violated
from chalicelib.platform.errors import Refusal
from chalicelib.wiring import Wiring
from tests.client import LIMITS, Account, Client
from tests.guarded import GuardedProcedure

SOURCE = Path(booking.__file__).with_name("book.sql").read_text()

BOOK = GuardedProcedure(booking.PROCEDURE, SOURCE)

without_guard = BOOK.without_guard


def replace_procedure(client: Client, source: str = SOURCE) -> None:
    """Replace the procedure that the service calls by this text of it."""
    BOOK.replace(client, source)


def attempt(wiring: Wiring, attendee: Account, event_id: str, **members: Any) -> str:
    """Book a place, or what these members of an order say. Thread-safe.

    Return `booked`, a refusal's name or a violated constraint's name.
    """
    caller = wiring.tokens.read(attendee.token)
    order = Order(UUID(event_id), **members)
    try:
        booking.book(wiring.database, caller, order, key=None, limits=LIMITS, now=datetime.now(UTC))
    except Refusal as refusal:
        return refusal.slug()
    except pg8000.DatabaseError as error:
        if constraint := violated(error):
            return constraint
        raise
    return "booked"
