"""Lock order: the pools of a booking, then the booking, then its tickets, then its payment.

Every transaction that cancels or expires a booking follows this order, to avoid deadlocks.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Uuid, bindparam, select, union_all

from chalicelib.bookings.models import bookings, tickets
from chalicelib.events.models import places, pools
from chalicelib.payments.models import payments, pending_amount

_this_booking = bookings.c.booking_id == bindparam("this_booking", type_=Uuid)
_LOCK_POOLS = (
    select(pools.c.pool_id)
    .where(
        pools.c.pool_id.in_(
            union_all(
                select(tickets.c.ticket_type_id).where(
                    tickets.c.booking_id == bindparam("this_booking", type_=Uuid)
                ),
                select(bookings.c.code_id).where(_this_booking),
            )
        )
    )
    .order_by(pools.c.kind, pools.c.pool_id)
    .with_for_update()
)
_LOCK_PLACES = (
    select(places.c.event_id)
    .where(places.c.event_id == select(bookings.c.event_id).where(_this_booking).scalar_subquery())
    .with_for_update()
)
_LOCK_BOOKING = select(bookings.c.booking_id).where(_this_booking).with_for_update(key_share=True)
_LOCK_PAYMENT = (
    select(
        payments,
        pending_amount.label("pending_amount"),
        bookings.c.user_id,
        bookings.c.event_id,
        bookings.c.host_id,
        bookings.c.status.label("booking_status"),
        bookings.c.expires_at,
    )
    .join(bookings, bookings.c.booking_id == payments.c.booking_id)
    .where(_this_booking)
    .with_for_update(key_share=True, of=payments)
)


def lock_places_of(connection: Connection, booking_id: UUID) -> None:
    """Lock the pools of a booking: of its code, of its ticket types, and of its event."""
    connection.execute(_LOCK_POOLS, {"this_booking": booking_id})
    connection.execute(_LOCK_PLACES, {"this_booking": booking_id})


def lock_places_then_booking(connection: Connection, booking_id: UUID) -> Row[Any]:
    """Lock the places of a booking's event, the booking and its payment. Return booking and payment."""
    lock_places_of(connection, booking_id)
    return lock_booking(connection, booking_id)


def lock_booking_only(connection: Connection, booking_id: UUID) -> None:
    """Lock a booking, before its tickets."""
    connection.execute(_LOCK_BOOKING, {"this_booking": booking_id})


def lock_booking(connection: Connection, booking_id: UUID) -> Row[Any]:
    """Lock a booking, its payment and the refunds of that. Return booking and payment."""
    connection.execute(_LOCK_BOOKING, {"this_booking": booking_id})
    return connection.execute(_LOCK_PAYMENT, {"this_booking": booking_id}).one()
