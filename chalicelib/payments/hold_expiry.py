"""Expire unpaid holds: cancel the payment at Stripe, then free the place."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, and_

from chalicelib.bookings import cancellation
from chalicelib.payments import settlement
from chalicelib.payments.due import (
    CLAIM_LEASE,
    claim_due,
    claiming,
    is_open,
    now_parameter,
    process_concurrently,
)
from chalicelib.payments.gateway import PaymentGateway, PaymentRefused
from chalicelib.payments.locks import lock_places_then_booking
from chalicelib.payments.models import payments
from chalicelib.platform.database.engine import Database
from chalicelib.platform.errors import Unavailable
from chalicelib.platform.observability import metrics

POLL_INTERVAL_SECONDS = 1.0
"""Seconds between looks for holds that have run out."""


def run(database: Database, gateway: Callable[[], PaymentGateway], go_on: Callable[[], bool]) -> None:
    """Give back the places of holds soon after they have run out, for as long as `go_on` says."""
    while go_on():
        try:
            expire_holds(database, gateway, datetime.now(UTC), go_on)
        except Unavailable:
            logging.getLogger("event-booking").exception("Holds wait to be ended")
        time.sleep(POLL_INTERVAL_SECONDS)


def expire_holds(
    database: Database,
    gateway: Callable[[], PaymentGateway],
    now: datetime,
    go_on: Callable[[], bool] = lambda: True,
) -> int:
    """End the holds that have run out, and return how many payments were looked at.

    Each is called off at Stripe first, and its place freed only then, so that no place is given to somebody
    else while it can still be paid. One that turns out to be paid is confirmed. One that a bank is still at
    work on is asked about again later, and so is each when Stripe cannot be reached.
    """
    checked = 0
    while go_on() and (rows := claim_due(database, _EXPIRED, now)):
        process_concurrently(rows, lambda row: _expire_one(database, gateway, row, now))
        checked += len(rows)
        metrics.put("HoldsExpired", len(rows), "Count")
    return checked


def _expire_one(
    database: Database, gateway: Callable[[], PaymentGateway], row: Row[Any], now: datetime
) -> None:
    """End one hold, or the open payment of a booking that was cancelled."""
    if row.intent_id is not None and not _cancel_at_stripe(database, gateway(), row, now):
        return
    # In a transaction of its own, since it locks the places first.
    with database.transaction() as connection:
        present = lock_places_then_booking(connection, row.booking_id)
        # Without an id nobody was given a secret, so nobody can pay, and there is nothing to call off. One
        # that was noted since is called off the next time.
        if present.intent_id in {None, row.intent_id}:
            cancellation.expire_one(connection, row.booking_id, now)
            settlement.mark_failed(connection, row.booking_id, now)


def _cancel_at_stripe(database: Database, gateway: PaymentGateway, row: Row[Any], now: datetime) -> bool:
    """Have a payment not be paid any more, and say whether that is certain.

    One that Stripe does not know cannot be paid; it is of another account, perhaps, and left to a person too.
    """
    try:
        intent = gateway.cancel_payment_intent(row.intent_id)
    except PaymentRefused as refused:
        if refused.code != "resource_missing":
            raise
        with database.transaction() as connection:
            settlement.flag_for_review(connection, row.booking_id, "unknown-at-stripe")
        return True
    if intent.status in {"open", "processing"}:
        return False
    with database.transaction() as connection:
        settlement.settle(connection, intent, now)
    return True


_EXPIRED = claiming(and_(is_open, payments.c.open_until <= now_parameter), now_parameter + CLAIM_LEASE)
