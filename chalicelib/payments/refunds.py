"""Refunds: make the refunds that are due, and check those that were made.

Domain events and the reconciler may call these functions in any order, any number of times.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Integer, Row, Uuid, bindparam, select

from chalicelib.domain_events import PaymentRefundDue
from chalicelib.payments import refund_states
from chalicelib.payments.gateway import DueRefund, PaymentGateway, PaymentRefused, Refund
from chalicelib.payments.locks import lock_places_then_booking
from chalicelib.payments.models import is_waiting, payments, refunds
from chalicelib.payments.refund_reports import apply_listed, apply_refund
from chalicelib.platform.database.engine import Database
from chalicelib.platform.messaging.ports import DomainEvent

_MAX_INTEGER = 2**31 - 1

_DUE = (
    select(
        refunds.c.refund_id,
        refunds.c.booking_id,
        refunds.c.amount,
        refunds.c.attempt,
        payments.c.currency,
        payments.c.intent_id,
    )
    .join(payments, payments.c.booking_id == refunds.c.booking_id)
    .where(
        refunds.c.refund_id == bindparam("this_refund", type_=Uuid),
        is_waiting,
        refunds.c.attempt <= bindparam("max_attempt", type_=Integer),
        payments.c.intent_id.is_not(None),
    )
)
_STATES = (
    select(
        payments.c.refunded_amount,
        refunds.c.refund_id,
        refunds.c.status,
        refunds.c.amount,
        refunds.c.attempt,
        refunds.c.stripe_refund_id,
    )
    .outerjoin(refunds, refunds.c.booking_id == payments.c.booking_id)
    .where(payments.c.booking_id == bindparam("this_booking", type_=Uuid))
    .order_by(refunds.c.refund_id)
)


def handle_refund_due(
    database: Database, gateway: PaymentGateway, domain_event: DomainEvent, now: datetime
) -> None:
    """Make the first attempt of the refund that a domain event reports as due. The reconciler retries it.

    Raises:
        Unreachable, Unavailable: The message must be redelivered.
    """
    refund_id = PaymentRefundDue.from_json(domain_event.body).refund_id
    make_refund(database, gateway, refund_id, now, max_attempt=0)


def make_refund(
    database: Database,
    gateway: PaymentGateway,
    refund_id: UUID,
    now: datetime,
    max_attempt: int = _MAX_INTEGER,
) -> None:
    """Make a refund that is due, if Stripe has not accepted it yet.

    No transaction is open during the call to Stripe. Crash-safe: a repetition sends the same request with the
    same idempotency key. If Stripe rejects the refund, the reconciler retries it later.

    Raises:
        Unreachable, Unavailable: Retry the call.
    """
    with database.transaction() as connection:
        due = _find_due(connection, refund_id, max_attempt)
        if due is None:
            return
        before = _states(connection, due.booking_id)
    try:
        made = gateway.create_refund(_due_refund(due))
    except PaymentRefused as refused:
        listed = _list_refunds(gateway, due.intent_id)
        with database.transaction() as connection:
            _handle_refused(connection, due, before, listed, refused.code, now)
        return
    with database.transaction() as connection:
        apply_refund(connection, made, now)


def _find_due(connection: Connection, refund_id: UUID, max_attempt: int) -> Any:
    values = {"this_refund": refund_id, "max_attempt": max_attempt}
    return connection.execute(_DUE, values).one_or_none()


def _due_refund(row: Row[Any]) -> DueRefund:
    return DueRefund(
        refund_id=row.refund_id,
        booking_id=row.booking_id,
        intent_id=row.intent_id,
        amount=row.amount,
        currency=row.currency,
        attempt=row.attempt,
    )


def _list_refunds(gateway: PaymentGateway, intent_id: str) -> list[Refund]:
    try:
        return gateway.list_refunds(intent_id)
    except PaymentRefused:  # the payment is unknown at Stripe
        return []


def _handle_refused(
    connection: Connection,
    due: Row[Any],
    before: list[tuple[Any, ...]],
    listed: list[Refund],
    reason: str,
    now: datetime,
) -> None:
    """Handle a rejected refund: the money may have gone back already, wholly or in part.

    It did so by an attempt whose response was lost, or in Stripe's dashboard.
    """
    payment = lock_places_then_booking(connection, due.booking_id)
    if _states(connection, due.booking_id) != before:
        return  # another process has handled it, or the next check of the refund does
    apply_listed(connection, payment, listed, now)
    if _find_due(connection, due.refund_id, max_attempt=due.attempt) is not None:
        refund_states.fail(connection, due, reason, now)


def check_refunds(
    database: Database, gateway: PaymentGateway, booking_id: UUID, intent_id: str, now: datetime
) -> None:
    """Ask Stripe for all refunds of a payment, and apply them.

    Raises:
        PaymentRefused, Unreachable, Unavailable: Retry the call.
    """
    with database.transaction() as connection:
        before = _states(connection, booking_id)
    listed = gateway.list_refunds(intent_id)
    with database.transaction() as connection:
        payment = lock_places_then_booking(connection, booking_id)
        if _states(connection, booking_id) == before:
            apply_listed(connection, payment, listed, now)


def _states(connection: Connection, booking_id: UUID) -> list[tuple[Any, ...]]:
    """Return what must not change while Stripe lists its refunds, because the list would be outdated."""
    return [tuple(row) for row in connection.execute(_STATES, {"this_booking": booking_id})]
