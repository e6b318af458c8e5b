"""Disputes: an attendee's bank reclaims the money of a payment."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from chalicelib.domain_events import PaymentDisputeClosed, PaymentDisputed
from chalicelib.payments import refund_states
from chalicelib.payments.balances import AMOUNT_DIFFERS, flag_for_review, rebalance, update_payment
from chalicelib.payments.locks import lock_places_then_booking
from chalicelib.payments.refund_reports import flag_part
from chalicelib.payments.settlement import FOREIGN, Effect, booking_of_intent
from chalicelib.payments.stripe_objects import Dispute
from chalicelib.platform.messaging import outbox

ANOTHER_DISPUTE = "another-dispute"
"""The flag of a payment with a second dispute, which is not recorded."""


def apply_dispute(connection: Connection, dispute: Dispute, now: datetime) -> Effect:
    """Record the state of a dispute and notify the host. A closed dispute stays closed.

    If it is lost, the bank has returned its amount. If everything has gone back then, with earlier refunds,
    the booking is cancelled, and refunds that wait are covered. A part is recorded and flagged, and the
    booking stays. Refunds that the dispute has blocked are retried.
    """
    booking_id = booking_of_intent(connection, dispute.intent_id) if dispute.intent_id else None
    if booking_id is None:
        return FOREIGN
    row = lock_places_then_booking(connection, booking_id)
    if None not in {row.dispute_id, dispute.dispute_id} and row.dispute_id != dispute.dispute_id:
        flag_for_review(connection, booking_id, ANOTHER_DISPUTE)
        return "flagged", booking_id
    if row.dispute == dispute.state or (row.dispute is not None and dispute.state == "open"):
        return "no-change", booking_id
    is_comparable = dispute.currency == row.currency and dispute.amount >= 0
    amount = dispute.amount if is_comparable else 0
    changes = {"dispute": dispute.state, "dispute_id": dispute.dispute_id, "disputed_amount": amount}
    update_payment(connection, row, now, **changes)
    body = _body(row, dispute, amount)
    if dispute.state == "open":
        outbox.record(connection, PaymentDisputed(**body), subject=row.event_id, now=now)
    else:
        closed = PaymentDisputeClosed(**body, outcome=dispute.state)
        outbox.record(connection, closed, subject=row.event_id, now=now)
    if dispute.state != "open":
        refund_states.retry(connection, booking_id, now)
    if not is_comparable:
        flag_for_review(connection, booking_id, AMOUNT_DIFFERS)
        return "flagged", booking_id
    if dispute.state == "lost" and amount > 0:
        flag_part(connection, rebalance(connection, row, now, reason="dispute-lost"))
    return "disputed" if dispute.state == "open" else "dispute-closed", booking_id


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
