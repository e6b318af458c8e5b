"""Login: tokens, password hashes, and no hint whether an account exists."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import jwt
import pytest
from passlib.hash import argon2

from tests.client import PASSWORD, Client, Reply
from tests.conftest import SECRET
from tests.database_contents import contents
from tests.rows import rows, value


@contextmanager
def recorded_argon2() -> Iterator[list[tuple[str, int, int]]]:
    """Record parameters, salt length and hash length of each verification. Its duration would vary."""
    work: list[tuple[str, int, int]] = []

    def record(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_name == "verify_secret" and "argon2" in code.co_filename:
            parameters, salt, digest = frame.f_locals["hash"].decode().rsplit("$", 2)
            work.append((parameters, len(salt), len(digest)))

    before = sys.getprofile()
    sys.setprofile(record)
    try:
        yield work
    finally:
        sys.setprofile(before)


def log_in(client: Client, email: str, password: str = PASSWORD) -> Reply:
    return client("POST", "/auth/login", {"email": email, "password": password})


def claims(token: str) -> dict[str, Any]:
    decoded: dict[str, Any] = jwt.decode(token, SECRET, algorithms=["HS256"], audience="event-booking-api")
    return decoded


def password_hash(client: Client) -> str:
    return str(value(client, "SELECT password_hash FROM credentials"))


@pytest.mark.parametrize("typed", ["Ada@example.com", "ada@EXAMPLE.com", "  ADA@example.com\n"])
def test_login_ignores_the_case_of_the_email_and_outer_spaces(client: Client, typed: str) -> None:
    account = client.account("host", "Ada", "Ada@example.com")

    reply = log_in(client, typed)

    assert reply.status == 200
    assert set(reply.json) == {"user", "token", "expiresAt", "refreshToken"}
    user = reply.json["user"]
    assert (user["userId"], user["name"], user["email"]) == (account.user_id, "Ada", "Ada@example.com")
    assert client("GET", "/users/me", by=reply.json["token"]).status == 200


def test_a_token_has_user_and_role_and_expires_after_one_hour(client: Client) -> None:
    account = client.account("host", email="ada@example.com")

    found = claims(log_in(client, "ada@example.com").json["token"])

    assert (found["sub"], found["role"]) == (account.user_id, "host")
    assert found["exp"] - found["iat"] == 3600
    assert abs(found["iat"] - time.time()) < 60
    assert set(found) == {"iss", "aud", "sub", "role", "ver", "iat", "exp", "auth_time", "sid"}


def test_an_unknown_email_and_a_wrong_password_look_the_same(client: Client) -> None:
    client.account("host", email="ada@example.com")
    gone = client.account("host", email="gone@example.com")
    client("DELETE", "/users/me", by=gone)
    before = contents(client)

    replies = [
        log_in(client, "ada@example.com", "not the password"),
        log_in(client, "nobody@example.com"),
        log_in(client, "gone@example.com"),
        log_in(client, "not an e-mail"),
        log_in(client, "ada@example.com", ""),
    ]

    assert {(reply.status, reply.text) for reply in replies} == {(401, replies[0].text)}
    assert replies[0].problem == "wrong-credentials"
    for reply in replies:
        assert {**reply.headers, "x-request-id": ""} == {**replies[0].headers, "x-request-id": ""}
    assert contents(client) == before


def test_an_unknown_email_costs_the_same_hashing_work(client: Client) -> None:
    client("POST", "/auth/register", {"name": "A", "email": "a@b.de", "password": PASSWORD, "role": "host"})

    with recorded_argon2() as of_wrong_password:
        log_in(client, "a@b.de", "not the password")
    with recorded_argon2() as of_unknown_email:
        log_in(client, "nobody@example.com", "not the password")

    assert of_unknown_email == of_wrong_password == [("$argon2id$v=19$m=19456,t=2,p=1", 22, 43)]


def test_login_upgrades_a_weak_password_hash(client: Client) -> None:
    account = client.account("attendee", email="ada@example.com")
    weak = argon2.using(type="ID", memory_cost=64, time_cost=1, parallelism=1)  # type: ignore[no-untyped-call]
    rows(client, "UPDATE credentials SET password_hash = :hash", hash=weak.hash(PASSWORD))

    assert log_in(client, "ada@example.com").status == 200

    renewed = password_hash(client)
    assert renewed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert client("GET", "/users/me", by=account).status == 200  # tokens stay valid
    assert log_in(client, "ada@example.com").status == 200
    assert password_hash(client) == renewed


def test_a_wrong_password_does_not_upgrade_a_weak_hash(client: Client) -> None:
    client.account("attendee", email="ada@example.com")
    weak = argon2.using(type="ID", memory_cost=64, time_cost=1, parallelism=1)  # type: ignore[no-untyped-call]
    rows(client, "UPDATE credentials SET password_hash = :hash", hash=weak.hash(PASSWORD))
    before = contents(client)

    assert log_in(client, "ada@example.com", "not the password").status == 401

    assert contents(client) == before
