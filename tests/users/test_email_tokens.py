"""Tokens for e-mail verification and password reset: issue, use, expiry and purge."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import pytest
from sqlalchemy import Connection

from chalicelib.platform.throttle import Throttle
from chalicelib.users import (
    accounts,
    authentication,
    deletion,
    email_tokens,
    password_reset,
    profile,
    verification,
)
from chalicelib.users.email_tokens import InvalidEmailToken, IssuedToken, Purpose
from tests.client import PASSWORD, Account, Client, password_hash
from tests.concurrency import run_concurrently, until_waiting
from tests.database_contents import count
from tests.rows import rows
from tests.users import verification_emails
from tests.users.verification_emails import requests

NOW = datetime(2027, 6, 5, 17, 30, tzinfo=UTC)
"""The time of a test, unless it adds or subtracts some."""

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
PURPOSES: list[Purpose] = ["verify-email", "reset-password"]
LIFETIMES: list[tuple[Purpose, timedelta]] = [("verify-email", 24 * HOUR), ("reset-password", HOUR)]


def issue(client: Client, purpose: Purpose, email: str, at: datetime = NOW) -> IssuedToken | None:
    return verification_emails.issue(client, purpose, email, at=at)


def token(client: Client, purpose: Purpose, account: Account, ago: timedelta = timedelta()) -> str:
    issued = issue(client, purpose, account.email, NOW - ago)
    assert issued is not None
    return issued.token


def use(connection: Connection, purpose: Purpose, sent: str, now: datetime) -> None:
    if purpose == "verify-email":
        verification.verify(connection, sent, now)
    else:
        password_reset.reset(connection, sent, "a hash", now)


def outcome(client: Client, purpose: Purpose, sent: str, now: datetime) -> str:
    try:
        with client.wiring.database.transaction() as connection:
            use(connection, purpose, sent, now)
    except InvalidEmailToken:
        return "refused"
    return "used"


def change_email(client: Client, account: Account, email: str) -> None:
    body = {"email": email, "currentPassword": PASSWORD}
    assert client("PATCH", "/users/me", body, by=account).status == 200


def issue_pending(client: Client, account: Account, email: str, at: datetime = NOW) -> IssuedToken | None:
    with client.wiring.database.transaction() as connection:
        return email_tokens.issue(
            connection,
            purpose="verify-email",
            email=email,
            pending_of=UUID(account.user_id),
            throttle=Throttle(client.wiring.settings),
            now=at,
        )


@contextmanager
def meanwhile(client: Client, action: Callable[[Connection], object]) -> Iterator[Future[object]]:
    """Start an action in a transaction of its own, and wait until it waits for a lock of the caller."""

    def run() -> object:
        with client.wiring.database.transaction() as connection:
            return action(connection)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run)
        until_waiting(client, 1, future)
        assert not future.done(), "the action did not wait"
        yield future


@pytest.mark.parametrize("purpose", PURPOSES)
def test_an_account_is_found_by_its_address_in_any_case(client: Client, purpose: Purpose) -> None:
    ada = client.account("attendee", "Ada", "Ada@Example.com")

    issued = issue(client, purpose, "ADA@example.com")

    assert issued is not None
    assert (str(issued.user_id), issued.name, issued.email) == (ada.user_id, "Ada", "Ada@Example.com")
    assert len(issued.token) == 43


@pytest.mark.parametrize("purpose", PURPOSES)
def test_an_unknown_address_gets_no_token(client: Client, purpose: Purpose) -> None:
    client.attendee()

    assert issue(client, purpose, "nobody@example.com") is None
    assert count(client, "email_tokens") == 0


def test_the_repr_of_an_issued_token_hides_it(client: Client) -> None:
    issued = issue(client, "verify-email", client.attendee().email)

    assert issued is not None
    assert issued.token not in repr(issued)


def test_a_verified_account_gets_only_password_reset_tokens(client: Client) -> None:
    ada = client.attendee()
    assert outcome(client, "verify-email", token(client, "verify-email", ada, ago=HOUR), NOW) == "used"

    assert issue(client, "verify-email", ada.email) is None
    assert issue(client, "reset-password", ada.email) is not None


@pytest.mark.parametrize("purpose", PURPOSES)
def test_no_second_token_is_issued_within_a_minute(client: Client, purpose: Purpose) -> None:
    ada = client.attendee()
    first = token(client, purpose, ada)

    assert issue(client, purpose, ada.email, NOW + 59 * SECOND) is None
    assert outcome(client, purpose, first, NOW + MINUTE) == "used"


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_new_token_invalidates_older_ones_of_its_purpose(client: Client, purpose: Purpose) -> None:
    ada = client.attendee()
    older = token(client, purpose, ada, ago=MINUTE)
    newer = token(client, purpose, ada)

    assert outcome(client, purpose, older, NOW) == "refused"
    assert outcome(client, purpose, newer, NOW) == "used"


def test_tokens_of_both_purposes_can_be_valid_together(client: Client) -> None:
    ada = client.attendee()
    to_verify, to_reset = (token(client, purpose, ada) for purpose in PURPOSES)

    assert outcome(client, "verify-email", to_verify, NOW) == "used"
    assert outcome(client, "reset-password", to_reset, NOW) == "used"


def test_a_new_address_gets_a_token_without_cooldown(client: Client) -> None:
    ada = client.attendee()
    token(client, "verify-email", ada)
    change_email(client, ada, "without-the-typo@example.com")

    assert issue_pending(client, ada, "without-the-typo@example.com") is not None


def test_toggling_the_address_does_not_bypass_the_cooldown(client: Client) -> None:
    ada = client.attendee()
    issued: list[IssuedToken | None] = []

    for email in ["victim@example.com", "other@example.com", "victim@example.com"]:
        change_email(client, ada, email)
        issued.append(issue_pending(client, ada, email))
        email_tokens.purge_expired(client.wiring.database, NOW + SECOND)

    assert [token is not None for token in issued] == [True, True, False]


@pytest.mark.parametrize(("purpose", "lifetime"), LIFETIMES)
def test_a_token_is_valid_until_it_expires(client: Client, purpose: Purpose, lifetime: timedelta) -> None:
    ada, grace = client.attendees(2)

    for account, after, expected in [(ada, lifetime - SECOND, "used"), (grace, lifetime, "refused")]:
        issued = issue(client, purpose, account.email, NOW)
        assert issued is not None
        assert outcome(client, purpose, issued.token, NOW + after) == expected


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_concurrent_second_use_of_a_token_is_refused(client: Client, purpose: Purpose) -> None:
    sent = token(client, purpose, client.attendee())

    with client.wiring.database.transaction() as connection:
        use(connection, purpose, sent, NOW)
        with meanwhile(client, lambda other: use(other, purpose, sent, NOW)) as second:
            connection.commit()
            with pytest.raises(InvalidEmailToken):
                second.result()


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_token_stays_valid_if_its_use_is_rolled_back(client: Client, purpose: Purpose) -> None:
    sent = token(client, purpose, client.attendee())

    with client.wiring.database.transaction() as connection:
        use(connection, purpose, sent, NOW)
        with meanwhile(client, lambda other: use(other, purpose, sent, NOW)) as second:
            connection.rollback()
            second.result()


@pytest.mark.parametrize("purpose", PURPOSES)
def test_concurrent_requests_issue_one_token(client: Client, purpose: Purpose) -> None:
    for ada in client.attendees(5):
        issued = run_concurrently([partial(issue, client, purpose, ada.email)] * 4)

        assert sum(token is not None for token in issued) == 1
    assert count(client, "email_tokens") == 5


@pytest.mark.parametrize("purpose", PURPOSES)
def test_an_account_deleted_meanwhile_gets_no_token(client: Client, purpose: Purpose) -> None:
    ada = client.attendee()
    caller = client.wiring.tokens.read(ada.token)

    def ask(connection: Connection) -> object:
        return email_tokens.issue(
            connection,
            purpose=purpose,
            email=ada.email,
            throttle=Throttle(client.wiring.settings),
            now=NOW,
        )

    with client.wiring.database.transaction() as connection:
        authentication.require_account(connection, caller, "update")
        with meanwhile(client, ask) as asked:
            deletion.erase(connection, caller.user_id, NOW)
            connection.commit()
            assert asked.result() is None


@pytest.mark.parametrize("purpose", PURPOSES)
def test_an_address_changed_meanwhile_gets_no_token(client: Client, purpose: Purpose) -> None:
    ada = client.attendee()
    change_email(client, ada, "elsewhere@example.com")
    new = issue_pending(client, ada, "elsewhere@example.com", NOW - MINUTE)
    assert new is not None

    def ask(connection: Connection) -> object:
        return email_tokens.issue(
            connection,
            purpose=purpose,
            email=ada.email,
            throttle=Throttle(client.wiring.settings),
            now=NOW,
        )

    with client.wiring.database.transaction() as connection:
        verification.verify(connection, new.token, NOW)
        with meanwhile(client, ask) as asked:
            connection.commit()
            assert asked.result() is None


@pytest.mark.parametrize("purpose", PURPOSES)
def test_tokens_are_deleted_with_the_account(client: Client, purpose: Purpose) -> None:
    ada = client.attendee()
    sent = token(client, purpose, ada)

    assert client("DELETE", "/users/me", by=ada).status == 204

    assert count(client, "email_tokens") == 0
    assert outcome(client, purpose, sent, NOW) == "refused"


def test_a_password_changed_meanwhile_invalidates_the_reset_token(client: Client) -> None:
    ada = client.attendee()
    caller = client.wiring.tokens.read(ada.token)
    sent = token(client, "reset-password", ada)

    with client.wiring.database.transaction() as connection:
        authentication.require_account(connection, caller, "share")
        profile.change(connection, caller.user_id, changes={"name": "Ada"}, expected=None, now=NOW)
        with meanwhile(client, lambda other: use(other, "reset-password", sent, NOW)) as reset:
            accounts.change_password(
                connection, accounts.AccountCredentials(caller, password_hash()), "a hash", NOW
            )
            connection.commit()
            with pytest.raises(InvalidEmailToken):
                reset.result()


def test_a_pending_address_withdrawn_meanwhile_is_not_verified(client: Client) -> None:
    ada = client.attendee()
    user_id = UUID(ada.user_id)
    change_email(client, ada, "elsewhere@example.com")
    issued = issue_pending(client, ada, "elsewhere@example.com")
    assert issued is not None

    with client.wiring.database.transaction() as connection:
        profile.change(connection, user_id, changes={"email": ada.email}, expected=None, now=NOW)
        with meanwhile(client, lambda other: use(other, "verify-email", issued.token, NOW)) as verifying:
            connection.commit()
            with pytest.raises(InvalidEmailToken):
                verifying.result()
    assert client("GET", "/users/me", by=ada).json["email"] == ada.email


def test_domain_events_of_one_address_have_one_subject(client: Client) -> None:
    with client.wiring.database.transaction() as connection:
        for email in ["Ada@Example.com", "grace@example.com"]:
            email_tokens.request(connection, purpose="reset-password", email=email, now=NOW)
        email_tokens.request(connection, purpose="verify-email", email="ada@example.com", now=NOW)

    bodies = [body for _, body in requests(client)]
    ada, grace, same = (row.subject for row in rows(client, "SELECT subject FROM outbox ORDER BY position"))
    assert bodies == [{"email": f"{name}@example.com"} for name in ("ada", "grace", "ada")]
    assert ada == same != grace


def test_a_request_that_waits_is_not_recorded_again(client: Client) -> None:
    for email in ("ada@example.com", "Ada@Example.com", "ada@example.com"):
        assert client("POST", "/auth/forgot-password", {"email": email}).status == 202

    assert requests(client) == [("password-reset-requested", {"email": "ada@example.com"})]


def test_only_expired_tokens_are_purged(client: Client) -> None:
    expired, good = client.attendees(3), client.attendee()
    for account in expired:
        token(client, "reset-password", account, ago=HOUR + MINUTE)
    sent = token(client, "reset-password", good, ago=HOUR - MINUTE)
    much_later = NOW + email_tokens.RETENTION - MINUTE + SECOND

    assert email_tokens.purge_expired(client.wiring.database, much_later, batch_size=2) == 3

    assert count(client, "email_tokens") == 1
    assert outcome(client, "reset-password", sent, NOW) == "used"
    assert email_tokens.purge_expired(client.wiring.database, NOW + SECOND) == 0
