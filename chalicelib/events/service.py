"""Events: publishing, changing, calling off."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Row, Uuid, bindparam, case, insert, select, update

from chalicelib import ids
from chalicelib.db import Session, check_version
from chalicelib.errors import Conflict, FieldError, Forbidden, InvalidInput
from chalicelib.events import facts
from chalicelib.events.finding import NoSuchEvent
from chalicelib.events.models import Status, events, places, ticket_types
from chalicelib.events.rules import Details, faults

GENERAL_ADMISSION = "General admission"


class NotYourEvent(Forbidden):
    """Only the event's host may do this."""


class EmailNotVerified(Forbidden):
    """Only hosts with a verified e-mail address may publish events."""

    def __init__(self) -> None:
        super().__init__(
            "Open the link that was sent to your e-mail address; POST /auth/verify-email/resend sends"
            " another. Drafts can be made until then."
        )


class EventCancelled(Conflict):
    """The event is cancelled."""


class EventEnded(Conflict):
    """The event has ended."""


class EventStarted(Conflict):
    """The event has started."""


class AlreadyPublished(Conflict):
    """A published event cannot become a draft again."""


class NotPublished(Conflict):
    """The event is a draft; delete it instead."""


class CapacityBelowTaken(Conflict):
    """More places are taken than the new capacity has."""


def create(
    session: Session,
    host_id: UUID,
    details: Details,
    now: datetime,
    *,
    may_publish: bool = True,
    charges: bool = True,
) -> UUID:
    """Make an event with one ticket type, and tell that it is published if it is.

    Raises:
        InvalidInput: The details break a rule.
        EmailNotVerified: It may be a draft only.
    """
    if details.status == "published" and not may_publish:
        raise EmailNotVerified
    _check(details, now, charges=charges)
    event_id = ids.new(now)
    session.execute(
        insert(events).values(
            event_id=event_id,
            host_id=host_id,
            created_at=now,
            updated_at=now,
            sale_told_at=_begun_unseen(details, now),
            **_own_columns(details),
        )
    )
    session.execute(insert(places).values(event_id=event_id, capacity=details.capacity))
    session.execute(
        insert(ticket_types).values(
            ticket_type_id=ids.new(now),
            event_id=event_id,
            name=GENERAL_ADMISSION,
            price=details.price,
        )
    )
    if details.status == "published":
        facts.record(session, "event-published", event_id, host_id, details, now)
    return event_id


def change(
    session: Session,
    host_id: UUID,
    event_id: UUID,
    *,
    changes: Mapping[str, Any],
    expected: Collection[int] | None,
    now: datetime,
    may_publish: bool = True,
    charges: bool = True,
) -> None:
    """Change some details of an event, and tell those who booked when time, place or title did.

    Locks the event first and its places last, so that bookings wait for one statement only.

    Raises:
        NoSuchEvent, NotYourEvent, StaleVersion, InvalidInput: As everywhere.
        EventCancelled, EventEnded: Such an event is not changed any more.
        EventStarted: Its start cannot be moved any more.
        AlreadyPublished: It cannot go back to a draft.
        EmailNotVerified: It is to stay a draft for now.
        CapacityBelowTaken: Give places back first.
    """
    row = _lock(session, host_id, event_id, expected)
    if row.status == "cancelled":
        raise EventCancelled
    if row.status == "published" and row.ends_at <= now:
        raise EventEnded
    before = _details(row)
    after = replace(before, **changes)
    begun = before.status == "published" and before.starts_at <= now
    if begun and after.starts_at != before.starts_at:
        raise EventStarted("Its start cannot be moved any more.")
    _check_status(before.status, after.status, may_publish=may_publish)
    _check(after, now, begun=begun, charges=charges)
    if after == before:
        return
    session.execute(
        update(events)
        .where(events.c.event_id == event_id)
        .values(
            version=row.version + 1, updated_at=now, **_own_columns(after), **_sale_told(before, after, now)
        )
    )
    if after.price != before.price:
        session.execute(
            update(ticket_types).where(ticket_types.c.event_id == event_id).values(price=after.price)
        )
    if before.status == "draft" and after.status == "published":
        facts.record(session, "event-published", event_id, host_id, after, now)
    elif before.status == "published" and (changed := facts.telling(before, after)):
        facts.record(session, "event-changed", event_id, host_id, after, now, changed=changed)
    fitted = session.execute(
        update(places)
        .where(places.c.event_id == event_id, places.c.taken <= after.capacity)
        .values(capacity=after.capacity, revision=places.c.revision + 1)
    )
    if not fitted.rowcount:
        raise CapacityBelowTaken


def record_sale_started(session: Session, event_id: UUID, now: datetime) -> None:
    """Write the fact that an event's sale has begun."""
    row = session.execute(_PRESENT, {"event_id": event_id}).one()
    facts.record(session, "sale-started", event_id, row.host_id, _details(row), now)


