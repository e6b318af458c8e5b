"""Expire unpaid holds: cancel the payment at Stripe, then free the place."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Row, and_, func, select

from chalicelib.bookings import cancellation
from chalicelib.payments import settlement
from chalicelib.payments.balances import flag_for_review
from chalicelib.payments.due_payments import (
    CLAIM_LEASE,
    claim_due,
    claim_statement,
    is_open,
    process_concurrently,
)
from chalicelib.payments.gateway import PaymentGateway, PaymentRefused
from chalicelib.payments.locks import lock_places_then_booking
from chalicelib.payments.models import payments
from chalicelib.platform.clock import SYSTEM_CLOCK, Clock
from chalicelib.platform.database.columns import now_parameter
from chalicelib.platform.database.engine import Database
from chalicelib.platform.observability import metrics
from chalicelib.platform.polling import HORIZON, poll

_CLAIM_EXPIRED = claim_statement(
    and_(is_open, payments.c.open_until <= now_parameter), now_parameter + CLAIM_LEASE
)


def run(
    database: Database,
    gateway: Callable[[], PaymentGateway],
    keep_going: Callable[[], bool],
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Expire the holds whose time is over, and go on while more end within the minute."""
    poll(
        lambda now: expire_holds(database, gateway, now, keep_going),
        partial(next_due, database),
        keep_going=keep_going,
        clock=clock,
    )


def next_due(database: Database, after: datetime) -> datetime | None:
    """Return when the next hold ends, if that is within the minute.

    A hold that has ended and waits for Stripe is checked once a minute, and does not keep the schedule busy.
    """
    ends = select(func.min(payments.c.open_until)).where(
        is_open,
        payments.c.open_until > after,
        payments.c.open_until <= after + HORIZON,
        payments.c.next_check_at <= after + HORIZON,  # for its index: it is not after the end of the hold
    )
    with database.transaction() as connection:
        due: datetime | None = connection.scalar(ends)
    return due


def expire_holds(
    database: Database,
    gateway: Callable[[], PaymentGateway],
    now: datetime,
    keep_going: Callable[[], bool] = lambda: True,
) -> int:
    """Expire the holds whose time is over. Return how many payments were checked.

    The payment is canceled at Stripe before the place is freed, so that a freed place can no longer be paid
    for. If the payment has succeeded in the meantime, the booking is confirmed. If a bank is processing it,
    or Stripe is unreachable, the hold stays until the next check.
    """
    checked = 0
    while keep_going() and (rows := claim_due(database, _CLAIM_EXPIRED, now)):
        process_concurrently(rows, lambda row: _expire_one(database, gateway, row, now))
        checked += len(rows)
        metrics.put("HoldsExpired", len(rows), "Count")
    return checked


def _expire_one(
    database: Database, gateway: Callable[[], PaymentGateway], row: Row[Any], now: datetime
) -> None:
    """Expire one hold, or close the open payment of a cancelled booking."""
    if row.intent_id is not None and not _cancel_at_stripe(database, gateway(), row, now):
        return
    # A transaction of its own, because the places must be locked first.
    with database.transaction() as connection:
        locked = lock_places_then_booking(connection, row.booking_id)
        # Without a PaymentIntent the attendee has no client secret and cannot pay. If one was stored since
        # the claim, it is canceled at the next check.
        if locked.intent_id in {None, row.intent_id}:
            cancellation.expire_one(connection, row.booking_id, now)
            settlement.mark_failed(connection, row.booking_id, now)


def _cancel_at_stripe(database: Database, gateway: PaymentGateway, row: Row[Any], now: datetime) -> bool:
    """Cancel a payment at Stripe. Return whether it is certain that the payment can no longer succeed.

    A payment that is unknown at Stripe cannot succeed. It may belong to another Stripe account, so it is
    flagged.
    """
    try:
        intent = gateway.cancel_payment_intent(row.intent_id)
    except PaymentRefused as refused:
        if refused.code != "resource_missing":
            raise
        with database.transaction() as connection:
            flag_for_review(connection, row.booking_id, "unknown-at-stripe")
        return True
    if intent.status in {"open", "processing"}:
        return False
    settlement.settle_without_webhook(database, intent, now)
    return True
