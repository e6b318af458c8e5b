"""The local HTTP server and API Gateway, with a small app of their own."""

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import pytest
from chalice.app import Chalice, Request, Response

from chalicelib.platform.errors import NotFound
from chalicelib.platform.http import problems
from chalicelib.platform.http.serving import render_chalice_responses
from infra.local.api_gateway import api_gateway
from infra.local.server import MAX_BODY_BYTES, MAX_CONCURRENCY, Server, serving

TIMEOUT = 30  # seconds


def render_refusals(request: Request, get_response: Callable[[Request], Response]) -> Response:
    response = get_response(request)
    return response if response.status_code < 400 else render_chalice_responses(request, lambda _: response)


class SmallApp:
    """An app with a route of each kind. `/held` does not respond until `release` is set."""

    def __init__(self) -> None:
        self.app = Chalice("small")
        self.app.register_middleware(render_refusals, "http")
        self.release = threading.Event()
        self.held = threading.Semaphore(0)

        @self.app.route("/length", methods=["POST"], content_types=[])
        def length() -> dict[str, int]:
            return {"length": len(self._request().raw_body)}

        @self.app.route("/event/{name}", methods=["GET", "POST"], content_types=[])
        def event(name: str) -> Any:
            return {**self._request().to_original_event(), "argument": name}

        @self.app.route("/things/{name}", methods=["GET", "HEAD", "DELETE"], cors=True)
        def thing(name: str) -> Response:
            if self._request().method == "HEAD":
                return Response("", headers={"X-Seen": "yes"})
            if self._request().method == "DELETE":
                return Response("", status_code=204)
            return Response({"name": name}, headers={"X-Seen": "yes"})

        @self.app.route("/held", methods=["GET"])
        def held() -> dict[str, str]:
            self.held.release()
            self.release.wait(TIMEOUT)
            return {"request": self._request().context["requestId"]}

        @self.app.route("/unsendable", methods=["GET"])
        def unsendable() -> Response:
            return Response("", headers={"X-Price": "5 €"})

        @self.app.route("/webhooks/stripe", methods=["POST"])
        def stripe() -> str:
            return "by the API's function"

        @self.app.lambda_function()
        def confirm_payments(_event: Any, _context: Any) -> dict[str, Any]:
            return {"statusCode": 200, "headers": {}, "multiValueHeaders": {}, "body": "by its own function"}

    def _request(self) -> Request:
        assert self.app.current_request is not None
        return self.app.current_request


@pytest.fixture
def small() -> SmallApp:
    return SmallApp()


@pytest.fixture
def url(small: SmallApp) -> Iterator[str]:
    with serving(api_gateway(small.app)) as url:
        yield url
        small.release.set()


def send(url: str, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT)
    connection.request(method, path, body or None, {name.replace("_", "-"): v for name, v in headers.items()})
    response = connection.getresponse()
    try:
        return response, response.read()
    finally:
        connection.close()


def connect(url: str) -> socket.socket:
    address = urlsplit(url)
    return socket.create_connection((address.hostname, address.port), TIMEOUT)


def send_raw(url: str, request: bytes) -> tuple[int, bytes]:
    """Send bytes as they are, and return the status and the body of the response."""
    with connect(url) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        response = HTTPResponse(connection)
        response.begin()
        return response.status, response.read()


def assert_problem(response: HTTPResponse, body: bytes, status: int, slug: str) -> None:
    assert response.status == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.headers["X-Request-Id"]
    problem = json.loads(body)
    assert problem["type"] == problems.TYPE_PREFIX + slug
    assert (problem["code"], problem["status"]) == (slug, status)


def test_a_response_has_the_headers_of_the_app(url: str) -> None:
    response, body = send(url, "GET", "/things/a%2Fb")
    assert (response.status, json.loads(body)) == (200, {"name": "a%2Fb"})
    assert response.headers["X-Seen"] == "yes"
    assert response.headers["Content-Type"] == "application/json"


def test_head_names_no_length_that_it_does_not_know(url: str) -> None:
    response, body = send(url, "HEAD", "/things/a")
    assert (response.status, body, response.headers["X-Seen"]) == (200, b"", "yes")
    assert "Content-Length" not in response.headers


