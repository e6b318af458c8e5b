"""Reset of a forgotten password, with a token that was sent to the account's address."""

from datetime import datetime

from sqlalchemy import Connection, update

from chalicelib.domain_events import PasswordChanged
from chalicelib.users import addresses, email_tokens, sessions, verification
from chalicelib.users.email_tokens import InvalidEmailToken
from chalicelib.users.models import credentials, users


def reset(connection: Connection, token: str, password_hash: str, now: datetime) -> str:
    """Use a token, set a new password, and return the address. All tokens and pending resets become invalid.

    The token also proves the address, so mark the address as verified. A pending address is withdrawn,
    because the person who asked for it knew the old password. The address gets a notice.

    Raises:
        InvalidEmailToken: Also if the account has another address now.
    """
    account, address = email_tokens.redeem(connection, "reset-password", token, now)
    if account.email.lower() != address:
        raise InvalidEmailToken
    connection.execute(
        update(credentials)
        .where(credentials.c.user_id == account.user_id)
        .values(password_hash=password_hash, token_version=credentials.c.token_version + 1)
    )
    email_tokens.revoke_all(connection, account.user_id, "reset-password")
    sessions.end_all(connection, account.user_id)
    connection.execute(
        update(users)
        .where(users.c.user_id == account.user_id, users.c.pending_email.is_not(None))
        .values(pending_email=None, updated_at=now, version=users.c.version + 1)
    )
    notice = PasswordChanged(user_id=account.user_id, email=account.email)
    addresses.record_notice(connection, notice, now)
    verification.mark_verified(connection, account, now)
    return str(account.email)
