"""Stripe's events: record each event once and apply it in the same transaction."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, update
from sqlalchemy.dialects.postgresql import insert

from chalicelib.payments import disputes, refunds, settlement, stripe_objects
from chalicelib.payments.models import stripe_events
from chalicelib.payments.settlement import Outcome
from chalicelib.payments.stripe_objects import Dispute, Refunded, is_text
from chalicelib.platform.database.engine import Database
from chalicelib.platform.errors import InvalidInput
from chalicelib.platform.observability import metrics

RETENTION = timedelta(days=90)
"""How long what has come is known again; Stripe sends an event for three days, and by hand for thirty."""


class NotAnEvent(InvalidInput):
    """The body is not an event of Stripe."""


@dataclass(frozen=True, kw_only=True)
class StripeEvent:
    """What of an event is looked at."""

    event_id: str
    type: str
    created: datetime | None
    livemode: bool
    account: str | None
    """The connected account that it is of, where it is not of our own."""
    object: Mapping[str, Any]


def parse(body: bytes) -> StripeEvent:
    """Read an event whose signature has been checked.

    Raises:
        NotAnEvent
    """
    try:
        event = json.loads(body)
        about = event["data"]["object"]
        created = event.get("created")
        parse = StripeEvent(
            event_id=event["id"],
            type=event["type"],
            created=datetime.fromtimestamp(created, UTC) if created is not None else None,
            livemode=bool(event.get("livemode")),
            account=event.get("account"),
            object=about,
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise NotAnEvent from error
    except (OverflowError, OSError) as error:  # of times that there are none of
        raise NotAnEvent from error
    if not is_text(parse.event_id) or not is_text(parse.type) or not isinstance(about, dict):
        raise NotAnEvent
    return parse


def receive(database: Database, event: StripeEvent, *, livemode: bool, now: datetime) -> Outcome | None:
    """Record an event and do what it tells; None if it was recorded before.

    What is of another account or mode, of an unknown type or about something else than our bookings is
    recorded and changes nothing.

    Raises:
        Unavailable: Nothing was recorded; Stripe is to send it again.
    """
    with database.transaction() as connection:
        if not _record(connection, event, now):
            metrics.put("WebhookEvents", 1, "Count", outcome="duplicate")
            return None
        if event.account is not None or event.livemode != livemode:
            outcome, booking_id = _FOREIGN
        else:
            outcome, booking_id = _settle(connection, event, now)
        connection.execute(
            update(stripe_events)
            .where(stripe_events.c.stripe_event_id == event.event_id)
            .values(outcome=outcome, booking_id=booking_id)
        )
    metrics.put("WebhookEvents", 1, "Count", outcome=outcome)
    return outcome


def _record(connection: Connection, event: StripeEvent, now: datetime) -> bool:
    """Insert the event's row, waiting for another delivery that is doing so; False if it is there."""
    object_id = event.object.get("id")
    recorded = connection.execute(
        insert(stripe_events)
        .values(
            stripe_event_id=event.event_id,
            type=event.type,
            object_id=object_id if is_text(object_id) else None,
            outcome="ignored",
            happened_at=event.created,
            received_at=now,
        )
        .on_conflict_do_nothing()
        .returning(stripe_events.c.stripe_event_id)
    )
    return recorded.first() is not None


Result = tuple[Outcome, UUID | None]

_FOREIGN: Result = ("foreign", None)

_IGNORED: Result = ("ignored", None)


def _settle(connection: Connection, event: StripeEvent, now: datetime) -> Result:
    if event.type not in _HANDLERS:
        return _IGNORED
    understand, act = _HANDLERS[event.type]
    try:
        understood = understand(event.object)
    except (LookupError, TypeError, AttributeError) as error:
        raise NotAnEvent(f"This is not an object as {event.type} has it.") from error
    return act(connection, understood, now)


def _apply_refunded_total(connection: Connection, refunded: Refunded, now: datetime) -> Result:
    if refunded.intent_id is None:
        return _FOREIGN
    return refunds.apply_refunded_total(connection, refunded.intent_id, refunded.amount, now)


def _apply_dispute(connection: Connection, dispute: Dispute, now: datetime) -> Result:
    if dispute.intent_id is None:
        return _FOREIGN
    return disputes.apply_dispute(connection, dispute.intent_id, dispute.state, dispute.reason, now)


_HANDLERS: dict[
    str, tuple[Callable[[Mapping[str, Any]], Any], Callable[[Connection, Any, datetime], Result]]
] = {
    "payment_intent.succeeded": (stripe_objects.intent, settlement.settle),
    "payment_intent.canceled": (stripe_objects.intent, settlement.settle),
    "payment_intent.payment_failed": (stripe_objects.intent, settlement.record_failure),
    "charge.refunded": (stripe_objects.refunded, _apply_refunded_total),
    "refund.created": (stripe_objects.refund, refunds.apply_refund),
    "refund.updated": (stripe_objects.refund, refunds.apply_refund),
    "refund.failed": (stripe_objects.refund, refunds.apply_refund),
    "charge.dispute.created": (stripe_objects.dispute, _apply_dispute),
    "charge.dispute.closed": (stripe_objects.dispute, _apply_dispute),
}
"""What is listened to, how it is understood and what is done; an endpoint at Stripe needs no other events."""


def purge(database: Database, now: datetime) -> int:
    """Delete what says which events have come, once Stripe does not send them any more."""
    return database.delete_before(stripe_events.c.received_at, now - RETENTION)
