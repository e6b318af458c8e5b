"""Interest: users subscribe to a notification when the sale of an event starts."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Uuid, bindparam, delete, or_, select
from sqlalchemy.dialects.postgresql import insert

from chalicelib.events.models import events, interests
from chalicelib.events.search import NoSuchEvent, event_rows
from chalicelib.platform.database.listing import ListQuery, Page, PageRequest, Sort
from chalicelib.platform.database.rendering import Render


def show(connection: Connection, user_id: UUID, event_id: UUID, now: datetime) -> None:
    """Record a user's interest in an event. Idempotent.

    Raises:
        NoSuchEvent: It does not exist or is another host's draft.
    """
    event = connection.execute(
        select(events.c.event_id).where(
            events.c.event_id == event_id,
            events.c.deleted_at.is_(None),
            or_(events.c.status != "draft", events.c.host_id == user_id),
        )
    ).first()
    if event is None:
        raise NoSuchEvent
    connection.execute(
        insert(interests).values(event_id=event_id, user_id=user_id, shown_at=now).on_conflict_do_nothing()
    )


def withdraw(connection: Connection, user_id: UUID, event_id: UUID) -> None:
    """Remove a user's interest. Idempotent."""
    connection.execute(
        delete(interests).where(interests.c.event_id == event_id, interests.c.user_id == user_id)
    )


_INTERESTS = ListQuery(
    rows=event_rows.join(interests, interests.c.event_id == events.c.event_id).where(
        interests.c.user_id == bindparam("caller", type_=Uuid), events.c.deleted_at.is_(None)
    ),
    id="event_id",
    sorts={"createdAt": Sort((), "desc"), "date": Sort(("starts_at",))},
    filters={},
)


def list_interests(
    connection: Connection, user_id: UUID, page: PageRequest, now: datetime, render: Render
) -> Page:
    """List the events that a user is interested in."""
    return _INTERESTS.fetch(connection, page, [], {"caller": user_id, "now": now}, render)
