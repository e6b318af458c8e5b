"""Facts about events: what of an event they tell, and what of a change."""

from datetime import datetime
from typing import Any
from uuid import UUID

from chalicelib import outbox
from chalicelib.db import Session
from chalicelib.events.rules import Details

_TOLD = {
    "title": "title",
    "location": "location",
    "starts_at": "startDateTime",
    "ends_at": "endDateTime",
    "timezone": "timezone",
}


def telling(before: Details, after: Details) -> dict[str, Any]:
    """What changed that those who booked want to hear of, old and new."""
    return {
        name: {"from": _plain(old), "to": _plain(new)}
        for attribute, name in _TOLD.items()
        if (old := getattr(before, attribute)) != (new := getattr(after, attribute))
    }


def record(
    session: Session,
    kind: str,
    event_id: UUID,
    host_id: UUID,
    details: Details,
    now: datetime,
    **more: Any,
) -> None:
    told = {name: _plain(getattr(details, attribute)) for attribute, name in _TOLD.items()}
    body = {"eventId": str(event_id), "hostId": str(host_id), **told, **more}
    outbox.record(session, kind, event_id, body, now)


def _plain(value: Any) -> Any:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
