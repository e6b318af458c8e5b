"""An HTTP/1.1 server for a WSGI app: werkzeug's, with connections that stay open between requests."""

import contextlib
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Response
from werkzeug.wsgi import get_input_stream

from chalicelib.platform.errors import InvalidInput
from chalicelib.platform.http import problems
from chalicelib.platform.http.serving import CORS, SECURITY_HEADERS

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"
MAX_BODY_BYTES = 10 * 1024 * 1024  # Amazon API Gateway quotas, "Payload size" of REST APIs
MAX_CONCURRENCY = 64  # requests; more wait, so that a rush needs no rush of database connections
LISTEN_BACKLOG = 512
SHUTDOWN_TIMEOUT = 3.0
"""Seconds that a stop waits for requests in progress."""


def problem(status: int, detail: str | None = None) -> Response:
    """Return a problem document, as the deployed API Gateway answers requests that do not reach the app."""
    types = {status: (kind.slug(), kind.title()) for kind, status in problems.STATUS.items()}
    types[HTTPStatus.INTERNAL_SERVER_ERROR] = problems.FAULT
    slug, title = types.get(HTTPStatus(status), (InvalidInput.slug(), InvalidInput.title()))
    body = problems.render(slug=slug, title=title, status=status, detail=detail)
    response = Response(body, status, CORS.get_access_control_headers(), content_type=problems.CONTENT_TYPE)
    response.headers.update(SECURITY_HEADERS)
    response.headers.update({"Cache-Control": "private, no-store", "X-Request-Id": str(uuid4())})
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = "1"
    return response


class Handler(WSGIRequestHandler):
    """Serves the requests of one connection."""

    server: "Server"
    protocol_version = default_request_version = "HTTP/1.1"
    timeout = 60  # seconds that a connection may be idle
    _headers_buffer: list[bytes]

    def run_wsgi(self) -> None:
        """Serve one request. werkzeug's own method closes the connection after each response."""
        try:
            environ = self._read()
        except HTTPException as error:
            self.send_error(error.code or HTTPStatus.BAD_REQUEST, error.description)
        except (OSError, ValueError):
            self.send_error(HTTPStatus.BAD_REQUEST, "The request cannot be read.")
        else:
            with self.server.slots:
                self._serve(environ)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse a request that has not been read to its end, and close the connection."""
        self.close_connection = True
        self._respond(problem(code, message or explain), {"REQUEST_METHOD": self.command})
        # A close with unread bytes resets the connection, and the client may lose the response.
        deadline = time.monotonic() + 5
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(1)
            while self.rfile.read1(65536) and time.monotonic() < deadline:
                pass

    def log(self, *_: object) -> None:
        """Write nothing: the app logs its requests."""

    def log_request(self, *_: object, **__: object) -> None:
        """Write nothing."""

    def _read(self) -> "WSGIEnvironment":
        """Return the request with its whole body, so that the next request starts after it."""
        environ = self.make_environ()
        if environ.get("HTTP_TRANSFER_ENCODING", "chunked").lower() != "chunked":
            raise BadRequest("Transfer-Encoding must be chunked.")
        if not environ.get("CONTENT_LENGTH", "0").isdecimal():
            raise BadRequest("Content-Length must be a whole number.")
        # werkzeug cuts a chunked body off at the limit, so that only one more byte shows what is too large.
        body = get_input_stream(environ, max_content_length=MAX_BODY_BYTES + 1).read()
        if len(body) > MAX_BODY_BYTES:
            raise RequestEntityTooLarge("The limit is 10 MB.")
        return {
            **environ,
            "wsgi.input": BytesIO(body),
            "wsgi.input_terminated": True,
            "local.headers": self.headers.items(),
        }

    def _serve(self, environ: "WSGIEnvironment") -> None:
        if self.server.stopping:
            self.close_connection = True
            self._respond(problem(HTTPStatus.SERVICE_UNAVAILABLE), environ)
            return
        try:
            self._respond(self.server.app, environ)
        except (ConnectionError, TimeoutError):
            raise  # the client has gone
        except Exception:  # noqa: BLE001 - a fault of the app is shown and answered
            traceback.print_exc()
            self._headers_buffer = []
            self._respond(problem(HTTPStatus.INTERNAL_SERVER_ERROR), environ)

    def _respond(self, app: "WSGIApplication", environ: "WSGIEnvironment") -> None:
        body, status, headers = run_wsgi_app(app, environ)
        self.send_response(int(status.partition(" ")[0]))
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Connection", "close" if self.close_connection else "keep-alive")
        self._headers_buffer += [b"\r\n", *body]  # all of the response in one packet
        self.flush_headers()


class Server(ThreadedWSGIServer):
    """Serves from its construction on, with a thread for each connection. Raises OSError."""

    def __init__(self, app: "WSGIApplication", host: str = HOST, port: int = 0) -> None:
        # Without a socket of ours, werkzeug would end the process when the port is in use.
        with socket.create_server((host, port), backlog=LISTEN_BACKLOG) as listener:
            super().__init__(host, port, app, Handler, fd=listener.fileno())
        self.slots = threading.BoundedSemaphore(MAX_CONCURRENCY)
        self.stopping = False
        self.url = url_of(host, self.port)
        threading.Thread(target=self.serve_forever, args=(0.05,), name="server", daemon=True).start()

    def stop(self, timeout: float = SHUTDOWN_TIMEOUT) -> bool:
        """Accept no more requests, wait for those in progress, and return whether all of them ended."""
        self.stopping = True
        self.shutdown()
        until = time.monotonic() + timeout
        free = 0
        while free < MAX_CONCURRENCY and self.slots.acquire(timeout=max(0, until - time.monotonic())):
            free += 1
        if free:
            self.slots.release(free)
        return free == MAX_CONCURRENCY

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that has gone is no error
            super().handle_error(request, client_address)


def url_of(host: str, port: int) -> str:
    """Return the address by which this machine reaches a server on the host."""
    return f"http://{HOST if host in {'', '0.0.0.0'} else host}:{port}"  # noqa: S104


@contextlib.contextmanager
def serving(app: "WSGIApplication", host: str = HOST, port: int = 0) -> Iterator[str]:
    """Serve an app for a block, which gets its address. Raises OSError."""
    server = Server(app, host, port)
    try:
        yield server.url
    finally:
        server.stop()
