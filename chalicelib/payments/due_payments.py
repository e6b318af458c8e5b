"""Claim payments and refunds whose next check is due, and process them concurrently."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Integer, Row, Table, Update, bindparam, select, update

from chalicelib.payments.models import payments
from chalicelib.platform.database.columns import now_parameter
from chalicelib.platform.database.engine import Database
from chalicelib.platform.observability import logs, request_context

BATCH_SIZE = 100
"""Payments or refunds per claim."""

STRIPE_CONCURRENCY = 8
"""Concurrent calls to Stripe. Stripe admits 100 per second, and a rush of holds expires within a minute."""

CLAIM_LEASE = timedelta(seconds=45)
"""When a claimed row can be claimed again, if the process died or Stripe did not respond."""

T = TypeVar("T")

is_open = payments.c.status == "requires_payment"


def claim_statement(
    condition: ColumnElement[bool],
    next_check_at: ColumnElement[datetime],
    *,
    table: Table = payments,
) -> Update:
    """Build the statement that claims due rows with a condition and schedules their next check."""
    (key,) = table.primary_key
    due = (
        select(key)
        .where(table.c.next_check_at <= now_parameter, condition)
        .order_by(table.c.next_check_at)
        .limit(bindparam("batch_size", type_=Integer))
        .with_for_update(key_share=True, skip_locked=True)
    )
    return update(table).where(key.in_(due)).values(next_check_at=next_check_at).returning(table)


def claim_due(database: Database, statement: Update, now: datetime) -> Sequence[Row[Any]]:
    """Claim a batch of due rows, so that no other process checks them before their next check."""
    with database.transaction() as connection:
        return connection.execute(statement, {"now": now, "batch_size": BATCH_SIZE}).all()


def process_concurrently(rows: Sequence[T], process: Callable[[T], None]) -> None:
    """Process rows concurrently. A failure is logged; the row is retried at its next check."""

    def process_or_log(row: T) -> None:
        with request_context.scope(bookingId=getattr(row, "booking_id", None)):
            try:
                process(row)
            except Exception:  # noqa: BLE001 (one failure must not stop the other rows)
                logs.exception("payment check failed")

    with ThreadPoolExecutor(min(STRIPE_CONCURRENCY, len(rows))) as executor:
        contexts = [copy_context() for _ in rows]
        list(executor.map(lambda context, row: context.run(process_or_log, row), contexts, rows))
