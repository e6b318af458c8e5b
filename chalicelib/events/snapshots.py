"""Domain events about events: what of an event they tell, and what of a change."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from chalicelib.events.rules import Details
from chalicelib.platform.messaging import outbox

_FIELDS = {
    "title": "title",
    "location": "location",
    "starts_at": "startDateTime",
    "ends_at": "endDateTime",
    "timezone": "timezone",
}


def changed_fields(before: Details, after: Details) -> dict[str, Any]:
    """What changed that those who booked want to hear of, old and new."""
    return {
        name: {"from": _plain(old), "to": _plain(new)}
        for attribute, name in _FIELDS.items()
        if (old := getattr(before, attribute)) != (new := getattr(after, attribute))
    }


def record(
    connection: Connection,
    kind: str,
    event_id: UUID,
    host_id: UUID,
    details: Details,
    now: datetime,
    **more: Any,
) -> None:
    told = {name: _plain(getattr(details, attribute)) for attribute, name in _FIELDS.items()}
    body = {"eventId": str(event_id), "hostId": str(host_id), **told, **more}
    outbox.record(connection, kind, event_id, body, now)


def _plain(value: Any) -> Any:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
