"""Reconcile: ask Stripe about open payments and refunds."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, func, or_

from chalicelib.bookings.booking import FIRST_CHECK_AFTER
from chalicelib.payments import refunds, settlement
from chalicelib.payments.due_payments import (
    CLAIM_LEASE,
    claim_due,
    claim_statement,
    is_open,
    process_concurrently,
)
from chalicelib.payments.gateway import PaymentGateway
from chalicelib.payments.models import payments
from chalicelib.platform.database.columns import now_parameter
from chalicelib.platform.database.engine import Database

_CLAIM_UNSETTLED = claim_statement(
    or_(
        and_(is_open, payments.c.open_until > now_parameter),
        payments.c.status.in_(["refund_pending", "paid", "partly_refunded"]),
    ),
    func.least(
        now_parameter + FIRST_CHECK_AFTER, func.greatest(payments.c.open_until, now_parameter + CLAIM_LEASE)
    ),
)


def reconcile(database: Database, gateway: Callable[[], PaymentGateway], now: datetime) -> int:
    """Ask Stripe about each payment and refund whose check is due. Return how many there were.

    This repairs the effects of lost webhooks and lost domain events.
    """
    checked = 0
    while rows := claim_due(database, _CLAIM_UNSETTLED, now):
        process_concurrently(rows, lambda row: _reconcile_one(database, gateway, row, now))
        checked += len(rows)
    return checked


def _reconcile_one(
    database: Database, gateway: Callable[[], PaymentGateway], row: Row[Any], now: datetime
) -> None:
    if row.status == "refund_pending" and row.refund_id is None:
        refunds.make_refund(database, gateway(), row.booking_id, now)
    elif row.status == "refund_pending":
        refund = gateway().get_refund(row.refund_id)
        with database.transaction() as connection:
            refunds.apply_refund(connection, refund, now)
    elif row.status in {"paid", "partly_refunded"}:
        refunds.check_refunded_total(database, gateway(), row.intent_id, row.currency, now)
    elif row.intent_id is not None:
        intent = gateway().get_payment_intent(row.intent_id)
        with database.transaction() as connection:
            settlement.settle(connection, intent, now)
