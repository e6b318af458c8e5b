"""The door of an event: who may scan there."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, LargeBinary, Row, Select, Uuid, bindparam, func, literal, select

from chalicelib.check_in.models import door_keys
from chalicelib.events.locks import NotYourEvent
from chalicelib.events.models import DOORS_OPEN_BEFORE, events
from chalicelib.events.search import NoSuchEvent
from chalicelib.platform.database.columns import now_parameter
from chalicelib.platform.errors import Forbidden, Unauthenticated
from chalicelib.platform.security import AccessKey, Caller, InvalidToken


class WrongDoor(Forbidden):
    """The door key is for another event."""


_EVENT: Select[Any] = select(
    events.c.event_id,
    events.c.host_id,
    events.c.title,
    events.c.starts_at,
    events.c.ends_at,
    events.c.timezone,
    events.c.status,
    events.c.re_entry_allowed,
    func.coalesce(events.c.doors_open_at, events.c.starts_at - literal(DOORS_OPEN_BEFORE)).label(
        "doors_open_at"
    ),
).where(events.c.event_id == bindparam("event_id", type_=Uuid), events.c.deleted_at.is_(None))
_KEY = select(door_keys.c.door_key_id, door_keys.c.event_id).where(
    door_keys.c.key_hash == bindparam("digest", type_=LargeBinary),
    door_keys.c.revoked_at.is_(None),
    door_keys.c.expires_at > now_parameter,
)


def require_door(
    connection: Connection, event_id: UUID, *, caller: Caller | None, key: AccessKey | None, now: datetime
) -> tuple[Row[Any], UUID | None]:
    """Check that the caller is the event's host, or that the key is one of its door keys.

    Return the event, and the id of the door key. A caller's account must have been checked.

    Raises:
        InvalidToken: The key is unknown, revoked or expired.
        WrongDoor: It is for another event.
        NoSuchEvent: The event does not exist, is deleted, or is another host's draft.
        NotYourEvent: It belongs to another host.
    """
    door_key_id = _require_key(connection, event_id, key, now) if key else None
    event = connection.execute(_EVENT, {"event_id": event_id}).one_or_none()
    if event is None:
        raise NoSuchEvent
    if key is None:
        if caller is None:
            raise Unauthenticated
        if event.host_id != caller.user_id:
            raise NoSuchEvent if event.status == "draft" else NotYourEvent
    return event, door_key_id


def _require_key(connection: Connection, event_id: UUID, key: AccessKey, now: datetime) -> UUID:
    found = connection.execute(_KEY, {"digest": key.digest, "now": now}).one_or_none()
    if found is None:
        raise InvalidToken
    if found.event_id != event_id:
        raise WrongDoor
    door_key_id: UUID = found.door_key_id
    return door_key_id
