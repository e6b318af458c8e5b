"""Authentication: check that the account behind a token still exists."""

from collections.abc import Callable
from typing import Any, Literal

from sqlalchemy import Connection, Select, bindparam, select

from chalicelib.platform.security import Caller, InvalidToken
from chalicelib.users.models import credentials

Lock = Literal["none", "share", "update"]


def _standing(lock: Callable[[Select[Any]], Select[Any]]) -> Select[Any]:
    return lock(
        select(credentials.c.user_id).where(
            credentials.c.user_id == bindparam("user_id"),
            credentials.c.token_version == bindparam("token_version"),
        )
    )


_STANDING: dict[Lock, Select[Any]] = {
    "none": _standing(lambda query: query),
    "share": _standing(lambda query: query.with_for_update(read=True, key_share=True)),
    "update": _standing(lambda query: query.with_for_update()),
}


def require_account(connection: Connection, caller: Caller, lock: Lock = "none") -> None:
    """Refuse a caller whose account is gone or whose password has changed since the token.

    A write takes `share`, which waits for a deletion of the account under way and makes a later one
    wait, so that nothing is made for an account that goes; the deletion itself takes `update`.

    Raises:
        InvalidToken: The token no longer stands for anyone.
    """
    found = connection.execute(
        _STANDING[lock], {"user_id": caller.user_id, "token_version": caller.token_version}
    )
    if found.first() is None:
        raise InvalidToken
