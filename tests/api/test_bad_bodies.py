"""Each operation with a body refuses malformed JSON, other content types and bodies over the limit."""

import json

import pytest

from chalicelib.platform.http.operation import Operation
from chalicelib.platform.http.validation import FORM_TYPE, MAX_BODY_BYTES
from tests.api.conftest import World
from tests.api.operations import OPERATIONS, each
from tests.client import Client, Reply, event_body
from tests.database_contents import contents

MALFORMED: dict[str, bytes] = {
    "empty": b"",
    "blank": b"  \n",
    "not JSON": b"title=Jazz",
    "cut off": b'{"title": "Jazz',
    "two documents": b"{}{}",
    "a trailing comma": b'{"title": "Jazz",}',
    "single quotes": b"{'title': 'Jazz'}",
    "a comment": b"{} // a comment",
    "a line break in a string": b'{"title": "Ja\nzz"}',
    "a bad escape": b'{"title": "\\x41"}',
    "not a number": b'{"capacity": NaN}',
    "infinity": b'{"capacity": Infinity}',
    "minus infinity": b'{"capacity": -Infinity}',
    "an octal number": b'{"capacity": 010}',
    "bad UTF-8": b'{"title": "\xff\xfe"}',
    "UTF-8 cut off": b'{"title": "\xf0\x9f\x8e"}',
    "Latin-1": '{"title": "Zürich"}'.encode("latin-1"),
    "deeply nested arrays": b"[" * 100_000 + b"]" * 100_000,
    "deeply nested objects": b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
    "deep and never closed": b"[" * 200_000,
    "an integer of 5000 digits": b'{"capacity": ' + b"9" * 5000 + b"}",
    "an array": b"[]",
    "an array of objects": b"[{}]",
    "a string": b'"Jazz"',
    "a number": b"5",
    "true": b"true",
    "null": b"null",
}

WITH_JSON_BODY = [
    operation for operation in OPERATIONS if operation.body and operation.media_type != FORM_TYPE
]
OTHER_CONTENT_TYPES = [
    None,
    "",
    "text/plain",
    "text/json",
    "json",
    "application/jsonp",
    "application/json-patch+json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/octet-stream",
    "*/*",
    "; application/json",
]


def send_to(operation: Operation, world: World, raw: bytes) -> Reply:
    return world.client(
        operation.method,
        world.path(operation),
        by=world.attendee if operation.auth == "attendee" else world.host,
        raw=raw,
        headers={"Content-Type": "application/json"},
    )


def send(world: World, raw: bytes, content_type: str | None = "application/json") -> Reply:
    headers = {} if content_type is None else {"Content-Type": content_type}
    return world.client("POST", "/events", by=world.host, raw=raw, headers=headers)


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_body_is_refused_by_every_operation(world: World, raw: bytes) -> None:
    before = contents(world.client)

    for operation in WITH_JSON_BODY:
        if not raw and not operation.body_required:
            continue
        reply = send_to(operation, world, raw)
        assert (reply.status, reply.problem) == (400, "invalid-input"), (operation.path, reply.text)
        assert reply.json["detail"]
        assert reply.faulty_fields == set()  # the whole body is at fault

    assert contents(world.client) == before


@each(WITH_JSON_BODY)
def test_a_body_over_the_limit_is_refused(world: World, operation: Operation) -> None:
    before = contents(world.client)
    of_10_mb = json.dumps(event_body(title="x" * 10_000_000)).encode()

    for raw in (of_10_mb, b" " * (MAX_BODY_BYTES + 1), b"{" * (MAX_BODY_BYTES + 1)):
        reply = send_to(operation, world, raw)
        assert (reply.status, reply.problem) == (413, "content-too-large")

    assert contents(world.client) == before


def test_a_body_of_the_maximum_size_is_read(client: Client) -> None:
    raw = json.dumps(event_body()).encode().ljust(MAX_BODY_BYTES)

    reply = client("POST", "/events", by=client.host(), raw=raw, headers={"Content-Type": "application/json"})

    assert reply.status == 201


@pytest.mark.parametrize("content_type", OTHER_CONTENT_TYPES)
def test_a_content_type_other_than_json_is_refused(world: World, content_type: str | None) -> None:
    before = contents(world.client)

    reply = send(world, json.dumps(event_body()).encode(), content_type)

    assert (reply.status, reply.problem) == (415, "unsupported-media-type")
    assert contents(world.client) == before


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        " application/json ",
        "application/merge-patch+json",
    ],
)
def test_a_json_content_type_is_accepted(client: Client, content_type: str) -> None:
    reply = client(
        "POST",
        "/events",
        by=client.host(),
        raw=json.dumps(event_body()).encode(),
        headers={"Content-Type": content_type},
    )

    assert reply.status == 201


def test_a_duplicate_member_is_named(world: World) -> None:
    good = json.dumps(event_body())[1:-1]
    before = contents(world.client)

    for raw in (f'{{{good}, "title": "Twice"}}', f'{{{good}, "capacity": 5, "title": "Twice"}}'):
        reply = send(world, raw.encode())
        assert reply.status == 400
        assert "title" in reply.faulty_fields

    assert contents(world.client) == before


def test_an_escaped_duplicate_member_is_named(world: World) -> None:
    good = json.dumps(event_body())[1:-1]

    assert send(world, f'{{{good}, "\\u0074itle": "Twice"}}'.encode()).faulty_fields == {"title"}


def test_a_duplicate_among_20_000_members_is_named(world: World) -> None:
    """A search in quadratic time would take minutes here."""
    members = ",".join(f'"{number:x}":0' for number in range(20_000))

    reply = send(world, f'{{{members},"0":0}}'.encode())

    assert (reply.status, reply.faulty_fields) == (400, {"0"})


def test_an_undeclared_body_changes_nothing(client: Client) -> None:
    host = client.host()
    path = f"/events/{client.event(host)['eventId']}"

    assert client("POST", f"{path}/cancel", raw=b"[" * 1000, by=host).status == 415
    assert client("GET", path, raw=b"\xff", by=host).status == 400
    assert client("DELETE", path, {"title": "x"}, by=host).status == 400
    assert client("GET", path).json["status"] == "published"
