"""E-mail tokens: sent to an address, and used once to verify it or to reset the password."""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    Connection,
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
from chalicelib.platform.database.columns import now_parameter
from chalicelib.platform.database.engine import Database
from chalicelib.platform.errors import InvalidInput
from chalicelib.platform.messaging import outbox
from chalicelib.platform.settings import Quota
from chalicelib.platform.throttle import Charge, Throttle
from chalicelib.users import addresses
from chalicelib.users.models import credentials, email_tokens, users

Purpose = Literal["verify-email", "reset-password"]

LIFETIMES: dict[Purpose, timedelta] = {
    "verify-email": timedelta(hours=24),
    "reset-password": timedelta(hours=1),
}
RESEND_COOLDOWN = timedelta(minutes=1)
"""Minimum time between two e-mails with the same purpose to an address, whichever accounts have it."""

_ONE_PER_COOLDOWN = Quota(1, int(RESEND_COOLDOWN.total_seconds()))

RETENTION = timedelta(days=7)
"""How long expired and used tokens are kept."""

_DOMAIN_EVENTS: dict[Purpose, type[EmailRequested]] = {
    "verify-email": EmailVerificationRequested,
    "reset-password": PasswordResetRequested,
}


class InvalidEmailToken(InvalidInput):
    """The token is invalid, expired or already used."""

    def __init__(self) -> None:
        super().__init__("Request a new e-mail and use the token in the newest one.")


@dataclass(frozen=True, kw_only=True)
class IssuedToken:
    """A new token with its recipient. The token is sent by e-mail and stored nowhere."""

    user_id: UUID
    name: str
    email: str
    token: str = field(repr=False)


# The names differ from the columns': SQLAlchemy takes a parameter named like a column for a value to set.
_user_id = bindparam("of_user", type_=Uuid)
_purpose = bindparam("of_purpose", type_=Text)
_hash = bindparam("the_hash", type_=LargeBinary)

_WITH_TOKEN = select(email_tokens.c.user_id).where(email_tokens.c.token_hash == _hash)
_LOCK_CREDENTIALS = (
    select(credentials.c.user_id)
    .where(credentials.c.user_id == _user_id)
    .with_for_update(read=True, key_share=True)
)
_LOCK_USER: Select[Any] = (
    select(users.c.user_id, users.c.name, users.c.email, users.c.pending_email, users.c.email_verified_at)
    .where(users.c.user_id == _user_id, users.c.deleted_at.is_(None))
    .with_for_update(key_share=True)
)
_tokens_of_user = (email_tokens.c.user_id == _user_id, email_tokens.c.purpose == _purpose)
_EXPIRE = update(email_tokens).where(*_tokens_of_user).values(expires_at=email_tokens.c.created_at)
_usable = (
    email_tokens.c.token_hash == _hash,
    email_tokens.c.purpose == _purpose,
    email_tokens.c.expires_at > now_parameter,
)
_USABLE = select(email_tokens.c.user_id).where(*_usable)
# Used tokens stay, expired, so that a second click can be told from a broken link.
_USE = (
    update(email_tokens)
    .where(*_usable)
    .values(expires_at=email_tokens.c.created_at)
    .returning(email_tokens.c.email)
)
_ALREADY_VERIFIED = (
    select(users.c.user_id)
    .join(email_tokens, email_tokens.c.user_id == users.c.user_id)
    .where(
        email_tokens.c.token_hash == _hash,
        email_tokens.c.purpose == "verify-email",
        email_tokens.c.email == func.lower(users.c.email),
        users.c.email_verified_at.is_not(None),
    )
)
_REVOKE_ALL = delete(email_tokens).where(*_tokens_of_user)


def request(
    connection: Connection, *, purpose: Purpose, email: str, now: datetime, pending_of: UUID | None = None
) -> None:
    """Request an e-mail with a token to an address, whether or not an account has it.

    `pending_of` is the account whose pending address it is, since several accounts may want the same.

    The consumer of the domain event looks up the account. So neither the response nor its timing reveals
    whether the address has an account.
    """
    address = email.lower()
    event = _DOMAIN_EVENTS[purpose](email=address)
    if pending_of is not None:
        event = EmailVerificationRequested(email=address, user_id=pending_of)
    outbox.record(connection, event, subject=addresses.subject_of(address, pending_of), now=now)


