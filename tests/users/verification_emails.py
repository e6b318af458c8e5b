"""Tokens as their owners find them in an e-mail, and looks past the API at what was written."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row, text

from chalicelib.users import verification
from chalicelib.users.verification import IssuedToken, Purpose
from tests.client import Account, Client

REQUESTS = ("email-verification-requested", "password-reset-requested")


def issue(client: Client, purpose: Purpose, email: str, *, at: datetime | None = None) -> IssuedToken | None:
    """What is sent to an address, if anything is."""
    now = at or datetime.now(UTC)
    with client.wiring.database.transaction() as connection:
        return verification.issue(connection, purpose=purpose, email=email, now=now)


def token(client: Client, purpose: Purpose, account: Account, *, ago: timedelta = timedelta()) -> str:
    """The token that an account is sent."""
    issued = issue(client, purpose, account.email, at=datetime.now(UTC) - ago)
    assert issued is not None
    return issued.token


def verify(client: Client, account: Account) -> None:
    """Have an account's address verified."""
    sent = token(client, "verify-email", account, ago=timedelta(minutes=2))
    assert client("POST", "/auth/verify-email", {"token": sent}).status == 204


def is_verified(client: Client, account: Account) -> bool:
    return bool(client("GET", "/users/me", by=account).json["emailVerified"])


def query(client: Client, sql: str, **values: Any) -> list[Row[Any]]:
    with client.wiring.database.transaction() as connection:
        return list(connection.execute(text(sql), values))


def requests(client: Client) -> list[tuple[str, dict[str, Any]]]:
    """The e-mails that are asked for, oldest first, by domain event and body."""
    rows = query(client, "SELECT type, body FROM outbox ORDER BY position")
    return [(row.type, row.body) for row in rows if row.type in REQUESTS]
