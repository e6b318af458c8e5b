"""A user's page: the profile, and of a host how much is coming up."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, DateTime, Text, Uuid, bindparam, case, cast, func, literal_column, select

from chalicelib.events.models import events
from chalicelib.platform.errors import NotFound
from chalicelib.users.models import follows, user_json, users


class NoSuchUser(NotFound):
    """No such user."""


_upcoming = (
    select(func.count())
    .where(
        events.c.host_id == users.c.user_id,
        events.c.status == literal_column("'published'"),
        events.c.deleted_at.is_(None),
        events.c.ends_at > bindparam("now", type_=DateTime(timezone=True)),
    )
    .scalar_subquery()
)
_followers = (
    select(func.count()).where(follows.c.host_id == users.c.user_id).correlate(users).scalar_subquery()
)
_is_host = users.c.role == literal_column("'host'")
_PROFILE = select(
    cast(
        user_json(
            users,
            "upcomingEventCount",
            case((_is_host, _upcoming)),
            "followerCount",
            case((_is_host, _followers)),
        ),
        Text,
    ),
    users.c.version,
).where(users.c.user_id == bindparam("user_id", type_=Uuid), users.c.deleted_at.is_(None))


def get(connection: Connection, user_id: UUID, *, caller_id: UUID, now: datetime) -> tuple[str, int]:
    """A user as the caller sees them, as JSON text, and the profile's version.

    Raises:
        NoSuchUser: There is none, or not any more.
    """
    row = connection.execute(_PROFILE, {"user_id": user_id, "caller": caller_id, "now": now}).one_or_none()
    if row is None:
        raise NoSuchUser
    return row[0], row[1]
