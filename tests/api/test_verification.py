"""Proving an e-mail address over HTTP: verifying it, and setting a forgotten password."""

import secrets
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import event

from chalicelib.platform.database.engine import metadata
from chalicelib.users.verification import Purpose
from tests.client import PASSWORD, Account, Client, Reply
from tests.users.verification_emails import is_verified, query, requests, token, verify

NEW_PASSWORD = "another correct horse"
WAYS: list[Purpose] = ["verify-email", "reset-password"]


def redeem(client: Client, purpose: Purpose, sent: str) -> Reply:
    body = {"token": sent}
    if purpose == "reset-password":
        body["password"] = NEW_PASSWORD
    return client("POST", f"/auth/{purpose}", body)


def login_status(client: Client, account: Account, password: str) -> int:
    return client("POST", "/auth/login", {"email": account.email, "password": password}).status


def profile(client: Client, account: Account) -> Any:
    return client("GET", "/users/me", by=account).json


@contextmanager
def statements(client: Client) -> Iterator[list[str]]:
    """What is asked of the database within the block."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    engine = client.wiring.database.engine
    event.listen(engine, "before_cursor_execute", note)
    yield asked
    event.remove(engine, "before_cursor_execute", note)


def test_registering_asks_for_the_address_to_be_verified(client: Client) -> None:
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


def test_whether_an_address_is_verified_is_shown_to_oneself_alone(client: Client) -> None:
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


def ended(client: Client, account: Account, purpose: Purpose) -> str:
    sent = token(client, purpose, account, ago=timedelta(minutes=2))
    token(client, purpose, account)
    return sent


def for_the_other_purpose(client: Client, account: Account, purpose: Purpose) -> str:
    [other] = set(WAYS) - {purpose}
    return token(client, other, account)


def to_another_address(client: Client, account: Account, purpose: Purpose) -> str:
    sent = token(client, purpose, account)
    assert client("PATCH", "/users/me", {"email": "moved@example.com"}, by=account).status == 200
    return sent


@pytest.mark.parametrize("purpose", WAYS)
@pytest.mark.parametrize(
    "bad", [unknown, not_a_token, used, expired, ended, for_the_other_purpose, to_another_address]
)
def test_a_token_that_is_no_good_is_refused_in_the_same_words_whatever_is_the_matter(
    client: Client, purpose: Purpose, bad: Callable[[Client, Account, Purpose], str]
) -> None:
    ada = client.attendee()
    sent = bad(client, ada, purpose)
    before = query(client, "SELECT u, c FROM users u JOIN credentials c USING (user_id)")

    reply = redeem(client, purpose, sent)

    assert (reply.status, reply.problem) == (400, "invalid-email-token")
    assert reply.text == redeem(client, purpose, secrets.token_urlsafe(32)).text
    assert query(client, "SELECT u, c FROM users u JOIN credentials c USING (user_id)") == before


@pytest.mark.parametrize("purpose", WAYS)
def test_of_many_who_bring_a_token_at_once_one_is_let_through(client: Client, purpose: Purpose) -> None:
    for ada in client.attendees(3):
        sent, start = token(client, purpose, ada), Barrier(4)

        def bring(_: int, sent: str = sent, start: Barrier = start) -> int:
            start.wait()
            return redeem(client, purpose, sent).status

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(bring, range(4))) == [204, 400, 400, 400]


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
def test_input_that_is_not_as_declared_is_named(
    client: Client, path: str, body: dict[str, Any], faulty: set[str]
) -> None:
    reply = client("POST", f"/auth/{path}", body)

    assert (reply.status, reply.problem, reply.faulty_fields) == (400, "invalid-input", faulty)


def test_a_password_that_is_too_short_leaves_the_token_good(client: Client) -> None:
    sent = token(client, "reset-password", client.attendee())

    assert client("POST", "/auth/reset-password", {"token": sent, "password": "short"}).status == 400
    assert redeem(client, "reset-password", sent).status == 204


def test_asking_again_is_for_those_who_are_signed_in(client: Client) -> None:
    assert client("POST", "/auth/verify-email/resend").status == 401
    ada = client.attendee()
    assert client("DELETE", "/users/me", by=ada).status == 204
    assert client("POST", "/auth/verify-email/resend", by=ada).status == 401


def test_asking_again_is_answered_the_same_whether_verified_or_not(client: Client) -> None:
    ada, grace = client.attendees(2)
    verify(client, ada)

    replies = [client("POST", "/auth/verify-email/resend", by=account) for account in (ada, grace)]

    assert [(reply.status, reply.text) for reply in replies] == [(202, "")] * 2
    assert requests(client)[-2:] == [
        ("email-verification-requested", {"email": account.email}) for account in (ada, grace)
    ]


def test_a_forgotten_password_has_the_same_answer_and_costs_the_same_for_an_unknown_address(
    client: Client,
) -> None:
    ada = client.attendee()

    def ask(email: str) -> tuple[int, str, set[str], list[str]]:
        with statements(client) as asked:
            reply = client("POST", "/auth/forgot-password", {"email": email})
        return reply.status, reply.text, set(reply.headers), asked

    known, unknown = ask(ada.email), ask("nobody@example.com")

    assert known == unknown
    assert known[:2] == (202, "")
    assert requests(client)[-2:] == [
        ("password-reset-requested", {"email": email}) for email in (ada.email, "nobody@example.com")
    ]


def test_a_token_from_an_e_mail_sets_a_new_password(client: Client) -> None:
    ada = client.attendee()

    reply = redeem(client, "reset-password", token(client, "reset-password", ada))

    assert (reply.status, reply.text) == (204, "")
    assert login_status(client, ada, PASSWORD) == 401
    assert login_status(client, ada, NEW_PASSWORD) == 200


def test_a_new_password_ends_older_sessions_and_older_tokens(client: Client) -> None:
    ada = client.attendee()
    older = token(client, "reset-password", ada, ago=timedelta(minutes=2))
    assert redeem(client, "reset-password", token(client, "reset-password", ada)).status == 204

    assert client("GET", "/users/me", by=ada).problem == "invalid-token"
    assert redeem(client, "reset-password", older).problem == "invalid-email-token"
    assert query(client, "SELECT * FROM email_tokens") == []


def test_a_password_changed_by_its_owner_ends_the_tokens_for_a_new_one(client: Client) -> None:
    ada = client.attendee()
    sent = token(client, "reset-password", ada)
    change = {"password": NEW_PASSWORD, "currentPassword": PASSWORD}
    assert client("PATCH", "/users/me", change, by=ada).status == 200

    assert redeem(client, "reset-password", sent).problem == "invalid-email-token"


def test_who_sets_a_password_by_e_mail_has_proven_the_address(client: Client) -> None:
    ada = client.attendee()
    assert redeem(client, "reset-password", token(client, "reset-password", ada)).status == 204

    reply = client("POST", "/auth/login", {"email": ada.email, "password": NEW_PASSWORD})

    assert reply.json["user"]["emailVerified"] is True


def test_verifying_what_is_verified_changes_nothing(client: Client) -> None:
    ada = client.attendee()
    to_verify = token(client, "verify-email", ada)
    assert redeem(client, "reset-password", token(client, "reset-password", ada)).status == 204
    before = query(client, "SELECT email_verified_at, version, updated_at FROM users")

    assert redeem(client, "verify-email", to_verify).status == 204

    assert query(client, "SELECT email_verified_at, version, updated_at FROM users") == before


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_another_address_is_to_be_verified_anew(client: Client, method: str) -> None:
    ada = client.attendee()
    verify(client, ada)

    reply = client(method, "/users/me", {"name": "Ada", "email": "New@Example.com"}, by=ada)

    assert reply.json["emailVerified"] is False
    assert requests(client)[1:] == [("email-verification-requested", {"email": "new@example.com"})]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_the_same_address_written_otherwise_stays_verified(client: Client, method: str) -> None:
    ada = client.attendee()
    verify(client, ada)

    reply = client(method, "/users/me", {"name": "Ada", "email": ada.email.upper()}, by=ada)

    assert (reply.json["email"], reply.json["emailVerified"]) == (ada.email.upper(), True)
    assert len(requests(client)) == 1


def test_an_address_that_somebody_else_has_is_not_written_to(client: Client) -> None:
    ada, grace = client.attendees(2)
    verify(client, ada)
    before = requests(client)

    assert client("PATCH", "/users/me", {"email": grace.email}, by=ada).problem == "email-taken"

    assert is_verified(client, ada)
    assert requests(client) == before


def test_nothing_of_a_token_stands_in_the_database(client: Client) -> None:
    ada = client.attendee()
    key = {"Idempotency-Key": "one"}
    body = {"name": "Grace", "email": "grace@example.com", "password": PASSWORD, "role": "attendee"}
    client("POST", "/auth/register", body, headers=key)
    client("POST", "/auth/forgot-password", {"email": ada.email}, headers=key)
    waiting = [token(client, purpose, ada, ago=timedelta(minutes=2)) for purpose in WAYS]
    spent = [token(client, purpose, ada) for purpose in WAYS]
    for purpose, sent in zip(WAYS, spent, strict=True):
        reply = client("POST", f"/auth/{purpose}", {"token": sent, "password": NEW_PASSWORD}, headers=key)
        assert reply.status == (400 if purpose == "verify-email" else 204)

    everything = " ".join(
        row.all
        for table in metadata.sorted_tables
        for row in query(client, f"SELECT coalesce(string_agg(t::text, ' '), '') AS all FROM {table.name} t")  # noqa: S608 (our own table)
    )

    assert ada.email in everything
    for sent in waiting + spent:
        raw = urlsafe_b64decode(sent + "=")
        for trace in (sent, sent.encode().hex(), raw.hex()):
            assert trace not in everything
