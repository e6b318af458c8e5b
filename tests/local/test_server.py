"""The promises of the local HTTP server, tried on a small app of its own."""

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

import pytest
from chalice.app import Chalice, Request, Response

from infra.local.bodies import LIMIT
from infra.local.gateway import AT_ONCE
from infra.local.server import make_server, serving

PATIENCE = 30  # seconds that a test waits for what must come


class Small:
    """An app with a route of each kind, and one that holds its requests until told."""

    def __init__(self) -> None:
        self.app = Chalice("small")
        self.let_go = threading.Event()
        self.held = threading.Semaphore(0)

        @self.app.route("/length", methods=["POST"], content_types=[])
        def length() -> dict[str, int]:
            return {"length": len(self._request().raw_body)}

        @self.app.route("/things/{name}", methods=["GET", "DELETE"], cors=True)
        def thing(name: str) -> Response:
            if self._request().method == "DELETE":
                return Response("", status_code=204)
            return Response({"name": name}, headers={"X-Seen": "yes"})

        @self.app.route("/held", methods=["GET"])
        def held() -> dict[str, str]:
            self.held.release()
            self.let_go.wait(PATIENCE)
            return {"request": self.app.lambda_context.aws_request_id}

        @self.app.route("/unsendable", methods=["GET"])
        def unsendable() -> Response:
            return Response("", headers={"X-Price": "5 €"})

    def _request(self) -> Request:
        assert self.app.current_request is not None
        return self.app.current_request


@pytest.fixture
def small() -> Small:
    return Small()


@pytest.fixture
def url(small: Small) -> Iterator[str]:
    with serving(small.app) as url:
        yield url
        small.let_go.set()


def send(url: str, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    connection.request(method, path, body or None, {name.replace("_", "-"): v for name, v in headers.items()})
    response = connection.getresponse()
    try:
        return response, response.read()
    finally:
        connection.close()


def send_raw(url: str, request: bytes) -> tuple[int, bytes]:
    """Send bytes as they are; return the status and the body of what comes until the end."""
    where = urlsplit(url)
    with socket.create_connection((where.hostname, where.port), PATIENCE) as connection:
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
    assert (problem["type"], problem["status"]) == (f"/docs#{slug}", status)


def test_an_app_is_served_with_its_headers(url: str) -> None:
    response, body = send(url, "GET", "/things/a%2Fb")
    assert (response.status, json.loads(body)) == (200, {"name": "a%2Fb"})
    assert response.headers["X-Seen"] == "yes"
    assert response.headers["Content-Type"] == "application/json"


def test_a_connection_serves_one_request_after_another(url: str) -> None:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    statuses = []
    for method, path in [("GET", "/things/1"), ("DELETE", "/things/1"), ("GET", "/nowhere")] * 2:
        connection.request(method, path)
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
    connection.close()
    assert statuses == [200, 204, 404] * 2


def test_an_answer_without_content_has_neither_length_nor_type(url: str) -> None:
    response, body = send(url, "DELETE", "/things/1")
    assert (response.status, body) == (204, b"")
    assert response.headers["Content-Length"] is None
    assert response.headers["Content-Type"] is None


def test_an_unknown_path_is_a_problem(url: str) -> None:
    response, body = send(url, "GET", "/nowhere", Authorization="Bearer \xe9")
    assert_problem(response, body, 404, "not-found")
    assert json.loads(body)["title"] == "Not found"


def test_head_is_answered_by_a_problem_without_its_text(url: str) -> None:
    response, body = send(url, "HEAD", "/things/1")
    assert (response.status, body) == (405, b"")
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Allow"] == "DELETE, GET"


@pytest.mark.parametrize("method", ["BREW", "TRACE", "CONNECT", "get"])
def test_an_unknown_method_is_a_problem(url: str, method: str) -> None:
    response, body = send(url, method, "/things/1")
    assert_problem(response, body, 405, "method-not-allowed")


def test_a_preflight_request_is_answered_as_by_the_gateway(url: str) -> None:
    response, _ = send(url, "OPTIONS", "/things/1")
    assert response.status == 200
    assert set(response.headers["Access-Control-Allow-Methods"].split(",")) == {
        "GET",
        "DELETE",
        "OPTIONS",
    }
    assert response.headers["X-Request-Id"]


def test_a_body_may_come_in_chunks(url: str) -> None:
    request = (
        b"POST /length HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        b"3;name=value\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"
    )
    assert send_raw(url, request) == (200, b'{"length":13}')


def test_a_body_of_the_limit_is_taken_and_a_longer_one_is_a_problem(url: str) -> None:
    _, body = send(url, "POST", "/length", b"x" * LIMIT)
    assert json.loads(body) == {"length": LIMIT}
    response, body = send(url, "POST", "/length", b"x" * (LIMIT + 1_000_000))
    assert_problem(response, body, 413, "content-too-large")


def test_a_body_in_chunks_has_the_same_limit(url: str) -> None:
    request = (
        b"POST /length HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        + (b"100000\r\n" + b"x" * 0x100000 + b"\r\n") * 11
        + b"0\r\n\r\n"
    )
    status, body = send_raw(url, request)
    assert (status, json.loads(body)["type"]) == (413, "/docs#content-too-large")


def test_a_body_that_is_too_long_is_refused_before_it_is_sent(url: str) -> None:
    request = b"POST /length HTTP/1.1\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n\r\n"
    assert send_raw(url, request)[0] == 413


def test_a_client_that_asks_whether_to_send_its_body_is_told_to(url: str) -> None:
    where = urlsplit(url)
    with socket.create_connection((where.hostname, where.port), PATIENCE) as connection:
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
        b"Content-Length: ",
        b"Content-Length: " + b"9" * 5000,
        b"Content-Length: 3\r\nContent-Length: 4",
        b"Content-Length: 3\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: chunked\r\nX: y\r\n\r\nnot hexadecimal",
        b"Transfer-Encoding: chunked\r\nX: y\r\n\r\n2\r\nabcdef",
        b"no colon here",
        b" starts with a space: x",
    ],
)
def test_a_request_whose_length_is_in_doubt_is_a_problem(url: str, headers: bytes) -> None:
    request = b"POST /length HTTP/1.1\r\n" + headers + b"\r\n\r\nabc\r\n0\r\n\r\n"
    status, body = send_raw(url, request)
    assert (status, json.loads(body)["type"]) == (400, "/docs#invalid-input")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"rubbish\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", 400),
        (b"GET /things/1\r\n", 400),
        (b"GET /things/1 HTTP/2.0\r\n\r\n", 400),
        (b"GET /things/1 HTTP/one\r\n\r\n", 400),
        (b"GET /things/1 and 2 HTTP/1.1\r\n\r\n", 400),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /things/1 HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /things/1 HTTP/1.1\r\n" + b"X: a\r\n" * 120 + b"\r\n", 431),
    ],
)
def test_an_unreadable_request_is_a_problem(url: str, request_bytes: bytes, status: int) -> None:
    answered, body = send_raw(url, request_bytes)
    assert (answered, json.loads(body)["status"]) == (status, status)


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
        b"http://[/things",
        b"//things//x",
        b"*",
    ],
)
def test_no_path_makes_a_fault(url: str, path: bytes) -> None:
    request = b"GET " + path + b" HTTP/1.1\r\nX-Odd: \xff\xe9\r\nConnection: close\r\n\r\n"
    assert send_raw(url, request)[0] in {200, 404}


