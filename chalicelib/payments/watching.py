"""Watching: what schedules do about payments and refunds that nobody has told the end of."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Integer,
    Row,
    Update,
    and_,
    bindparam,
    func,
    or_,
    select,
    update,
)

from chalicelib import metrics
from chalicelib.bookings import endings, holds
from chalicelib.bookings.ledger import payments
from chalicelib.bookings.service import FIRST_LOOK
from chalicelib.db import Database
from chalicelib.errors import Unavailable
from chalicelib.payments import refunding, settling
from chalicelib.ports import PaymentGateway, PaymentRefused

AT_ONCE = 100
"""Rows that are taken from the ledger in one go."""
LINES = 8
"""Calls to Stripe at a time: it takes 100 in a second, and a rush of holds ends in a minute."""
PAUSE = 1.0
"""Seconds between looks for holds that have run out."""
LEASE = timedelta(seconds=45)
"""After which what was taken is taken again, if its process died or Stripe did not answer."""

T = TypeVar("T")


def watch_holds(database: Database, gateway: Callable[[], PaymentGateway], go_on: Callable[[], bool]) -> None:
    """Give back the places of holds soon after they have run out, for as long as `go_on` says."""
    while go_on():
        try:
            expire(database, gateway, datetime.now(UTC), go_on)
        except Unavailable:
            logging.getLogger("event-booking").exception("Holds wait to be ended")
        time.sleep(PAUSE)


def expire(
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
    looked_at = 0
    while go_on() and (rows := _take(database, _LAPSED, now)):
        _at_once(rows, lambda row: _end_one(database, gateway, row, now))
        looked_at += len(rows)
        metrics.put("HoldsEnded", len(rows), "Count")
    return looked_at


def _end_one(database: Database, gateway: Callable[[], PaymentGateway], row: Row[Any], now: datetime) -> None:
    """End one hold, or the open payment of a booking that was cancelled."""
    if row.intent_id is not None and not _call_off(database, gateway(), row, now):
        return
    # In a transaction of its own, since it locks the places first.
    with database.transaction() as session:
        endings.lock_its_places(session, row.booking_id)
        present = holds.lock(session, row.booking_id)
        # Without an id nobody was given a secret, so nobody can pay, and there is nothing to call off. One
        # that was noted since is called off the next time.
        if present.intent_id in {None, row.intent_id}:
            endings.expire(session, row.booking_id, now)
            settling.close(session, row.booking_id, now)


def _call_off(database: Database, gateway: PaymentGateway, row: Row[Any], now: datetime) -> bool:
    """Have a payment not be paid any more, and say whether that is certain.

    One that Stripe does not know cannot be paid; it is of another account, perhaps, and left to a person too.
    """
    try:
        intent = gateway.call_off(row.intent_id)
    except PaymentRefused as refused:
        if refused.code != "resource_missing":
            raise
        with database.transaction() as session:
            settling.flag(session, row.booking_id, "unknown-at-stripe")
        return True
    if intent.status in {"open", "processing"}:
        return False
    with database.transaction() as session:
        settling.settle(session, intent, now)
    return True


def reconcile(database: Database, gateway: Callable[[], PaymentGateway], now: datetime) -> int:
    """Ask Stripe about each payment and refund that is not settled and due to be asked about.

    So what webhooks and facts should have told comes true without them. Returns how many there were.
    """
    looked_at = 0
    while rows := _take(database, _UNSETTLED, now):
        _at_once(rows, lambda row: _ask(database, gateway, row, now))
        looked_at += len(rows)
    return looked_at


def _ask(database: Database, gateway: Callable[[], PaymentGateway], row: Row[Any], now: datetime) -> None:
    if row.status == "refund_pending" and row.refund_id is None:
        refunding.refund(database, gateway(), row.booking_id, now)
    elif row.status == "refund_pending":
        refund = gateway().look_up_refund(row.refund_id)
        with database.transaction() as session:
            refunding.note(session, refund, now)
    elif row.intent_id is not None:
        intent = gateway().look_up(row.intent_id)
        with database.transaction() as session:
            settling.settle(session, intent, now)


def _take(database: Database, statement: Update, now: datetime) -> Sequence[Row[Any]]:
    """Take rows that are due, so that no other process asks about them until their next time."""
    with database.transaction() as session:
        return session.execute(statement, {"now": now, "at_most": AT_ONCE}).all()


_now = bindparam("now", type_=DateTime(timezone=True))


def _taking(which: ColumnElement[bool], next_look_at: ColumnElement[datetime]) -> Update:
    due = (
        select(payments.c.booking_id)
        .where(payments.c.next_look_at <= _now, which)
        .order_by(payments.c.next_look_at)
        .limit(bindparam("at_most", type_=Integer))
        .with_for_update(key_share=True, skip_locked=True)
    )
    return (
        update(payments)
        .where(payments.c.booking_id.in_(due))
        .values(next_look_at=next_look_at)
        .returning(payments.c.booking_id, payments.c.status, payments.c.intent_id, payments.c.refund_id)
    )


_open = payments.c.status == "requires_payment"
_LAPSED = _taking(and_(_open, payments.c.open_until <= _now), _now + LEASE)
_UNSETTLED = _taking(
    or_(and_(_open, payments.c.open_until > _now), payments.c.status == "refund_pending"),
    func.least(_now + FIRST_LOOK, func.greatest(payments.c.open_until, _now + LEASE)),
)


def _at_once(rows: Sequence[T], work: Callable[[T], None]) -> None:
    """Do the work of each, some at a time; what fails is logged, and taken up again when its time comes."""

    def one(row: T) -> None:
        try:
            work(row)
        except Exception:  # one that cannot be done keeps none of the others from being done
            logging.getLogger("event-booking").exception("A payment waits to be asked about")

    with ThreadPoolExecutor(min(LINES, len(rows))) as lines:
        list(lines.map(one, rows))
