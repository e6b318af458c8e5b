"""Notices about an account: its address is told of a new address, a new password and the deletion."""

import pytest

from chalicelib.platform.errors import Unreachable
from chalicelib.platform.messaging.queues import EMAIL
from tests.client import PASSWORD, Account, Client
from tests.notifications.pipeline import PostOffice, quiet, subjects
from tests.rows import rows
from tests.users.verification_emails import token, verify_pending

NEW = "new@example.com"
REQUESTED = "Your e-mail address is to be changed"
CHANGED = "Your e-mail address was changed"
NEW_PASSWORD = "another correct horse"


@pytest.fixture
def ada(client: Client, post_office: PostOffice) -> Account:
    account = client.account("attendee", "Ada <b>Lovelace</b>", "Ada@Example.com")
    quiet(post_office)
    return account


def ask_for(client: Client, account: Account, email: str) -> None:
    body = {"email": email, "currentPassword": PASSWORD}
    assert client("PATCH", "/users/me", body, by=account).status == 200


def test_the_old_address_is_told_of_a_new_one(client: Client, post_office: PostOffice, ada: Account) -> None:
    ask_for(client, ada, NEW)
    post_office.run()

    assert subjects(post_office, ada) == [REQUESTED]
    assert post_office.mailer.addresses() == [ada.email, NEW]
    assert client("GET", "/users/me", by=ada).json["email"] == ada.email

    post_office.mailer.sent.clear()
    rows(client, "DELETE FROM throttles")
    verify_pending(client, ada, NEW)
    post_office.run()

    assert subjects(post_office, ada) == [CHANGED]
    assert client("GET", "/users/me", by=ada).json["email"] == NEW


def test_asking_twice_for_an_address_sends_one_notice(
    client: Client, post_office: PostOffice, ada: Account
) -> None:
    for email in (NEW, NEW.upper()):
        ask_for(client, ada, email)
    post_office.run()

    assert subjects(post_office, ada) == [REQUESTED]


def test_a_resent_verification_goes_to_the_pending_address(
    client: Client, post_office: PostOffice, ada: Account
) -> None:
    ask_for(client, ada, NEW)
    quiet(post_office)
    rows(client, "DELETE FROM throttles")

    assert client("POST", "/auth/verify-email/resend", by=ada).status == 202
    post_office.run()

    assert post_office.mailer.addresses() == [NEW]


def test_two_accounts_that_want_an_address_can_both_get_a_token(
    client: Client, post_office: PostOffice, ada: Account
) -> None:
    grace = client.attendee()
    quiet(post_office)
    for account in (ada, grace):
        ask_for(client, account, NEW)
        post_office.run()
        rows(client, "DELETE FROM throttles")

    assert post_office.mailer.addresses().count(NEW) == 2


def test_a_suppressed_new_address_gets_nothing(client: Client, post_office: PostOffice, ada: Account) -> None:
    rows(client, "INSERT INTO suppressed_addresses VALUES ('new@example.com', 'complaint', now())")
    ask_for(client, ada, NEW)
    post_office.run()

    assert post_office.mailer.addresses() == [ada.email]


@pytest.mark.parametrize("how", ["change", "reset"])
def test_the_address_is_told_of_a_new_password(
    client: Client, post_office: PostOffice, ada: Account, how: str
) -> None:
    if how == "change":
        body = {"password": NEW_PASSWORD, "currentPassword": PASSWORD}
        assert client("PATCH", "/users/me", body, by=ada).status == 200
    else:
        body = {"token": token(client, "reset-password", ada), "password": NEW_PASSWORD}
        assert client("POST", "/auth/reset-password", body).status == 204
    post_office.run()

    assert subjects(post_office, ada) == ["Your password was changed"]


@pytest.mark.parametrize("how", ["change", "reset"])
def test_a_new_password_withdraws_a_pending_address(client: Client, ada: Account, how: str) -> None:
    ask_for(client, ada, NEW)
    if how == "change":
        body = {"password": NEW_PASSWORD, "currentPassword": PASSWORD}
        assert client("PATCH", "/users/me", body, by=ada).status == 200
    else:
        body = {"token": token(client, "reset-password", ada), "password": NEW_PASSWORD}
        assert client("POST", "/auth/reset-password", body).status == 204

    [row] = rows(client, "SELECT email, pending_email FROM users")
    assert (row.email, row.pending_email) == (ada.email, None)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_the_present_address_withdraws_a_pending_one(client: Client, ada: Account, method: str) -> None:
    ask_for(client, ada, NEW)

    reply = client(method, "/users/me", {"name": "Ada", "email": ada.email}, by=ada)

    assert (reply.status, "pendingEmail" in reply.json) == (200, False)


def test_only_the_owner_sees_a_pending_address(client: Client, ada: Account) -> None:
    ask_for(client, ada, NEW)

    assert client("GET", "/users/me", by=ada).json["pendingEmail"] == NEW
    assert "pendingEmail" not in client("GET", f"/users/{ada.user_id}", by=client.attendee()).json


def test_a_deleted_account_is_told_once(client: Client, post_office: PostOffice, ada: Account) -> None:
    assert client("DELETE", "/users/me", by=ada).status == 204
    post_office.relay()
    [deleted] = post_office.published("account-deleted")
    for _ in range(2):
        post_office.deliver(EMAIL, deleted.as_message())

    assert subjects(post_office, ada) == ["Your account was deleted"]
    assert b"Lovelace" not in post_office.mailer.sent[0][1]  # only our own words


def test_a_notice_that_cannot_be_sent_is_sent_later(
    client: Client, post_office: PostOffice, ada: Account
) -> None:
    assert client("DELETE", "/users/me", by=ada).status == 204
    post_office.relay()
    [deleted] = post_office.published("account-deleted")
    post_office.mailer.reachable = False
    with pytest.raises(Unreachable):
        post_office.deliver(EMAIL, deleted.as_message())
    post_office.mailer.reachable = True

    post_office.deliver(EMAIL, deleted.as_message())

    assert subjects(post_office, ada) == ["Your account was deleted"]
