"""Webhooks: an event of Stripe is recorded and brings about what it tells, in one transaction, once."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert

from chalicelib.adapters import stripe_objects
from chalicelib.adapters.stripe_objects import Dispute, Refunded
from chalicelib.db import Database, Session
from chalicelib.errors import InvalidInput
from chalicelib.payments import disputes, refunding, settling
from chalicelib.payments.models import stripe_events
from chalicelib.payments.settling import Outcome

KEPT = timedelta(days=90)
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


def read(body: bytes) -> StripeEvent:
    """Read an event whose signature has been checked.

    Raises:
        NotAnEvent
    """
    try:
        event = json.loads(body)
        about = event["data"]["object"]
        created = event.get("created")
        read = StripeEvent(
            event_id=event["id"],
            type=event["type"],
            created=datetime.fromtimestamp(created, UTC) if created is not None else None,
            livemode=bool(event.get("livemode")),
            account=event.get("account"),
            object=about,
        )
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise NotAnEvent from error
    if not _is_text(read.event_id) or not _is_text(read.type) or not isinstance(about, dict):
        raise NotAnEvent
    return read


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 255 and value.isascii() and value.isprintable()  # noqa: PLR2004


def take(database: Database, event: StripeEvent, *, livemode: bool, now: datetime) -> Outcome | None:
    """Record an event and do what it tells; None if it was recorded before.

    What is of another account or mode, of an unknown type or about something else than our bookings is
    recorded and changes nothing.

    Raises:
        Unavailable: Nothing was recorded; Stripe is to send it again.
    """
    with database.transaction() as session:
        if not _record(session, event, now):
            return None
        if event.account is not None or event.livemode != livemode:
            outcome, booking_id = _FOREIGN
        else:
            outcome, booking_id = _settle(session, event, now)
        session.execute(
            update(stripe_events)
            .where(stripe_events.c.stripe_event_id == event.event_id)
            .values(outcome=outcome, booking_id=booking_id)
        )
    return outcome


def _record(session: Session, event: StripeEvent, now: datetime) -> bool:
    """Insert the event's row, waiting for another delivery that is doing so; False if it is there."""
    object_id = event.object.get("id")
    recorded = session.execute(
        insert(stripe_events)
        .values(
            stripe_event_id=event.event_id,
            type=event.type,
            object_id=object_id if _is_text(object_id) else None,
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


def _settle(session: Session, event: StripeEvent, now: datetime) -> Result:
    if event.type not in _HANDLERS:
        return _IGNORED
    understand, act = _HANDLERS[event.type]
    try:
        understood = understand(event.object)
    except (LookupError, TypeError, AttributeError) as error:
        raise NotAnEvent(f"This is not an object as {event.type} has it.") from error
    return act(session, understood, now)


def _note_total(session: Session, refunded: Refunded, now: datetime) -> Result:
    if refunded.intent_id is None:
        return _FOREIGN
    return refunding.note_total(session, refunded.intent_id, refunded.amount, now)


def _note_dispute(session: Session, dispute: Dispute, now: datetime) -> Result:
    if dispute.intent_id is None:
        return _FOREIGN
    return disputes.note(session, dispute.intent_id, dispute.state, dispute.reason, now)


_HANDLERS: dict[
    str, tuple[Callable[[Mapping[str, Any]], Any], Callable[[Session, Any, datetime], Result]]
] = {
    "payment_intent.succeeded": (stripe_objects.intent, settling.settle),
    "payment_intent.canceled": (stripe_objects.intent, settling.settle),
    "payment_intent.payment_failed": (stripe_objects.intent, settling.note_failure),
    "charge.refunded": (stripe_objects.refunded, _note_total),
    "refund.created": (stripe_objects.refund, refunding.note),
    "refund.updated": (stripe_objects.refund, refunding.note),
    "refund.failed": (stripe_objects.refund, refunding.note),
    "charge.dispute.created": (stripe_objects.dispute, _note_dispute),
    "charge.dispute.closed": (stripe_objects.dispute, _note_dispute),
}
"""What is listened to, how it is understood and what is done; an endpoint at Stripe needs no other events."""


def forget(database: Database, now: datetime) -> int:
    """Delete what says which events have come, once Stripe does not send them any more."""
    return database.delete_before(stripe_events.c.received_at, now - KEPT)