def test_the_app_receives_a_proxy_event(url: str) -> None:
    with connect(url) as connection:
        connection.sendall(
            b"GET /event/a%20b/?x=1&x=%C3%BC&y= HTTP/1.1\r\nX-Two: 1\r\nX-Two: 2\r\nConnection: close\r\n\r\n"
        )
        response = HTTPResponse(connection)
        response.begin()
        event = json.loads(response.read())
    assert event["argument"] == "a%20b"
    assert event["resource"] == event["requestContext"]["resourcePath"] == "/event/{name}"
    assert event["path"] == event["requestContext"]["path"] == "/event/a%20b/"
    assert event["httpMethod"] == event["requestContext"]["httpMethod"] == "GET"
    assert event["pathParameters"] == {"name": "a%20b"}
    assert event["queryStringParameters"] == {"x": "ü", "y": ""}
    assert event["multiValueQueryStringParameters"] == {"x": ["1", "ü"], "y": [""]}
    assert event["headers"] == {"X-Two": "2", "Connection": "close"}
    assert event["multiValueHeaders"] == {"X-Two": ["1", "2"], "Connection": ["close"]}
    assert event["requestContext"]["identity"]["sourceIp"] == "127.0.0.1"
    assert event["requestContext"]["requestId"]
    assert (event["body"], event["isBase64Encoded"]) == (None, False)


@pytest.mark.parametrize("body", ["Grüße".encode(), b"\xff\x00"])
def test_a_body_is_base64(url: str, body: bytes) -> None:
    event = json.loads(send(url, "POST", "/event/1", body)[1])
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == body
    assert event["multiValueQueryStringParameters"] is None


def test_stripes_webhooks_have_their_own_function(url: str) -> None:
    assert send(url, "POST", "/webhooks/stripe", b"{}")[1] == b"by its own function"


def test_a_connection_serves_several_requests(url: str) -> None:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT)
    statuses, sockets = [], set()
    for method, path in [("GET", "/things/1"), ("DELETE", "/things/1"), ("GET", "/nowhere")] * 2:
        connection.request(method, path)
        sockets.add(connection.sock)
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
    connection.close()
    assert statuses == [200, 204, 404] * 2
    assert len(sockets) == 1


def test_an_empty_response_has_neither_length_nor_type(url: str) -> None:
    response, body = send(url, "DELETE", "/things/1")
    assert (response.status, body) == (204, b"")
    assert response.headers["Content-Length"] is None
    assert response.headers["Content-Type"] is None


def test_an_unknown_path_is_not_found(url: str) -> None:
    response, body = send(url, "GET", "/nowhere", Authorization="Bearer \xe9")
    assert_problem(response, body, 404, "not-found")
    assert json.loads(body)["title"] == NotFound.title()


def test_head_is_refused_where_there_is_none(url: str) -> None:
    response, body = send(url, "HEAD", "/held")
    assert (response.status, body) == (405, b"")
    assert response.headers["Content-Type"] == "application/problem+json"
    assert set(response.headers["Allow"].split(", ")) == {"GET"}


@pytest.mark.parametrize("method", ["BREW", "TRACE", "CONNECT", "get"])
def test_an_unknown_method_is_not_allowed(url: str, method: str) -> None:
    response, body = send(url, method, "/things/1")
    assert_problem(response, body, 405, "method-not-allowed")


def test_a_preflight_request_is_answered_by_the_gateway(url: str) -> None:
    response, _ = send(url, "OPTIONS", "/things/1")
    assert response.status == 200
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    allowed = set(response.headers["Access-Control-Allow-Methods"].split(","))
    assert allowed == {"GET", "HEAD", "DELETE", "OPTIONS"}
    assert response.headers["X-Request-Id"]


def test_a_body_may_be_chunked(url: str) -> None:
    request = (
        b"POST /length HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"
    )
    assert send_raw(url, request) == (200, b'{"length":13}')


def test_a_body_over_the_limit_is_refused(url: str) -> None:
    _, body = send(url, "POST", "/length", b"x" * MAX_BODY_BYTES)
    assert json.loads(body) == {"length": MAX_BODY_BYTES}
    response, body = send(url, "POST", "/length", b"x" * (MAX_BODY_BYTES + 1_000_000))
    assert_problem(response, body, 413, "content-too-large")


def test_a_chunked_body_has_the_same_limit(url: str) -> None:
    request = (
        b"POST /length HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        + (b"100000\r\n" + b"x" * 0x100000 + b"\r\n") * 11
        + b"0\r\n\r\n"
    )
    status, body = send_raw(url, request)
    assert (status, json.loads(body)["code"]) == (413, "content-too-large")


