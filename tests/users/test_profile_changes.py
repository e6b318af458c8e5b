"""Changes of the own profile: name, e-mail and password."""

from datetime import datetime
from functools import partial
from typing import Any

import pytest

from tests.client import PASSWORD, Client
from tests.concurrency import run_concurrently
from tests.database_contents import contents
from tests.users.verification_emails import pending_token, verify_pending

NEW_PASSWORD = "another correct horse"


def login_status(client: Client, email: str, password: str) -> int:
    return client("POST", "/auth/login", {"email": email, "password": password}).status


def test_patch_changes_only_the_members_that_it_names(client: Client) -> None:
    ada = client.attendee("Ada")
    before = client("GET", "/users/me", by=ada).json

    reply = client("PATCH", "/users/me", {"name": " Ada Lovelace "}, by=ada)

    assert reply.status == 200
    assert reply.json == before | {"name": "Ada Lovelace", "updatedAt": reply.json["updatedAt"]}
    assert datetime.fromisoformat(reply.json["updatedAt"]) > datetime.fromisoformat(before["updatedAt"])
    assert client("GET", "/users/me", by=ada).json == reply.json


def test_put_replaces_name_and_email_and_keeps_the_password(client: Client) -> None:
    ada = client.attendee("Ada")
    body = {"name": "Countess", "email": "Countess@Example.com", "currentPassword": PASSWORD}

    reply = client("PUT", f"/users/{ada.user_id}", body, by=ada)
    verify_pending(client, ada, "Countess@Example.com")

    assert reply.status == 200
    changed = client("GET", "/users/me", by=ada).json
    assert (changed["name"], changed["email"]) == ("Countess", "Countess@Example.com")
    assert login_status(client, "countess@example.com", PASSWORD) == 200
    assert login_status(client, ada.email, PASSWORD) == 401


@pytest.mark.parametrize(("body", "missing"), [({"name": "A"}, "email"), ({"email": "a@b.de"}, "name")])
def test_put_requires_name_and_email(client: Client, body: dict[str, str], missing: str) -> None:
    reply = client("PUT", "/users/me", body, by=client.attendee())

    assert (reply.status, reply.faulty_fields) == (400, {missing})


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_the_email_of_another_account_is_refused(client: Client, method: str) -> None:
    ada, grace = client.attendee("Ada"), client.account("host", "Grace", "grace@example.com")
    before = contents(client)
    body = {"name": "New", "email": "GRACE@example.com", "currentPassword": PASSWORD}

    reply = client(method, "/users/me", body, by=ada)

    assert (reply.status, reply.problem) == (409, "email-taken")
    assert contents(client) == before
    assert client("GET", "/users/me", by=grace).json["email"] == "grace@example.com"


def test_the_case_of_the_own_email_can_be_changed(client: Client) -> None:
    ada = client.account("attendee", "Ada", "ada@example.com")

    assert (
        client("PATCH", "/users/me", {"email": "Ada@Example.com"}, by=ada).json["email"] == "Ada@Example.com"
    )


def test_concurrent_changes_give_an_email_to_one_account(client: Client) -> None:
    accounts, body = client.attendees(4), {"email": "ada@example.com", "currentPassword": PASSWORD}
    for account in accounts:
        assert client("PATCH", "/users/me", body, by=account).status == 200
    tokens = [pending_token(client, account, "ada@example.com") for account in accounts]

    replies = run_concurrently(
        [partial(client, "POST", "/auth/verify-email", {"token": sent}) for sent in tokens]
    )

    assert sorted(reply.status for reply in replies) == [204, 409, 409, 409]
    assert {reply.problem for reply in replies if reply.status == 409} == {"email-taken"}


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_the_current_password_allows_a_new_one(client: Client, method: str) -> None:
    ada = client.account("attendee", "Ada", "ada@example.com")
    passwords = {"password": NEW_PASSWORD, "currentPassword": PASSWORD}

    reply = client(method, "/users/me", {"name": "Ada", "email": ada.email, **passwords}, by=ada)

    assert reply.status == 200
    assert not {"password", "currentPassword"} & set(reply.json)
    assert login_status(client, "ada@example.com", NEW_PASSWORD) == 200
    assert login_status(client, "ada@example.com", PASSWORD) == 401


