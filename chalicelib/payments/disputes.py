"""Disputes: an attendee's bank reclaims the money of a payment."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from chalicelib.domain_events import PaymentDisputeClosed, PaymentDisputed
from chalicelib.payments import cancellation, refunds
from chalicelib.payments.locks import lock_booking, lock_places_then_booking
from chalicelib.payments.settlement import (
    FOREIGN,
    Effect,
    booking_of_intent,
    flag_for_review,
    lost,
    returned,
    update_payment,
)
from chalicelib.payments.stripe_objects import Dispute
from chalicelib.platform.messaging import outbox

ANOTHER_DISPUTE = "another-dispute"
"""The flag of a payment with a second dispute, which is not recorded."""


def apply_dispute(connection: Connection, dispute: Dispute, now: datetime) -> Effect:
    """Record the state of a dispute and notify the host. A closed dispute stays closed.

    If it is lost, the bank has returned its amount. The whole amount of the payment, with earlier refunds,
    cancels the booking, and a pending refund counts as made. A part is recorded and flagged, and the booking
    stays. If the dispute is won, a refund that it had blocked is retried.
    """
    booking_id = booking_of_intent(connection, dispute.intent_id) if dispute.intent_id else None
    if booking_id is None:
        return FOREIGN
    row = lock_places_then_booking(connection, booking_id)
    if None not in {row.dispute_id, dispute.dispute_id} and row.dispute_id != dispute.dispute_id:
        return flag_for_review(connection, booking_id, ANOTHER_DISPUTE), booking_id
    if row.dispute == dispute.state or (row.dispute is not None and dispute.state == "open"):
        return "no-change", booking_id
    is_comparable = dispute.currency == row.currency and dispute.amount >= 0
    amount = dispute.amount if is_comparable else 0
    update_payment(
        connection,
        row,
        now,
        dispute=dispute.state,
        dispute_id=dispute.dispute_id,
        disputed_amount=amount,
    )
    body = _body(row, dispute, amount)
    if dispute.state == "open":
        outbox.record(connection, PaymentDisputed(**body), subject=row.event_id, now=now)
    else:
        closed = PaymentDisputeClosed(**body, outcome=dispute.state)
        outbox.record(connection, closed, subject=row.event_id, now=now)
    if dispute.state == "won":
        refunds.retry(connection, row, now)
    if not is_comparable:
        return flag_for_review(connection, booking_id, refunds.AMOUNT_DIFFERS), booking_id
    if dispute.state == "lost":
        _take_back(connection, lock_booking(connection, booking_id), now)
    return "disputed" if dispute.state == "open" else "dispute-closed", booking_id


def _take_back(connection: Connection, row: Row[Any], now: datetime) -> None:
    """Apply a lost dispute, whose amount has gone back."""
    if row.status == "refunded":
        if returned(row) > row.amount:
            flag_for_review(connection, row.booking_id, refunds.OVER_REFUNDED)
    elif returned(row) >= row.amount:
        refunds.mark_refunded(connection, row, row.refund_id, now, refunded_amount=row.refunded_amount)
        cancellation.cancel_and_refund(connection, row.booking_id, reason="dispute-lost", now=now)
    elif lost(row) > 0:
        refunds.apply_lost_part(connection, row, now)


def _body(row: Row[Any], dispute: Dispute, disputed_amount: int) -> dict[str, Any]:
    return {
        "booking_id": row.booking_id,
        "user_id": row.user_id,
        "event_id": row.event_id,
        "host_id": row.host_id,
        "amount": row.amount,
        "currency": row.currency,
        "disputed_amount": disputed_amount,
        "reason": dispute.reason,
    }
