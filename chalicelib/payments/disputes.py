"""Disputes: an attendee's bank reclaims the money of a payment."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from chalicelib.domain_events import PaymentDisputeClosed, PaymentDisputed
from chalicelib.payments import cancellation, refunds
from chalicelib.payments.locks import lock_places_then_booking
from chalicelib.payments.models import DisputeStatus
from chalicelib.payments.settlement import FOREIGN, Effect, booking_of_intent, update_payment
from chalicelib.platform.messaging import outbox


def apply_dispute(
    connection: Connection,
    intent_id: str,
    state: DisputeStatus,
    reason: str,
    now: datetime,
) -> Effect:
    """Record the state of a dispute and notify the host. A closed dispute stays closed.

    If it is lost, the bank has returned the money: the booking is cancelled and a pending refund counts as
    made. If it is won, a refund that the dispute had blocked is retried.
    """
    booking_id = booking_of_intent(connection, intent_id)
    if booking_id is None:
        return FOREIGN
    row = lock_places_then_booking(connection, booking_id)
    if row.dispute == state or (row.dispute is not None and state == "open"):
        return "no-change", booking_id
    update_payment(connection, row, now, dispute=state)
    if state == "open":
        disputed = PaymentDisputed(**_body(row, reason))
        outbox.record(connection, disputed, subject=row.event_id, now=now)
        return "disputed", booking_id
    closed = PaymentDisputeClosed(**_body(row, reason), outcome=state)
    outbox.record(connection, closed, subject=row.event_id, now=now)
    if state == "won":
        refunds.retry(connection, row, now)
    elif row.status in {"paid", "refund_pending"}:
        refunds.mark_refunded(connection, row, None, now)
        cancellation.cancel_and_refund(connection, booking_id, reason="dispute-lost", now=now)
    return "dispute-closed", booking_id


def _body(row: Row[Any], reason: str) -> dict[str, Any]:
    return {
        "booking_id": row.booking_id,
        "user_id": row.user_id,
        "event_id": row.event_id,
        "host_id": row.host_id,
        "amount": row.amount,
        "currency": row.currency,
        "reason": reason,
    }
