"""Authentication: check that the account behind a token still exists."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Select, bindparam, select

from chalicelib.platform.security import AccountLock, Caller, InvalidToken
from chalicelib.users.models import credentials


def _with_lock(lock: Callable[[Select[Any]], Select[Any]]) -> Select[Any]:
    return lock(
        select(credentials.c.user_id).where(
            credentials.c.user_id == bindparam("user_id"),
            credentials.c.token_version == bindparam("token_version"),
        )
    )


_ACCOUNT: dict[AccountLock, Select[Any]] = {
    "none": _with_lock(lambda query: query),
    "share": _with_lock(lambda query: query.with_for_update(read=True, key_share=True)),
    "sessions": _with_lock(lambda query: query.with_for_update(key_share=True)),
    "update": _with_lock(lambda query: query.with_for_update()),
}


def require_account(connection: Connection, caller: Caller, lock: AccountLock) -> None:
    """Check that the caller's account exists, and that its password is the one of the token.

    Writers lock the account with `share`, and its deletion with `update`. So writers and the deletion wait
    for each other, and no rows are added for a deleted account. `sessions` also excludes changes of
    the password and of other sessions, so that no session survives its end.

    Raises:
        InvalidToken: The account is deleted or its password has changed.
    """
    found = connection.execute(
        _ACCOUNT[lock], {"user_id": caller.user_id, "token_version": caller.token_version}
    )
    if found.first() is None:
        raise InvalidToken
