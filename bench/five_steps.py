"""The usual way to book, as a reference: five statements in one transaction that locks the places first.

The statements go through SQLAlchemy and pg8000 as they come. Router, token, validation, response and log are
those of the app. It does less than the app: no check of the account or of the sale, no idempotency key, no
domain event.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from chalice.app import Chalice
from sqlalchemy import Engine, Uuid, bindparam, create_engine, insert, select, update

from chalicelib.api.routing import new_router
from chalicelib.api.schemas.bookings import Booking, BookingRequest
from chalicelib.bookings.booking import AlreadyBooked, SoldOut
from chalicelib.bookings.models import bookings, live
from chalicelib.events.models import events, places, ticket_types
from chalicelib.events.search import NoSuchEvent
from chalicelib.platform import ids
from chalicelib.platform.http.etag import written_response
from chalicelib.platform.http.request import Request, Response

routes = new_router("five-steps")

_engine: Engine | None = None


@contextmanager
def connected(url: str) -> Iterator[None]:
    """Book at a database, by one connection, until the block ends."""
    global _engine  # noqa: PLW0603
    _engine = create_engine(url, pool_size=1, max_overflow=0, connect_args={"timeout": 15})
    try:
        yield
    finally:
        _engine.dispose()
        _engine = None


_event_id = bindparam("event", type_=Uuid)

_LOCK = (
    select(
        places.c.taken,
        places.c.capacity,
        events.c.host_id,
        events.c.currency,
        ticket_types.c.ticket_type_id,
        ticket_types.c.price,
    )
    .join_from(events, places)
    .join(ticket_types, ticket_types.c.event_id == events.c.event_id)
    .where(events.c.event_id == _event_id, events.c.deleted_at.is_(None))
    .with_for_update(of=places)
)
_EXISTING = select(bookings.c.booking_id).where(
    bookings.c.event_id == _event_id, bookings.c.user_id == bindparam("user", type_=Uuid), live
)
_COUNT_UP = update(places).where(places.c.event_id == _event_id).values(taken=places.c.taken + 1)
_INSERT = insert(bookings)


@routes.post(
    "/bookings",
    auth="attendee",
    responses={201: Booking},
    errors=(NoSuchEvent, AlreadyBooked, SoldOut),
)
def book_place(request: Request, body: BookingRequest) -> Response:
    """Book one place."""
    user_id = request.require_caller().user_id
    assert _engine is not None
    with _engine.begin() as connection:
        event = connection.execute(_LOCK, {"event": body.event_id}).one_or_none()
        if event is None:
            raise NoSuchEvent
        if connection.execute(_EXISTING, {"event": body.event_id, "user": user_id}).first() is not None:
            raise AlreadyBooked
        if event.taken >= event.capacity:
            raise SoldOut
        connection.execute(_COUNT_UP, {"event": body.event_id})
        row = {
            "booking_id": ids.new(request.now),
            "user_id": user_id,
            "event_id": body.event_id,
            "status": "confirmed",
            "amount": event.price,
            "currency": event.currency,
            "created_at": request.now,
            "updated_at": request.now,
        }
        connection.execute(_INSERT, {**row, "host_id": event.host_id, "ticket_type_id": event.ticket_type_id})
    location = f"{request.settings.public_url}/bookings/{row['booking_id']}"
    booking = msgspec.json.encode(Booking(**row, quantity=1, refunded=0))
    return written_response(201, booking.decode(), 1, {"Location": location})


app = Chalice(app_name="five-steps", configure_logs=False)
app.register_blueprint(routes.blueprint)
