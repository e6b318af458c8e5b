"""Settling: what Stripe says of a payment becomes true of its booking, once, whoever brings the word.

The same steps serve webhooks, expiry and reconciliation, and it does not matter in which order or how often
they come: each looks at the ledger under its lock, and does what is still to be done.
"""

import logging
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, Row, Text, Uuid, bindparam, select, update

from chalicelib.bookings import cancellation, holds
from chalicelib.payments.gateway import PaymentIntent
from chalicelib.payments.models import payments
from chalicelib.platform.messaging import outbox
from chalicelib.platform.observability import metrics

Outcome = Literal[
    "confirmed",
    "refund-due",
    "called-off",
    "failed",
    "refunding",
    "refunded",
    "refund-failed",
    "disputed",
    "dispute-closed",
    "flagged",
    "no-change",
    "foreign",
    "ignored",
]
"""What came of something that Stripe said; `foreign` is about nothing of ours."""


def settle(connection: Connection, intent: PaymentIntent, now: datetime) -> tuple[Outcome, UUID | None]:
    """Have the booking be as its payment is, and say what that changed, and of which booking."""
    row = _locked(connection, intent, now)
    if row is None:
        return "foreign", None
    booking_id: UUID = row.booking_id
    if row.intent_id != intent.intent_id:
        return _stray(connection, intent, row), booking_id
    if intent.status == "succeeded":
        return _paid(connection, intent, row, now), booking_id
    if intent.status == "canceled":
        return _canceled(connection, row, now), booking_id
    return "no-change", booking_id


def _locked(connection: Connection, intent: PaymentIntent, now: datetime) -> Row[Any] | None:
    """The row of the ledger that a payment is for, locked, and with the payment's id if it had none."""
    booking_id = find_booking(connection, intent)
    if booking_id is None:
        return None
    row = holds.lock(connection, booking_id)
    return _adopt(connection, intent, row, now) if row.intent_id is None else row


def find_booking(connection: Connection, intent: PaymentIntent) -> UUID | None:
    """The booking that a payment is for: by the payment's id, else by what it was made with."""
    found = booking_of_intent(connection, intent.intent_id)
    if found is None and intent.booking_id is not None:
        found = connection.scalar(_BY_BOOKING, {"this_booking": intent.booking_id})
    return found


def booking_of_intent(connection: Connection, intent_id: str | None) -> UUID | None:
    """The booking that has a payment of this id at Stripe."""
    found: UUID | None = connection.scalar(_BY_INTENT, {"intent": intent_id})
    return found


_this = payments.c.booking_id == bindparam("this_booking", type_=Uuid)
_BY_INTENT = select(payments.c.booking_id).where(payments.c.intent_id == bindparam("intent", type_=Text))
_BY_BOOKING = select(payments.c.booking_id).where(_this)
_SET = update(payments).where(_this)


def update_payment(connection: Connection, booking_id: UUID, now: datetime, **values: Any) -> None:
    """Change a row of the ledger that is locked."""
    connection.execute(_SET.values(**values, updated_at=now), {"this_booking": booking_id})


def _adopt(connection: Connection, intent: PaymentIntent, row: Row[Any], now: datetime) -> Row[Any]:
    """Note the id of a payment whose making was not noted: the word of it was faster, or the process died."""
    if row.status != "requires_payment" or row.attempt != intent.attempt:
        return row
    update_payment(
        connection, row.booking_id, now, intent_id=intent.intent_id, client_secret=intent.client_secret
    )
    return holds.lock(connection, row.booking_id)


def _stray(connection: Connection, intent: PaymentIntent, row: Row[Any]) -> Outcome:
    """A payment made for a booking that has another by now. Nobody was given its secret, so none is paid."""
    if intent.status != "succeeded":
        return "no-change"
    return flag_for_review(connection, row.booking_id, "stray-payment")


def _paid(connection: Connection, intent: PaymentIntent, row: Row[Any], now: datetime) -> Outcome:
    if row.status not in {"requires_payment", "failed"}:
        return "no-change"
    if (intent.amount, intent.received, intent.currency) != (row.amount, row.amount, row.currency):
        return flag_for_review(connection, row.booking_id, "amount-differs")
    update_payment(
        connection, row.booking_id, now, status="paid", paid_at=now, client_secret=None, next_check_at=None
    )
    if row.booking_status == "pending":
        holds.confirm(connection, row.booking_id, now)
        return "confirmed"
    if row.booking_status == "expired" and holds.reclaim(connection, row.booking_id, now):
        return "confirmed"
    cancellation.refund_late_payment(connection, row.booking_id, now)
    return "refund-due"


def _canceled(connection: Connection, row: Row[Any], now: datetime) -> Outcome:
    """A payment that cannot be paid any more. While the hold lasts, another one can be made.

    Of one that has run out the id stays: should money come all the same, it is known for what.
    """
    if row.status != "requires_payment":
        return "no-change"
    if row.booking_status == "pending" and row.expires_at <= now:
        return "called-off"
    if row.booking_status == "pending":
        update_payment(
            connection, row.booking_id, now, intent_id=None, client_secret=None, attempt=row.attempt + 1
        )
    else:
        mark_failed(connection, row.booking_id, now)
    return "called-off"


def mark_failed(connection: Connection, booking_id: UUID, now: datetime) -> None:
    """Note that a payment that was open will not be made any more."""
    connection.execute(
        _SET.where(payments.c.status == "requires_payment").values(
            status="failed", client_secret=None, next_check_at=None, updated_at=now
        ),
        {"this_booking": booking_id},
    )


def record_failure(
    connection: Connection, intent: PaymentIntent, now: datetime
) -> tuple[Outcome, UUID | None]:
    """Tell of a payment that did not go through, as long as another try is possible."""
    row = _locked(connection, intent, now)
    if row is None:
        return "foreign", None
    booking_id: UUID = row.booking_id
    still_open = row.status == "requires_payment" and row.booking_status == "pending"
    if not still_open or row.intent_id != intent.intent_id or row.expires_at <= now:
        return "no-change", booking_id
    body = {
        "bookingId": str(row.booking_id),
        "userId": str(row.user_id),
        "eventId": str(row.event_id),
        "amount": row.amount,
        "currency": row.currency,
        "expiresAt": row.expires_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "reason": intent.failure or "unknown",
    }
    outbox.record(connection, "payment-failed", row.event_id, body, now)
    return "failed", booking_id


def flag_for_review(connection: Connection, booking_id: UUID, what: str) -> Outcome:
    """Leave something to a person, who finds it in the log and at GET /events/{eventId}/integrity."""
    connection.execute(_SET.values(flag=what), {"this_booking": booking_id})
    metrics.put("PaymentsFlagged", 1, "Count")
    logging.getLogger("event-booking").error(
        "A payment is flagged", extra={"members": {"bookingId": str(booking_id), "flag": what}}
    )
    return "flagged"
