"""The usual way to book, as a reference: five steps in one transaction that locks the places first.

The steps are: lock, look for earlier bookings, count, insert, commit. They write the same rows as the app.
The statements go through SQLAlchemy and pg8000 as they come. Router, token, validation, response and log are
those of the app. It does less than the app: no check of the account or of the sale, no limits of a type, no
code, no idempotency key.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from chalice.app import Chalice
from sqlalchemy import Engine, Uuid, bindparam, create_engine, func, insert, select, update

from chalicelib.api.routing import new_router
from chalicelib.api.schemas.bookings import BookedItem, Booking, BookingRequest, OrderedItem
from chalicelib.bookings.booking import LimitReached, SoldOut
from chalicelib.bookings.models import bookings, live, tickets
from chalicelib.bookings.references import reference_of
from chalicelib.domain_events import BookedTicket, BookingConfirmed, BookingItem
from chalicelib.events.models import events, places, pools, ticket_types
from chalicelib.events.search import NoSuchEvent
from chalicelib.platform import ids
from chalicelib.platform.http.etag import written_response
from chalicelib.platform.http.request import Request, Response
from chalicelib.platform.messaging import outbox

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
        events.c.max_per_attendee,
        ticket_types.c.ticket_type_id,
        ticket_types.c.name,
        ticket_types.c.price,
        pools.c.taken.label("taken_of_type"),
        pools.c.capacity.label("capacity_of_type"),
    )
    .join_from(events, places)
    .join(ticket_types, ticket_types.c.event_id == events.c.event_id)
    .join(pools, pools.c.pool_id == ticket_types.c.ticket_type_id)
    .where(events.c.event_id == _event_id, events.c.deleted_at.is_(None))
    .order_by(ticket_types.c.ticket_type_id)
    .with_for_update(of=places)
)
_BOOKED = select(func.sum(bookings.c.quantity)).where(
    bookings.c.event_id == _event_id, bookings.c.user_id == bindparam("user", type_=Uuid), live
)
_COUNT = (
    update(places)
    .where(places.c.event_id == _event_id)
    .values(taken=places.c.taken + bindparam("more"), popularity=bindparam("popularity"))
)
_COUNT_TYPE = (
    update(pools)
    .where(pools.c.pool_id == bindparam("type", type_=Uuid))
    .values(taken=pools.c.taken + bindparam("more"))
)


@routes.post(
    "/bookings",
    auth="attendee",
    responses={201: Booking},
    errors=(NoSuchEvent, LimitReached, SoldOut),
)
def book_places(request: Request, body: BookingRequest) -> Response:
    """Book places that are free of charge."""
    user_id, now = request.require_caller().user_id, request.now
    assert _engine is not None
    with _engine.begin() as connection:
        types = connection.execute(_LOCK, {"event": body.event_id}).all()
        if not types:
            raise NoSuchEvent
        event = types[0]
        items = body.items or [OrderedItem(ticket_type_id=event.ticket_type_id, quantity=1)]
        quantities = {item.ticket_type_id: item.quantity for item in items}
        lines = [(row, quantities[row.ticket_type_id]) for row in types if row.ticket_type_id in quantities]
        quantity = sum(quantities.values())
        booked = connection.scalar(_BOOKED, {"event": body.event_id, "user": user_id}) or 0
        if booked + quantity > event.max_per_attendee:
            raise LimitReached
        if event.taken + quantity > event.capacity:
            raise SoldOut
        for row, number in lines:
            if row.taken_of_type is not None:
                if row.capacity_of_type is not None and row.taken_of_type + number > row.capacity_of_type:
                    raise SoldOut
                connection.execute(_COUNT_TYPE, {"type": row.ticket_type_id, "more": number})
        popularity = round(10 * math.log(event.taken + quantity + 1))
        connection.execute(_COUNT, {"event": body.event_id, "more": quantity, "popularity": popularity})
        booking = {
            "booking_id": ids.new(now),
            "user_id": user_id,
            "event_id": body.event_id,
            "status": "confirmed",
            "quantity": quantity,
            "amount": sum(row.price * number for row, number in lines),
            "currency": event.currency,
            "created_at": now,
            "updated_at": now,
        }
        sole = True if event.max_per_attendee == 1 else None
        connection.execute(insert(bookings), {**booking, "host_id": event.host_id, "sole": sole})
        made = [
            {
                "ticket_id": ids.new(now),
                "booking_id": booking["booking_id"],
                "ticket_type_id": row.ticket_type_id,
                "list_price": row.price,
                "price": row.price,
                "status": "valid",
                "updated_at": now,
            }
            for row, number in lines
            for _ in range(number)
        ]
        connection.execute(insert(tickets).values(made))
        shown = {**booking, "reference": reference_of(booking["booking_id"])}
        confirmed = BookingConfirmed(
            **shown,
            items=tuple(BookingItem(**item) for item in _items(lines)),
            tickets=tuple(
                BookedTicket(ticket_id=row["ticket_id"], ticket_type_id=row["ticket_type_id"]) for row in made
            ),
        )
        outbox.record(connection, confirmed, subject=body.event_id, now=now)
    location = f"{request.settings.public_url}/bookings/{booking['booking_id']}"
    answer = Booking(**shown, items=[BookedItem(**item) for item in _items(lines)], refunded=0)
    return written_response(201, msgspec.json.encode(answer).decode(), 1, {"Location": location})


def _items(lines: Iterable[tuple[Any, int]]) -> list[dict[str, Any]]:
    return [
        {
            "ticket_type_id": row.ticket_type_id,
            "name": row.name,
            "quantity": number,
            "unit_price": row.price,
        }
        for row, number in lines
    ]


app = Chalice(app_name="five-steps", configure_logs=False)
app.register_blueprint(routes.blueprint)
