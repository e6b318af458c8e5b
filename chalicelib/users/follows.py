"""Following: who wants to hear of a host's new events."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Uuid, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert

from chalicelib.platform.database.listing import ListQuery, Page, PageRequest, Sort
from chalicelib.platform.errors import Forbidden, NotFound
from chalicelib.users.models import credentials, follows, user_json, users


class NoSuchHost(NotFound):
    """No such host."""


class NotYourFollowers(Forbidden):
    """Only the host may see who follows."""


def follow(connection: Connection, user_id: UUID, host_id: UUID, now: datetime) -> None:
    """Follow a host; again is the same.

    Raises:
        NoSuchHost: There is none, or they are no host.
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
    """Stop following; it is no error not to have followed."""
    connection.execute(delete(follows).where(follows.c.host_id == host_id, follows.c.user_id == user_id))


FOLLOWING = ListQuery(
    rows=select(users)
    .join(follows, follows.c.host_id == users.c.user_id)
    .where(follows.c.user_id == bindparam("caller", type_=Uuid)),
    id="user_id",
    sorts={"createdAt": Sort((), "desc")},
    filters={},
    item=user_json,
)
FOLLOWERS = ListQuery(
    rows=select(users)
    .join(follows, follows.c.user_id == users.c.user_id)
    .where(follows.c.host_id == bindparam("caller", type_=Uuid)),
    id="user_id",
    sorts={"createdAt": Sort((), "desc")},
    filters={},
    item=user_json,
)


def list_following(connection: Connection, user_id: UUID, page: PageRequest) -> Page:
    """List the hosts that a user follows."""
    return FOLLOWING.fetch(connection, page, [], {"caller": user_id})


def list_followers(connection: Connection, host_id: UUID, page: PageRequest) -> Page:
    """List who follows a host, for that host: public profiles."""
    return FOLLOWERS.fetch(connection, page, [], {"caller": host_id})
