"""Publishing: create and change events."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert, update

from chalicelib.domain_events import EventChanged, EventPublished, SaleStarted
from chalicelib.events import snapshots
from chalicelib.events.locks import _PRESENT, EventCancelled, EventEnded, EventStarted, details_of, lock_event
from chalicelib.events.models import Status, events, places, ticket_types
from chalicelib.events.rules import Details, violations
from chalicelib.platform import ids
from chalicelib.platform.errors import Conflict, FieldError, Forbidden, InvalidInput

GENERAL_ADMISSION = "General admission"


class EmailNotVerified(Forbidden):
    """Only hosts with a verified e-mail address may publish events."""

    def __init__(self) -> None:
        super().__init__(
            "Open the link that was sent to your e-mail address; POST /auth/verify-email/resend sends"
            " another. Drafts can be made until then."
        )


class AlreadyPublished(Conflict):
    """A published event cannot become a draft again."""


class CapacityBelowTaken(Conflict):
    """More places are taken than the new capacity has."""


def create(
    connection: Connection,
    host_id: UUID,
    details: Details,
    now: datetime,
    *,
    may_publish: bool,
    charges: bool,
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
    connection.execute(
        insert(events).values(
            event_id=event_id,
            host_id=host_id,
            created_at=now,
            updated_at=now,
            sale_announced_at=_on_sale_when_published(details, now),
            **_own_columns(details),
        )
    )
    connection.execute(insert(places).values(event_id=event_id, capacity=details.capacity))
    connection.execute(
        insert(ticket_types).values(
            ticket_type_id=ids.new(now),
            event_id=event_id,
            name=GENERAL_ADMISSION,
            price=details.price,
        )
    )
    if details.status == "published":
        snapshots.record(connection, EventPublished, event_id, host_id, details, now)
    return event_id


def change(
    connection: Connection,
    host_id: UUID,
    event_id: UUID,
    *,
    changes: Mapping[str, Any],
    expected: Collection[int] | None,
    now: datetime,
    may_publish: bool,
    charges: bool,
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
    row = lock_event(connection, host_id, event_id, expected)
    if row.status == "cancelled":
        raise EventCancelled
    if row.status == "published" and row.ends_at <= now:
        raise EventEnded
    before = details_of(row)
    after = replace(before, **changes)
    begun = before.status == "published" and before.starts_at <= now
    if begun and after.starts_at != before.starts_at:
        raise EventStarted("Its start cannot be moved any more.")
    _check_status(before.status, after.status, may_publish=may_publish)
    _check(after, now, begun=begun, charges=charges)
    if after == before:
        return
    connection.execute(
        update(events)
        .where(events.c.event_id == event_id)
        .values(
            version=row.version + 1,
            updated_at=now,
            **_own_columns(after),
            **_sale_announced(before, after, now),
        )
    )
    if after.price != before.price:
        connection.execute(
            update(ticket_types).where(ticket_types.c.event_id == event_id).values(price=after.price)
        )
    if before.status == "draft" and after.status == "published":
        snapshots.record(connection, EventPublished, event_id, host_id, after, now)
    elif before.status == "published" and (changed := snapshots.changes(before, after)):
        snapshots.record(connection, EventChanged, event_id, host_id, after, now, changed=changed)
    fitted = connection.execute(
        update(places)
        .where(places.c.event_id == event_id, places.c.taken <= after.capacity)
        .values(capacity=after.capacity, revision=places.c.revision + 1)
    )
    if not fitted.rowcount:
        raise CapacityBelowTaken


def record_sale_started(connection: Connection, event_id: UUID, now: datetime) -> None:
    """Write the domain event that an event's sale has begun."""
    row = connection.execute(_PRESENT, {"event_id": event_id}).one()
    snapshots.record(connection, SaleStarted, event_id, row.host_id, details_of(row), now)


def _check(details: Details, now: datetime, *, charges: bool, begun: bool = False) -> None:
    errors: list[FieldError] = list(violations(details, now, begun=begun, charges=charges))
    if errors:
        raise InvalidInput(errors=errors)


def _check_status(before: Status, after: Status, *, may_publish: bool) -> None:
    if before == "published" and after == "draft":
        raise AlreadyPublished
    if before == "draft" and after == "published" and not may_publish:
        raise EmailNotVerified


def _sale_announced(before: Details, after: Details, now: datetime) -> dict[str, Any]:
    """Note whether the start of the sale is still to be told, where the change decides that anew.

    A sale that is put off is told again when it starts. One that is on as soon as it is seen is not told:
    nobody could wait for it.
    """
    if (before.sale_starts_at, before.status) == (after.sale_starts_at, after.status):
        return {}
    return {"sale_announced_at": _on_sale_when_published(after, now)}


def _on_sale_when_published(details: Details, now: datetime) -> datetime | None:
    on_at_once = details.sale_starts_at is not None and details.sale_starts_at <= now
    return now if on_at_once and details.status == "published" else None


def _own_columns(details: Details) -> dict[str, Any]:
    """The details that stand in `events`; capacity and price have rows of their own."""
    columns = asdict(details)
    del columns["capacity"], columns["price"]
    return columns
