"""The pages behind the links in e-mails."""

from urllib.parse import urlencode

import pytest

from chalicelib.users.verification import Purpose
from tests.client import PASSWORD, Client, Reply
from tests.users.verification_emails import pending_token, token

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def submit(client: Client, path: str, **fields: str) -> Reply:
    return client("POST", path, raw=urlencode(fields).encode(), headers=FORM)


def test_a_pending_address_that_is_taken_meanwhile_gets_a_page(client: Client) -> None:
    ada, change = client.attendee(), {"email": "new@example.com", "currentPassword": PASSWORD}
    assert client("PATCH", "/users/me", change, by=ada).status == 200
    sent = pending_token(client, ada, "new@example.com")
    client.account("host", email="New@example.com")

    reply = client("POST", f"/verify-email?token={sent}")

    assert (reply.status, "This address is taken" in reply.text) == (400, True)
    assert client("GET", "/users/me", by=ada).json["email"] == ada.email


@pytest.mark.parametrize("page", ["verify-email", "reset-password"])
def test_opening_a_link_does_not_use_the_token(client: Client, page: Purpose) -> None:
    user = client.attendee()
    link = f"/{page}?token={token(client, page, user)}"

    opened = client("GET", link)

    assert (opened.status, opened.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert '<form method="post">' in opened.text
    assert submit(client, link, password="another password").status == 200


def test_the_button_verifies_the_address_once(client: Client) -> None:
    user = client.attendee()
    link = f"/verify-email?token={token(client, 'verify-email', user)}"

    assert submit(client, link).status == 200
    assert client("GET", "/users/me", by=user).json["emailVerified"] is True
    assert submit(client, link).status == 400


def test_the_form_sets_a_password_and_revokes_tokens(client: Client) -> None:
    user = client.attendee()
    link = f"/reset-password?token={token(client, 'reset-password', user)}"

    assert submit(client, link, password="a new pass & phrase").status == 200

    assert client("GET", "/users/me", by=user).status == 401
    login = {"email": user.email, "password": "a new pass & phrase"}
    assert client("POST", "/auth/login", login).status == 200


@pytest.mark.parametrize("fields", [{"password": "short"}, {}, {"password": "long enough", "more": "x"}])
def test_a_bad_form_is_a_problem_and_changes_nothing(client: Client, fields: dict[str, str]) -> None:
    user = client.attendee()
    link = f"/reset-password?token={token(client, 'reset-password', user)}"

    assert submit(client, link, **fields).problem == "invalid-input"
    assert client("GET", "/users/me", by=user).status == 200


def test_a_page_accepts_no_json(client: Client) -> None:
    reply = client("POST", "/reset-password?token=x", {"password": "long enough"})

    assert reply.problem == "unsupported-media-type"
