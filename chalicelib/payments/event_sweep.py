"""Sweep Stripe's events: list what has changed at Stripe, and apply the events whose webhooks were lost."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Text, any_, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY, insert

from chalicelib.payments import settlement, stripe_events
from chalicelib.payments.gateway import PaymentGateway, PaymentRefused
from chalicelib.payments.models import payments, stripe_sweeps
from chalicelib.payments.models import stripe_events as recorded_events
from chalicelib.payments.settlement import Outcome
from chalicelib.payments.stripe_events import NotAnEvent, StripeEvent
from chalicelib.platform.database.engine import Database
from chalicelib.platform.errors import Unreachable
from chalicelib.platform.observability import logs, metrics, request_context

STRIPE_RETENTION = timedelta(days=30)
"""How long Stripe lists events (docs.stripe.com/api/events)."""

OVERLAP = timedelta(minutes=5)
"""Listed again by each sweep, because clocks differ and an event may be listed late."""

WINDOW = timedelta(hours=6)
"""The time that is listed before the mark is stored: an interrupted sweep continues there."""

IN_FLIGHT = timedelta(seconds=10)
"""The age until which an event's webhook may be on its way. It is applied, but not counted as missed."""

_KNOWN = select(recorded_events.c.stripe_event_id).where(
    recorded_events.c.stripe_event_id == any_(bindparam("ids", type_=ARRAY(Text)))
)


def sweep(
    database: Database,
    gateway: Callable[[], PaymentGateway],
    *,
    livemode: bool,
    now: datetime,
    keep_going: Callable[[], bool] = lambda: True,
) -> int:
    """Apply the events since the stored mark that are not recorded yet. Return how many.

    Each event counts once, whether its webhook or a sweep comes first. If Stripe cannot be reached, the next
    sweep continues from the mark.

    Raises:
        Unavailable
    """
    applied = 0
    since = _mark(database, livemode=livemode, now=now)
    try:
        while since < now and keep_going():
            until = min(since + WINDOW, now)
            for page in gateway().list_events(stripe_events.TYPES, since - OVERLAP, until):
                applied += _apply_unknown(database, page, livemode=livemode, now=now)
            _store_mark(database, until, livemode=livemode)
            since = until
    except (Unreachable, PaymentRefused):
        logs.exception("sweep of Stripe's events failed")
    return applied


def _mark(database: Database, *, livemode: bool, now: datetime) -> datetime:
    """Return the time until which events were swept; at first, the time of the first payment."""
    with database.transaction() as connection:
        mark = connection.scalar(
            select(stripe_sweeps.c.swept_until).where(stripe_sweeps.c.livemode == livemode)
        )
        if mark is None:
            mark = connection.scalar(select(func.min(payments.c.created_at)))
    return max(now - STRIPE_RETENTION, mark or now - OVERLAP)


def _store_mark(database: Database, until: datetime, *, livemode: bool) -> None:
    """Store the mark. A concurrent sweep may have moved it further."""
    new = insert(stripe_sweeps).values(livemode=livemode, swept_until=until)
    forward = func.greatest(stripe_sweeps.c.swept_until, new.excluded.swept_until)
    with database.transaction() as connection:
        connection.execute(
            new.on_conflict_do_update(index_elements=["livemode"], set_={"swept_until": forward})
        )


def _apply_unknown(
    database: Database, page: Sequence[Mapping[str, Any]], *, livemode: bool, now: datetime
) -> int:
    """Apply the events of a page that are not recorded, the oldest first. Return how many."""
    with database.transaction() as connection:
        known = set(connection.scalars(_KNOWN, {"ids": [event["id"] for event in page]}))
    applied = 0
    for event in reversed(page):
        if event["id"] in known:
            continue
        with request_context.scope():
            try:
                parsed = stripe_events.parse_object(event)
                outcome = stripe_events.receive(database, parsed, livemode=livemode, now=now)
            except NotAnEvent:  # it must not stop the others
                logs.exception("malformed event", stripeEventId=str(event["id"]))
                continue
            if outcome is not None:
                applied += 1
                _count_missed(parsed, outcome, now)
    return applied


def _count_missed(event: StripeEvent, outcome: Outcome, now: datetime) -> None:
    if event.created is None or now - event.created < IN_FLIGHT:
        return
    metrics.put("WebhooksMissed", 1, "Count")
    logs.warning("webhook missed", outcome=outcome)
    if outcome == "confirmed":
        settlement.count_reconciled()
