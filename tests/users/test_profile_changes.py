"""Changes of the own profile: name, e-mail and password."""

from datetime import datetime
from functools import partial
from typing import Any

import pytest

from tests.client import PASSWORD, Client
from tests.concurrency import run_concurrently
from tests.database_contents import contents

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

    reply = client(
        "PUT", f"/users/{ada.user_id}", {"name": "Countess", "email": "Countess@Example.com"}, by=ada
    )

    assert reply.status == 200
    assert (reply.json["name"], reply.json["email"]) == ("Countess", "Countess@Example.com")
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

    reply = client(method, "/users/me", {"name": "New", "email": "GRACE@example.com"}, by=ada)

    assert (reply.status, reply.problem) == (409, "email-taken")
    assert contents(client) == before
    assert client("GET", "/users/me", by=grace).json["email"] == "grace@example.com"


def test_the_case_of_the_own_email_can_be_changed(client: Client) -> None:
    ada = client.account("attendee", "Ada", "ada@example.com")

    assert (
        client("PATCH", "/users/me", {"email": "Ada@Example.com"}, by=ada).json["email"] == "Ada@Example.com"
    )


def test_concurrent_changes_give_an_email_to_one_account(client: Client) -> None:
    change = partial(client, "PATCH", "/users/me", {"email": "ada@example.com"})

    replies = run_concurrently([partial(change, by=account) for account in client.attendees(4)])

    assert sorted(reply.status for reply in replies) == [200, 409, 409, 409]


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

    client("PATCH", "/users/me", {"name": "Countess", "email": "countess@example.com"}, by=ada)

    assert client("GET", "/users/me", by=ada).status == 200


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
    client: Client, members: dict[str, Any], status: int, problem: str
) -> None:
    ada = client.attendee("Ada")
    before = contents(client)

    reply = client("PATCH", "/users/me", {"name": "New", "password": NEW_PASSWORD, **members}, by=ada)

    assert (reply.status, reply.problem) == (status, problem)
    assert reply.faulty_fields == ({"currentPassword"} if status == 400 else set())
    assert contents(client) == before


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
