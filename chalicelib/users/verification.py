"""Verification of e-mail addresses, with a token that was sent there."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select, update

from chalicelib.domain_events import EmailChanged
from chalicelib.platform.errors import Forbidden
from chalicelib.users import addresses, email_tokens
from chalicelib.users.email_tokens import InvalidEmailToken
from chalicelib.users.models import users


class EmailNotVerified(Forbidden):
    """Verify your e-mail address first."""

    def __init__(self, meanwhile: str = "") -> None:
        super().__init__(
            "Open the link in the e-mail that we sent you, or request another e-mail with"
            f" POST /auth/verify-email/resend. {meanwhile}".rstrip()
        )


def resend(connection: Connection, user_id: UUID, now: datetime) -> str:
    """Request another verification e-mail to the pending address of a user, or else to the current one.

    Return the address.
    """
    addresses_of = select(users.c.email, users.c.pending_email).where(users.c.user_id == user_id)
    email, pending = connection.execute(addresses_of).one()
    address: str = pending or email
    email_tokens.request(
        connection,
        purpose="verify-email",
        email=address,
        pending_of=user_id if pending else None,
        now=now,
    )
    return address


def verify(connection: Connection, token: str, now: datetime) -> str:
    """Use a token, mark its address as verified, and return the address.

    A pending address becomes the account's, and both know.

    Raises:
        InvalidEmailToken: Also if the account has another address now.
        EmailTaken: Another account has taken the pending address meanwhile.
    """
    account, address = email_tokens.redeem(connection, "verify-email", token, now)
    if account.email.lower() == address:
        mark_verified(connection, account, now)
    elif (account.pending_email or "").lower() == address:
        _change_address(connection, account, now)
    else:
        raise InvalidEmailToken
    return address


def verify_owner(
    connection: Connection, address: str, *, user_id: UUID | None, now: datetime
) -> Row[Any] | None:
    """Mark an address as verified if the user `user_id` has it, and has used a link that was sent there.

    Return the account that has verified the address, which is locked, or None. The link alone does not verify
    an account: somebody else may have registered it with the address.
    """
    account = email_tokens.lock_account(connection, connection.scalar(addresses.OWNER, {"email": address}))
    if account is None or account.email.lower() != address.lower():
        return None
    if account.user_id == user_id:
        mark_verified(connection, account, now)
        return account
    return account if account.email_verified_at else None


def _change_address(connection: Connection, account: Row[Any], now: datetime) -> None:
    """Replace the address by the pending one, and tell the former one."""
    with addresses.unique_email():
        connection.execute(
            update(users)
            .where(users.c.user_id == account.user_id)
            .values(
                email=account.pending_email,
                pending_email=None,
                email_verified_at=now,
                updated_at=now,
                version=users.c.version + 1,
            )
        )
    notice = EmailChanged(user_id=account.user_id, email=account.email)
    addresses.record_notice(connection, notice, now)


def is_verified(connection: Connection, user_id: UUID) -> bool:
    """Whether a user has verified the current address."""
    verified_at = connection.execute(select(users.c.email_verified_at).where(users.c.user_id == user_id))
    return verified_at.scalar_one() is not None


def mark_verified(connection: Connection, account: Row[Any], now: datetime) -> None:
    """Mark the address of a locked account as verified. Repeating it changes nothing."""
    if account.email_verified_at is None:
        connection.execute(
            update(users)
            .where(users.c.user_id == account.user_id)
            .values(email_verified_at=now, updated_at=now, version=users.c.version + 1)
        )
