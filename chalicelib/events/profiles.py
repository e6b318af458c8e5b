"""Profiles: users, and for hosts also the number of upcoming events and of followers."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Text, Uuid, bindparam, case, cast, func, select

from chalicelib.events.models import events
from chalicelib.platform.database.columns import now_parameter, sql_literal
from chalicelib.platform.database.rendering import Render
from chalicelib.platform.errors import NotFound
from chalicelib.users.models import follows, users


class NoSuchUser(NotFound):
    """User not found."""


_upcoming = (
    select(func.count())
    .where(
        events.c.host_id == users.c.user_id,
        events.c.status == sql_literal("published"),
        events.c.deleted_at.is_(None),
        events.c.ends_at > now_parameter,
    )
    .scalar_subquery()
)
_followers = (
    select(func.count()).where(follows.c.host_id == users.c.user_id).correlate(users).scalar_subquery()
)
_is_host = users.c.role == sql_literal("host")
_profiles = (
    select(
        users,
        case((_is_host, _upcoming)).label("upcoming_event_count"),
        case((_is_host, _followers)).label("follower_count"),
    )
    .where(users.c.user_id == bindparam("user_id", type_=Uuid), users.c.deleted_at.is_(None))
    .subquery("profile")
)


class ProfileQueries:
    """Read profiles as JSON text. `render` can use the parameter `caller`, the id of the caller."""

    def __init__(self, render: Render) -> None:
        self._get = select(cast(render(_profiles), Text), _profiles.c.version)

    def get(
        self, connection: Connection, user_id: UUID, *, caller_id: UUID, now: datetime
    ) -> tuple[str, int]:
        """Return a user's profile and its version.

        Raises:
            NoSuchUser: The account does not exist or is deleted.
        """
        values = {"user_id": user_id, "caller": caller_id, "now": now}
        row = connection.execute(self._get, values).one_or_none()
        if row is None:
            raise NoSuchUser
        return row[0], row[1]
