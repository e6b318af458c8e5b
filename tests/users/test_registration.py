"""Registration."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from chalicelib.users import accounts
from tests.client import PASSWORD, Client, password_hash
from tests.concurrency import run_concurrently
from tests.database_contents import contents, count
from tests.rows import alter, domain_events, rows, value
from tests.users.verification_emails import pending_token


def registration(**members: Any) -> dict[str, Any]:
    return {
        "name": "Ada Lovelace",
        "email": "ada@example.com",
        "password": "correct horse battery",
        "role": "attendee",
        **members,
    }


@pytest.mark.parametrize("role", ["host", "attendee"])
def test_registration_returns_the_account_and_a_token(client: Client, role: str) -> None:
    reply = client("POST", "/auth/register", registration(role=role))

    assert reply.status == 201
    assert set(reply.json) == {"user", "token", "expiresAt", "refreshToken"}
    user = reply.json["user"]
    assert user | {"userId": "", "createdAt": "", "updatedAt": ""} == {
        "userId": "",
        "name": "Ada Lovelace",
        "email": "ada@example.com",
        "role": role,
        "emailVerified": False,
        "createdAt": "",
        "updatedAt": "",
    }
    assert user["createdAt"] == user["updatedAt"]
    assert reply.headers["location"] == "/users/me"
    assert client("GET", "/users/me", by=reply.json["token"]).json["userId"] == user["userId"]


def test_name_and_email_are_trimmed_but_not_the_password(client: Client) -> None:
    body = registration(name="  Ada \n", email="\tada@example.com ", password="  a secret  ")

    user = client("POST", "/auth/register", body).json["user"]

    assert (user["name"], user["email"]) == ("Ada", "ada@example.com")
    login = {"email": "ada@example.com", "password": "  a secret  "}
    assert client("POST", "/auth/login", login).status == 200
    assert client("POST", "/auth/login", login | {"password": "a secret"}).status == 401


def test_the_case_of_an_email_is_kept(client: Client) -> None:
    reply = client("POST", "/auth/register", registration(email="Ada.Lovelace@Example.COM"))

    assert reply.json["user"]["email"] == "Ada.Lovelace@Example.COM"


@pytest.mark.parametrize("email", ["ada@example.com", "ADA@Example.com", " ada@EXAMPLE.com "])
def test_an_email_can_be_registered_once_in_any_case(client: Client, email: str) -> None:
    client.account("host", email="Ada@example.com")
    before = contents(client)

    reply = client("POST", "/auth/register", registration(email=email))

    assert (reply.status, reply.problem) == (409, "email-taken")
    assert contents(client) == before


def test_concurrent_registrations_of_an_email_make_one_account(client: Client) -> None:
    emails = ["ada@example.com", "ADA@example.com", "ada@EXAMPLE.com", "Ada@Example.Com"]

    replies = run_concurrently(
        [partial(client, "POST", "/auth/register", registration(email=email)) for email in emails]
    )

    assert sorted(reply.status for reply in replies) == [201, 409, 409, 409]
    assert {reply.problem for reply in replies if reply.status == 409} == {"email-taken"}
    assert (count(client, "users"), count(client, "credentials")) == (1, 1)
    recorded = rows(client, "SELECT type FROM outbox ORDER BY position")
    assert [row.type for row in recorded] == ["user-registered", "email-verification-requested"]


@pytest.mark.parametrize(
    "password", ["7h3.qk0x", "x" * 128, "        ", "пароль — 密码 🔑", "with\ttab\nand line", "🔑" * 128]
)
def test_a_password_has_8_to_128_characters_of_any_kind(client: Client, password: str) -> None:
    client("POST", "/auth/register", registration(password=password))

    login = {"email": "ada@example.com", "password": password}
    assert client("POST", "/auth/login", login).status == 200


@pytest.mark.parametrize("password", ["", "1234567", "x" * 129, "🔑" * 7, 12345678, None])
def test_any_other_password_is_refused(client: Client, password: object) -> None:
    reply = client("POST", "/auth/register", registration(password=password))

    assert (reply.status, reply.faulty_fields) == (400, {"password"})
    assert count(client, "users") == 0


def test_a_password_is_stored_only_as_a_salted_argon2id_hash(client: Client) -> None:
    for email in ("ada@example.com", "grace@example.com"):
        client("POST", "/auth/register", registration(email=email), headers={"Idempotency-Key": email})

    hashes = [row.password_hash for row in rows(client, "SELECT password_hash FROM credentials")]

    assert all(kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for kept in hashes)
    assert len(set(hashes)) == 2  # salted
    for table in ("users", "outbox", "idempotency_keys", "credentials"):
        kept = value(client, f"SELECT json_agg(t)::text FROM {table} t")  # noqa: S608 (ours)
        assert "correct horse battery" not in kept


def test_the_domain_event_contains_no_personal_data(client: Client) -> None:
    user = client("POST", "/auth/register", registration()).json["user"]

    [domain_event] = domain_events(client, user["userId"])

    assert domain_event.type == "user-registered"
    assert domain_event.body == {"userId": user["userId"], "role": "attendee"}


def test_an_address_that_is_being_registered_for_long_is_unavailable(client: Client) -> None:
    ada, database, email = client.attendee(), client.wiring.database, "taken@example.com"
    change = {"email": email, "currentPassword": PASSWORD}
    assert client("PATCH", "/users/me", change, by=ada).status == 200
    sent = {"token": pending_token(client, ada, email)}
    alter(client, f"ALTER DATABASE \"{database.engine.url.database}\" SET lock_timeout = '50ms'")
    database.engine.dispose()  # new connections have the new timeout

    with database.transaction() as connection:
        accounts.register(
            connection,
            name="Ada",
            email=email,
            password_hash=password_hash(),
            role="attendee",
            now=datetime.now(UTC),
        )
        replies = [
            client("POST", "/auth/register", registration(email=email)),
            client("POST", "/auth/verify-email", sent),
        ]

    assert [(reply.status, reply.problem) for reply in replies] == [(503, "unavailable")] * 2