def test_a_fault_of_the_app_is_a_problem_and_is_shown(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    response, body = send(url, "GET", "/unsendable")
    assert_problem(response, body, 500, "fault")
    assert "UnicodeEncodeError" in capsys.readouterr().err


def test_a_client_that_goes_away_leaves_no_trace(small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(small.app) as url:
        where = urlsplit(url)
        for request in [
            b"",
            b"GET /thi",
            b"POST /length HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc",
            b"POST /length HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            b"GET /held HTTP/1.1\r\n\r\n",
        ]:
            connection = socket.create_connection((where.hostname, where.port), PATIENCE)
            # Closing then resets the connection, the rudest way to go.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.sendall(request)
            if b"/held" in request:
                assert small.held.acquire(timeout=PATIENCE)
            connection.close()
        small.let_go.set()
        assert send(url, "GET", "/things/1")[0].status == 200
    assert capsys.readouterr() == ("", "")


def test_more_clients_than_may_run_at_once_wait_in_line(small: Small, url: str) -> None:
    clients = AT_ONCE + 10
    with ThreadPoolExecutor(clients) as pool:
        responses = [pool.submit(send, url, "GET", "/held") for _ in range(clients)]
        for _ in range(AT_ONCE):
            assert small.held.acquire(timeout=PATIENCE)
        assert not small.held.acquire(timeout=0.2)
        small.let_go.set()
        results = [answer.result() for answer in responses]
    assert {response.status for response, _ in results} == {200}
    # Each request saw the context of its own, though all ran in one app object.
    assert len({body for _, body in results}) == clients


def test_a_request_in_progress_ends_before_the_server_does(small: Small) -> None:
    server = make_server(small.app, "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever).start()
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(send, server.url, "GET", "/held")
        assert small.held.acquire(timeout=PATIENCE)
        stopping = pool.submit(server.stop, PATIENCE)
        small.let_go.set()
        assert answer.result()[0].status == 200
        assert stopping.result()


def test_a_request_that_takes_too_long_does_not_keep_the_server_from_stopping(small: Small) -> None:
    server = make_server(small.app, "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever).start()
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(send, server.url, "GET", "/held")
        assert small.held.acquire(timeout=PATIENCE)
        assert not server.stop(grace=0.01)
        small.let_go.set()
        answer.result()
