"""Cursors that are malformed, tampered with, forged or of another list are refused by name."""

import base64
import json
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests.api.conftest import World
from tests.api.operations import short
from tests.client import Account, Client

AN_ID = "019b2f3e-7c1a-7b55-9d41-2f6d0c8a1e90"
A_TIME = "2027-06-05T19:30:00+00:00"


def encoded(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


def status(world: World, path: str, cursor: str) -> int:
    reply = world.client("GET", f"{path}&cursor={quote(cursor)}", by=world.host)
    if reply.status != 200:
        assert (reply.problem, reply.faulty_fields) == ("invalid-input", {"cursor"}), reply.text
    return reply.status


def cursor_of(client: Client, path: str, by: Account) -> str:
    """Return the cursor to the second page of a list."""
    following = client("GET", path, by=by).links()["next"]
    return parse_qs(urlsplit(following).query)["cursor"][0]


FORGED: dict[str, tuple[str, Any]] = {
    "no list": ("date", {"date asc": A_TIME}),
    "null": ("date", {"date asc": None}),
    "too short": ("date", {"date asc": [A_TIME]}),
    "too long": ("date", {"date asc": [A_TIME, AN_ID, AN_ID]}),
    "empty": ("date", {"date asc": []}),
    "of another sort": ("date", {"title asc": ["jazz", AN_ID]}),
    "of the other order": ("date", {"date desc": [A_TIME, AN_ID]}),
    "an array": ("date", [A_TIME, AN_ID]),
    "a string": ("date", "date asc"),
    "a number": ("date", 5),
    "a time without an offset": ("date", {"date asc": ["2027-06-05T19:30:00", AN_ID]}),
    "a time beyond the last": ("date", {"date asc": ["9999-12-31T23:59:59-14:00", AN_ID]}),
    "a time before the first": ("date", {"date asc": ["0001-01-01T00:00:00+14:00", AN_ID]}),
    "a number for a time": ("date", {"date asc": [5, AN_ID]}),
    "no id": ("date", {"date asc": [A_TIME, "x"]}),
    "a number for an id": ("date", {"date asc": [A_TIME, 5]}),
    "a number for a text": ("title", {"title asc": [5, AN_ID]}),
    "a text with a NUL": ("title", {"title asc": ["a\0b", AN_ID]}),
    "a text with a lone surrogate": ("title", {"title asc": ["\ud800", AN_ID]}),
    "a text for a number": ("popularity", {"popularity desc": ["1", 1, AN_ID]}),
    "a fraction": ("popularity", {"popularity desc": [1.5, 1, AN_ID]}),
    "true": ("popularity", {"popularity desc": [True, 1, AN_ID]}),
    "a number beyond the largest": ("popularity", {"popularity desc": [2**31, 1, AN_ID]}),
    "a number far beyond the largest": ("popularity", {"popularity desc": [10**300, 1, AN_ID]}),
}


@pytest.mark.parametrize(("sort", "content"), FORGED.values(), ids=FORGED)
def test_a_forged_cursor_is_refused(world: World, sort: str, content: Any) -> None:
    assert status(world, f"/events?sort={sort}", encoded(content)) == 400


@pytest.mark.parametrize(
    ("sort", "content"),
    [
        ("date", {"date asc": [A_TIME, AN_ID]}),
        ("date", {"date asc": ["0001-01-01T00:00:00+00:00", AN_ID]}),
        ("date", {"date asc": ["9999-12-31T23:59:59+00:00", AN_ID]}),
        ("title", {"title asc": ["\U0001f3b7 '; --", AN_ID]}),
        ("popularity", {"popularity desc": [2**31 - 1, -(2**31) + 1, AN_ID]}),
        ("createdAt", {"createdAt desc": [AN_ID]}),
    ],
)
def test_a_cursor_need_not_point_at_an_item(world: World, sort: str, content: Any) -> None:
    assert status(world, f"/events?sort={sort}", encoded(content)) == 200


@pytest.mark.parametrize(
    "garbage",
    ["x", "====", "e30=", "not base64!", "ü", "bnVsbA==", encoded([]), "WyJ" * 1000, "W10=" * 9],
    ids=short,
)
def test_a_malformed_cursor_is_refused(world: World, garbage: str) -> None:
    for path in ("/events?limit=5", "/users?limit=5", "/bookings?limit=5"):
        assert status(world, path, garbage) == 400


def test_a_deeply_nested_cursor_is_refused(world: World) -> None:
    deep = base64.urlsafe_b64encode(b"[" * 3000).decode()

    assert status(world, "/events?limit=5", deep) == 400


def test_a_tampered_cursor_causes_no_server_error(client: Client) -> None:
    host = client.host()
    for title in ("A", "B", "C"):
        client.event(host, title=title)
    cursor = cursor_of(client, "/events?limit=1&sort=title", host)

    for position in range(len(cursor)):
        cut, other = cursor[:position], "A" if cursor[position] != "A" else "B"
        for tampered in (cut, f"{cut}{other}{cursor[position + 1 :]}"):
            reply = client("GET", f"/events?sort=title&cursor={quote(tampered)}")
            assert reply.status in {200, 400}, tampered


def test_a_cursor_is_valid_for_its_sort_and_order_only(client: Client) -> None:
    host = client.host()
    for title in ("A", "B"):
        client.event(host, title=title)
    sorts = ["date", "title", "createdAt", "popularity"]
    orders = ["asc", "desc"]
    cursors = {
        (sort, order): cursor_of(client, f"/events?limit=1&sort={sort}&order={order}", host)
        for sort in sorts
        for order in orders
    }

    for (sort, order), cursor in cursors.items():
        for other in cursors:
            reply = client("GET", f"/events?sort={other[0]}&order={other[1]}&cursor={quote(cursor)}")
            assert reply.status == (200 if other == (sort, order) else 400)


def test_a_cursor_with_an_offset_is_refused(world: World) -> None:
    cursor = encoded({"date asc": [A_TIME, AN_ID]})

    reply = world.client("GET", f"/events?offset=5&cursor={cursor}")

    assert (reply.status, reply.faulty_fields) == (400, {"offset"})
