"""E-mail preferences."""

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
from tests.concurrency import WAIT_TIMEOUT

ALL: Any = dict.fromkeys(TOPICS, True)
PATH = "/users/me/preferences"


def wanted(client: Client, user: Account) -> Any:
    reply = client("GET", PATH, by=user)
    assert reply.status == 200, reply.text
    return reply.json["email"]


def test_all_e_mails_are_on_by_default(client: Client) -> None:
    assert wanted(client, client.attendee()) == ALL


def test_preferences_are_returned_and_stored(client: Client) -> None:
    user, other = client.attendee(), client.host()
    chosen = {**ALL, "newEvent": False, "eventChanged": False}

    reply = client("PUT", PATH, {"email": chosen}, by=user)

    assert reply.status == 200
    assert reply.json == {"email": chosen}
    assert wanted(client, user) == chosen
    assert wanted(client, other) == ALL


def test_put_replaces_all_preferences(client: Client) -> None:
    user = client.attendee()
    none = dict.fromkeys(TOPICS, False)

    for chosen in (none, {**none, "saleStarted": True}, ALL, ALL, none, none):
        client("PUT", PATH, {"email": chosen}, by=user)
        assert wanted(client, user) == chosen


def test_the_own_id_works_like_me(client: Client) -> None:
    user = client.attendee()

    assert client("GET", f"/users/{user.user_id}/preferences", by=user).status == 200
    assert client("PUT", f"/users/{user.user_id}/preferences", {"email": ALL}, by=user).status == 200


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_other_users_preferences_are_forbidden(client: Client, method: str) -> None:
    user, other = client.attendee(), client.host()
    body = {"email": ALL} if method == "PUT" else None

    for user_id in (other.user_id, str(uuid4())):
        assert client(method, f"/users/{user_id}/preferences", body, by=user).problem == "forbidden"


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_preferences_need_a_login(client: Client, method: str) -> None:
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
def test_each_topic_must_be_true_or_false(client: Client, email: Any) -> None:
    user = client.attendee()

    reply = client("PUT", PATH, {"email": email}, by=user)

    assert (reply.status, reply.problem) == (400, "invalid-input")
    assert reply.faulty_fields == {"email"}
    assert "newEvent" in reply.json["errors"][0]["message"]
    assert wanted(client, user) == ALL


def test_unknown_members_are_refused(client: Client) -> None:
    reply = client("PUT", PATH, {"email": ALL, "sms": {}}, by=client.attendee())

    assert reply.faulty_fields == {"sms"}


def test_without_the_lock_concurrent_calls_mix(client: Client) -> None:
    user = client.attendee()
    user_id, database = UUID(user.user_id), client.wiring.database

    with database.transaction() as one, database.transaction() as other:
        preferences.replace(one, user_id, {**ALL, "newEvent": False})
        preferences.replace(other, user_id, {**ALL, "saleStarted": False})

    assert wanted(client, user) == {**ALL, "newEvent": False, "saleStarted": False}


def test_of_two_concurrent_calls_the_later_wins(client: Client) -> None:
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
        assert reply.result(timeout=WAIT_TIMEOUT).json == {"email": later}

    assert wanted(client, user) == later


def test_the_api_has_every_topic() -> None:
    names = [field.encode_name for field in msgspec.structs.fields(EmailPreferences)]

    assert names == list(TOPICS)


def test_opting_out_without_an_account_does_nothing(client: Client) -> None:
    with client.wiring.database.transaction() as connection:
        preferences.opt_out(connection, uuid4(), list(TOPICS))


def test_opting_out_of_no_topic_does_nothing(client: Client) -> None:
    user = client.attendee()

    with client.wiring.database.transaction() as connection:
        preferences.opt_out(connection, UUID(user.user_id), [])

    assert wanted(client, user) == ALL