def call_off(
    session: Session,
    host_id: UUID,
    event_id: UUID,
    *,
    how: Literal["cancelled", "deleted"],
    expected: Collection[int] | None,
    now: datetime,
) -> bool:
    """Cancel an event, or delete it, so that no booking can be made any more.

    Its bookings are for the caller to end in the same transaction; the event's places stay locked
    until then. Returns whether they are to be ended: not those of an event that has taken place,
    nor those of one that was called off before.

    Raises:
        NoSuchEvent, NotYourEvent, StaleVersion: As everywhere.
        NotPublished, EventEnded: Such an event can be deleted, but not cancelled.
    """
    row = _lock(session, host_id, event_id, expected)
    already = row.status == "cancelled"
    if how == "cancelled":
        if already:
            return False
        if row.status == "draft":
            raise NotPublished
        if row.ends_at <= now:
            raise EventEnded
    session.execute(
        update(events)
        .where(events.c.event_id == event_id)
        .values(
            version=row.version + 1,
            updated_at=now,
            **({"status": "cancelled"} if how == "cancelled" else {"deleted_at": now}),
        )
    )
    session.execute(
        update(places).where(places.c.event_id == event_id).values(revision=places.c.revision + 1)
    )
    live = bool(row.status == "published" and row.ends_at > now)
    if live:
        facts.record(session, "event-cancelled", event_id, host_id, _details(row), now, how=how)
    return live


def call_off_all(session: Session, host_id: UUID, now: datetime) -> list[UUID]:
    """Cancel what a host who leaves still has ahead, drop the drafts, and return what was cancelled.

    As with one event, the places stay locked until the transaction ends; taken in the order of ids.
    """
    ahead = (
        events.c.host_id == host_id,
        events.c.deleted_at.is_(None),
        events.c.status != "cancelled",
        events.c.ends_at > now,
    )
    session.execute(
        select(events.c.event_id).where(*ahead).order_by(events.c.event_id).with_for_update(key_share=True)
    )
    rows = {row.event_id: row for row in session.execute(_DETAILS.where(*ahead))}
    session.execute(
        update(events)
        .where(events.c.event_id.in_(rows))
        .values(
            version=events.c.version + 1,
            updated_at=now,
            status=case((events.c.status == "draft", "draft"), else_="cancelled"),
            deleted_at=case((events.c.status == "draft", now)),
        )
    )
    lock_places(session, rows)
    session.execute(update(places).where(places.c.event_id.in_(rows)).values(revision=places.c.revision + 1))
    cancelled = [event_id for event_id, row in rows.items() if row.status == "published"]
    for event_id in cancelled:
        details = _details(rows[event_id])
        facts.record(session, "event-cancelled", event_id, host_id, details, now, how="cancelled")
    return cancelled


def lock_places(session: Session, event_ids: Collection[UUID]) -> None:
    """Lock the places of several events, in the one order that cannot deadlock."""
    session.execute(
        select(places.c.event_id)
        .where(places.c.event_id.in_(event_ids))
        .order_by(places.c.event_id)
        .with_for_update()
    )


_DETAILS = (
    select(events, places.c.capacity, ticket_types.c.price)
    .join(places, places.c.event_id == events.c.event_id)
    .join(ticket_types, ticket_types.c.event_id == events.c.event_id)
)
_this_event = events.c.event_id == bindparam("event_id", type_=Uuid)
_LOCK = select(events.c.event_id).where(_this_event).with_for_update(key_share=True)
_PRESENT = _DETAILS.where(_this_event, events.c.deleted_at.is_(None))


def _lock(session: Session, host_id: UUID, event_id: UUID, expected: Collection[int] | None) -> Row[Any]:
    """Lock an event of this host against other changes, then read it.

    In two statements: one that waited for the lock would see the event as it is now, but what it
    joins to as it was before.
    """
    session.execute(_LOCK, {"event_id": event_id})
    row = session.execute(_PRESENT, {"event_id": event_id}).one_or_none()
    if row is None or (row.status == "draft" and row.host_id != host_id):
        raise NoSuchEvent
    if row.host_id != host_id:
        raise NotYourEvent
    check_version(row.version, expected)
    return row


def _check(details: Details, now: datetime, *, charges: bool, begun: bool = False) -> None:
    errors: list[FieldError] = list(faults(details, now, begun=begun, charges=charges))
    if errors:
        raise InvalidInput(errors=errors)


def _check_status(before: Status, after: Status, *, may_publish: bool) -> None:
    if before == "published" and after == "draft":
        raise AlreadyPublished
    if before == "draft" and after == "published" and not may_publish:
        raise EmailNotVerified


def _sale_told(before: Details, after: Details, now: datetime) -> dict[str, Any]:
    """Note whether the start of the sale is still to be told, where the change decides that anew.

    A sale that is put off is told again when it starts. One that is on as soon as it is seen is not told:
    nobody could wait for it.
    """
    if (before.sale_starts_at, before.status) == (after.sale_starts_at, after.status):
        return {}
    return {"sale_told_at": _begun_unseen(after, now)}


def _begun_unseen(details: Details, now: datetime) -> datetime | None:
    on_at_once = details.sale_starts_at is not None and details.sale_starts_at <= now
    return now if on_at_once and details.status == "published" else None


def _own_columns(details: Details) -> dict[str, Any]:
    """The details that stand in `events`; capacity and price have rows of their own."""
    columns = asdict(details)
    del columns["capacity"], columns["price"]
    return columns


def _details(row: Row[Any]) -> Details:
    return Details(**{name: getattr(row, name) for name in Details.__dataclass_fields__})
