"""Disputes: the attendee's bank demands the money back; the host is told, and who lost it."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, Row

from chalicelib.bookings import cancellation, holds
from chalicelib.payments import refunds
from chalicelib.payments.settlement import Outcome, booking_of_intent, update_payment
from chalicelib.platform.messaging import outbox


def apply_dispute(
    connection: Connection,
    intent_id: str,
    state: Literal["open", "won", "lost"],
    reason: str,
    now: datetime,
) -> tuple[Outcome, UUID | None]:
    """Note a dispute, or how it ended, and tell the host. An end that comes before the beginning stays.

    Lost, the money has gone back: the booking ends, and what was due back is settled. Won, what was due back
    and could not be paid during the dispute is tried again.
    """
    booking_id = booking_of_intent(connection, intent_id)
    if booking_id is None:
        return "foreign", None
    cancellation.lock_places_of_booking(connection, booking_id)
    row = holds.lock(connection, booking_id)
    if row.dispute == state or (row.dispute is not None and state == "open"):
        return "no-change", booking_id
    update_payment(connection, booking_id, now, dispute=state)
    if state == "open":
        outbox.record(connection, "payment-disputed", row.event_id, _body(row, reason), now)
        return "disputed", booking_id
    body = {**_body(row, reason), "outcome": state}
    outbox.record(connection, "payment-dispute-closed", row.event_id, body, now)
    if state == "won":
        refunds.retry(connection, row, now)
    elif row.status in {"paid", "refund_pending"}:
        refunds.mark_refunded(connection, booking_id, None, now)
        cancellation.cancel_booking(connection, booking_id, reason="dispute-lost", now=now)
    return "dispute-closed", booking_id


def _body(row: Row[Any], reason: str) -> dict[str, Any]:
    return {
        "bookingId": str(row.booking_id),
        "userId": str(row.user_id),
        "eventId": str(row.event_id),
        "hostId": str(row.host_id),
        "amount": row.amount,
        "currency": row.currency,
        "reason": reason,
    }
