"""Sessions: a login is continued by refresh tokens, each of which works once.

The refresh tokens of one login are a family. A refresh uses a token up and adds its successor. Only hashes
are stored. If a used token comes again, somebody has a copy of it, and the family ends. So a client sends
its refreshes one after the other: there is no grace period in which two clients could continue one login.

Every change locks the account's credentials first, so that a family cannot grow while it ends.
"""

import hashlib
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Connection,
    LargeBinary,
    Row,
    Select,
    Uuid,
    bindparam,
    delete,
    insert,
    or_,
    select,
    update,
)

from chalicelib.platform.database.columns import now_parameter
from chalicelib.platform.database.engine import Database
from chalicelib.platform.errors import Unauthenticated
from chalicelib.platform.security import Caller
from chalicelib.users.models import credentials, refresh_tokens, users

LIFETIME = timedelta(days=30)
"""How long a refresh token can be used. Its successor has the same time again."""


class InvalidRefreshToken(Unauthenticated):
    """The refresh token is invalid, expired or already used."""


@dataclass(frozen=True)
class Session:
    """The caller of new access tokens, and the token for the next refresh."""

    caller: Caller
    refresh_token: str = field(repr=False)


_hash = bindparam("this_hash", type_=LargeBinary)
_owner = bindparam("of_user", type_=Uuid)
_family = bindparam("of_family", type_=Uuid)

_OWNER = select(refresh_tokens.c.user_id).where(refresh_tokens.c.token_hash == _hash)
_LOCK_ACCOUNT: Select[Any] = (
    select(credentials.c.user_id, credentials.c.token_version, users.c.role)
    .join(users, users.c.user_id == credentials.c.user_id)
    .where(credentials.c.user_id == _owner)
    .with_for_update(key_share=True, of=credentials)
)
_USE = (
    update(refresh_tokens)
    .where(
        refresh_tokens.c.token_hash == _hash,
        refresh_tokens.c.used_at.is_(None),
        refresh_tokens.c.expires_at > now_parameter,
    )
    .values(used_at=now_parameter)
    .returning(refresh_tokens.c.family_id, refresh_tokens.c.logged_in_at)
)
_same_token = refresh_tokens.alias("same_token")
_family_of_token = select(_same_token.c.family_id).where(_same_token.c.token_hash == _hash).scalar_subquery()
_family_of_used_token = (
    select(_same_token.c.family_id)
    .where(_same_token.c.token_hash == _hash, _same_token.c.used_at.is_not(None))
    .scalar_subquery()
)
_END_REUSED = delete(refresh_tokens).where(refresh_tokens.c.family_id == _family_of_used_token)
_END = delete(refresh_tokens).where(
    refresh_tokens.c.user_id == _owner,
    or_(refresh_tokens.c.family_id == _family, refresh_tokens.c.family_id == _family_of_token),
)
_END_ALL = delete(refresh_tokens).where(refresh_tokens.c.user_id == _owner)


def new_token() -> str:
    return secrets.token_urlsafe(32)


def of_first_token(caller: Caller, refresh_token: str, now: datetime) -> Session:
    """Return the session of a login. The hash of its first token names the family."""
    family = UUID(bytes=_digest(refresh_token)[:16])
    return Session(replace(caller, logged_in_at=now, session=family), refresh_token)


def start(connection: Connection, caller: Caller, now: datetime, *, refresh_token: str) -> Session:
    """Start a session after a login with the password.

    The account must be locked with `sessions`, or be new.
    """
    session = of_first_token(caller, refresh_token, now)
    _add(connection, session, now)
    return session


def refresh(connection: Connection, refresh_token: str, now: datetime) -> Session | None:
    """Use a refresh token and return the session with the next one; None if the token is refused.

    If the token was used before, its family ends. So the caller commits in either case.
    """
    token_hash = {"this_hash": _digest(refresh_token)}
    account = _lock(connection, connection.scalar(_OWNER, token_hash))
    used = connection.execute(_USE, {**token_hash, "now": now}).one_or_none()
    if account is None or used is None:
        connection.execute(_END_REUSED, token_hash)
        return None
    caller = Caller(account.user_id, account.role, account.token_version, used.logged_in_at, used.family_id)
    session = Session(caller, new_token())
    _add(connection, session, now)
    return session


def _lock(connection: Connection, user_id: UUID | None) -> Row[Any] | None:
    if user_id is None:
        return None
    found: Row[Any] | None = connection.execute(_LOCK_ACCOUNT, {"of_user": user_id}).one_or_none()
    return found


def _add(connection: Connection, session: Session, now: datetime) -> None:
    connection.execute(
        insert(refresh_tokens).values(
            token_hash=_digest(session.refresh_token),
            family_id=session.caller.session,
            user_id=session.caller.user_id,
            logged_in_at=session.caller.logged_in_at,
            created_at=now,
            expires_at=now + LIFETIME,
        )
    )


def end(connection: Connection, caller: Caller, refresh_token: str | None) -> None:
    """End the caller's session, and the one that a refresh token of the caller belongs to. Idempotent.

    The account must be locked with `sessions`.
    """
    token_hash = None if refresh_token is None else _digest(refresh_token)
    values = {"of_user": caller.user_id, "of_family": caller.session, "this_hash": token_hash}
    connection.execute(_END, values)


def end_all(connection: Connection, user_id: UUID) -> None:
    """End all sessions of an account. Its credentials must be locked for update, or be changed before."""
    connection.execute(_END_ALL, {"of_user": user_id})


def purge_expired(database: Database, now: datetime, batch_size: int = 10_000) -> int:
    """Delete expired refresh tokens, used or not, and return how many."""
    return database.purge(refresh_tokens.c.expires_at, now, batch_size)


def _digest(token: str) -> bytes:
    """Hash without salt or stretching: 256 random bits cannot be guessed."""
    return hashlib.sha256(token.encode()).digest()
