"""Bad parameters of queries and paths are refused by name."""

import re
from urllib.parse import quote

import pytest

from chalicelib.platform.http.operation import Operation
from chalicelib.platform.http.pagination import PageQuery
from tests.api.conftest import World
from tests.api.operations import OPERATIONS, each, name
from tests.api.test_bad_input import NOT_IDS
from tests.client import Account, Client, Reply
from tests.database_contents import contents

LISTS = [operation for operation in OPERATIONS if operation.query and issubclass(operation.query, PageQuery)]

IN_EVERY_LIST = {
    "limit": ["0", "101", "-1", "abc", "", "1.5", "1_0", "+5", "٣", "9" * 5000, "null", "0x10"],
    "offset": ["-1", "10001", "abc", "", "1.5", "null", str(2**63)],
    "sort": ["nothing", "", "Title", "title desc", "title,date", "eventId", "null"],
    "order": ["up", "", "ASC", "ascending", "null"],
    "cursor": ["", "x" * 5000],
    "page": ["2"],
    "Limit": ["5"],
    "limit[]": ["5"],
    "\0": ["1"],
}

PARTICULAR = {
    "GET /users": {
        "role": ["admin", "", "Host", "null"],
        "q": ["", " ", "x" * 201, "a\0b"],
        "email": ["ada@example.com"],
    },
    "GET /events": {
        "hostId": [str(value) for value in NOT_IDS if value is not None],
        "from": ["", "yesterday", "2027-06-05T19:30:00", "9999-12-31T23:59:59-14:00", "5"],
        "to": ["", "2027-06-05", "0001-01-01T00:00:00+14:00"],
        "q": ["", " ", "x" * 201, "a\0b"],
        "status": ["sold", "", "Published", "draft", "null"],
        "onSale": ["maybe", "", "null", "2", "[]"],
        "mine": ["maybe", "", "null"],
    },
    "GET /events/{eventId}/codes": {"code": ["EARLYBIRD"]},
    "GET /events/{eventId}/door-keys": {"name": ["North gate"]},
    "GET /events/{eventId}/attendees": {
        "status": ["sold", "", "Valid", "null"],
        "ticketTypeId": [str(value) for value in NOT_IDS if value is not None],
        "checkedIn": ["maybe", "", "null"],
        "paidBy": ["cheque", "", "Cash", "null"],
        "q": ["", " ", "x" * 255, "a\0b"],
        "bom": ["true"],
    },
    "GET /notifications": {"unread": ["maybe", "", "null"]},
    "GET /users/{userId}/following": {},
    "GET /users/{userId}/followers": {},
    "GET /users/{userId}/interests": {},
    "GET /bookings": {
        "eventId": [str(value) for value in NOT_IDS if value is not None],
        "status": ["free", "", "Confirmed", "null"],
        "userId": ["019b2f3e-7c1a-7b55-9d41-2f6d0c8a1e90"],
        "from": ["", "yesterday", "2027-06-05T19:30:00", "9999-12-31T23:59:59-14:00", "5"],
        "q": ["", " ", "x" * 255, "a\0b"],
    },
    "GET /bookings/{bookingId}/tickets": {},
    "GET /tickets": {"from": ["", "yesterday", "2027-06-05T19:30:00", "5"]},
}


def get(world: World, path: str, by: Account | None = None) -> Reply:
    """Send a request, by default as the host, and check that it changes nothing."""
    before = contents(world.client)
    reply = world.client("GET", path, by=by or world.host)
    assert contents(world.client) == before
    return reply


@each(LISTS)
def test_a_bad_parameter_of_a_list_is_named(world: World, operation: Operation) -> None:
    for parameter, values in {**IN_EVERY_LIST, **PARTICULAR[name(operation)]}.items():
        for value in values:
            path = f"{world.path(operation)}?{quote(parameter)}={quote(value)}"
            reply = world.client("GET", path, by=world.host)

            assert (reply.status, reply.problem) == (400, "invalid-input"), (parameter, value)
            assert reply.faulty_fields == {parameter}


@each(LISTS)
def test_a_duplicate_parameter_is_named(world: World, operation: Operation) -> None:
    for parameter in ("limit", "sort", "unknown"):
        reply = get(world, f"{world.path(operation)}?{parameter}=5&{parameter}=5")

        assert (reply.status, reply.faulty_fields) == (400, {parameter})


@each(LISTS)
def test_all_bad_parameters_are_named(world: World, operation: Operation) -> None:
    reply = get(world, f"{world.path(operation)}?limit=0&offset=-1&order=up&colour=red")

    assert reply.faulty_fields == {"limit", "offset", "order", "colour"}


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/events?sort=x", ["date", "title", "createdAt", "popularity"]),
        ("/users?sort=x", ["name", "createdAt"]),
        ("/bookings?sort=x", ["createdAt", "date"]),
        ("/users?role=x", ["host", "attendee"]),
        ("/events?status=x", ["draft", "published", "cancelled"]),
        ("/bookings?status=x", ["pending", "confirmed", "cancelled", "expired"]),
        ("/events?onSale=x", ["true", "false"]),
        ("/events?order=x", ["asc", "desc"]),
        ("/events?limit=x", ["1", "100"]),
        ("/events?colour=x", ["hostId", "from", "to", "q", "status", "onSale", "mine", "sort", "cursor"]),
    ],
)
def test_the_error_lists_the_allowed_values(world: World, path: str, allowed: list[str]) -> None:
    [error] = get(world, path).json["errors"]

    assert set(allowed) <= set(re.findall(r"\w+", error["message"]))


@each(LISTS)
def test_an_offset_over_the_maximum_points_to_the_cursor(world: World, operation: Operation) -> None:
    [error] = get(world, f"{world.path(operation)}?offset=10001").json["errors"]

    assert error["field"] == "offset"
    assert "`cursor`" in error["message"]
    assert get(world, f"{world.path(operation)}?offset=10000").status == 200


@each([operation for operation in OPERATIONS if "{" in operation.path])
def test_a_malformed_id_in_a_path_is_named(world: World, operation: Operation) -> None:
    *_, parameter = re.findall(r"\{(\w+)\}", operation.path)
    ids = [quote(str(value), safe="") for value in NOT_IDS if value] + ["%00", "x" * 8000, "%ff", "..%2f"]
    before = contents(world.client)

    for bad in ids:
        if (parameter, bad) == ("userId", "me"):
            continue
        reply = world.client(
            operation.method,
            world.path(operation, **{parameter: bad}),
            by=world.attendee if operation.auth == "attendee" else world.host,
        )
        if operation.is_page:
            assert (reply.status, f"{parameter}: must be a UUID" in reply.text) == (400, True), bad
        else:
            assert (reply.status, reply.faulty_fields) == (400, {parameter}), bad

    assert contents(world.client) == before


def test_an_id_can_have_capital_letters(world: World) -> None:
    [kind] = world.event["ticketTypes"]
    assert get(world, f"/events/{world.event['eventId'].upper()}").json == world.event | {
        "numberOfAttendees": 1,
        "ticketTypes": [kind | {"taken": 1}],
    }


@pytest.mark.parametrize(
    "words", ["'", "\\", "a'b\\c", "& | ! ( ) : * <->", ":*", "%", "\u2028a", "\U0001f3b7"]
)
def test_any_words_can_be_searched(client: Client, words: str) -> None:
    host = client.host()

    for path in ("/events", "/users"):
        assert client("GET", f"{path}?q={quote(words)}", by=host).status == 200
