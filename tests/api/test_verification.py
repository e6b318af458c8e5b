"""E-mail tokens over HTTP: verifying an address and resetting a password."""

import secrets
from base64 import urlsafe_b64decode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest

from chalicelib.platform.database.engine import metadata
from chalicelib.users.email_tokens import Purpose
from tests.client import PASSWORD, Account, Client, Reply
from tests.rows import executed_statements, rows
from tests.users.verification_emails import is_verified, requests, token, verify, verify_pending

NEW_PASSWORD = "another correct horse"
PURPOSES: list[Purpose] = ["verify-email", "reset-password"]


def redeem(client: Client, purpose: Purpose, sent: str) -> Reply:
    body = {"token": sent}
    if purpose == "reset-password":
        body["password"] = NEW_PASSWORD
    return client("POST", f"/auth/{purpose}", body)


def login_status(client: Client, account: Account, password: str) -> int:
    return client("POST", "/auth/login", {"email": account.email, "password": password}).status


def profile(client: Client, account: Account) -> Any:
    return client("GET", "/users/me", by=account).json


def test_registration_requests_a_verification_e_mail(client: Client) -> None:
    body = {"name": "Ada", "email": "Ada@Example.com", "password": PASSWORD, "role": "host"}

    reply = client("POST", "/auth/register", body)

    assert reply.json["user"]["emailVerified"] is False
    assert requests(client) == [("email-verification-requested", {"email": "ada@example.com"})]


def test_the_token_from_the_e_mail_verifies_the_address(client: Client) -> None:
    ada = client.attendee()
    before = client("GET", "/users/me", by=ada)

    reply = redeem(client, "verify-email", token(client, "verify-email", ada))

    after = client("GET", "/users/me", by=ada)
    assert (reply.status, reply.text) == (204, "")
    assert after.json == before.json | {"emailVerified": True, "updatedAt": after.json["updatedAt"]}
    assert after.json["updatedAt"] > before.json["updatedAt"]
    stale = {"If-Match": before.headers["etag"]}
    assert client("PATCH", "/users/me", {"name": "New"}, by=ada, headers=stale).status == 412


def test_only_the_owner_sees_if_the_address_is_verified(client: Client) -> None:
    ada, grace = client.attendees(2)
    verify(client, ada)

    assert "emailVerified" not in client("GET", f"/users/{ada.user_id}", by=grace).json
    shown = {user["userId"]: user.get("emailVerified") for user in client("GET", "/users", by=grace).json}
    assert shown == {ada.user_id: None, grace.user_id: False}


def unknown(_: Client, __: Account, ___: Purpose) -> str:
    return secrets.token_urlsafe(32)


def not_a_token(_: Client, __: Account, ___: Purpose) -> str:
    return "nö 💌 '; --"


def used(client: Client, account: Account, purpose: Purpose) -> str:
    sent = token(client, purpose, account)
    assert redeem(client, purpose, sent).status == 204
    return sent


def expired(client: Client, account: Account, purpose: Purpose) -> str:
    return token(client, purpose, account, ago=timedelta(hours=24))


def replaced(client: Client, account: Account, purpose: Purpose) -> str:
    sent = token(client, purpose, account, ago=timedelta(minutes=2))
    token(client, purpose, account)
    return sent


def for_the_other_purpose(client: Client, account: Account, purpose: Purpose) -> str:
    [other] = set(PURPOSES) - {purpose}
    return token(client, other, account)


def to_a_former_address(client: Client, account: Account, purpose: Purpose) -> str:
    sent = token(client, purpose, account, ago=timedelta(minutes=2))
    change = {"email": "moved@example.com", "currentPassword": PASSWORD}
    assert client("PATCH", "/users/me", change, by=account).status == 200
    verify_pending(client, account, "moved@example.com")
    return sent


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize(
    "bad", [unknown, not_a_token, used, expired, replaced, for_the_other_purpose, to_a_former_address]
)
def test_all_bad_tokens_get_the_same_response(
    client: Client, purpose: Purpose, bad: Callable[[Client, Account, Purpose], str]
) -> None:
    ada = client.attendee()
    sent = bad(client, ada, purpose)
    before = rows(client, "SELECT u, c FROM users u JOIN credentials c USING (user_id)")

    reply = redeem(client, purpose, sent)

    assert (reply.status, reply.problem) == (400, "invalid-email-token")
    assert reply.text == redeem(client, purpose, secrets.token_urlsafe(32)).text
    assert rows(client, "SELECT u, c FROM users u JOIN credentials c USING (user_id)") == before