def test_a_new_password_invalidates_all_older_tokens(client: Client) -> None:
    ada = client.account("attendee", "Ada", "ada@example.com")
    login = {"email": "ada@example.com", "password": PASSWORD}
    elsewhere = client("POST", "/auth/login", login).json["token"]

    client("PATCH", "/users/me", {"password": NEW_PASSWORD, "currentPassword": PASSWORD}, by=ada)

    for token in (ada.token, elsewhere):
        reply = client("GET", "/users/me", by=token)
        assert (reply.status, reply.problem) == (401, "invalid-token")
    new = client("POST", "/auth/login", login | {"password": NEW_PASSWORD}).json["token"]
    assert client("GET", "/users/me", by=new).status == 200


def test_a_new_name_or_email_keeps_tokens_valid(client: Client) -> None:
    ada = client.attendee("Ada")

    body = {"name": "Countess", "email": "countess@example.com", "currentPassword": PASSWORD}
    assert client("PATCH", "/users/me", body, by=ada).status == 200
    verify_pending(client, ada, "countess@example.com")

    assert client("GET", "/users/me", by=ada).status == 200


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("new", [{"password": NEW_PASSWORD}, {"email": "new@example.com"}], ids=str)
@pytest.mark.parametrize(
    ("members", "status", "problem"),
    [
        ({"currentPassword": "not the password"}, 403, "wrong-password"),
        ({"currentPassword": ""}, 403, "wrong-password"),
        ({}, 400, "invalid-input"),
        ({"currentPassword": None}, 400, "invalid-input"),
    ],
)
def test_without_the_current_password_nothing_is_changed(
    client: Client, method: str, new: dict[str, str], members: dict[str, Any], status: int, problem: str
) -> None:
    ada = client.attendee("Ada")
    before = contents(client)

    reply = client(method, "/users/me", {"name": "New", "email": ada.email, **new, **members}, by=ada)

    assert (reply.status, reply.problem) == (status, problem)
    assert reply.faulty_fields == ({"currentPassword"} if status == 400 else set())
    assert contents(client) == before


def test_a_wrong_current_password_is_never_ignored(client: Client) -> None:
    ada = client.attendee("Ada")
    body = {"name": "New", "email": ada.email, "currentPassword": "not the password"}

    for method in ("PUT", "PATCH"):
        assert client(method, "/users/me", body, by=ada).problem == "wrong-password"


def test_a_password_change_is_all_or_nothing(client: Client) -> None:
    ada, grace = client.attendee("Ada"), client.attendee("Grace")
    passwords = {"password": NEW_PASSWORD, "currentPassword": PASSWORD}
    before = contents(client)

    taken = client("PATCH", "/users/me", {"email": grace.email, **passwords}, by=ada)
    stale = client("PATCH", "/users/me", passwords, by=ada, headers={"If-Match": '"99-0"'})

    assert (taken.status, stale.status) == (409, 412)
    assert contents(client) == before


def test_one_of_two_concurrent_password_changes_succeeds(client: Client) -> None:
    ada = client.account("attendee", "Ada", "ada@example.com")
    wanted = ["the first of two", "the second of two"]
    bodies = [{"password": new, "currentPassword": PASSWORD} for new in wanted]

    replies = run_concurrently([partial(client, "PATCH", "/users/me", body, by=ada) for body in bodies])

    # The other request's current password, or its token, is no longer valid.
    statuses = [reply.status for reply in replies]
    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 401, 403}
    logins = [login_status(client, "ada@example.com", new) == 200 for new in wanted]
    assert logins == [status == 200 for status in statuses]


def test_an_empty_patch_changes_nothing(client: Client) -> None:
    ada = client.attendee("Ada")
    before = contents(client)

    reply = client("PATCH", "/users/me", {}, by=ada)

    assert (reply.status, reply.json) == (200, client("GET", "/users/me", by=ada).json)
    assert contents(client) == before
