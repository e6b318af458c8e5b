"""Payment intents: what an attendee's browser pays a hold with."""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Uuid, bindparam, select, update

from chalicelib.bookings.models import bookings
from chalicelib.bookings.queries import NoSuchBooking
from chalicelib.payments.gateway import Charge, PaymentGateway, PaymentIntent, PaymentRefused
from chalicelib.payments.models import payments
from chalicelib.platform.database.engine import Database
from chalicelib.platform.errors import Conflict
from chalicelib.users.models import users


class NotPayable(Conflict):
    """The booking is not waiting to be paid."""


@dataclass(frozen=True)
class PayableIntent:
    """A payment that Stripe knows of and that can be paid."""

    intent_id: str
    client_secret: str

    def as_json(self) -> dict[str, str]:
        return {
            "provider": "stripe",
            "paymentIntentId": self.intent_id,
            "clientSecret": self.client_secret,
            "status": "requires_payment",
        }


def ensure_payment_intent(
    database: Database, gateway: PaymentGateway, attendee_id: UUID, booking_id: UUID, now: datetime
) -> PayableIntent | None:
    """Return the payment of one's own hold, made at Stripe if it is not there yet.

    No transaction is open while Stripe is called; what happens meanwhile, and what is lost on the way, is
    found out after: the same attempt makes the same payment, however often it is made. None where Stripe has
    refused this attempt; the next call makes another.

    Raises:
        NoSuchBooking: Or it is of others.
        NotPayable: It is paid, or has ended, or costs nothing.
        Unreachable, Unavailable
    """
    with database.transaction() as connection:
        row = _read(connection, attendee_id, booking_id, now)
    if row.intent_id is not None:
        return PayableIntent(row.intent_id, row.client_secret)
    due = Charge(booking_id=booking_id, amount=row.amount, currency=row.currency, attempt=row.attempt)
    try:
        intent = gateway.open(due, row.event_id, row.email)
    except PaymentRefused as refused:
        logging.getLogger("event-booking").error(  # noqa: TRY400 (the reason is one word)
            "Stripe refuses a payment",
            extra={"members": {"bookingId": str(booking_id), "reason": refused.code}},
        )
        with database.transaction() as connection:
            connection.execute(_NEXT_ATTEMPT, {"this_booking": booking_id, "refused": row.attempt})
        return None
    with database.transaction() as connection:
        _store_intent(connection, booking_id, row.attempt, intent, now)
        row = _read(connection, attendee_id, booking_id, now)
    if row.intent_id is None:
        return None
    return PayableIntent(row.intent_id, row.client_secret)


_READ = (
    select(
        payments,
        bookings.c.status.label("booking_status"),
        bookings.c.event_id,
        bookings.c.expires_at,
        users.c.email,
    )
    .select_from(
        bookings.join(users, users.c.user_id == bookings.c.user_id).outerjoin(
            payments, payments.c.booking_id == bookings.c.booking_id
        )
    )
    .where(
        bookings.c.booking_id == bindparam("this_booking", type_=Uuid),
        bookings.c.user_id == bindparam("attendee", type_=Uuid),
    )
)
_OPEN = update(payments).where(
    payments.c.booking_id == bindparam("this_booking", type_=Uuid),
    payments.c.status == "requires_payment",
    payments.c.intent_id.is_(None),
)
_STORE = _OPEN.where(payments.c.attempt == bindparam("made_by"))
_NEXT_ATTEMPT = _OPEN.where(payments.c.attempt == bindparam("refused")).values(attempt=payments.c.attempt + 1)


def _read(connection: Connection, attendee_id: UUID, booking_id: UUID, now: datetime) -> Row[Any]:
    row = connection.execute(_READ, {"this_booking": booking_id, "attendee": attendee_id}).one_or_none()
    if row is None:
        raise NoSuchBooking
    if row.booking_status != "pending":
        raise NotPayable(f"It is {row.booking_status}.")
    if row.expires_at <= now:
        raise NotPayable("Its time to be paid is over, and its place is being given back.")
    return row


def _store_intent(
    connection: Connection, booking_id: UUID, attempt: int, intent: PaymentIntent, now: datetime
) -> None:
    """Note what was made, unless another process has, or the booking has ended meanwhile.

    Then nobody learns its secret, and so nobody can pay it.
    """
    connection.execute(
        _STORE.values(intent_id=intent.intent_id, client_secret=intent.client_secret, updated_at=now),
        {"this_booking": booking_id, "made_by": attempt},
    )
