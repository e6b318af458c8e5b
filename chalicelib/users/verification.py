"""Proof that an e-mail address is one's own: tokens that are sent there and used once."""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import (
    Connection,
    DateTime,
    LargeBinary,
    Row,
    Select,
    Text,
    Uuid,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from chalicelib.domain_events import EmailRequested, EmailVerificationRequested, PasswordResetRequested
from chalicelib.platform.database.engine import Database
from chalicelib.platform.errors import InvalidInput
from chalicelib.platform.messaging import outbox
from chalicelib.users.models import credentials, email_tokens, users

Purpose = Literal["verify-email", "reset-password"]

LIFETIMES: dict[Purpose, timedelta] = {
    "verify-email": timedelta(hours=24),
    "reset-password": timedelta(hours=1),
}
RESEND_COOLDOWN = timedelta(minutes=1)
"""From one e-mail of a purpose to the next for the same account and address: nobody is flooded."""

_DOMAIN_EVENTS: dict[Purpose, type[EmailRequested]] = {
    "verify-email": EmailVerificationRequested,
    "reset-password": PasswordResetRequested,
}


class InvalidEmailToken(InvalidInput):
    """The token from the e-mail is unknown, used or expired."""

    def __init__(self) -> None:
        super().__init__("Ask for another e-mail and use the token in the newest one.")


@dataclass(frozen=True, kw_only=True)
class IssuedToken:
    """A token on its way to its owner, who alone gets to see it."""

    user_id: UUID
    name: str
    email: str
    token: str = field(repr=False)


def request(connection: Connection, *, purpose: Purpose, email: str, now: datetime) -> None:
    """Record that a token is wanted for an address, whether or not an account has it.

    So the answer and its cost are the same for both: who sends the e-mail looks the account up.
    """
    address = email.lower()
    # One subject for all domain events of an address, also where there is no user.
    subject = uuid5(NAMESPACE_URL, f"mailto:{address}")
    outbox.record(connection, _DOMAIN_EVENTS[purpose](email=address), subject=subject, now=now)


def request_verification(connection: Connection, user_id: UUID, now: datetime) -> None:
    """Record that a user wants to verify their present address, also where that is done already."""
    email: str = connection.execute(select(users.c.email).where(users.c.user_id == user_id)).scalar_one()
    request(connection, purpose="verify-email", email=email, now=now)


# Not named as the columns: parameters of an UPDATE that are would be set, not compared.
_user_id = bindparam("of_user", type_=Uuid)
_purpose = bindparam("of_purpose", type_=Text)
_hash = bindparam("token_hash", type_=LargeBinary)
_now = bindparam("now", type_=DateTime(timezone=True))

_WITH_ADDRESS = select(users.c.user_id).where(func.lower(users.c.email) == func.lower(bindparam("email")))
_WITH_TOKEN = select(email_tokens.c.user_id).where(email_tokens.c.token_hash == _hash)
_LOCK_CREDENTIALS = (
    select(credentials.c.user_id)
    .where(credentials.c.user_id == _user_id)
    .with_for_update(read=True, key_share=True)
)
_LOCK_USER: Select[Any] = (
    select(users.c.user_id, users.c.name, users.c.email, users.c.email_verified_at)
    .where(users.c.user_id == _user_id, users.c.deleted_at.is_(None))
    .with_for_update(key_share=True)
)
_its_tokens = (email_tokens.c.user_id == _user_id, email_tokens.c.purpose == _purpose)
_RECENT = select(email_tokens.c.created_at).where(
    *_its_tokens,
    email_tokens.c.email == bindparam("email", type_=Text),
    email_tokens.c.created_at > bindparam("since", type_=DateTime(timezone=True)),
)
_EXPIRE = update(email_tokens).where(*_its_tokens).values(expires_at=email_tokens.c.created_at)
_USE = (
    delete(email_tokens)
    .where(email_tokens.c.token_hash == _hash, email_tokens.c.purpose == _purpose)
    .where(email_tokens.c.expires_at > _now)
    .returning(email_tokens.c.email)
)
_REVOKE_ALL = delete(email_tokens).where(*_its_tokens)


def issue(connection: Connection, *, purpose: Purpose, email: str, now: datetime) -> IssuedToken | None:
    """Make a token to send to an address; only a hash of it is kept. It ends the older ones.

    None where no e-mail is due: no account has the address, or it is verified, or one of the purpose
    was made for it less than REST ago.
    """
    account = _lock(connection, connection.execute(_WITH_ADDRESS, {"email": email}).scalar_one_or_none())
    address = email.lower()
    if account is None or account.email.lower() != address:
        return None
    if purpose == "verify-email" and account.email_verified_at is not None:
        return None
    whose = {"of_user": account.user_id, "of_purpose": purpose}
    if connection.execute(_RECENT, {**whose, "email": address, "since": now - RESEND_COOLDOWN}).first():
        return None
    # They stay until REST is over: who moves their address to and fro could else flood one with e-mails.
    connection.execute(_EXPIRE, whose)
    token = secrets.token_urlsafe(32)
    connection.execute(
        insert(email_tokens).values(
            token_hash=_digest(token),
            user_id=account.user_id,
            purpose=purpose,
            email=address,
            created_at=now,
            expires_at=now + LIFETIMES[purpose],
        )
    )
    return IssuedToken(user_id=account.user_id, name=account.name, email=account.email, token=token)


def verify(connection: Connection, token: str, now: datetime) -> None:
    """Use a token up and note that its address is its owner's.

    Raises:
        InvalidEmailToken: Also where the account has another address by now.
    """
    _mark_verified(connection, _redeem(connection, "verify-email", token, now), now)


def reset(connection: Connection, token: str, password_hash: str, now: datetime) -> None:
    """Use a token up and set its owner's password, which ends all older tokens of either kind.

    Who could read the e-mail has proven the address as well.

    Raises:
        InvalidEmailToken: Also where the account has another address by now.
    """
    account = _redeem(connection, "reset-password", token, now)
    connection.execute(
        update(credentials)
        .where(credentials.c.user_id == account.user_id)
        .values(password_hash=password_hash, token_version=credentials.c.token_version + 1)
    )
    revoke_all(connection, account.user_id, "reset-password")
    _mark_verified(connection, account, now)


def revoke_all(connection: Connection, user_id: UUID, purpose: Purpose) -> None:
    """Have a user's tokens of a purpose be good for nothing."""
    connection.execute(_REVOKE_ALL, {"of_user": user_id, "of_purpose": purpose})


def revoke(connection: Connection, token: str) -> None:
    """Take back a token that could not be sent, so that another one can be, at once."""
    connection.execute(delete(email_tokens).where(email_tokens.c.token_hash == _digest(token)))


def is_verified(connection: Connection, user_id: UUID) -> bool:
    """Whether a user has proven that the present address is theirs."""
    verified_at = connection.execute(select(users.c.email_verified_at).where(users.c.user_id == user_id))
    return verified_at.scalar_one() is not None


def _redeem(connection: Connection, purpose: Purpose, token: str, now: datetime) -> Row[Any]:
    """Delete a token that is good, and return its owner, locked.

    Of several who bring the same token at once, one has it deleted.
    """
    key = {"token_hash": _digest(token)}
    account = _lock(connection, connection.execute(_WITH_TOKEN, key).scalar_one_or_none())
    address = connection.execute(_USE, {**key, "of_purpose": purpose, "now": now}).scalar_one_or_none()
    if account is None or account.email.lower() != address:
        raise InvalidEmailToken
    return account


def _lock(connection: Connection, user_id: UUID | None) -> Row[Any] | None:
    """Lock an account, if it is there, against other tokens and changes, and read it.

    In the order in which a change of the profile and the end of the account take these locks; tokens
    come after.
    """
    if user_id is None:
        return None
    connection.execute(_LOCK_CREDENTIALS, {"of_user": user_id})
    return connection.execute(_LOCK_USER, {"of_user": user_id}).one_or_none()


def _mark_verified(connection: Connection, account: Row[Any], now: datetime) -> None:
    if account.email_verified_at is None:
        connection.execute(
            update(users)
            .where(users.c.user_id == account.user_id)
            .values(email_verified_at=now, updated_at=now, version=users.c.version + 1)
        )


def _digest(token: str) -> bytes:
    """A plain hash will do: 256 random bits are not to be guessed."""
    return hashlib.sha256(token.encode()).digest()


def purge_expired(database: Database, now: datetime, at_once: int = 10_000) -> int:
    """Delete tokens past their time and say how many."""
    return database.delete_before(email_tokens.c.expires_at, now - RESEND_COOLDOWN, at_once)