def test_a_client_may_ask_before_it_sends_its_body(url: str) -> None:
    with connect(url) as connection:
        connection.sendall(b"POST /length HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        assert connection.recv(1000).endswith(b'{"length":3}')


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: -1",
        b"Content-Length: many",
        b"Content-Length: 1e3",
        b"Content-Length: +3",
        b"Content-Length: 30",
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: chunked\r\nX: y\r\n\r\nnot hexadecimal",
        b"Transfer-Encoding: chunked\r\nX: y\r\n\r\n2\r\nabcdef",
        b"Transfer-Encoding: chunked\r\nX: y\r\n\r\n1000\r\nabcdef",
    ],
)
def test_a_body_of_unclear_length_is_refused(url: str, headers: bytes) -> None:
    request = b"POST /length HTTP/1.1\r\n" + headers + b"\r\n\r\nabc\r\n0\r\n\r\n"
    status, body = send_raw(url, request)
    assert (status, json.loads(body)["code"]) == (400, "invalid-input")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"rubbish\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", 400),
        (b"GET /things/1 HTTP/2.0\r\n\r\n", 505),
        (b"GET /things/1 HTTP/one\r\n\r\n", 400),
        (b"GET /things/1 and 2 HTTP/1.1\r\n\r\n", 400),
        (b"GET http://[/things HTTP/1.1\r\n\r\n", 400),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /things/1 HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /things/1 HTTP/1.1\r\n" + b"X: a\r\n" * 120 + b"\r\n", 431),
    ],
)
def test_an_unreadable_request_is_refused(url: str, request_bytes: bytes, status: int) -> None:
    received, body = send_raw(url, request_bytes)
    assert (received, json.loads(body)["status"]) == (status, status)


@pytest.mark.parametrize(
    "path",
    [
        b"/things/%",
        b"/things/%zz",
        b"/things/%00",
        b"/things/%ff%fe",
        b"/things/\xff\xfe",
        b"/things/x?%ff=%00&&=&a",
        b"/things/[",
        b"//things//x",
        b"*",
    ],
)
def test_odd_paths_are_no_server_error(url: str, path: bytes) -> None:
    request = b"GET " + path + b" HTTP/1.1\r\nX-Odd: \xff\xe9\r\nConnection: close\r\n\r\n"
    assert send_raw(url, request)[0] in {200, 404}


def test_an_error_of_the_app_is_problem_500_and_is_printed(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    response, body = send(url, "GET", "/unsendable")
    assert_problem(response, body, 500, "fault")
    assert "UnicodeEncodeError" in capsys.readouterr().err


def test_a_lost_connection_is_not_printed(small: SmallApp, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(api_gateway(small.app)) as url:
        for request in [
            b"",
            b"GET /thi",
            b"POST /length HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc",
            b"POST /length HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            b"GET /held HTTP/1.1\r\n\r\n",
        ]:
            connection = connect(url)
            # With this option, a close resets the connection.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.sendall(request)
            if b"/held" in request:
                assert small.held.acquire(timeout=TIMEOUT)
            connection.close()
        small.release.set()
        assert send(url, "GET", "/things/1")[0].status == 200
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "Traceback" not in captured.out


def test_requests_over_the_concurrency_limit_wait(small: SmallApp, url: str) -> None:
    clients = MAX_CONCURRENCY + 10
    with ThreadPoolExecutor(clients) as pool:
        responses = [pool.submit(send, url, "GET", "/held") for _ in range(clients)]
        for _ in range(MAX_CONCURRENCY):
            assert small.held.acquire(timeout=TIMEOUT)
        assert not small.held.acquire(timeout=0.2)
        small.release.set()
        results = [response.result() for response in responses]
    assert {response.status for response, _ in results} == {200}
    # All requests ran in one app object, and yet each saw its own request.
    assert len({body for _, body in results}) == clients


def test_a_stop_waits_for_requests_in_progress(small: SmallApp) -> None:
    server = Server(api_gateway(small.app))
    with ThreadPoolExecutor() as pool:
        response = pool.submit(send, server.url, "GET", "/held")
        assert small.held.acquire(timeout=TIMEOUT)
        stopping = pool.submit(server.stop, TIMEOUT)
        small.release.set()
        assert response.result()[0].status == 200
        assert stopping.result()


def test_a_stop_does_not_wait_for_ever(small: SmallApp) -> None:
    server = Server(api_gateway(small.app))
    with ThreadPoolExecutor() as pool:
        response = pool.submit(send, server.url, "GET", "/held")
        assert small.held.acquire(timeout=TIMEOUT)
        assert not server.stop(timeout=0.01)
        small.release.set()
        response.result()


def test_an_open_connection_is_refused_after_a_stop(small: SmallApp) -> None:
    server = Server(api_gateway(small.app))
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=TIMEOUT)
    responses = []
    for _ in range(2):
        connection.request("GET", "/things/1")
        responses.append(connection.getresponse())
        responses[-1].read()
        server.stop()
    connection.close()
    assert [response.status for response in responses] == [200, 503]
    assert responses[1].headers["Retry-After"] == "1"
