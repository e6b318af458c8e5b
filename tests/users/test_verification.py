"""Tokens that prove an e-mail address: made, stored, used up, forgotten."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Barrier
from uuid import UUID

import pytest
from sqlalchemy import Connection

from chalicelib.users import accounts, authentication, deletion, profile, verification
from chalicelib.users.verification import InvalidEmailToken, IssuedToken, Purpose
from tests.client import Account, Client, password_hash
from tests.users import verification_emails
from tests.users.verification_emails import is_verified, query, requests

NOW = datetime(2027, 6, 5, 17, 30, tzinfo=UTC)
"""All of a test happens at this time, or so long before or after it."""

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
        verification.reset(connection, sent, "a hash", now)


def outcome(client: Client, purpose: Purpose, sent: str, now: datetime) -> str:
    try:
        with client.wiring.database.transaction() as connection:
            use(connection, purpose, sent, now)
    except InvalidEmailToken:
        return "refused"
    return "used"


def move(client: Client, account: Account, email: str) -> None:
    assert client("PATCH", "/users/me", {"email": email}, by=account).status == 200


def count(client: Client) -> int:
    [(number,)] = query(client, "SELECT count(*) FROM email_tokens")
    return int(number)


@contextmanager
def meanwhile(client: Client, deed: Callable[[Connection], object]) -> Iterator[Future[object]]:
    """Start a deed that has to wait for a lock that the block holds, and see that it waits."""

    def do() -> object:
        with client.wiring.database.transaction() as connection:
            return deed(connection)

    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(do)
        until = time.monotonic() + 30
        while not query(client, waiting):
            assert not future.done(), "it did not wait"
            assert time.monotonic() < until
            time.sleep(0.01)
        yield future


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_token_goes_to_the_account_that_has_the_address_however_it_is_written(
    client: Client, purpose: Purpose
) -> None:
    ada = client.account("attendee", "Ada", "Ada@Example.com")

    issued = issue(client, purpose, "ADA@example.com")

    assert issued is not None
    assert (str(issued.user_id), issued.name, issued.email) == (ada.user_id, "Ada", "Ada@Example.com")
    assert len(issued.token) == 43


@pytest.mark.parametrize("purpose", PURPOSES)
def test_an_address_that_nobody_has_gets_no_token(client: Client, purpose: Purpose) -> None:
    client.attendee()

    assert issue(client, purpose, "nobody@example.com") is None
    assert count(client) == 0


def test_an_issued_token_is_not_shown_where_it_is_logged(client: Client) -> None:
    issued = issue(client, "verify-email", client.attendee().email)

    assert issued is not None
    assert issued.token not in repr(issued)


def test_who_is_verified_gets_a_token_for_a_new_password_but_none_to_verify(client: Client) -> None:
    ada = client.attendee()
    assert outcome(client, "verify-email", token(client, "verify-email", ada, ago=HOUR), NOW) == "used"

    assert issue(client, "verify-email", ada.email) is None
    assert issue(client, "reset-password", ada.email) is not None


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_second_token_within_a_minute_is_not_made_and_the_first_stays_good(
    client: Client, purpose: Purpose
) -> None:
    ada = client.attendee()
    first = token(client, purpose, ada)

    assert issue(client, purpose, ada.email, NOW + 59 * SECOND) is None
    assert outcome(client, purpose, first, NOW + MINUTE) == "used"


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_token_ends_the_older_ones_of_its_purpose(client: Client, purpose: Purpose) -> None:
    ada = client.attendee()
    older = token(client, purpose, ada, ago=MINUTE)
    newer = token(client, purpose, ada)

    assert outcome(client, purpose, older, NOW) == "refused"
    assert outcome(client, purpose, newer, NOW) == "used"


def test_a_token_of_one_purpose_leaves_that_of_the_other_alone(client: Client) -> None:
    ada = client.attendee()
    to_verify, to_reset = (token(client, purpose, ada) for purpose in PURPOSES)

    assert outcome(client, "verify-email", to_verify, NOW) == "used"
    assert outcome(client, "reset-password", to_reset, NOW) == "used"


def test_a_new_address_is_written_to_at_once(client: Client) -> None:
    ada = client.attendee()
    token(client, "verify-email", ada)
    move(client, ada, "without-the-typo@example.com")

    assert issue(client, "verify-email", "without-the-typo@example.com") is not None


def test_moving_to_and_fro_does_not_flood_an_address(client: Client) -> None:
    ada = client.attendee()
    sent: list[IssuedToken | None] = []

    for email in ["victim@example.com", "other@example.com", "victim@example.com"]:
        move(client, ada, email)
        sent.append(issue(client, "verify-email", email))
        verification.purge_expired(client.wiring.database, NOW + SECOND)

    assert [one is not None for one in sent] == [True, True, False]


@pytest.mark.parametrize(("purpose", "lifetime"), LIFETIMES)
def test_a_token_serves_until_its_time_is_over(client: Client, purpose: Purpose, lifetime: timedelta) -> None:
    ada, grace = client.attendees(2)

    for account, after, expected in [(ada, lifetime - SECOND, "used"), (grace, lifetime, "refused")]:
        issued = issue(client, purpose, account.email, NOW)
        assert issued is not None
        assert outcome(client, purpose, issued.token, NOW + after) == expected


@pytest.mark.parametrize("purpose", PURPOSES)
def test_of_two_who_bring_a_token_at_once_the_second_is_refused(client: Client, purpose: Purpose) -> None:
    sent = token(client, purpose, client.attendee())

    with client.wiring.database.transaction() as connection:
        use(connection, purpose, sent, NOW)
        with meanwhile(client, lambda other: use(other, purpose, sent, NOW)) as second:
            connection.commit()
            with pytest.raises(InvalidEmailToken):
                second.result()


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_token_whose_use_came_to_nothing_serves_the_next(client: Client, purpose: Purpose) -> None:
    sent = token(client, purpose, client.attendee())

    with client.wiring.database.transaction() as connection:
        use(connection, purpose, sent, NOW)
        with meanwhile(client, lambda other: use(other, purpose, sent, NOW)) as second:
            connection.rollback()
            second.result()


@pytest.mark.parametrize("purpose", PURPOSES)
def test_of_two_tokens_asked_for_at_once_one_is_made(client: Client, purpose: Purpose) -> None:
    for ada in client.attendees(5):
        start = Barrier(4)

        def ask(_: int, email: str = ada.email, start: Barrier = start) -> IssuedToken | None:
            start.wait()
            return issue(client, purpose, email)

        with ThreadPoolExecutor(4) as pool:
            made = [issued for issued in pool.map(ask, range(4)) if issued is not None]

        assert len(made) == 1
    assert count(client) == 5


@pytest.mark.parametrize("purpose", PURPOSES)
def test_nobody_who_leaves_meanwhile_is_sent_a_token(client: Client, purpose: Purpose) -> None:
    ada = client.attendee()
    caller = client.wiring.tokens.read(ada.token)

    def ask(connection: Connection) -> object:
        return verification.issue(connection, purpose=purpose, email=ada.email, now=NOW)

    with client.wiring.database.transaction() as connection:
        authentication.require_account(connection, caller, "update")
        with meanwhile(client, ask) as asked:
            deletion.erase(connection, caller.user_id, NOW)
            connection.commit()
            assert asked.result() is None


@pytest.mark.parametrize("purpose", PURPOSES)
def test_an_address_that_is_left_meanwhile_is_sent_no_token(client: Client, purpose: Purpose) -> None:
    ada = client.attendee()

    def ask(connection: Connection) -> object:
        return verification.issue(connection, purpose=purpose, email=ada.email, now=NOW)

    with client.wiring.database.transaction() as connection:
        new = {"email": "elsewhere@example.com"}
        profile.change(connection, UUID(ada.user_id), changes=new, expected=None, now=NOW)
        with meanwhile(client, ask) as asked:
            connection.commit()
            assert asked.result() is None


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_token_goes_with_the_account(client: Client, purpose: Purpose) -> None:
    ada = client.attendee()
    sent = token(client, purpose, ada)

    assert client("DELETE", "/users/me", by=ada).status == 204

    assert count(client) == 0
    assert outcome(client, purpose, sent, NOW) == "refused"


def test_a_password_changed_meanwhile_ends_the_token_for_a_new_one(client: Client) -> None:
    ada = client.attendee()
    caller = client.wiring.tokens.read(ada.token)
    sent = token(client, "reset-password", ada)

    with client.wiring.database.transaction() as connection:
        authentication.require_account(connection, caller, "share")
        profile.change(connection, caller.user_id, changes={"name": "Ada"}, expected=None, now=NOW)
        with meanwhile(client, lambda other: use(other, "reset-password", sent, NOW)) as reset:
            accounts.change_password(
                connection, accounts.AccountCredentials(caller, password_hash()), "a hash"
            )
            connection.commit()
            with pytest.raises(InvalidEmailToken):
                reset.result()


def test_an_address_changed_meanwhile_is_not_taken_for_verified(client: Client) -> None:
    ada = client.attendee()
    user_id = UUID(ada.user_id)
    sent = token(client, "verify-email", ada)

    with client.wiring.database.transaction() as connection:
        profile.change(
            connection, user_id, changes={"email": "elsewhere@example.com"}, expected=None, now=NOW
        )
        with meanwhile(client, lambda other: use(other, "verify-email", sent, NOW)) as verifying:
            connection.commit()
            with pytest.raises(InvalidEmailToken):
                verifying.result()
    assert not is_verified(client, ada)


def test_facts_of_one_address_have_one_subject_whoever_writes_it(client: Client) -> None:
    with client.wiring.database.transaction() as connection:
        for email in ["Ada@Example.com", "ada@example.com", "grace@example.com"]:
            verification.request_token(connection, purpose="reset-password", email=email, now=NOW)

    bodies = [body for _, body in requests(client)]
    ada, same, grace = (row.subject for row in query(client, "SELECT subject FROM outbox ORDER BY position"))
    assert bodies == [{"email": email} for email in ["ada@example.com"] * 2 + ["grace@example.com"]]
    assert ada == same != grace


def test_tokens_past_their_time_are_forgotten_and_only_they(client: Client) -> None:
    expired, good = client.attendees(3), client.attendee()
    for account in expired:
        token(client, "reset-password", account, ago=HOUR + MINUTE)
    sent = token(client, "reset-password", good, ago=HOUR - MINUTE)

    assert verification.purge_expired(client.wiring.database, NOW + SECOND, batch_size=2) == 3

    assert count(client) == 1
    assert outcome(client, "reset-password", sent, NOW) == "used"
    assert verification.purge_expired(client.wiring.database, NOW + SECOND) == 0
