"""Tokens as e-mails contain them, and the recorded requests for such e-mails."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from chalicelib.platform.throttle import Throttle
from chalicelib.users import email_tokens
from chalicelib.users.email_tokens import IssuedToken, Purpose
from tests.client import Account, Client
from tests.rows import rows

REQUESTS = ("email-verification-requested", "password-reset-requested")


def issue(client: Client, purpose: Purpose, email: str, *, at: datetime | None = None) -> IssuedToken | None:
    """Issue a token for an address, unless there is no reason to."""
    now = at or datetime.now(UTC)
    with client.wiring.database.transaction() as connection:
        return email_tokens.issue(
            connection, purpose=purpose, email=email, throttle=Throttle(client.wiring.settings), now=now
        )


def token(client: Client, purpose: Purpose, account: Account, *, ago: timedelta = timedelta()) -> str:
    """Issue a token to an account."""
    issued = issue(client, purpose, account.email, at=datetime.now(UTC) - ago)
    assert issued is not None
    return issued.token


def pending_token(client: Client, account: Account, email: str) -> str:
    """Issue a token to the pending address of an account, however soon after the last one."""
    rows(client, "DELETE FROM throttles")
    with client.wiring.database.transaction() as connection:
        issued = email_tokens.issue(
            connection,
            purpose="verify-email",
            email=email,
            pending_of=UUID(account.user_id),
            throttle=Throttle(client.wiring.settings),
            now=datetime.now(UTC),
        )
    assert issued is not None
    return issued.token


def verify_pending(client: Client, account: Account, email: str) -> None:
    """Verify the pending address of an account."""
    sent = pending_token(client, account, email)
    assert client("POST", "/auth/verify-email", {"token": sent}).status == 204


def verify(client: Client, account: Account) -> None:
    """Verify the address of an account."""
    sent = token(client, "verify-email", account, ago=timedelta(minutes=2))
    assert client("POST", "/auth/verify-email", {"token": sent}).status == 204


def is_verified(client: Client, account: Account) -> bool:
    return bool(client("GET", "/users/me", by=account).json["emailVerified"])


def requests(client: Client) -> list[tuple[str, dict[str, Any]]]:
    """Return type and body of the domain events that request an e-mail, oldest first."""
    recorded = rows(client, "SELECT type, body FROM outbox ORDER BY position")
    return [(row.type, row.body) for row in recorded if row.type in REQUESTS]


def take_requests(client: Client) -> list[tuple[str, dict[str, Any]]]:
    """Return the requests for an e-mail and remove them, as the relay does.

    A request that still waits is not recorded again, so a test that counts e-mails has to take each of them.
    """
    taken = rows(
        client, "DELETE FROM outbox WHERE type = ANY(:types) RETURNING type, body", types=list(REQUESTS)
    )
    return [(row.type, row.body) for row in taken]
