"""Profiles: read, list and change them."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Text, Uuid, bindparam, cast, select, update
from sqlalchemy.exc import DBAPIError

from chalicelib.platform.database.engine import check_version
from chalicelib.platform.database.listing import Page, PageRequest, search_terms
from chalicelib.platform.security import Role
from chalicelib.users import verification
from chalicelib.users.accounts import _translate
from chalicelib.users.models import USERS, user_json, users

_OWN = select(cast(user_json(users), Text), users.c.version).where(
    users.c.user_id == bindparam("caller", type_=Uuid)
)


def get_own(connection: Connection, user_id: UUID) -> tuple[str, int]:
    """The account as its owner sees it, as JSON text, and its version."""
    body, version = connection.execute(_OWN, {"caller": user_id}).one()
    return body, version


def list_users(
    connection: Connection, *, caller_id: UUID, page: PageRequest, role: Role | None, words: str | None
) -> Page:
    """List public profiles."""
    filters: dict[str, Any] = {}
    if role is not None:
        filters["role"] = role
    if words is not None:
        filters["q"] = search_terms(words)
    return USERS.fetch(connection, page, list(filters), {"caller": caller_id, **filters})


def change(
    connection: Connection,
    user_id: UUID,
    *,
    changes: dict[str, Any],
    expected: Collection[int] | None,
    now: datetime,
) -> None:
    """Change name or e-mail of an account; another address is to be verified anew.

    Raises:
        EmailTaken: Another account has the e-mail.
        StaleVersion: The profile has changed since.
    """
    version = lock_profile(connection, user_id, expected)
    if not changes:
        return
    new_address = _new_address(connection, user_id, changes)
    if new_address is not None:
        changes = {**changes, "email_verified_at": None}
    try:
        connection.execute(
            update(users)
            .where(users.c.user_id == user_id)
            .values(**changes, version=version + 1, updated_at=now)
        )
    except DBAPIError as error:
        raise _translate(error) from error
    if new_address is not None:
        verification.request(connection, purpose="verify-email", email=new_address, now=now)


def _new_address(connection: Connection, user_id: UUID, changes: dict[str, Any]) -> str | None:
    """The e-mail address that the changes bring; the present one written otherwise is none."""
    email: str | None = changes.get("email")
    if email is None:
        return None
    present: str = connection.execute(select(users.c.email).where(users.c.user_id == user_id)).scalar_one()
    return email if email.lower() != present.lower() else None


def lock_profile(
    connection: Connection, user_id: UUID, expected: Collection[int] | None, *, goes: bool = False
) -> int:
    """Lock a profile against other changes and return its version.

    Where the account `goes`, also against rows that would point at it: a booking under way is waited for, and
    one that begins waits.

    Raises:
        StaleVersion: It is none of the expected ones.
    """
    version: int = connection.execute(
        select(users.c.version).where(users.c.user_id == user_id).with_for_update(key_share=not goes)
    ).scalar_one()
    check_version(version, expected)
    return version
