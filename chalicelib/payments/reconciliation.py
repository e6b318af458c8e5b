"""Reconcile: ask Stripe about open payments and refunds."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, func, or_

from chalicelib.bookings.booking import FIRST_CHECK_AFTER
from chalicelib.payments import refunds, settlement
from chalicelib.payments.due import (
    CLAIM_LEASE,
    claim_due,
    claiming,
    is_open,
    now_parameter,
    process_concurrently,
)
from chalicelib.payments.gateway import PaymentGateway
from chalicelib.payments.models import payments
from chalicelib.platform.database.engine import Database


def reconcile(database: Database, gateway: Callable[[], PaymentGateway], now: datetime) -> int:
    """Ask Stripe about each payment and refund that is not settled and due to be asked about.

    So what webhooks and domain events should have told comes true without them. Returns how many there were.
    """
    checked = 0
    while rows := claim_due(database, _UNSETTLED, now):
        process_concurrently(rows, lambda row: _reconcile_one(database, gateway, row, now))
        checked += len(rows)
    return checked


def _reconcile_one(
    database: Database, gateway: Callable[[], PaymentGateway], row: Row[Any], now: datetime
) -> None:
    if row.status == "refund_pending" and row.refund_id is None:
        refunds.refund(database, gateway(), row.booking_id, now)
    elif row.status == "refund_pending":
        refund = gateway().get_refund(row.refund_id)
        with database.transaction() as connection:
            refunds.apply_refund(connection, refund, now)
    elif row.intent_id is not None:
        intent = gateway().get_payment_intent(row.intent_id)
        with database.transaction() as connection:
            settlement.settle(connection, intent, now)


_UNSETTLED = claiming(
    or_(and_(is_open, payments.c.open_until > now_parameter), payments.c.status == "refund_pending"),
    func.least(
        now_parameter + FIRST_CHECK_AFTER, func.greatest(payments.c.open_until, now_parameter + CLAIM_LEASE)
    ),
)
