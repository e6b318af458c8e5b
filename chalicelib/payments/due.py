"""Claim payments whose next check is due, and process them concurrently."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, DateTime, Integer, Row, Update, bindparam, select, update

from chalicelib.payments.models import payments
from chalicelib.platform.database.engine import Database

BATCH_SIZE = 100
"""Rows that are taken from the ledger in one go."""

STRIPE_CONCURRENCY = 8
"""Calls to Stripe at a time: it takes 100 in a second, and a rush of holds ends in a minute."""

CLAIM_LEASE = timedelta(seconds=45)
"""After which what was taken is taken again, if its process died or Stripe did not answer."""

T = TypeVar("T")


def claim_due(database: Database, statement: Update, now: datetime) -> Sequence[Row[Any]]:
    """Take rows that are due, so that no other process asks about them until their next time."""
    with database.transaction() as connection:
        return connection.execute(statement, {"now": now, "at_most": BATCH_SIZE}).all()


now_parameter = bindparam("now", type_=DateTime(timezone=True))


def claiming(which: ColumnElement[bool], next_check_at: ColumnElement[datetime]) -> Update:
    due = (
        select(payments.c.booking_id)
        .where(payments.c.next_check_at <= now_parameter, which)
        .order_by(payments.c.next_check_at)
        .limit(bindparam("at_most", type_=Integer))
        .with_for_update(key_share=True, skip_locked=True)
    )
    return (
        update(payments)
        .where(payments.c.booking_id.in_(due))
        .values(next_check_at=next_check_at)
        .returning(payments.c.booking_id, payments.c.status, payments.c.intent_id, payments.c.refund_id)
    )


is_open = payments.c.status == "requires_payment"


def process_concurrently(rows: Sequence[T], work: Callable[[T], None]) -> None:
    """Do the work of each, some at a time; what fails is logged, and taken up again when its time comes."""

    def one(row: T) -> None:
        try:
            work(row)
        except Exception:  # one that cannot be done keeps none of the others from being done
            logging.getLogger("event-booking").exception("A payment waits to be asked about")

    with ThreadPoolExecutor(min(STRIPE_CONCURRENCY, len(rows))) as lines:
        list(lines.map(one, rows))
