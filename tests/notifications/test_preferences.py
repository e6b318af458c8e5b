"""Preferences: which e-mails a person wants."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from chalicelib.api.schemas.users import EmailPreferences
from chalicelib.notifications import preferences
from chalicelib.notifications.models import TOPICS
from chalicelib.users import authentication
from tests.client import Account, Client

ALL: Any = dict.fromkeys(TOPICS, True)
PATH = "/users/me/preferences"


def wanted(client: Client, user: Account) -> Any:
    reply = client("GET", PATH, by=user)
    assert reply.status == 200, reply.text
    return reply.json["email"]


def test_at_first_all_e_mails_are_wanted(client: Client) -> None:
    assert wanted(client, client.attendee()) == ALL


def test_what_is_set_is_what_is_answered_and_kept(client: Client) -> None:
    user, other = client.attendee(), client.host()
    wish = {**ALL, "newEvent": False, "eventChanged": False}

    reply = client("PUT", PATH, {"email": wish}, by=user)

    assert reply.status == 200
    assert reply.json == {"email": wish}
    assert wanted(client, user) == wish
    assert wanted(client, other) == ALL


def test_setting_replaces_all_that_was_set(client: Client) -> None:
    user = client.attendee()
    none = dict.fromkeys(TOPICS, False)

    for wish in (none, {**none, "saleStarted": True}, ALL, ALL, none, none):
        client("PUT", PATH, {"email": wish}, by=user)
        assert wanted(client, user) == wish


def test_ones_own_id_is_as_good_as_me(client: Client) -> None:
    user = client.attendee()

    assert client("GET", f"/users/{user.user_id}/preferences", by=user).status == 200
    assert client("PUT", f"/users/{user.user_id}/preferences", {"email": ALL}, by=user).status == 200


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_the_preferences_of_others_are_nobodys_business(client: Client, method: str) -> None:
    user, other = client.attendee(), client.host()
    body = {"email": ALL} if method == "PUT" else None

    for user_id in (other.user_id, str(uuid4())):
        assert client(method, f"/users/{user_id}/preferences", body, by=user).problem == "forbidden"


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_preferences_take_a_token(client: Client, method: str) -> None:
    body = {"email": ALL} if method == "PUT" else None

    assert client(method, PATH, body).problem == "unauthenticated"


@pytest.mark.parametrize(
    "email",
    [
        {},
        dict.fromkeys(TOPICS[1:], True),
        {**ALL, "weather": True},
        {**ALL, "newEvent": "yes"},
        {**ALL, "newEvent": 1},
        {**ALL, "newEvent": None},
        None,
        [],
        True,
    ],
)
def test_each_topic_is_to_be_answered_with_true_or_false(client: Client, email: Any) -> None:
    user = client.attendee()

    reply = client("PUT", PATH, {"email": email}, by=user)

    assert (reply.status, reply.problem) == (400, "invalid-input")
    assert reply.faulty_fields == {"email"}
    assert "newEvent" in reply.json["errors"][0]["message"]
    assert wanted(client, user) == ALL


def test_members_beside_email_are_not_known(client: Client) -> None:
    reply = client("PUT", PATH, {"email": ALL, "sms": {}}, by=client.attendee())

    assert reply.faulty_fields == {"sms"}


def test_two_at_once_without_the_lock_leave_what_neither_asked_for(client: Client) -> None:
    user = client.attendee()
    user_id, database = UUID(user.user_id), client.wiring.database

    with database.transaction() as one, database.transaction() as other:
        preferences.replace(one, user_id, {**ALL, "newEvent": False})
        preferences.replace(other, user_id, {**ALL, "saleStarted": False})

    assert wanted(client, user) == {**ALL, "newEvent": False, "saleStarted": False}


def test_of_two_at_once_the_later_replaces_the_earlier(client: Client) -> None:
    user = client.attendee()
    caller = client.wiring.tokens.read(user.token)
    later = {**ALL, "saleStarted": False}

    with ThreadPoolExecutor(1) as threads:
        with client.wiring.database.transaction() as connection:
            authentication.require_account(connection, caller, "update")
            reply = threads.submit(client, "PUT", PATH, {"email": later}, by=user)
            with pytest.raises(TimeoutError):
                reply.result(timeout=0.3)
            preferences.replace(connection, caller.user_id, {**ALL, "newEvent": False})
        assert reply.result(timeout=10).json == {"email": later}

    assert wanted(client, user) == later


def test_the_wire_names_every_topic() -> None:
    names = [field.encode_name for field in msgspec.structs.fields(EmailPreferences)]

    assert names == list(TOPICS)


def test_opting_out_for_an_account_that_is_not_there_does_nothing(client: Client) -> None:
    with client.wiring.database.transaction() as connection:
        preferences.opt_out(connection, uuid4(), list(TOPICS))


def test_opting_out_of_nothing_leaves_all(client: Client) -> None:
    user = client.attendee()

    with client.wiring.database.transaction() as connection:
        preferences.opt_out(connection, UUID(user.user_id), [])

    assert wanted(client, user) == ALL