@pytest.mark.parametrize("purpose", PURPOSES)
def test_concurrent_requests_use_a_token_once(client: Client, purpose: Purpose) -> None:
    for ada in client.attendees(3):
        sent, start = token(client, purpose, ada), Barrier(4)

        def use(_: int, sent: str = sent, start: Barrier = start) -> int:
            start.wait()
            return redeem(client, purpose, sent).status

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(use, range(4))) == [204, 400, 400, 400]


@pytest.mark.parametrize(
    ("path", "body", "faulty"),
    [
        ("verify-email", {}, {"token"}),
        ("verify-email", {"token": ""}, {"token"}),
        ("verify-email", {"token": "x" * 201}, {"token"}),
        ("verify-email", {"token": 1, "password": NEW_PASSWORD}, {"token", "password"}),
        ("forgot-password", {"email": "not an address"}, {"email"}),
        ("reset-password", {"token": "x", "password": "short"}, {"password"}),
    ],
)
def test_bad_members_are_named(client: Client, path: str, body: dict[str, Any], faulty: set[str]) -> None:
    reply = client("POST", f"/auth/{path}", body)

    assert (reply.status, reply.problem, reply.faulty_fields) == (400, "invalid-input", faulty)


def test_a_short_password_does_not_use_the_token(client: Client) -> None:
    sent = token(client, "reset-password", client.attendee())

    assert client("POST", "/auth/reset-password", {"token": sent, "password": "short"}).status == 400
    assert redeem(client, "reset-password", sent).status == 204


def test_resending_needs_a_login(client: Client) -> None:
    assert client("POST", "/auth/verify-email/resend").status == 401
    ada = client.attendee()
    assert client("DELETE", "/users/me", by=ada).status == 204
    assert client("POST", "/auth/verify-email/resend", by=ada).status == 401


def test_resending_answers_the_same_for_a_verified_address(client: Client) -> None:
    ada, grace = client.attendees(2)
    verify(client, ada)

    replies = [client("POST", "/auth/verify-email/resend", by=account) for account in (ada, grace)]

    assert [(reply.status, reply.text) for reply in replies] == [(202, "")] * 2
    assert requests(client)[-2:] == [
        ("email-verification-requested", {"email": account.email}) for account in (ada, grace)
    ]


def test_forgot_password_does_not_reveal_accounts(
    client: Client,
) -> None:
    ada = client.attendee()

    def request(email: str) -> tuple[int, str, set[str], list[str]]:
        with executed_statements(client) as executed:
            reply = client("POST", "/auth/forgot-password", {"email": email})
        return reply.status, reply.text, set(reply.headers), executed

    known, unknown = request(ada.email), request("nobody@example.com")

    assert known == unknown
    assert known[:2] == (202, "")
    assert requests(client)[-2:] == [
        ("password-reset-requested", {"email": email}) for email in (ada.email, "nobody@example.com")
    ]


def test_the_token_from_the_e_mail_sets_a_new_password(client: Client) -> None:
    ada = client.attendee()

    reply = redeem(client, "reset-password", token(client, "reset-password", ada))

    assert (reply.status, reply.text) == (204, "")
    assert login_status(client, ada, PASSWORD) == 401
    assert login_status(client, ada, NEW_PASSWORD) == 200


def test_a_new_password_revokes_sessions_and_tokens(client: Client) -> None:
    ada = client.attendee()
    older = token(client, "reset-password", ada, ago=timedelta(minutes=2))
    assert redeem(client, "reset-password", token(client, "reset-password", ada)).status == 204

    assert client("GET", "/users/me", by=ada).problem == "invalid-token"
    assert redeem(client, "reset-password", older).problem == "invalid-email-token"
    assert rows(client, "SELECT * FROM email_tokens") == []


