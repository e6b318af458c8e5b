"""Interest: who wants to hear when an event's sale starts."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Uuid, bindparam, delete, or_, select
from sqlalchemy.dialects.postgresql import insert

from chalicelib.events.models import event_json, event_rows, events, interests
from chalicelib.events.search import NoSuchEvent
from chalicelib.platform.database.listing import ListQuery, Page, PageRequest, Sort


def show(connection: Connection, user_id: UUID, event_id: UUID, now: datetime) -> None:
    """Note a user's interest in an event; again is the same.

    Raises:
        NoSuchEvent: Or it is somebody else's draft.
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
    """Forget a user's interest; it is no error not to have had any."""
    connection.execute(
        delete(interests).where(interests.c.event_id == event_id, interests.c.user_id == user_id)
    )


INTERESTS = ListQuery(
    rows=event_rows.join(interests, interests.c.event_id == events.c.event_id).where(
        interests.c.user_id == bindparam("caller", type_=Uuid), events.c.deleted_at.is_(None)
    ),
    id="event_id",
    sorts={"createdAt": Sort((), "desc"), "date": Sort(("starts_at",))},
    filters={},
    item=event_json,
)


def list_interests(connection: Connection, user_id: UUID, page: PageRequest, now: datetime) -> Page:
    """List the events that a user is interested in."""
    return INTERESTS.fetch(connection, page, [], {"caller": user_id, "now": now})
