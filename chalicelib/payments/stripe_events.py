"""Stripe's events: record each event once and apply it in the same transaction."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert

from chalicelib.payments import disputes, refund_reports, settlement, stripe_objects
from chalicelib.payments.models import stripe_events
from chalicelib.payments.settlement import FOREIGN, Effect, Outcome
from chalicelib.payments.stripe_objects import is_short_text
from chalicelib.platform.database.engine import Database
from chalicelib.platform.errors import InvalidInput
from chalicelib.platform.observability import metrics, request_context

_MAX_LISTED = 200

RETENTION = timedelta(days=90)
"""Longer than Stripe redelivers an event: three days automatically, thirty days by hand."""


_FOREIGN_PAYMENTS = (
    select(stripe_events.c.object_id, stripe_events.c.stripe_event_id, stripe_events.c.happened_at)
    .where(stripe_events.c.type == "payment_intent.succeeded", stripe_events.c.outcome == "foreign")
    .order_by(stripe_events.c.received_at.desc())
    .limit(_MAX_LISTED)
)


class NotAnEvent(InvalidInput):
    """The body is not a Stripe event."""


@dataclass(frozen=True, kw_only=True)
class StripeEvent:
    """The members of an event that this system uses."""

    event_id: str
    type: str
    created: datetime | None
    livemode: bool
    account: str | None
    """The connected account of the event, or None for the own account."""
    object: Mapping[str, Any]


def parse(body: bytes) -> StripeEvent:
    """Parse an event. Its signature must have been checked.

    Raises:
        NotAnEvent: The body is malformed.
    """
    try:
        event = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NotAnEvent from error
    return parse_object(event)


def parse_object(event: Any) -> StripeEvent:
    """Parse an event from its JSON object.

    Raises:
        NotAnEvent: The object is malformed.
    """
    try:
        stripe_object = event["data"]["object"]
        created = event.get("created")
        parsed = StripeEvent(
            event_id=event["id"],
            type=event["type"],
            created=datetime.fromtimestamp(created, UTC) if created is not None else None,
            livemode=bool(event.get("livemode")),
            account=event.get("account"),
            object=stripe_object,
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise NotAnEvent from error
    except (OverflowError, OSError) as error:  # `created` is out of range
        raise NotAnEvent from error
    if not isinstance(stripe_object, dict) or not is_short_text(parsed.event_id):
        raise NotAnEvent
    if not is_short_text(parsed.type):
        raise NotAnEvent
    return parsed


def receive(database: Database, event: StripeEvent, *, livemode: bool, now: datetime) -> Outcome | None:
    """Record an event and apply it. Return None if it was recorded before.

    An event of another account or mode, of an unknown type, or not about a booking is recorded without
    effect.

    Raises:
        Unavailable: The event was not recorded; Stripe must redeliver it.
    """
    request_context.add(stripeEventId=event.event_id, stripeEventType=event.type)
    with database.transaction() as connection:
        if not _record(connection, event, now):
            metrics.put("WebhookEvents", 1, "Count", outcome="duplicate")
            return None
        outcome = _apply_own(connection, event, livemode=livemode, now=now)
    metrics.put("WebhookEvents", 1, "Count", outcome=outcome)
    return outcome


def replay(connection: Connection, event: StripeEvent, *, livemode: bool, now: datetime) -> Outcome:
    """Apply an event, even if it was applied before. Only the notice of a failed payment is then repeated."""
    _record(connection, event, now)
    return _apply_own(connection, event, livemode=livemode, now=now)


def _apply_own(connection: Connection, event: StripeEvent, *, livemode: bool, now: datetime) -> Outcome:
    """Apply a recorded event, unless it is of another account or mode, and store the outcome."""
    if event.account is not None or event.livemode != livemode:
        outcome, booking_id = FOREIGN
    else:
        outcome, booking_id = _apply(connection, event, now)
    connection.execute(
        update(stripe_events)
        .where(stripe_events.c.stripe_event_id == event.event_id)
        .values(outcome=outcome, booking_id=booking_id)
    )
    request_context.add(bookingId=booking_id)
    return outcome


def _record(connection: Connection, event: StripeEvent, now: datetime) -> bool:
    """Insert the event, after any concurrent delivery of it. Return False if it was recorded before."""
    object_id = event.object.get("id")
    recorded = connection.execute(
        insert(stripe_events)
        .values(
            stripe_event_id=event.event_id,
            type=event.type,
            object_id=object_id if is_short_text(object_id) else None,
            outcome="ignored",
            happened_at=event.created,
            received_at=now,
        )
        .on_conflict_do_nothing()
        .returning(stripe_events.c.stripe_event_id)
    )
    return recorded.first() is not None


_HANDLERS: dict[
    str, tuple[Callable[[Mapping[str, Any]], Any], Callable[[Connection, Any, datetime], Effect]]
] = {
    "payment_intent.succeeded": (stripe_objects.parse_payment_intent, settlement.settle),
    "payment_intent.canceled": (stripe_objects.parse_payment_intent, settlement.settle),
    "payment_intent.payment_failed": (stripe_objects.parse_payment_intent, settlement.record_failure),
    "charge.refunded": (stripe_objects.parse_refunded_total, refund_reports.apply_refunded_total),
    "refund.created": (stripe_objects.parse_refund, refund_reports.apply_refund),
    "refund.updated": (stripe_objects.parse_refund, refund_reports.apply_refund),
    "refund.failed": (stripe_objects.parse_refund, refund_reports.apply_refund),
    "charge.dispute.created": (stripe_objects.parse_dispute, disputes.apply_dispute),
    "charge.dispute.closed": (stripe_objects.parse_dispute, disputes.apply_dispute),
}
"""Parser and handler per event type. Stripe's webhook endpoint should subscribe to these types only."""

TYPES = tuple(_HANDLERS)
"""The types of events that have an effect."""


def _apply(connection: Connection, event: StripeEvent, now: datetime) -> Effect:
    if event.type not in _HANDLERS:
        return "ignored", None
    parse_object, handle = _HANDLERS[event.type]
    try:
        parsed = parse_object(event.object)
    except (LookupError, TypeError, AttributeError) as error:
        raise NotAnEvent(f"The object of {event.type} is malformed.") from error
    return handle(connection, parsed, now)


def list_foreign_payments(connection: Connection) -> list[dict[str, Any]]:
    """List the newest payments that have arrived for no booking, such as for one that a restore has lost."""
    return [
        {"paymentIntentId": row.object_id, "stripeEventId": row.stripe_event_id, "paidAt": row.happened_at}
        for row in connection.execute(_FOREIGN_PAYMENTS)
    ]


def purge(database: Database, now: datetime) -> int:
    """Delete events that Stripe no longer redelivers. Return how many."""
    return database.purge(stripe_events.c.received_at, now - RETENTION)
