"""The booking procedure renders JSON by itself: it must agree with the API's declaration."""

import json
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from chalicelib.api.bookings import BOOKINGS
from chalicelib.api.schemas.bookings import Booking
from chalicelib.bookings.booking import Order, book
from tests.client import LIMITS, Client


@pytest.mark.parametrize("price", [0, 2500], ids=["free", "priced"])
def test_procedure_renders_a_booking_as_declared(client: Client, price: int) -> None:
    event = client.event(client.host(), price=price)
    caller = client.wiring.tokens.read(client.attendee().token)
    now = datetime.now(UTC)

    result = book(
        client.wiring.database, caller, Order(UUID(event["eventId"])), key=None, limits=LIMITS, now=now
    )

    assert msgspec.json.decode(result.booking, type=Booking).booking_id == result.booking_id
    with client.wiring.database.transaction() as connection:
        declared, _ = BOOKINGS.get_hold(connection, caller, result.booking_id, now)
    # The payment is created at Stripe after the procedure.
    assert json.loads(result.booking) | {"payment": None} == json.loads(declared)