def issue(
    connection: Connection,
    *,
    purpose: Purpose,
    email: str,
    throttle: Throttle,
    now: datetime,
    pending_of: UUID | None = None,
) -> IssuedToken | None:
    """Create a token for an address and store its hash. Older tokens expire.

    With `pending_of`, it is for the pending address of that account.

    Return None if no e-mail is due: no account has the address, the address is verified already, or the last
    e-mail with this purpose to this address is younger than RESEND_COOLDOWN.
    """
    owner = pending_of or connection.scalar(addresses.OWNER, {"email": email})
    account = lock_account(connection, owner)
    address = email.lower()
    if account is None:
        return None
    is_pending = pending_of is not None and (account.pending_email or "").lower() == address
    if not is_pending and account.email.lower() != address:
        return None
    if purpose == "verify-email" and not is_pending and account.email_verified_at is not None:
        return None
    [cooldown] = throttle.count(connection, {_cooldown(purpose, address): _ONE_PER_COOLDOWN}, now)
    if cooldown.is_exceeded:
        return None
    connection.execute(_EXPIRE, {"of_user": account.user_id, "of_purpose": purpose})
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
    recipient = account.pending_email if is_pending else account.email
    return IssuedToken(user_id=account.user_id, name=account.name, email=recipient, token=token)


def _cooldown(purpose: Purpose, address: str) -> Charge:
    return Charge(f"cooldown-{purpose}", address.lower())


def is_usable(connection: Connection, purpose: Purpose, token: str, now: datetime) -> bool:
    """Whether a token can be used now. Another request may use it before."""
    values = {"the_hash": _digest(token), "of_purpose": purpose, "now": now}
    return connection.execute(_USABLE, values).first() is not None


def require_usable(connection: Connection, purpose: Purpose, token: str, now: datetime) -> None:
    """Check a token without using it, before the work that its use takes.

    Raises:
        InvalidEmailToken
    """
    if not is_usable(connection, purpose, token, now):
        raise InvalidEmailToken


def already_verified(connection: Connection, token: str) -> bool:
    """Whether the address that a token was sent to is verified, as after a second click on its link."""
    return connection.execute(_ALREADY_VERIFIED, {"the_hash": _digest(token)}).first() is not None


def redeem(connection: Connection, purpose: Purpose, token: str, now: datetime) -> tuple[Row[Any], str]:
    """Use up a valid token, lock its account, and return the account and the token's address.

    If several requests use the same token concurrently, one succeeds.
    """
    key = {"the_hash": _digest(token)}
    account = lock_account(connection, connection.execute(_WITH_TOKEN, key).scalar_one_or_none())
    address = connection.execute(_USE, {**key, "of_purpose": purpose, "now": now}).scalar_one_or_none()
    if account is None or address is None:
        raise InvalidEmailToken
    return account, address


def lock_account(connection: Connection, user_id: UUID | None) -> Row[Any] | None:
    """Lock an account against other tokens and changes, and return it, or None if it does not exist.

    The lock order is credentials, user, tokens, as in changes of the profile and the deletion of the account.
    """
    if user_id is None:
        return None
    connection.execute(_LOCK_CREDENTIALS, {"of_user": user_id})
    return connection.execute(_LOCK_USER, {"of_user": user_id}).one_or_none()


def revoke_all(connection: Connection, user_id: UUID, purpose: Purpose) -> None:
    """Revoke a user's tokens with a purpose."""
    connection.execute(_REVOKE_ALL, {"of_user": user_id, "of_purpose": purpose})


def revoke(connection: Connection, token: str, throttle: Throttle) -> None:
    """Revoke a token that could not be sent, so that the cooldown does not delay the next one."""
    revoked = connection.execute(
        delete(email_tokens)
        .where(email_tokens.c.token_hash == _digest(token))
        .returning(email_tokens.c.purpose, email_tokens.c.email)
    ).one_or_none()
    if revoked is not None:
        throttle.forget(connection, _cooldown(revoked.purpose, revoked.email))


def _digest(token: str) -> bytes:
    """Hash without salt or stretching: 256 random bits cannot be guessed."""
    return hashlib.sha256(token.encode()).digest()


def purge_expired(database: Database, now: datetime, batch_size: int = 10_000) -> int:
    """Delete tokens that expired long ago. Return how many."""
    return database.purge(email_tokens.c.expires_at, now - RETENTION, batch_size)
