"""Sessions: refresh tokens, logout, and what ends a session."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import jwt
import pytest

from chalicelib.platform.database.engine import metadata
from chalicelib.platform.security import Caller
from chalicelib.users import sessions
from tests.client import PASSWORD, Account, Client, Reply
from tests.concurrency import run_concurrently
from tests.conftest import SECRET
from tests.database_contents import count
from tests.rows import rows
from tests.users.verification_emails import token as email_token

NEW_PASSWORD = "another correct horse"
ENDED = (401, "invalid-refresh-token")


def log_in(client: Client, account: Account) -> Any:
    reply = client("POST", "/auth/login", {"email": account.email, "password": PASSWORD})
    assert reply.status == 200
    return reply.json


def refresh(client: Client, token: str) -> Reply:
    return client("POST", "/auth/refresh", {"refreshToken": token})


def outcome(client: Client, token: str) -> tuple[int, str]:
    reply = refresh(client, token)
    return (200, "") if reply.status == 200 else (reply.status, reply.problem)


def claims(token: str) -> dict[str, Any]:
    decoded: dict[str, Any] = jwt.decode(token, SECRET, algorithms=["HS256"], audience="event-booking-api")
    return decoded


def age_logins(client: Client, by: timedelta) -> None:
    rows(
        client,
        "UPDATE refresh_tokens SET logged_in_at = logged_in_at - CAST(:by AS interval),"
        " expires_at = expires_at - CAST(:by AS interval)",
        by=f"{by.total_seconds()} seconds",
    )


def test_registration_and_login_return_tokens_with_their_expiry(client: Client) -> None:
    body = {"name": "Ada", "email": "ada@example.com", "password": PASSWORD, "role": "host"}

    registered = client("POST", "/auth/register", body).json
    logged_in = client("POST", "/auth/login", {"email": "ada@example.com", "password": PASSWORD}).json

    for session in (registered, logged_in):
        assert set(session) == {"user", "token", "expiresAt", "refreshToken"}
        expires_at = datetime.fromisoformat(session["expiresAt"])
        assert session["expiresAt"].endswith("Z")
        assert expires_at.timestamp() == claims(session["token"])["exp"]
        assert timedelta(minutes=59) < expires_at - datetime.now(UTC) <= timedelta(hours=1)
    assert registered["refreshToken"] != logged_in["refreshToken"]


def test_a_refresh_gives_new_tokens_that_work(client: Client) -> None:
    first = log_in(client, client.attendee())

    second = refresh(client, first["refreshToken"]).json
    third = refresh(client, second["refreshToken"]).json

    assert second["user"] == third["user"] == first["user"]
    assert len({session["refreshToken"] for session in (first, second, third)}) == 3
    for session in (first, second, third):
        assert client("GET", "/users/me", by=session["token"]).status == 200


def test_a_refresh_does_not_renew_the_login(client: Client) -> None:
    first = log_in(client, client.attendee())
    age_logins(client, timedelta(minutes=20))

    second = refresh(client, first["refreshToken"]).json
    third = refresh(client, second["refreshToken"]).json

    logged_in_at = claims(first["token"])["auth_time"]
    for session in (second, third):
        assert claims(session["token"])["auth_time"] == logged_in_at - 20 * 60
        assert claims(session["token"])["iat"] >= logged_in_at


def test_reuse_of_a_refresh_token_ends_its_session(client: Client) -> None:
    ada = client.attendee()
    stolen, elsewhere = log_in(client, ada), log_in(client, ada)
    second = refresh(client, stolen["refreshToken"]).json
    third = refresh(client, second["refreshToken"]).json

    assert outcome(client, stolen["refreshToken"]) == ENDED

    for session in (stolen, second, third):
        assert outcome(client, session["refreshToken"]) == ENDED
    assert outcome(client, elsewhere["refreshToken"]) == (200, "")


def test_concurrent_refreshes_with_one_token_end_its_session(client: Client) -> None:
    for ada in client.attendees(3):
        first = log_in(client, ada)

        replies = run_concurrently([partial(refresh, client, first["refreshToken"])] * 4)

        assert sorted(reply.status for reply in replies) == [200, 401, 401, 401]
        [renewed] = [reply.json for reply in replies if reply.status == 200]
        assert outcome(client, renewed["refreshToken"]) == ENDED


def test_a_session_cannot_grow_while_it_ends(client: Client) -> None:
    for ada in client.attendees(5):
        first = log_in(client, ada)
        second = refresh(client, first["refreshToken"]).json

        reused, renewed = run_concurrently(
            [partial(refresh, client, session["refreshToken"]) for session in (first, second)]
        )

        assert reused.status == 401
        if renewed.status == 200:
            assert outcome(client, renewed.json["refreshToken"]) == ENDED
    assert count(client, "refresh_tokens") == 0


def test_a_refresh_token_is_valid_for_30_days(client: Client) -> None:
    first = log_in(client, client.attendee())
    age_logins(client, timedelta(days=30) - timedelta(minutes=1))
    second = refresh(client, first["refreshToken"]).json
    age_logins(client, timedelta(days=30))

    assert outcome(client, second["refreshToken"]) == ENDED


def log_out(client: Client, session: Any) -> None:
    assert client("POST", "/auth/logout", by=session["token"]).status == 204


def log_out_with_token(client: Client, session: Any) -> None:
    body = {"refreshToken": session["refreshToken"]}
    assert client("POST", "/auth/logout", body, by=session["token"]).status == 204


def change_password(client: Client, session: Any) -> None:
    body = {"password": NEW_PASSWORD, "currentPassword": PASSWORD}
    assert client("PATCH", "/users/me", body, by=session["token"]).status == 200


def reset_password(client: Client, session: Any) -> None:
    user = session["user"]
    account = Account(user["userId"], user["name"], user["email"], session["token"])
    body = {"token": email_token(client, "reset-password", account), "password": NEW_PASSWORD}
    assert client("POST", "/auth/reset-password", body).status == 204


def delete_account(client: Client, session: Any) -> None:
    assert client("DELETE", "/users/me", by=session["token"]).status == 204


@pytest.mark.parametrize(
    "end", [log_out, log_out_with_token, change_password, reset_password, delete_account]
)
def test_the_session_ends_with(client: Client, end: Callable[[Client, Any], None]) -> None:
    session = log_in(client, client.attendee())

    end(client, session)

    assert outcome(client, session["refreshToken"]) == ENDED
    assert count(client, "refresh_tokens") == 0


def test_a_new_password_ends_all_sessions(client: Client) -> None:
    ada = client.attendee()
    here, elsewhere = log_in(client, ada), log_in(client, ada)
    other = log_in(client, client.attendee())

    change_password(client, here)

    assert outcome(client, elsewhere["refreshToken"]) == ENDED
    assert outcome(client, other["refreshToken"]) == (200, "")


def test_logging_out_ends_one_session_and_is_idempotent(client: Client) -> None:
    ada = client.attendee()
    here, elsewhere = log_in(client, ada), log_in(client, ada)

    log_out(client, here)
    log_out(client, here)

    assert outcome(client, here["refreshToken"]) == ENDED
    assert outcome(client, elsewhere["refreshToken"]) == (200, "")


def test_logging_out_ends_a_refreshed_session(client: Client) -> None:
    first = log_in(client, client.attendee())
    second = refresh(client, first["refreshToken"]).json

    log_out(client, first)  # with its first access token

    assert outcome(client, second["refreshToken"]) == ENDED


def test_a_refresh_token_in_the_body_ends_its_session_too(client: Client) -> None:
    ada = client.attendee()
    here, elsewhere = log_in(client, ada), log_in(client, ada)
    body = {"refreshToken": elsewhere["refreshToken"]}

    assert client("POST", "/auth/logout", body, by=here["token"]).status == 204

    assert outcome(client, here["refreshToken"]) == ENDED
    assert outcome(client, elsewhere["refreshToken"]) == ENDED


def test_nobody_can_end_a_session_of_another(client: Client) -> None:
    ada, eve = (log_in(client, account) for account in client.attendees(2))

    reply = client("POST", "/auth/logout", {"refreshToken": ada["refreshToken"]}, by=eve["token"])

    assert reply.status == 204
    assert outcome(client, ada["refreshToken"]) == (200, "")


@pytest.mark.parametrize("body", [{"refreshToken": ""}, {"token": "x"}, {"refreshToken": None}])
def test_a_wrong_body_of_a_logout_is_refused(client: Client, body: dict[str, Any]) -> None:
    session = log_in(client, client.attendee())

    assert client("POST", "/auth/logout", body, by=session["token"]).problem == "invalid-input"
    assert outcome(client, session["refreshToken"]) == (200, "")


def test_a_login_during_a_password_change_leaves_no_session(client: Client) -> None:
    for ada in client.attendees(3):
        session = log_in(client, ada)
        login = {"email": ada.email, "password": PASSWORD}

        change = {"password": NEW_PASSWORD, "currentPassword": PASSWORD}
        changed, logged_in = run_concurrently(
            [
                partial(client, "PATCH", "/users/me", change, by=session["token"]),
                partial(client, "POST", "/auth/login", login),
            ]
        )

        assert changed.status == 200
        if logged_in.status == 200:
            assert outcome(client, logged_in.json["refreshToken"]) == ENDED


def test_neither_token_works_in_the_place_of_the_other(client: Client) -> None:
    session = log_in(client, client.attendee())

    assert client("GET", "/users/me", by=session["refreshToken"]).problem == "invalid-token"
    assert outcome(client, session["token"][:200]) == ENDED
    assert refresh(client, session["token"]).status in {400, 401}
    assert outcome(client, session["refreshToken"]) == (200, "")


def test_an_old_login_cannot_delete_the_account(client: Client) -> None:
    ada = client.attendee()
    first = log_in(client, ada)
    age_logins(client, timedelta(minutes=11))
    renewed = refresh(client, first["refreshToken"]).json

    refused = client("DELETE", "/users/me", by=renewed["token"])

    assert (refused.status, refused.problem) == (403, "login-required")
    assert client("GET", "/users/me", by=renewed["token"]).status == 200
    assert client("DELETE", "/users/me", by=log_in(client, ada)["token"]).status == 204


@pytest.mark.parametrize(("minutes", "status"), [(9, 204), (11, 403)])
def test_a_login_counts_as_recent_for_10_minutes(client: Client, minutes: int, status: int) -> None:
    ada = client.wiring.tokens.read(client.attendee().token)
    now = datetime.now(UTC)
    logged_in = Caller(ada.user_id, ada.role, ada.token_version, now - timedelta(minutes=minutes))

    assert client("DELETE", "/users/me", by=client.wiring.tokens.issue(logged_in, now)).status == status


def test_a_replayed_registration_makes_no_second_session(client: Client) -> None:
    body = {"name": "Ada", "email": "ada@example.com", "password": PASSWORD, "role": "attendee"}
    key = {"Idempotency-Key": "one"}
    first = client("POST", "/auth/register", body, headers=key).json

    again = client("POST", "/auth/register", body, headers=key).json

    assert again == first
    assert count(client, "refresh_tokens") == 1
    assert outcome(client, again["refreshToken"]) == (200, "")


def test_the_database_contains_no_refresh_tokens(client: Client) -> None:
    body = {"name": "Ada", "email": "ada@example.com", "password": PASSWORD, "role": "attendee"}
    first = client("POST", "/auth/register", body, headers={"Idempotency-Key": "one"}).json
    second = refresh(client, first["refreshToken"]).json

    for table in metadata.sorted_tables:
        for row in rows(client, f"SELECT t::text AS kept FROM {table.name} t"):  # noqa: S608 (our own table)
            assert first["refreshToken"] not in row.kept
            assert second["refreshToken"] not in row.kept


def test_only_expired_refresh_tokens_are_purged(client: Client) -> None:
    log_in(client, client.attendee())
    age_logins(client, timedelta(days=30))
    kept = log_in(client, client.attendee())

    assert sessions.purge_expired(client.wiring.database, datetime.now(UTC)) == 1

    assert outcome(client, kept["refreshToken"]) == (200, "")
