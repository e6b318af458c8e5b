"""Reconcile: ask Stripe about open payments and refunds."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Row, and_, func, or_

from chalicelib.bookings.booking import FIRST_CHECK_AFTER
from chalicelib.payments import settlement
from chalicelib.payments.due_payments import (
    CLAIM_LEASE,
    claim_due,
    claim_statement,
    is_open,
    process_concurrently,
)
from chalicelib.payments.gateway import PaymentGateway
from chalicelib.payments.models import payments, refunds
from chalicelib.payments.refund_reports import HAS_ARRIVED, apply_refund
from chalicelib.payments.refunds import check_refunds, make_refund
from chalicelib.platform.database.columns import now_parameter
from chalicelib.platform.database.engine import Database

# A hold that ends before the lease would is left to `hold_expiry`, which could not claim it on time.
_CLAIM_PAYMENTS = claim_statement(
    or_(
        and_(is_open, payments.c.open_until >= now_parameter + CLAIM_LEASE),
        payments.c.status.in_(HAS_ARRIVED),
    ),
    func.least(
        now_parameter + FIRST_CHECK_AFTER, func.greatest(payments.c.open_until, now_parameter + CLAIM_LEASE)
    ),
)
_CLAIM_REFUNDS = claim_statement(
    refunds.c.status == "pending", now_parameter + FIRST_CHECK_AFTER, table=refunds
)


def reconcile(database: Database, gateway: Callable[[], PaymentGateway], now: datetime) -> int:
    """Ask Stripe about each payment and refund whose check is due. Return how many there were.

    This repairs the effects of lost webhooks and lost domain events.
    """
    checked = 0
    for claim, check in ((_CLAIM_PAYMENTS, _check_payment), (_CLAIM_REFUNDS, _check_refund)):
        while rows := claim_due(database, claim, now):
            process_concurrently(rows, partial(check, database, gateway, now))
            checked += len(rows)
    return checked


def _check_payment(
    database: Database, gateway: Callable[[], PaymentGateway], now: datetime, row: Row[Any]
) -> None:
    if row.intent_id is None:
        return
    if row.status in HAS_ARRIVED:
        check_refunds(database, gateway(), row.booking_id, row.intent_id, now)
        return
    settlement.settle_without_webhook(database, gateway().get_payment_intent(row.intent_id), now)


def _check_refund(
    database: Database, gateway: Callable[[], PaymentGateway], now: datetime, row: Row[Any]
) -> None:
    if row.stripe_refund_id is None:
        make_refund(database, gateway(), row.refund_id, now)
        return
    refund = gateway().get_refund(row.stripe_refund_id)
    with database.transaction() as connection:
        apply_refund(connection, refund, now)
