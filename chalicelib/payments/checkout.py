"""Checkout: create the PaymentIntent with which the attendee's browser pays for a hold."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Uuid, bindparam, select, update

from chalicelib.bookings import cancellation
from chalicelib.bookings.models import bookings
from chalicelib.bookings.queries import NoSuchBooking
from chalicelib.payments import settlement
from chalicelib.payments.gateway import Charge, PaymentGateway, PaymentIntent, PaymentRefused
from chalicelib.payments.locks import lock_places_then_booking
from chalicelib.payments.models import payments
from chalicelib.platform.database.engine import Database
from chalicelib.platform.errors import Conflict
from chalicelib.platform.observability import logs


class NotPayable(Conflict):
    """The booking cannot be paid."""


class PaymentRejected(Conflict):
    """Stripe does not accept this payment, and the place is free again."""


_PERMANENT_CODES = frozenset({"amount_too_small", "amount_too_large", "currency_not_supported"})
_PERMANENT_MEMBERS = frozenset({"amount", "currency"})


@dataclass(frozen=True)
class PayableIntent:
    """A PaymentIntent that the attendee can pay."""

    intent_id: str
    client_secret: str

    def as_json(self) -> dict[str, str]:
        return {
            "provider": "stripe",
            "paymentIntentId": self.intent_id,
            "clientSecret": self.client_secret,
            "status": "requires_payment",
        }


_READ = (
    select(
        payments,
        bookings.c.status.label("booking_status"),
        bookings.c.event_id,
        bookings.c.expires_at,
        bookings.c.cancellation_reason,
    )
    .select_from(bookings.outerjoin(payments, payments.c.booking_id == bookings.c.booking_id))
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
_STORE = _OPEN.where(payments.c.attempt == bindparam("this_attempt"))
_NEXT_ATTEMPT = _STORE.values(attempt=payments.c.attempt + 1)


def ensure_payment_intent(
    database: Database, gateway: PaymentGateway, attendee_id: UUID, booking_id: UUID, now: datetime
) -> PayableIntent | None:
    """Return the PaymentIntent of the attendee's hold, and create it at Stripe if it does not exist.

    No transaction is open during the call to Stripe. Afterwards the booking is read again, because it may
    have changed. Crash-safe: a repetition of the same attempt returns the same PaymentIntent. Return None if
    Stripe has rejected this attempt; the next call makes another attempt.

    Raises:
        NoSuchBooking: It does not exist or belongs to another attendee.
        NotPayable: It is free, paid, cancelled or expired.
        PaymentRejected: Stripe will never accept this amount or currency. The place has been freed.
        Unreachable, Unavailable: Retry the call.
    """
    with database.transaction() as connection:
        row = _read(connection, attendee_id, booking_id, now)
    if row.intent_id is not None:
        return PayableIntent(row.intent_id, row.client_secret)
    charge = Charge(booking_id=booking_id, amount=row.amount, currency=row.currency, attempt=row.attempt)
    try:
        intent = gateway.create_payment_intent(charge, row.event_id)
    except PaymentRefused as refused:
        logs.error("payment refused", bookingId=str(booking_id), reason=refused.code)
        if refused.code in _PERMANENT_CODES or refused.member in _PERMANENT_MEMBERS:
            _end_hold(database, booking_id, now)
            raise PaymentRejected from refused
        with database.transaction() as connection:
            connection.execute(_NEXT_ATTEMPT, {"this_booking": booking_id, "this_attempt": row.attempt})
        return None
    with database.transaction() as connection:
        _store_intent(connection, booking_id, row.attempt, intent, now)
        row = _read(connection, attendee_id, booking_id, now)
    if row.intent_id is None:
        return None
    return PayableIntent(row.intent_id, row.client_secret)


def _end_hold(database: Database, booking_id: UUID, now: datetime) -> None:
    """Free the place of a hold that can never be paid."""
    with database.transaction() as connection:
        row = lock_places_then_booking(connection, booking_id)
        if row.intent_id is None:
            cancellation.expire_refused(connection, booking_id, now)
            settlement.mark_failed(connection, booking_id, now)


def _read(connection: Connection, attendee_id: UUID, booking_id: UUID, now: datetime) -> Row[Any]:
    row = connection.execute(_READ, {"this_booking": booking_id, "attendee": attendee_id}).one_or_none()
    if row is None:
        raise NoSuchBooking
    if row.booking_status == "expired" and row.cancellation_reason == cancellation.PAYMENT_REFUSED:
        raise PaymentRejected
    if row.booking_status != "pending":
        raise NotPayable(f"The booking is {row.booking_status}.")
    if row.expires_at <= now:
        raise NotPayable("The time to pay is over, and the place is being released.")
    return row


def _store_intent(
    connection: Connection, booking_id: UUID, attempt: int, intent: PaymentIntent, now: datetime
) -> None:
    """Store a PaymentIntent, unless another process has stored one, or the booking is no longer payable.

    A PaymentIntent that is not stored cannot be paid, because its client secret is discarded.
    """
    connection.execute(
        _STORE.values(intent_id=intent.intent_id, client_secret=intent.client_secret, updated_at=now),
        {"this_booking": booking_id, "this_attempt": attempt},
    )
