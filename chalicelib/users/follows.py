"""Follows: users follow hosts to be notified of their new events."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Uuid, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert

from chalicelib.platform.database.listing import ListQuery, Page, PageRequest, Sort
from chalicelib.platform.database.rendering import Render
from chalicelib.platform.errors import NotFound
from chalicelib.users.models import credentials, follows, users


class NoSuchHost(NotFound):
    """Host not found."""


def follow(connection: Connection, user_id: UUID, host_id: UUID, now: datetime) -> None:
    """Follow a host. Idempotent.

    Raises:
        NoSuchHost: The user does not exist or is not a host.
    """
    host = connection.execute(
        select(users.c.role)
        .join(credentials, credentials.c.user_id == users.c.user_id)
        .where(users.c.user_id == host_id, users.c.role == "host")
        .with_for_update(read=True, key_share=True, of=credentials)
    ).first()
    if host is None:
        raise NoSuchHost
    connection.execute(
        insert(follows).values(host_id=host_id, user_id=user_id, followed_at=now).on_conflict_do_nothing()
    )


def unfollow(connection: Connection, user_id: UUID, host_id: UUID) -> None:
    """Stop following a host. Idempotent."""
    connection.execute(delete(follows).where(follows.c.host_id == host_id, follows.c.user_id == user_id))


_FOLLOWING = ListQuery(
    rows=select(users)
    .join(follows, follows.c.host_id == users.c.user_id)
    .where(follows.c.user_id == bindparam("caller", type_=Uuid)),
    id="user_id",
    sorts={"createdAt": Sort((), "desc")},
    filters={},
)
_FOLLOWERS = ListQuery(
    rows=select(users)
    .join(follows, follows.c.user_id == users.c.user_id)
    .where(follows.c.host_id == bindparam("caller", type_=Uuid)),
    id="user_id",
    sorts={"createdAt": Sort((), "desc")},
    filters={},
)


def list_following(connection: Connection, user_id: UUID, page: PageRequest, render: Render) -> Page:
    """List the hosts that a user follows."""
    return _FOLLOWING.fetch(connection, page, [], {"caller": user_id}, render)


def list_followers(connection: Connection, host_id: UUID, page: PageRequest, render: Render) -> Page:
    """List the followers of a host."""
    return _FOLLOWERS.fetch(connection, page, [], {"caller": host_id}, render)
