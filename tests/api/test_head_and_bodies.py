"""HEAD where GET is, no body where none is declared, and the security headers of every response."""

import pytest

from chalicelib.platform.http.operation import Operation
from tests.api.conftest import World
from tests.api.operations import OPERATIONS, each

GETS = [operation for operation in OPERATIONS if operation.method == "GET"]
WITHOUT_BODY = [operation for operation in OPERATIONS if not operation.body and not operation.raw_body]


@each(GETS)
def test_head_is_as_get_without_a_body(world: World, operation: Operation) -> None:
    path = world.path(operation)
    by = None if operation.auth == "none" else world.host

    got, head = world.client("GET", path, by=by), world.client("HEAD", path, by=by)

    assert (head.status, head.text) == (got.status, "")
    same = set(got.headers) - {"x-request-id"}
    assert {name: head.headers[name] for name in same} == {name: got.headers[name] for name in same}


def test_head_of_an_unknown_resource_is_404(world: World) -> None:
    head = world.client("HEAD", "/events/0198b2f3-7c1a-7b55-9d41-2f6d0c8a1e90")

    assert (head.status, head.text) == (404, "")
    assert head.headers["content-type"] == "application/problem+json"


def test_head_needs_a_get(world: World) -> None:
    head = world.client("HEAD", "/auth/login")

    assert (head.status, head.text, head.headers["allow"]) == (405, "", "POST")


def test_head_needs_the_token_that_get_needs(world: World) -> None:
    assert world.client("HEAD", "/bookings").status == 401


@each(WITHOUT_BODY)
@pytest.mark.parametrize("raw", [b'{"reason": "rain"}', b"[]", b"reason=rain", b"\xff", b"0"])
def test_a_body_that_is_not_declared_is_refused(world: World, operation: Operation, raw: bytes) -> None:
    role = world.host if operation.auth in {"host", "scope:check-in"} else world.attendee
    by = None if operation.auth == "none" else role

    reply = world.client(operation.method, world.path(operation), by=by, raw=raw)

    assert reply.status == 400
    if operation.is_page:
        assert "This operation takes no body." in reply.text
    else:
        assert reply.problem == "invalid-input"


@pytest.mark.parametrize("raw", [None, b"", b" \n", b"{ }"])
def test_an_empty_body_is_accepted(world: World, raw: bytes | None) -> None:
    path = f"/notifications/{world.notification_id}/read"

    assert world.client("POST", path, by=world.attendee, raw=raw).status == 204


@pytest.mark.parametrize(
    "path", ["/events", "/docs", "/docs/viewer.js", "/events/17", "/verify-email?token=x"]
)
@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_every_response_has_the_security_headers(world: World, path: str, method: str) -> None:
    headers = world.client(method, path).headers

    assert headers["strict-transport-security"] == "max-age=31536000"
    assert headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
