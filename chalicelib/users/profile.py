"""Profiles: read, list and change them."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Connection, Row, Text, Uuid, any_, bindparam, cast, func, select, update

from chalicelib.domain_events import EmailChangeRequested
from chalicelib.platform.database.engine import check_version
from chalicelib.platform.database.listing import ListQuery, Page, PageRequest, Sort
from chalicelib.platform.database.rendering import Render
from chalicelib.platform.security import Role
from chalicelib.users import addresses, email_tokens
from chalicelib.users.models import not_deleted, users

USERS = ListQuery(
    rows=select(users, func.lower(users.c.name, type_=Text).label("sort_name")).where(not_deleted),
    id="user_id",
    sorts={"name": Sort(("sort_name",)), "createdAt": Sort((), "desc")},
    filters={
        "role": users.c.role == any_(bindparam("role", type_=ARRAY(Text))),
        "q": users.c.words.op("@@")(func.search_query(bindparam("q", type_=Text))),
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
        roles: list[Role] | None,
        words: str | None,
    ) -> Page:
        """List users, by role and by words in the name."""
        filters: dict[str, Any] = {}
        if roles is not None:
            filters["role"] = roles
        if words is not None:
            filters["q"] = words
        values = {"caller": caller_id, **filters}
        return USERS.fetch(connection, page, list(filters), values, self._render)


def change(
    connection: Connection,
    user_id: UUID,
    *,
    changes: dict[str, Any],
    expected: Collection[int] | None,
    now: datetime,
    new_password: bool = False,
) -> str | None:
    """Change the name or e-mail address of an account.

    A new address is pending until it is verified, and the present one gets a notice. The present address
    withdraws a pending one, and so does a new password without a new address: the person who asked for it may
    have known the old password.

    Return the address that a verification e-mail was requested for, if any.

    Raises:
        EmailTaken: Another account has the e-mail address.
        StaleVersion: The profile has changed since.
    """
    version = lock_profile(connection, user_id, expected)
    row = connection.execute(select(users).where(users.c.user_id == user_id)).one()
    values, email = dict(changes), changes.get("email")
    requested = False
    if email is not None and email.lower() != row.email.lower():
        del values["email"]
        values["pending_email"] = email
        requested = _request_change(connection, row, email, now)
    elif row.pending_email is not None and (email is not None or new_password):
        values["pending_email"] = None
    if values:
        connection.execute(
            update(users)
            .where(users.c.user_id == user_id)
            .values(**values, version=version + 1, updated_at=now)
        )
    return email if requested else None


def _request_change(connection: Connection, row: Row[Any], email: str, now: datetime) -> bool:
    """Send a token to a new address, and a notice to the present one.

    Return whether they were requested, which they are not if the address is pending already.
    """
    addresses.require_free(connection, email)
    if email.lower() == (row.pending_email or "").lower():
        return False
    email_tokens.request(connection, purpose="verify-email", email=email, pending_of=row.user_id, now=now)
    notice = EmailChangeRequested(user_id=row.user_id, email=row.email)
    addresses.record_notice(connection, notice, now)
    return True


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
