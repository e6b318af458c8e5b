"""Door keys: secrets with which scanners work at the door of one event, as its host manages them."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, Text, Uuid, bindparam, cast, func, insert, select, update

from chalicelib.check_in.models import door_keys
from chalicelib.events import locks
from chalicelib.events.locks import EventCancelled, EventEnded, require_own_event
from chalicelib.events.models import events
from chalicelib.platform.database.columns import now_parameter
from chalicelib.platform.database.listing import ListQuery, Page, PageRequest, Sort
from chalicelib.platform.database.rendering import Render
from chalicelib.platform.errors import Conflict, FieldError, InvalidInput, NotFound
from chalicelib.platform.security import AccessKey

MAX_KEYS = 100
"""Of one event, without those that are revoked or expired."""

DEFAULT_LIFETIME = timedelta(hours=12)
"""After the end of the event."""

MAX_LIFETIME = timedelta(days=30)
"""After the end of the event."""


class NoSuchDoorKey(NotFound):
    """Door key not found."""


class TooManyDoorKeys(Conflict):
    """An event can have at most 100 door keys."""


_of_event = door_keys.c.event_id == bindparam("event", type_=Uuid)

DOOR_KEYS = ListQuery(
    rows=select(door_keys).where(
        _of_event,
        select(events.c.event_id)
        .where(
            events.c.event_id == door_keys.c.event_id,
            events.c.deleted_at.is_(None),
            events.c.host_id == bindparam("caller", type_=Uuid),
        )
        .exists(),
    ),
    id="door_key_id",
    sorts={"createdAt": Sort((), "desc")},
    filters={},
)

_LIVE = select(func.count()).where(
    _of_event, door_keys.c.revoked_at.is_(None), door_keys.c.expires_at > now_parameter
)
_REVOKE = (
    update(door_keys)
    .where(_of_event, door_keys.c.door_key_id == bindparam("this_key", type_=Uuid))
    .values(revoked_at=func.coalesce(door_keys.c.revoked_at, now_parameter))
)


class DoorKeyQueries:
    """Read door keys as JSON text, without their secrets."""

    def __init__(self, render: Render) -> None:
        self._render = render
        row = select(door_keys).subquery("door_key")
        self._get = select(cast(render(row), Text)).where(
            row.c.door_key_id == bindparam("door_key_id", type_=Uuid)
        )

    def get(self, connection: Connection, door_key_id: UUID) -> str:
        """Return a door key that exists."""
        json: str = connection.execute(self._get, {"door_key_id": door_key_id}).scalar_one()
        return json

    def list_door_keys(
        self, connection: Connection, host_id: UUID, event_id: UUID, page: PageRequest
    ) -> Page:
        """List the door keys of a host's event, also those that are revoked or expired.

        Raises:
            NoSuchEvent: It does not exist, is deleted, or is another host's draft.
            NotYourEvent: It belongs to another host.
        """
        found = DOOR_KEYS.fetch(connection, page, [], {"event": event_id, "caller": host_id}, self._render)
        if not found.total:
            require_own_event(connection, host_id, event_id)
        return found


def create(
    connection: Connection,
    host_id: UUID,
    event_id: UUID,
    *,
    door_key_id: UUID,
    name: str,
    key: AccessKey,
    expires_at: datetime | None,
    now: datetime,
) -> None:
    """Create a door key of an event. Only the hash of the key is stored.

    Raises:
        NoSuchEvent, NotYourEvent: See `lock_event`.
        EventCancelled: Nobody is admitted.
        EventEnded: It ended too long ago for a door key.
        InvalidInput: `expires_at` is in the past, or too long after the end of the event.
        TooManyDoorKeys
    """
    event = locks.lock_event(connection, host_id, event_id, None)
    if event.status == "cancelled":
        raise EventCancelled
    latest = event.ends_at + MAX_LIFETIME
    if latest <= now:
        raise EventEnded
    expires_at = expires_at or event.ends_at + DEFAULT_LIFETIME
    if not now < expires_at <= latest:
        message = f"must be in the future, and at most {MAX_LIFETIME.days} days after the end of the event"
        raise InvalidInput(errors=[FieldError("expiresAt", message)])
    if connection.execute(_LIVE, {"event": event_id, "now": now}).scalar_one() >= MAX_KEYS:
        raise TooManyDoorKeys
    connection.execute(
        insert(door_keys).values(
            door_key_id=door_key_id,
            event_id=event_id,
            name=name,
            key_hash=key.digest,
            created_at=now,
            expires_at=expires_at,
        )
    )


def revoke(connection: Connection, host_id: UUID, event_id: UUID, door_key_id: UUID, now: datetime) -> None:
    """Revoke a door key. Scanners that use it are refused from now on. Idempotent.

    Raises:
        NoSuchEvent: It does not exist, is deleted, or is another host's draft.
        NotYourEvent: It belongs to another host.
        NoSuchDoorKey: The event does not have it.
    """
    require_own_event(connection, host_id, event_id)
    revoked = connection.execute(_REVOKE, {"event": event_id, "this_key": door_key_id, "now": now})
    if not revoked.rowcount:
        raise NoSuchDoorKey
