"""Following: who wants to hear of a host's new events."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Uuid, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert

from chalicelib.db import Session
from chalicelib.errors import Forbidden, NotFound
from chalicelib.listing import Listing, Page, Slice, Sort
from chalicelib.security import credentials
from chalicelib.users.models import follows, user_json, users


class NoSuchHost(NotFound):
    """No such host."""


class NotYourFollowers(Forbidden):
    """Only the host may see who follows."""


def follow(session: Session, user_id: UUID, host_id: UUID, now: datetime) -> None:
    """Follow a host; again is the same.

    Raises:
        NoSuchHost: There is none, or they are no host.
    """
    host = session.execute(
        select(users.c.role)
        .join(credentials, credentials.c.user_id == users.c.user_id)
        .where(users.c.user_id == host_id, users.c.role == "host")
        .with_for_update(read=True, key_share=True, of=credentials)
    ).first()
    if host is None:
        raise NoSuchHost
    session.execute(
        insert(follows).values(host_id=host_id, user_id=user_id, followed_at=now).on_conflict_do_nothing()
    )


def unfollow(session: Session, user_id: UUID, host_id: UUID) -> None:
    """Stop following; it is no error not to have followed."""
    session.execute(delete(follows).where(follows.c.host_id == host_id, follows.c.user_id == user_id))


FOLLOWING = Listing(
    rows=select(users)
    .join(follows, follows.c.host_id == users.c.user_id)
    .where(follows.c.user_id == bindparam("caller", type_=Uuid)),
    id="user_id",
    sorts={"createdAt": Sort((), "desc")},
    filters={},
    item=user_json,
)
FOLLOWERS = Listing(
    rows=select(users)
    .join(follows, follows.c.user_id == users.c.user_id)
    .where(follows.c.host_id == bindparam("caller", type_=Uuid)),
    id="user_id",
    sorts={"createdAt": Sort((), "desc")},
    filters={},
    item=user_json,
)


def list_following(session: Session, user_id: UUID, page: Page) -> Slice:
    """List the hosts that a user follows."""
    return FOLLOWING.fetch(session, page, [], {"caller": user_id})


def list_followers(session: Session, host_id: UUID, page: Page) -> Slice:
    """List who follows a host, for that host: public profiles."""
    return FOLLOWERS.fetch(session, page, [], {"caller": host_id})
