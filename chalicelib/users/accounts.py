"""Accounts: register, log in, change the password."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, bindparam, func, insert, select, update

from chalicelib.domain_events import PasswordChanged, UserRegistered
from chalicelib.platform import ids, security
from chalicelib.platform.errors import Forbidden, Unauthenticated
from chalicelib.platform.messaging import outbox
from chalicelib.platform.security import Caller, Role
from chalicelib.users import addresses, authentication, email_tokens, sessions
from chalicelib.users.models import credentials, users


class WrongCredentials(Unauthenticated):
    """The e-mail address or the password is wrong."""


class WrongPassword(Forbidden):
    """The current password is wrong."""


def register(
    connection: Connection, *, name: str, email: str, password_hash: str, role: Role, now: datetime
) -> Caller:
    """Create an account and request verification of its e-mail address.

    Raises:
        EmailTaken: Also if two requests register the same address concurrently, because of the unique index.
    """
    user_id = ids.new(now)
    with addresses.unique_email():
        connection.execute(
            insert(users).values(
                user_id=user_id, role=role, name=name, email=email, created_at=now, updated_at=now
            )
        )
    connection.execute(
        insert(credentials).values(user_id=user_id, password_hash=password_hash, token_version=1)
    )
    outbox.record(connection, UserRegistered(user_id=user_id, role=role), subject=user_id, now=now)
    email_tokens.request(connection, purpose="verify-email", email=email, now=now)
    return Caller(user_id, role, token_version=1)


@dataclass(frozen=True)
class AccountCredentials:
    """The credentials of an account, to verify a password outside a transaction."""

    caller: Caller
    password_hash: str


_CREDENTIALS = select(
    users.c.user_id, users.c.role, credentials.c.token_version, credentials.c.password_hash
).join(credentials, credentials.c.user_id == users.c.user_id)

_CREDENTIALS_BY_EMAIL = _CREDENTIALS.where(func.lower(users.c.email) == func.lower(bindparam("email")))

_CREDENTIALS_BY_ID = _CREDENTIALS.where(users.c.user_id == bindparam("user_id"))


def find_credentials(
    connection: Connection, *, email: str | None = None, user_id: UUID | None = None
) -> AccountCredentials | None:
    """Find an account by e-mail address, ignoring case, or by id."""
    query = _CREDENTIALS_BY_EMAIL if email is not None else _CREDENTIALS_BY_ID
    row = connection.execute(query, {"email": email, "user_id": user_id}).one_or_none()
    if row is None:
        return None
    return AccountCredentials(Caller(row.user_id, row.role, row.token_version), row.password_hash)


def verify_password(account: AccountCredentials | None, password: str) -> AccountCredentials:
    """Verify a password, in the same time whether or not the account exists.

    It takes about 25 ms, so call it outside transactions.

    Raises:
        WrongCredentials: Unknown account or wrong password. The client cannot tell them apart.
    """
    stored_hash = account.password_hash if account else None
    if not security.password_matches(password, stored_hash) or account is None:
        raise WrongCredentials
    return account


def require_unchanged(connection: Connection, account: AccountCredentials) -> None:
    """Check that the password has not changed since it was verified. Lock the account for a new session.

    Raises:
        WrongCredentials: The account was deleted or its password changed in the meantime.
    """
    try:
        authentication.require_account(connection, account.caller, "sessions")
    except security.InvalidToken as error:
        raise WrongCredentials from error


def replace_hash(connection: Connection, account: AccountCredentials, password_hash: str) -> None:
    """Store a new hash of the same password; tokens stay valid."""
    connection.execute(
        update(credentials)
        .where(
            credentials.c.user_id == account.caller.user_id,
            credentials.c.password_hash == account.password_hash,
        )
        .values(password_hash=password_hash)
    )


def change_password(
    connection: Connection, account: AccountCredentials, password_hash: str, now: datetime
) -> None:
    """Set a new password, invalidate all tokens, including pending password resets, and end all sessions.

    The e-mail address gets a notice.

    Raises:
        WrongPassword: The password was changed after the current one was verified.
    """
    changed = connection.execute(
        update(credentials)
        .where(
            credentials.c.user_id == account.caller.user_id,
            credentials.c.token_version == account.caller.token_version,
        )
        .values(password_hash=password_hash, token_version=credentials.c.token_version + 1)
    )
    if not changed.rowcount:
        raise WrongPassword
    user_id = account.caller.user_id
    email_tokens.revoke_all(connection, user_id, "reset-password")
    sessions.end_all(connection, user_id)
    address: str = connection.execute(select(users.c.email).where(users.c.user_id == user_id)).scalar_one()
    addresses.record_notice(connection, PasswordChanged(user_id=user_id, email=address), now)
