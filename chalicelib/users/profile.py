"""Profiles: read, list and change them."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Text, Uuid, bindparam, cast, func, select, update
from sqlalchemy.exc import DBAPIError

from chalicelib.platform.database.engine import check_version
from chalicelib.platform.database.listing import ListQuery, Page, PageRequest, Sort, search_terms
from chalicelib.platform.database.rendering import Render
from chalicelib.platform.security import Role
from chalicelib.users import verification
from chalicelib.users.accounts import email_taken
from chalicelib.users.models import not_deleted, users

USERS = ListQuery(
    rows=select(users, func.lower(users.c.name, type_=Text).label("sort_name")).where(not_deleted),
    id="user_id",
    sorts={"name": Sort(("sort_name",)), "createdAt": Sort((), "desc")},
    filters={
        "role": users.c.role == bindparam("role"),
        "q": users.c.words.op("@@")(func.to_tsquery("simple", bindparam("q", type_=Text))),
    },
    searched=frozenset({"q"}),
)


class UserQueries:
    """Read users as JSON text. `render` can use the parameter `caller`, the id of the caller."""

    def __init__(self, render: Render) -> None:
        self._render = render
        self._own = select(cast(render(users), Text), users.c.version).where(
            users.c.user_id == bindparam("caller", type_=Uuid)
        )

    def get_own(self, connection: Connection, user_id: UUID) -> tuple[str, int]:
        """Return the user's own profile and its version."""
        body, version = connection.execute(self._own, {"caller": user_id}).one()
        return body, version

    def list_users(
        self,
        connection: Connection,
        caller_id: UUID,
        page: PageRequest,
        *,
        role: Role | None,
        words: str | None,
    ) -> Page:
        """List users, by role and by words in the name."""
        filters: dict[str, Any] = {}
        if role is not None:
            filters["role"] = role
        if words is not None:
            filters["q"] = search_terms(words)
        values = {"caller": caller_id, **filters}
        return USERS.fetch(connection, page, list(filters), values, self._render)


def change(
    connection: Connection,
    user_id: UUID,
    *,
    changes: dict[str, Any],
    expected: Collection[int] | None,
    now: datetime,
) -> str | None:
    """Change the name or e-mail address of an account; a new address must be verified again.

    Return the address that a verification e-mail was requested for, if any.

    Raises:
        EmailTaken: Another account has the e-mail address.
        StaleVersion: The profile has changed since.
    """
    version = lock_profile(connection, user_id, expected)
    if not changes:
        return None
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
        raise email_taken(error) from error
    if new_address is not None:
        verification.request_token(connection, purpose="verify-email", email=new_address, now=now)
    return new_address


def _new_address(connection: Connection, user_id: UUID, changes: dict[str, Any]) -> str | None:
    """Return the new e-mail address, or None if it differs from the current one in case only."""
    email: str | None = changes.get("email")
    if email is None:
        return None
    current: str = connection.execute(select(users.c.email).where(users.c.user_id == user_id)).scalar_one()
    return email if email.lower() != current.lower() else None


def lock_profile(
    connection: Connection, user_id: UUID, expected: Collection[int] | None, *, for_deletion: bool = False
) -> int:
    """Lock a profile against other changes and return its version.

    With `for_deletion`, also lock out new rows that refer to it: this waits for concurrent bookings, and
    later bookings wait for this transaction.

    Raises:
        StaleVersion: The profile has changed since.
    """
    version: int = connection.execute(
        select(users.c.version).where(users.c.user_id == user_id).with_for_update(key_share=not for_deletion)
    ).scalar_one()
    check_version(version, expected)
    return version
