"""Bad members of a body are refused by name, and nothing is changed."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tests.api.conftest import World
from tests.api.operations import short
from tests.client import Client, Reply, event_body, in_days
from tests.database_contents import contents

NOT_TEXT: list[Any] = [None, 5, True, [], {}, ["text"]]
NOT_FOR_POSTGRESQL = ["a\0b", "\0", "a\ud800b", "\udfff"]
BLANK = ["", " ", "\t\r\n", "\u2003\u3000"]
INVISIBLE = [
    "\u200b\u200d",
    "\u2060 \ufeff",
    "\u3164",
    "\u115f\u2800",
    "\x01\x7f",
    "\u00ad",
    "\ufe0f",
    "\U000e0041",
]
NOT_TIMES = [
    None,
    5,
    "",
    "tomorrow",
    "2027-06-05",
    "2027-06-05T19:30:00",  # without an offset
    "2027-06-05T19:30Z",
    "2027-02-30T19:30:00Z",
    "2027-06-05T24:00:00Z",
    "2027-06-05T19:30:60Z",
    "2027-06-05T19:30:00+25:00",
    "2027-06-05T19:30:00 Europe/Berlin",
    "9999-12-31T23:59:59-14:00",  # the year 10000 in UTC
    "0001-01-01T00:00:00+14:00",
    "0000-01-01T00:00:00Z",
]


EVENT_MEMBERS: dict[str, list[Any]] = {
    "title": [*BLANK, *INVISIBLE, *NOT_TEXT, *NOT_FOR_POSTGRESQL, "x" * 201, "🎷" * 201],
    "description": [5, True, [], *NOT_FOR_POSTGRESQL, "x" * 10_001],
    "location": [5, True, [], *NOT_FOR_POSTGRESQL, "x" * 501],
    "startDateTime": [
        *NOT_TIMES,
        timedelta(days=-1),
        "1970-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        timedelta(days=3700),
    ],
    "endDateTime": [
        *NOT_TIMES,
        timedelta(days=-1),
        timedelta(days=29),
        timedelta(days=45),
        "9999-12-31T23:59:59Z",
    ],
    "capacity": [0, -1, 1_000_001, 2**31, 2**63, 10**400, True, "5", 1.5, 1e300, None, [], {}],
    "price": [1, 49, -1, 2**31, 100_000_000, True, "0", 0.5, None, []],
    "currency": ["EUR", "xxx", "euro", "", "€", 5, []],
    "timezone": [
        None,
        5,
        "",
        "Mars/Olympus",
        "localtime",
        "Factory",
        "../../etc/passwd",
        "UTC\0",
        "x" * 65,
        "UTC\ud800",
    ],
    "saleStartsAt": [time for time in NOT_TIMES if time is not None]
    + [timedelta(days=31), timedelta(days=400)],
    "saleEndsAt": [time for time in NOT_TIMES if time is not None]
    + [timedelta(days=31), "9999-12-31T23:59:59Z"],
    "maxPerAttendee": [0, -1, 101, 1.5, "2", True, None, []],
    "status": ["cancelled", "PUBLISHED", "deleted", "", 5, []],
    "eventId": ["019b2f3e-7c1a-7b55-9d41-2f6d0c8a1e90"],
    "numberOfAttendees": [0],
    "start_date_time": [timedelta(days=5)],
    "Title": ["Jazz"],
    "": [1],
    "__class__": [{}],
    "\ud800": [1],
}

ACCOUNT_MEMBERS: dict[str, list[Any]] = {
    "name": [*BLANK, *INVISIBLE, *NOT_TEXT, *NOT_FOR_POSTGRESQL, "x" * 201],
    "email": [
        *BLANK,
        *NOT_TEXT,
        "ada",
        "ada@",
        "@example.com",
        "ada@localhost",
        "ada lovelace@example.com",
        "ada@example.com, grace@example.com",
        "<ada@example.com>",
        "ada@-example.com",
        "ada@example..com",
        "ada@example.com.",
        "ädä@example.com",
        "ada@exämple.com",
        "ada@example.com\0",
        "ada\r\nBcc: all@example.com",
        f"{'x' * 65}@example.com",
        "..@example.com",
        ".ada@example.com",
        "ada.@example.com",
        "ada..lovelace@example.com",
        "=?utf-8?q?ada?=@example.com",
        f"ada@{'x' * 64}.com",
        f"ada@{'long.' * 50}example.com",
    ],
    "password": [None, 12345678, "", "1234567", "x" * 129, "with a NUL\0", "with a \ud800"],
    "role": [None, 5, "", "admin", "Host", ["host"]],
    "userId": ["019b2f3e-7c1a-7b55-9d41-2f6d0c8a1e90"],
    "isAdmin": [True],
}

NOT_IDS = [
    None,
    5,
    "",
    "5",
    "me",
    "019b2f3e-7c1a-7b55-9d41-2f6d0c8a1e9",
    "019b2f3e-7c1a-7b55-9d41-2f6d0c8a1e900",
    "019b2f3e-7c1a-7b55-9d41-2f6d0c8a1e9g",
    "{019b2f3e-7c1a-7b55-9d41-2f6d0c8a1e90}",
    "urn:uuid:019b2f3e-7c1a-7b55-9d41-2f6d0c8a1e90",
    "' OR 1=1 --",
]


def cases(members: dict[str, list[Any]]) -> pytest.MarkDecorator:
    """Parametrize a test by member and value. The ids are numbered, because values can be long."""
    return pytest.mark.parametrize(
        ("member", "value"),
        [
            pytest.param(member, value, id=f"{member!a} {number}")
            for member, values in members.items()
            for number, value in enumerate(values, start=1)
        ],
    )


def check_refused(reply: Reply, member: str) -> None:
    assert (reply.status, reply.problem) == (400, "invalid-input"), reply.text
    assert member in reply.faulty_fields
    assert all(error["message"] for error in reply.json["errors"])


@cases(EVENT_MEMBERS)
def test_a_bad_member_of_an_event_is_named(world: World, member: str, value: Any) -> None:
    before = contents(world.client)
    path = f"/events/{world.event['eventId']}"

    for method, target, body in (
        ("POST", "/events", event_body() | {member: value}),
        ("PUT", path, event_body() | {member: value}),
        ("PATCH", path, {member: value}),
    ):
        check_refused(world.client(method, target, body, by=world.host), member)

    assert contents(world.client) == before


@cases(ACCOUNT_MEMBERS)
def test_a_bad_member_of_an_account_is_named(world: World, member: str, value: Any) -> None:
    before = contents(world.client)
    good = {"name": "Eve", "email": "eve@example.com", "password": "correct horse", "role": "host"}
    replacement = {"name": "Eve", "email": "eve@example.com"}

    check_refused(world.client("POST", "/auth/register", good | {member: value}), member)
    for method, body in (("PUT", replacement | {member: value}), ("PATCH", {member: value})):
        check_refused(world.client(method, "/users/me", body, by=world.host), member)

    assert contents(world.client) == before


@pytest.mark.parametrize("value", NOT_IDS, ids=short)
def test_a_bad_id_in_a_body_is_named(world: World, value: Any) -> None:
    before = contents(world.client)

    check_refused(world.client("POST", "/bookings", {"eventId": value}, by=world.attendee), "eventId")

    assert contents(world.client) == before


@pytest.mark.parametrize(
    ("path", "body", "required"),
    [
        ("/auth/register", {}, {"name", "email", "password", "role"}),
        ("/auth/login", {}, {"email", "password"}),
        ("/events", {}, {"title", "startDateTime", "endDateTime", "capacity"}),
        ("/bookings", {}, {"eventId"}),
    ],
)
def test_all_missing_members_are_named(
    world: World, path: str, body: dict[str, Any], required: set[str]
) -> None:
    reply = world.client("POST", path, body, by=world.attendee if path == "/bookings" else world.host)

    assert (reply.status, reply.faulty_fields) == (400, required)


@pytest.mark.parametrize(
    ("member", "value"),
    [("password", "x" * 129), ("password", None), ("email", " "), ("email", "x" * 255)],
    ids=short,
)
def test_a_bad_member_of_a_login_is_named(world: World, member: str, value: Any) -> None:
    body = {"email": "eve@example.com", "password": "correct horse", member: value}

    check_refused(world.client("POST", "/auth/login", body), member)


def test_a_price_too_low_to_charge_names_the_minimum(world: World) -> None:
    reply = world.client("POST", "/events", event_body(price=1), by=world.host)

    message = "must be 0 or at least 50 minor units of eur, the minimum charge"
    assert reply.json["errors"] == [{"field": "price", "message": message}]


def test_the_list_of_errors_is_bounded(world: World) -> None:
    body = {f"{number:x}": 0 for number in range(20_000)}

    reply = world.client("POST", "/events", body, by=world.host)

    assert reply.status == 400
    assert "title" in reply.faulty_fields
    assert len(reply.text) < 100_000


ODD_BUT_GOOD = [
    "🎷 Jazz 👩‍👩‍👧‍👦",
    "حفلة موسيقية في الفناء",
    "\u202eright to left\u202c",
    "Zürich, Ærø, 東京, ไทย",
    "a\u0301 combining",
    "'; DROP TABLE events; --",
    "<script>alert(1)</script>",
    "%s %(x)s {0} \\u0000 \\ $1 :name",
    "line\none",
    "🎷" * 200,
    "a\u200bb",  # zero width, but not white space in Unicode
]


@pytest.mark.parametrize("text", ODD_BUT_GOOD, ids=short)
def test_any_other_text_is_returned_unchanged(client: Client, text: str) -> None:
    host = client.host(text)
    event = client.event(host, title=text, description=text * 9, location=text)
    booking = client.book(client.attendee(text), event["eventId"]).json

    read = client("GET", f"/events/{event['eventId']}").json
    assert (read["title"], read["description"], read["location"]) == (text, text * 9, text)
    assert [listed["title"] for listed in client("GET", "/events?sort=title").json] == [text]
    seen = client("GET", f"/bookings/{booking['bookingId']}", by=host).json
    assert (seen["event"]["title"], seen["attendee"]["name"]) == (text, text)
    assert client("PATCH", "/users/me", {"name": text}, by=host).json["name"] == text


@pytest.mark.parametrize(
    "members",
    [
        {"capacity": 1_000_000},
        {"capacity": 1},
        {"description": "x" * 10_000, "location": "y" * 500, "title": "z" * 200},
        {"description": "", "location": ""},
        {"startDateTime": timedelta(days=3652), "endDateTime": timedelta(days=3653)},
        {"timezone": "America/Argentina/ComodRivadavia"},
    ],
)
def test_values_at_the_limits_are_accepted(client: Client, members: dict[str, Any]) -> None:
    assert client("POST", "/events", event_body(**members), by=client.host()).status == 201


@pytest.mark.parametrize(
    ("lasts", "faulty"),
    [
        (timedelta(0), True),
        (timedelta(minutes=5, seconds=-1), True),
        (timedelta(minutes=5), False),
        (timedelta(days=14), False),
        (timedelta(days=14, seconds=1), True),
    ],
)
def test_an_event_lasts_5_minutes_to_14_days(client: Client, lasts: timedelta, *, faulty: bool) -> None:
    start = datetime.fromisoformat(in_days(30))
    body = event_body(startDateTime=start.isoformat(), endDateTime=(start + lasts).isoformat())

    reply = client("POST", "/events", body, by=client.host())

    assert reply.status == (400 if faulty else 201)
    assert reply.faulty_fields == ({"endDateTime"} if faulty else set())


def test_a_time_is_the_same_instant_in_any_offset(client: Client) -> None:
    start = datetime.fromisoformat(in_days(30))
    host = client.host()

    for hours in (-12, 0, 14):
        local = start.astimezone(timezone(timedelta(hours=hours))).isoformat()
        event = client.event(host, startDateTime=local, endDateTime=in_days(31))
        assert event["startDateTime"] == start.strftime("%Y-%m-%dT%H:%M:%SZ")
