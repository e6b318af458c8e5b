"""Finding events: one by its id, many by what they are searched for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Text, Uuid, bindparam, cast, or_, select

from chalicelib.events.models import EVENTS, Status, event_json, visible_events
from chalicelib.platform.database.listing import Page, PageRequest, search_terms
from chalicelib.platform.errors import NotFound


class NoSuchEvent(NotFound):
    """No such event, or not visible to you."""


_visible_row = visible_events.subquery("event")
_GET = select(cast(event_json(_visible_row), Text), _visible_row.c.version, _visible_row.c.host_id).where(
    _visible_row.c.event_id == bindparam("event_id", type_=Uuid),
    or_(
        _visible_row.c.status != "draft",
        _visible_row.c.host_id == bindparam("caller", type_=Uuid),
    ),
)


def get(connection: Connection, event_id: UUID, *, caller_id: UUID | None, now: datetime) -> tuple[str, int]:
    """An event as JSON text, and its version.

    Raises:
        NoSuchEvent: It never was, is deleted, or is somebody else's draft.
    """
    row = connection.execute(_GET, {"event_id": event_id, "caller": caller_id, "now": now}).one_or_none()
    if row is None:
        raise NoSuchEvent
    return row[0], row[1]


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a list of events is narrowed to."""

    host_id: UUID | None = None
    ends_after: datetime | None = None
    starts_before: datetime | None = None
    words: str | None = None
    status: Status | None = "published"
    """None: any, for a host's own."""
    on_sale: bool | None = None


def list_events(connection: Connection, search: Search, page: PageRequest, now: datetime) -> Page:
    """List events that are not deleted; whose drafts may be seen is for the caller to decide."""
    values: dict[str, Any] = {
        "host": search.host_id,
        "from": search.ends_after,
        "to": search.starts_before,
        "q": search_terms(search.words) if search.words is not None else None,
    }
    filters = [name for name, value in values.items() if value is not None]
    if search.status is not None:
        filters.append(search.status)
    if search.on_sale is not None:
        filters.append("on_sale" if search.on_sale else "not_on_sale")
    bound = {name: value for name, value in values.items() if value is not None}
    return EVENTS.fetch(connection, page, filters, {**bound, "now": now})
