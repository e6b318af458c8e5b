"""Record the domain events about an event, with its details as they are then."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from chalicelib.domain_events import (
    EventChanges,
    EventDetails,
    OptionalTextChange,
    TextChange,
    TimeChange,
)
from chalicelib.events.rules import Details
from chalicelib.platform.messaging import outbox


def changes(before: Details, after: Details) -> EventChanges | None:
    """What changed among the details that attendees are notified about; None if nothing did."""
    changed: dict[str, Any] = {}
    if before.title != after.title:
        changed["title"] = TextChange(from_=before.title, to=after.title)
    if before.location != after.location:
        changed["location"] = OptionalTextChange(from_=before.location, to=after.location)
    if before.starts_at != after.starts_at:
        changed["start_date_time"] = TimeChange(from_=before.starts_at, to=after.starts_at)
    if before.ends_at != after.ends_at:
        changed["end_date_time"] = TimeChange(from_=before.ends_at, to=after.ends_at)
    if before.timezone != after.timezone:
        changed["timezone"] = TextChange(from_=before.timezone, to=after.timezone)
    return EventChanges(**changed) if changed else None


def record(
    connection: Connection,
    kind: type[EventDetails],
    event_id: UUID,
    host_id: UUID,
    details: Details,
    now: datetime,
    **more: Any,
) -> None:
    event = kind(
        event_id=event_id,
        host_id=host_id,
        title=details.title,
        location=details.location,
        start_date_time=details.starts_at,
        end_date_time=details.ends_at,
        timezone=details.timezone,
        **more,
    )
    outbox.record(connection, event, subject=event_id, now=now)
