"""States of refunds: accepted by Stripe, refunded, failed, or covered by money that has gone back otherwise.

The refund's payment must be locked. Its balance must be updated afterwards, see `rebalance`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Text, Uuid, bindparam, or_, select, update

from chalicelib.payments.balances import left, log_flag
from chalicelib.payments.gateway import Refund
from chalicelib.payments.models import is_waiting, refunds
from chalicelib.platform.database.columns import now_parameter
from chalicelib.platform.observability import logs, metrics

RETRY_BACKOFF = (
    timedelta(minutes=1),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=6),
    timedelta(hours=24),
)
"""Back-off after each failed attempt. After the sixth, the refund is flagged for manual handling."""

PENDING_CHECK_INTERVAL = timedelta(hours=1)
"""A bank may take days for a refund that Stripe has accepted."""

REFUND_FAILED = "refund-failed"
"""The flag of a refund that could not be made, and of a payment whose refund in the dashboard has failed."""

_of_payment = refunds.c.booking_id == bindparam("this_booking", type_=Uuid)
_ALL = select(refunds).where(_of_payment).order_by(refunds.c.created_at, refunds.c.refund_id)
_FIND = (
    select(refunds)
    .where(
        _of_payment,
        or_(
            refunds.c.stripe_refund_id == bindparam("at_stripe", type_=Text),
            refunds.c.refund_id == bindparam("this_refund", type_=Uuid),
        ),
    )
    .order_by((refunds.c.stripe_refund_id == bindparam("at_stripe", type_=Text)).desc().nulls_last())
    .limit(1)
)
_SET = update(refunds).where(refunds.c.refund_id == bindparam("this_refund", type_=Uuid))
_RETRY = update(refunds).where(_of_payment, is_waiting).values(next_check_at=now_parameter, flag=None)


def all_of(connection: Connection, booking_id: UUID) -> Sequence[Row[Any]]:
    """Return the refunds of a payment, the oldest first."""
    return connection.execute(_ALL, {"this_booking": booking_id}).all()


def find(connection: Connection, booking_id: UUID, reported: Refund) -> Row[Any] | None:
    """Find the refund that Stripe reports, by Stripe's id or by the id in its metadata."""
    values = {
        "this_booking": booking_id,
        "at_stripe": reported.stripe_refund_id,
        "this_refund": reported.refund_id,
    }
    return connection.execute(_FIND, values).one_or_none()


def waits(refund: Row[Any]) -> bool:
    """Whether Stripe has not accepted the refund, as far as is known here."""
    return bool(refund.status == "pending" and refund.stripe_refund_id is None)


def accept(
    connection: Connection, refund: Row[Any], reported: Refund, now: datetime, *, amount: int | None = None
) -> None:
    """Record that Stripe has accepted a refund, and whether it has succeeded.

    `amount` is given if the accepted attempt may have had another one.
    """
    succeeded = reported.status == "succeeded"
    _update(
        connection,
        refund,
        now,
        status="refunded" if succeeded else "pending",
        stripe_refund_id=reported.stripe_refund_id,
        amount=refund.amount if amount is None else amount,
        refunded_at=now if succeeded else None,
        next_check_at=None if succeeded else now + PENDING_CHECK_INTERVAL,
        flag=None,
    )
    if succeeded:
        metrics.put("Refunds", 1, "Count", outcome="refunded")


def record_paid(connection: Connection, refund: Row[Any], now: datetime) -> None:
    """Record that a person has paid the money back past Stripe."""
    _update(connection, refund, now, status="refunded", refunded_at=now, next_check_at=None, flag=None)
    metrics.put("Refunds", 1, "Count", outcome="refunded")


def fail(connection: Connection, refund: Row[Any], reason: str, now: datetime) -> bool:
    """Count a failed attempt and schedule the next one, with its own idempotency key.

    Return whether it was the last attempt, so that the refund is flagged instead.
    """
    attempt: int = refund.attempt
    is_last = attempt >= len(RETRY_BACKOFF)
    _update(
        connection,
        refund,
        now,
        status="pending",
        stripe_refund_id=None,
        refunded_at=None,
        attempt=attempt + 1,
        next_check_at=None if is_last else now + RETRY_BACKOFF[attempt],
        flag=REFUND_FAILED if is_last else None,
    )
    metrics.put("Refunds", 1, "Count", outcome="failed")
    logs.warning("refund failed", bookingId=str(refund.booking_id), attempt=attempt, reason=reason)
    if is_last:
        log_flag(refund.booking_id, REFUND_FAILED)
    return is_last


def retry(connection: Connection, booking_id: UUID, now: datetime) -> None:
    """Schedule an immediate retry of refunds that were rejected during a dispute or that are flagged."""
    connection.execute(_RETRY.values(updated_at=now), {"this_booking": booking_id, "now": now})


def reduce_to_left(connection: Connection, payment: Row[Any], now: datetime) -> None:
    """Reduce the refunds that wait to what is left of the payment, the newest first.

    Another amount is another request, and so another attempt.
    """
    excess = -left(payment)
    for refund in reversed(all_of(connection, payment.booking_id)):
        if excess <= 0:
            return
        if not waits(refund):
            continue
        if refund.amount <= excess:
            _update(connection, refund, now, status="covered", next_check_at=None, flag=None)
        else:
            _update(
                connection,
                refund,
                now,
                amount=refund.amount - excess,
                attempt=refund.attempt + 1,
                next_check_at=now,
                flag=None,
            )
        excess -= refund.amount


def _update(connection: Connection, refund: Row[Any], now: datetime, **values: Any) -> None:
    connection.execute(_SET.values(**values, updated_at=now), {"this_refund": refund.refund_id})