def test_a_changed_password_revokes_reset_tokens(client: Client) -> None:
    ada = client.attendee()
    sent = token(client, "reset-password", ada)
    change = {"password": NEW_PASSWORD, "currentPassword": PASSWORD}
    assert client("PATCH", "/users/me", change, by=ada).status == 200

    assert redeem(client, "reset-password", sent).problem == "invalid-email-token"


def test_resetting_the_password_verifies_the_address(client: Client) -> None:
    ada = client.attendee()
    assert redeem(client, "reset-password", token(client, "reset-password", ada)).status == 204

    reply = client("POST", "/auth/login", {"email": ada.email, "password": NEW_PASSWORD})

    assert reply.json["user"]["emailVerified"] is True


def test_verifying_again_changes_nothing(client: Client) -> None:
    ada = client.attendee()
    to_verify = token(client, "verify-email", ada)
    assert redeem(client, "reset-password", token(client, "reset-password", ada)).status == 204
    before = rows(client, "SELECT email_verified_at, version, updated_at FROM users")

    assert redeem(client, "verify-email", to_verify).status == 204

    assert rows(client, "SELECT email_verified_at, version, updated_at FROM users") == before


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_new_address_gets_a_verification_e_mail(client: Client, method: str) -> None:
    ada = client.attendee()
    verify(client, ada)
    body = {"name": "Ada", "email": "New@Example.com", "currentPassword": PASSWORD}

    reply = client(method, "/users/me", body, by=ada)

    assert (reply.json["email"], reply.json["emailVerified"]) == (ada.email, True)
    assert reply.json["pendingEmail"] == "New@Example.com"
    assert requests(client)[1:] == [
        ("email-verification-requested", {"email": "new@example.com", "userId": ada.user_id})
    ]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_the_same_address_in_capitals_stays_verified(client: Client, method: str) -> None:
    ada = client.attendee()
    verify(client, ada)

    reply = client(method, "/users/me", {"name": "Ada", "email": ada.email.upper()}, by=ada)

    assert (reply.json["email"], reply.json["emailVerified"]) == (ada.email.upper(), True)
    assert len(requests(client)) == 1


def test_a_taken_address_gets_no_e_mail(client: Client) -> None:
    ada, grace = client.attendees(2)
    verify(client, ada)
    before = requests(client)

    change = {"email": grace.email, "currentPassword": PASSWORD}
    assert client("PATCH", "/users/me", change, by=ada).problem == "email-taken"

    assert is_verified(client, ada)
    assert requests(client) == before


def test_the_database_contains_no_tokens(client: Client) -> None:
    ada = client.attendee()
    key = {"Idempotency-Key": "one"}
    body = {"name": "Grace", "email": "grace@example.com", "password": PASSWORD, "role": "attendee"}
    client("POST", "/auth/register", body, headers=key)
    client("POST", "/auth/forgot-password", {"email": ada.email}, headers=key)
    waiting = [token(client, purpose, ada, ago=timedelta(minutes=2)) for purpose in PURPOSES]
    spent = [token(client, purpose, ada) for purpose in PURPOSES]
    for purpose, sent in zip(PURPOSES, spent, strict=True):
        reply = client("POST", f"/auth/{purpose}", {"token": sent, "password": NEW_PASSWORD}, headers=key)
        assert reply.status == (400 if purpose == "verify-email" else 204)

    everything = " ".join(
        row.all
        for table in metadata.sorted_tables
        for row in rows(client, f"SELECT coalesce(string_agg(t::text, ' '), '') AS all FROM {table.name} t")  # noqa: S608 (our own table)
    )

    assert ada.email in everything
    for sent in waiting + spent:
        raw = urlsafe_b64decode(sent + "=")
        for trace in (sent, sent.encode().hex(), raw.hex()):
            assert trace not in everything
