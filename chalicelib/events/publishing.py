"""Create, publish and change events."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, Row, insert, update

from chalicelib.domain_events import EventPublished, SaleStarted
from chalicelib.events import change_notices, prices, snapshots
from chalicelib.events.locks import (
    EVENT_BY_ID,
    CapacityBelowTaken,
    EventStarted,
    details_of,
    lock_changeable,
)
from chalicelib.events.models import Status, events, open_type, places, ticket_types
from chalicelib.events.rules import Details, violations
from chalicelib.events.ticket_types import (
    GENERAL_ADMISSION,
    TypeDetails,
    insert_types,
    open_types,
    type_violations,
)
from chalicelib.platform import ids
from chalicelib.platform.errors import Conflict, FieldError, InvalidInput
from chalicelib.users.verification import EmailNotVerified

Announcement = Literal["publication", "change"]
"""What others are notified about: followers of a publication, attendees and interested users of a change."""

_UNTIL_VERIFIED = "Until then you can create drafts."


class AlreadyPublished(Conflict):
    """A published event cannot become a draft again."""


def create(
    connection: Connection,
    host_id: UUID,
    details: Details,
    now: datetime,
    *,
    may_publish: bool,
    charges: bool,
    types: Sequence[TypeDetails] = (),
) -> UUID:
    """Create an event, as a draft or published. Without `types` it has one, at the price of the details.

    Raises:
        InvalidInput: The details or the types violate a rule, or there are types and a price.
        EmailNotVerified: The event is to be published, but `may_publish` is False.
    """
    if details.status == "published" and not may_publish:
        raise EmailNotVerified(_UNTIL_VERIFIED)
    if types and details.price is not None:
        raise InvalidInput(errors=[FieldError("price", "must be left out if there are ticketTypes")])
    _check(details, dict(enumerate(types)), now, charges=charges)
    event_id = ids.new(now)
    connection.execute(
        insert(events).values(
            event_id=event_id,
            host_id=host_id,
            created_at=now,
            updated_at=now,
            sale_announced_at=_announced_on_publishing(details, now),
            **_own_columns(details),
        )
    )
    connection.execute(insert(places).values(event_id=event_id, capacity=details.capacity))
    types = types or (TypeDetails(name=GENERAL_ADMISSION, price=details.price or 0),)
    insert_types(connection, event_id, types, now, counted=len(types) > 1)
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
) -> Announcement | None:
    """Change details of an event. Attendees are notified if its title, location or times change.

    A change of the price is one of the only ticket type that is not archived. The price None stands for the
    default: 0, or the prices of several types as they are.

    The event is locked first and its places last, so that concurrent bookings wait for one statement only.

    Return what others will be notified about, or None if the change adds no notice.

    Raises:
        NoSuchEvent, NotYourEvent, StaleVersion: See `lock_event`.
        InvalidInput: The new details violate a rule, also one about ticket types, or the event has several
            ticket types and a price is given.
        EventCancelled, EventEnded: The event can no longer be changed.
        EventStarted: The start can no longer be moved.
        AlreadyPublished: The event cannot become a draft again.
        EmailNotVerified: The event is to be published, but `may_publish` is False.
        CapacityBelowTaken: More places are booked than the new capacity allows.
    """
    row = lock_changeable(connection, host_id, event_id, expected, now)
    before = details_of(row)
    after = replace(before, **changes)
    if before.price is None and after.price is not None:
        message = "must be left out: the event has several ticket types, each with a price"
        raise InvalidInput(errors=[FieldError("price", message)])
    if before.price is not None and after.price is None:
        after = replace(after, price=0)
    started = before.status == "published" and before.starts_at <= now
    if started and after.starts_at != before.starts_at:
        raise EventStarted("The start can no longer be moved.")
    _check_status(before.status, after.status, may_publish=may_publish)
    _check(after, open_types(connection, event_id), now, started=started, charges=charges)
    if after == before:
        return None
    sale_announced = _sale_announced(before, after, now)
    connection.execute(
        update(events)
        .where(events.c.event_id == event_id)
        .values(
            version=row.version + 1,
            updated_at=now,
            **_own_columns(after),
            **sale_announced,
        )
    )
    if after.price != before.price:
        connection.execute(
            update(ticket_types)
            .where(ticket_types.c.event_id == event_id, open_type)
            .values(price=after.price)
        )
    announcement = _announce(connection, row, before, after, now)
    if row.sale_announced_at is not None and sale_announced == {"sale_announced_at": None}:
        announcement = announcement or "change"  # the sale will be announced again
    resized = connection.execute(
        update(places)
        .where(places.c.event_id == event_id, places.c.taken + places.c.reserved <= after.capacity)
        .values(capacity=after.capacity, revision=places.c.revision + 1)
    )
    if not resized.rowcount:
        raise CapacityBelowTaken
    return announcement


def _announce(
    connection: Connection, row: Row[Any], before: Details, after: Details, now: datetime
) -> Announcement | None:
    """Record or schedule the domain event about a change, and return what it announces."""
    if before.status == "published":
        is_announced = snapshots.changes(before, after) and change_notices.schedule(
            connection, row.event_id, before, now
        )
        return "change" if is_announced else None
    if after.status == "published":
        snapshots.record(connection, EventPublished, row.event_id, row.host_id, after, now)
        return "publication"
    return None


def record_sale_started(connection: Connection, event_id: UUID, now: datetime) -> None:
    """Record the domain event that an event's sale has started."""
    row = connection.execute(EVENT_BY_ID, {"event_id": event_id}).one()
    snapshots.record(connection, SaleStarted, event_id, row.host_id, details_of(row), now)


def _check(
    details: Details,
    types: Mapping[int, TypeDetails],
    now: datetime,
    *,
    charges: bool,
    started: bool = False,
) -> None:
    """Check an event and its ticket types, which have the number by which the client knows them."""
    errors: list[FieldError] = list(violations(details, now, started=started, charges=charges))
    for number, kind in types.items():
        errors += (
            FieldError(f"ticketTypes[{number}].{error.field}", error.message)
            for error in type_violations(kind, details, charges=charges)
            if error.field != "price" or details.price is None  # the price of the only type is the event's
        )
    if errors:
        raise InvalidInput(errors=errors)


def _check_status(before: Status, after: Status, *, may_publish: bool) -> None:
    if before == "published" and after == "draft":
        raise AlreadyPublished
    if before == "draft" and after == "published" and not may_publish:
        raise EmailNotVerified(_UNTIL_VERIFIED)


def _sale_announced(before: Details, after: Details, now: datetime) -> dict[str, Any]:
    """Return the new value of `sale_announced_at`, if the change affects the start of the sale.

    A sale that is postponed is announced again when it starts. A sale that is open as soon as the event is
    published is not announced.
    """
    if (before.sale_starts_at, before.status) == (after.sale_starts_at, after.status):
        return {}
    return {"sale_announced_at": _announced_on_publishing(after, now)}


def _announced_on_publishing(details: Details, now: datetime) -> datetime | None:
    sale_started = details.sale_starts_at is not None and details.sale_starts_at <= now
    return now if sale_started and details.status == "published" else None


def _own_columns(details: Details) -> dict[str, Any]:
    """Return the details that are columns of `events`. Capacity and price are in other tables."""
    columns = asdict(details)
    del columns["capacity"], columns["price"]
    return columns | {
        "min_charge": prices.min_charge(details.currency),
        "max_charge": prices.max_charge(details.currency),
        "charge_step": prices.charge_step(details.currency),
    }
