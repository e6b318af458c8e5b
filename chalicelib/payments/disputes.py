"""Disputes: the attendee's bank demands the money back; the host is told, and who lost it."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Row

from chalicelib import outbox
from chalicelib.bookings import endings, holds
from chalicelib.db import Session
from chalicelib.payments import refunding
from chalicelib.payments.settling import Outcome, by_id, change


def note(
    session: Session,
    intent_id: str,
    state: Literal["open", "won", "lost"],
    reason: str,
    now: datetime,
) -> tuple[Outcome, UUID | None]:
    """Note a dispute, or how it ended, and tell the host. An end that comes before the beginning stays.

    Lost, the money has gone back: the booking ends, and what was due back is settled. Won, what was due back
    and could not be paid during the dispute is tried again.
    """
    booking_id = by_id(session, intent_id)
    if booking_id is None:
        return "foreign", None
    endings.lock_its_places(session, booking_id)
    row = holds.lock(session, booking_id)
    if row.dispute == state or (row.dispute is not None and state == "open"):
        return "no-change", booking_id
    change(session, booking_id, now, dispute=state)
    if state == "open":
        outbox.record(session, "payment-disputed", row.event_id, _told(row, reason), now)
        return "disputed", booking_id
    body = {**_told(row, reason), "outcome": state}
    outbox.record(session, "payment-dispute-closed", row.event_id, body, now)
    if state == "won":
        refunding.try_again(session, row, now)
    elif row.status in {"paid", "refund_pending"}:
        refunding.close(session, booking_id, None, now)
        endings.end(session, booking_id, reason="dispute-lost", now=now)
    return "dispute-closed", booking_id


def _told(row: Row[Any], reason: str) -> dict[str, Any]:
    return {
        "bookingId": str(row.booking_id),
        "userId": str(row.user_id),
        "eventId": str(row.event_id),
        "hostId": str(row.host_id),
        "amount": row.amount,
        "currency": row.currency,
        "reason": reason,
    }
