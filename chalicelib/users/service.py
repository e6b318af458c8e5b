"""Accounts: registering, signing in, listing and changing profiles."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Text, Uuid, bindparam, cast, delete, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from chalicelib import ids, outbox, security
from chalicelib.db import Session, check_version, violated
from chalicelib.errors import Conflict, Forbidden, Unauthenticated
from chalicelib.listing import Page, Slice, search_terms
from chalicelib.security import Caller, Role, credentials
from chalicelib.users import email_tokens
from chalicelib.users.models import USERS, user_json, users


class EmailTaken(Conflict):
    """An account with this e-mail exists."""


class WrongCredentials(Unauthenticated):
    """E-mail or password is wrong."""


class WrongPassword(Forbidden):
    """The current password is wrong."""


_OWN = select(cast(user_json(users), Text), users.c.version).where(
    users.c.user_id == bindparam("caller", type_=Uuid)
)


def register(
    session: Session, *, name: str, email: str, password_hash: str, role: Role, now: datetime
) -> Caller:
    """Make an account, and have its e-mail address verified.

    Raises:
        EmailTaken: Also when two register the same e-mail at once: the unique index lets one in.
    """
    user_id = ids.new(now)
    try:
        session.execute(
            insert(users).values(
                user_id=user_id, role=role, name=name, email=email, created_at=now, updated_at=now
            )
        )
    except DBAPIError as error:
        raise _meaning(error) from error
    session.execute(insert(credentials).values(user_id=user_id, password_hash=password_hash, token_version=1))
    outbox.record(session, "user-registered", user_id, {"userId": str(user_id), "role": role}, now)
    email_tokens.request(session, purpose="verify-email", email=email, now=now)
    return Caller(user_id, role, token_version=1)


def _meaning(error: DBAPIError) -> Exception:
    return EmailTaken() if violated(error) == "uq_users_email" else error


@dataclass(frozen=True)
class Claimed:
    """What is known of the account that somebody claims, for checking outside a transaction."""

    caller: Caller
    password_hash: str


_CLAIMED = select(
    users.c.user_id, users.c.role, credentials.c.token_version, credentials.c.password_hash
).join(credentials, credentials.c.user_id == users.c.user_id)
_CLAIMED_BY_EMAIL = _CLAIMED.where(func.lower(users.c.email) == func.lower(bindparam("email")))
_CLAIMED_BY_ID = _CLAIMED.where(users.c.user_id == bindparam("user_id"))


def claimed(session: Session, *, email: str | None = None, user_id: UUID | None = None) -> Claimed | None:
    """Find an account by e-mail, compared without case, or by id."""
    query = _CLAIMED_BY_EMAIL if email is not None else _CLAIMED_BY_ID
    row = session.execute(query, {"email": email, "user_id": user_id}).one_or_none()
    if row is None:
        return None
    return Claimed(Caller(row.user_id, row.role, row.token_version), row.password_hash)


def prove(account: Claimed | None, password: str) -> Claimed:
    """Check a password, at the same cost whether or not there is an account.

    Takes about 25 ms, so it is called between transactions, not in one.

    Raises:
        WrongCredentials: In the same words for both.
    """
    known_hash = account.password_hash if account else None
    if not security.password_matches(password, known_hash) or account is None:
        raise WrongCredentials
    return account


def confirm_claim(session: Session, account: Claimed) -> None:
    """Make sure that a claimed account still is as it was when the password was checked.

    Raises:
        WrongCredentials: It was deleted meanwhile, or its password changed.
    """
    try:
        security.confirm(session, account.caller, "share")
    except security.InvalidToken as error:
        raise WrongCredentials from error


def replace_hash(session: Session, account: Claimed, password_hash: str) -> None:
    """Store a hash of the same password made with today's parameters; tokens live on."""
    session.execute(
        update(credentials)
        .where(
            credentials.c.user_id == account.caller.user_id,
            credentials.c.password_hash == account.password_hash,
        )
        .values(password_hash=password_hash)
    )


def own(session: Session, user_id: UUID) -> tuple[str, int]:
    """The account as its owner sees it, as JSON text, and its version."""
    body, version = session.execute(_OWN, {"caller": user_id}).one()
    return body, version


def list_users(
    session: Session, *, caller_id: UUID, page: Page, role: Role | None, words: str | None
) -> Slice:
    """List public profiles."""
    filters: dict[str, Any] = {}
    if role is not None:
        filters["role"] = role
    if words is not None:
        filters["q"] = search_terms(words)
    return USERS.fetch(session, page, list(filters), {"caller": caller_id, **filters})


def change(
    session: Session,
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
    version = check_profile_version(session, user_id, expected)
    if not changes:
        return
    new_address = _new_address(session, user_id, changes)
    if new_address is not None:
        changes = {**changes, "email_verified_at": None}
    try:
        session.execute(
            update(users)
            .where(users.c.user_id == user_id)
            .values(**changes, version=version + 1, updated_at=now)
        )
    except DBAPIError as error:
        raise _meaning(error) from error
    if new_address is not None:
        email_tokens.request(session, purpose="verify-email", email=new_address, now=now)


def _new_address(session: Session, user_id: UUID, changes: dict[str, Any]) -> str | None:
    """The e-mail address that the changes bring; the present one written otherwise is none."""
    email: str | None = changes.get("email")
    if email is None:
        return None
    present: str = session.execute(select(users.c.email).where(users.c.user_id == user_id)).scalar_one()
    return email if email.lower() != present.lower() else None


def change_password(session: Session, account: Claimed, password_hash: str) -> None:
    """Set a new password, which ends all older tokens, and those that were sent to set one.

    Raises:
        WrongPassword: The password was changed since the account's present one was proven.
    """
    changed = session.execute(
        update(credentials)
        .where(
            credentials.c.user_id == account.caller.user_id,
            credentials.c.token_version == account.caller.token_version,
        )
        .values(password_hash=password_hash, token_version=credentials.c.token_version + 1)
    )
    if not changed.rowcount:
        raise WrongPassword
    email_tokens.end_all(session, account.caller.user_id, "reset-password")


def check_profile_version(
    session: Session, user_id: UUID, expected: Collection[int] | None, *, goes: bool = False
) -> int:
    """Lock a profile against other changes and return its version.

    Where the account `goes`, also against rows that would point at it: a booking under way is waited for, and
    one that begins waits.

    Raises:
        StaleVersion: It is none of the expected ones.
    """
    version: int = session.execute(
        select(users.c.version).where(users.c.user_id == user_id).with_for_update(key_share=not goes)
    ).scalar_one()
    check_version(version, expected)
    return version


def erase(session: Session, user_id: UUID, now: datetime) -> None:
    """Take name, e-mail and credentials away; the row stays for the records that point at it."""
    session.execute(delete(credentials).where(credentials.c.user_id == user_id))
    session.execute(
        update(users)
        .where(users.c.user_id == user_id)
        .values(name=None, email=None, deleted_at=now, updated_at=now, version=users.c.version + 1)
    )
