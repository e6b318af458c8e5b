"""Unsubscribe links: one click, no login, no forgery."""

import base64
import re
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from chalicelib.notifications import unsubscribe
from chalicelib.notifications.models import TOPICS, Topic, opt_outs
from chalicelib.notifications.unsubscribe import InvalidLink
from chalicelib.wiring import Wiring, using
from tests.client import Account, Client
from tests.conftest import LINK_SECRET as SECRET

OTHER_SECRET = b"another secret, of more than 32 bytes too"
SOMEBODY = UUID("019b2f3e-7c1a-7b55-9d41-2f6d0c8a1e90")
ONE_CLICK = b"List-Unsubscribe=One-Click"
FORM = {"content-type": "application/x-www-form-urlencoded"}


def path(user: Account, topic: Topic = "newEvent", secret: bytes = SECRET) -> str:
    return unsubscribe.link(secret, "", UUID(user.user_id), topic)


def token(secret: bytes = SECRET, topic: Topic = "newEvent") -> str:
    return unsubscribe.link(secret, "", SOMEBODY, topic).partition("token=")[2]


def unwanted(client: Client) -> set[tuple[str, str]]:
    with client.wiring.database.transaction() as connection:
        return {(str(row.user_id), row.topic) for row in connection.execute(select(opt_outs))}


@pytest.mark.parametrize("topic", TOPICS)
def test_a_link_names_the_user_and_the_topic(topic: Topic) -> None:
    assert unsubscribe.read(SECRET, token(topic=topic)) == (SOMEBODY, topic)


def test_a_link_leads_to_this_deployment() -> None:
    link = unsubscribe.link(SECRET, "https://api.example.com/v1", SOMEBODY, "newEvent")

    assert re.fullmatch(r"https://api\.example\.com/v1/unsubscribe\?token=[\w.-]+", link)


def test_a_link_of_another_secret_is_refused() -> None:
    with pytest.raises(InvalidLink):
        unsubscribe.read(OTHER_SECRET, token())


@settings(deadline=None)
@given(st.text() | st.from_regex(r"[0-9a-f]{32}\.newEvent\.[\w-]{43}", fullmatch=True))
def test_invented_tokens_are_refused(made_up: str) -> None:
    with pytest.raises(InvalidLink):
        unsubscribe.read(SECRET, made_up)


@pytest.mark.parametrize("place", range(len(token())))
def test_a_token_with_one_other_character_is_refused(place: int) -> None:
    good = token()
    bad = good[:place] + ("A" if good[place] != "A" else "B") + good[place + 1 :]

    with pytest.raises(InvalidLink):
        unsubscribe.read(SECRET, bad)


def test_a_token_is_bound_to_its_user_and_topic() -> None:
    user, topic, signature = token().split(".")

    for forged in (f"{user}.saleStarted.{signature}", f"{uuid4().hex}.{topic}.{signature}"):
        with pytest.raises(InvalidLink):
            unsubscribe.read(SECRET, forged)


def test_a_login_token_is_no_unsubscribe_token(client: Client) -> None:
    with pytest.raises(InvalidLink):
        unsubscribe.read(SECRET, client.host().token)


def test_a_former_topic_is_refused() -> None:
    link = unsubscribe.link(SECRET, "", SOMEBODY, "weather")  # type: ignore[arg-type]

    with pytest.raises(InvalidLink, match="no longer exists"):
        unsubscribe.read(SECRET, link.partition("token=")[2])


def test_opening_the_link_changes_nothing(client: Client) -> None:
    reply = client("GET", path(client.attendee()))

    assert reply.status == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert "new events by hosts you follow" in reply.text
    assert '<form method="post"><button>' in reply.text
    assert unwanted(client) == set()


def test_the_page_is_locked_down(client: Client) -> None:
    headers = client("GET", path(client.attendee())).headers

    policy = headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "form-action 'self'", "frame-ancestors 'none'"} <= set(policy)
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize("body", [ONE_CLICK, b"", b"anything", b"\xff\x00", b"{"])
def test_one_click_unsubscribes_whatever_the_body(client: Client, body: bytes) -> None:
    user, other = client.attendees(2)

    reply = client("POST", path(user), raw=body, headers=FORM)

    assert reply.status == 200
    assert "Unsubscribed" in reply.text
    assert unwanted(client) == {(user.user_id, "newEvent")}
    assert client("GET", "/users/me/preferences", by=user).json["email"]["newEvent"] is False
    assert client("GET", "/users/me/preferences", by=other).json["email"]["newEvent"] is True


def test_one_click_needs_no_content_type(client: Client) -> None:
    user = client.attendee()

    assert client("POST", path(user), raw=ONE_CLICK).status == 200
    assert unwanted(client) == {(user.user_id, "newEvent")}


def test_a_second_click_changes_nothing(client: Client) -> None:
    user = client.attendee()

    replies = [client("POST", path(user), raw=ONE_CLICK, headers=FORM) for _ in range(2)]

    assert [reply.status for reply in replies] == [200, 200]
    assert unwanted(client) == {(user.user_id, "newEvent")}


def test_topics_are_independent(client: Client) -> None:
    user = client.attendee()

    for topic in ("newEvent", "eventChanged"):
        client("POST", path(user, topic), raw=ONE_CLICK, headers=FORM)

    assert unwanted(client) == {(user.user_id, "newEvent"), (user.user_id, "eventChanged")}


def test_a_deleted_account_gets_the_same_answer(client: Client) -> None:
    user = client.attendee()
    client("DELETE", "/users/me", by=user)

    assert client("POST", path(user), raw=ONE_CLICK, headers=FORM).status == 200
    assert unwanted(client) == set()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_forged_link_is_refused(client: Client, method: str) -> None:
    reply = client(method, path(client.attendee(), secret=OTHER_SECRET))

    assert (reply.status, reply.headers["content-type"]) == (400, "text/html; charset=utf-8")
    assert "This link does not work" in reply.text
    assert unwanted(client) == set()


def test_one_click_ignores_added_parameters(client: Client) -> None:
    user = client.attendee()

    reply = client("POST", f"{path(user)}&utm_source=x&utm_medium=", raw=ONE_CLICK, headers=FORM)

    assert reply.status == 200
    assert unwanted(client) == {(user.user_id, "newEvent")}


@pytest.mark.parametrize(
    "made_up", ["é.newEvent.é", "..", ".", base64.b64encode(b"x" * 32).decode(), "{}", "a.newEvent.b"]
)
def test_an_invented_token_is_refused_like_a_forged_one(client: Client, made_up: str) -> None:
    reply = client("POST", f"/unsubscribe?token={made_up}")

    assert (reply.status, "This link does not work" in reply.text) == (400, True)


def test_a_link_survives_a_change_of_the_secret_of_tokens(client: Client) -> None:
    user = client.attendee()
    link = path(user)
    rotated = replace(client.wiring.settings, jwt_secret=OTHER_SECRET)

    with using(Wiring(rotated)):
        assert client("POST", link, raw=ONE_CLICK, headers=FORM).status == 200

    assert unwanted(client) == {(user.user_id, "newEvent")}
