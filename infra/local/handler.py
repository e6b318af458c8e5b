"""Reads HTTP requests from one connection and writes their answers, whatever the client sends."""

import contextlib
import email.errors
import socket
import time
import traceback
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import BaseServer
from typing import Any

from chalice.app import Chalice
from chalice.config import Config
from chalice.local import ChaliceRequestHandler

from infra.local import bodies
from infra.local.gateway import Gateway
from infra.local.refusals import Refused

# Where http.server speaks of a failure of the server, it is the client who asks too much.
STATUS = {
    HTTPStatus.NOT_IMPLEMENTED: HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED: HTTPStatus.BAD_REQUEST,
}
# What the parser notes about headers and reads on; its other notes are about e-mail.
MALFORMED = (
    email.errors.FirstHeaderLineIsContinuationDefect,
    email.errors.InvalidHeaderDefect,
    email.errors.MisplacedEnvelopeHeaderDefect,
    email.errors.MissingHeaderBodySeparatorDefect,
)
BODILESS = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}


class RequestHandler(ChaliceRequestHandler):
    """Chalice's handler of a connection, with a strict reading and problems for errors."""

    disable_nagle_algorithm = True  # else the second packet of an answer waits 40 ms
    wbufsize = -1  # an answer goes out as one packet
    timeout = 60  # seconds that a connection may be silent
    command = ""  # until a request line has been read
    requestline = ""
    request_version = ""
    close_connection = True
    _headers_buffer: list[bytes]

    def __init__(
        self,
        request: socket.socket,
        client_address: tuple[str, int],
        server: BaseServer,
        *,
        app_object: Chalice,  # noqa: ARG002 - the gateway has both
        config: Config,  # noqa: ARG002
        gateway: Gateway,
    ) -> None:
        self._gateway = gateway
        self._unread = False  # the rest of what the client sends is not a request
        # Not Chalice's, which makes a gateway and sorts all routes for every connection.
        BaseHTTPRequestHandler.__init__(self, request, client_address, server)

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the client has gone: nobody to tell
            super().handle()
            if self._unread:
                self._linger()

    def parse_request(self) -> bool:
        self.command = ""
        if len(self.raw_requestline.split()) == 2:  # noqa: PLR2004 - HTTP/0.9, which has no headers
            self.send_error(HTTPStatus.BAD_REQUEST, "The request line lacks the HTTP version.")
            return False
        if not super().parse_request():
            return False
        if any(isinstance(defect, MALFORMED) for defect in self.headers.defects):
            self.send_error(HTTPStatus.BAD_REQUEST, "A header line is malformed.")
            return False
        return True

    def handle_expect_100(self) -> bool:
        """Refuse a body that is too large before the client sends it."""
        try:
            self._announced_length()
        except Refused as refused:
            self._unread = True
            self._refuse(refused)
            return False
        self.send_response_only(HTTPStatus.CONTINUE)
        self.end_headers()
        self.wfile.flush()
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what http.server cannot read or does not know; it then reads no further."""
        if code == HTTPStatus.NOT_IMPLEMENTED:
            self._serve()  # an unknown method, which the gateway refuses
            return
        self._unread = True
        status = STATUS.get(HTTPStatus(code), HTTPStatus(code))
        self._refuse(Refused(status, message or explain or ""))

    def version_string(self) -> str:
        return "event-booking"

    def log_message(self, *_: object) -> None:
        """Write nothing: the app logs its requests, and what this would log is a client's error."""

    def _serve(self) -> None:
        with self._gateway.progress():
            try:
                headers, body = self._read()
                response = self._gateway.answer(self.command, self.path, headers, body)
                self._write_response(response)
            except Refused as refused:
                self._refuse(refused)
            except OSError:
                raise
            except Exception:  # noqa: BLE001 - a fault of the app or of this server is shown
                traceback.print_exc()
                self._headers_buffer = []
                self._refuse(Refused(HTTPStatus.INTERNAL_SERVER_ERROR))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = _serve  # noqa: N815

    def _announced_length(self) -> int | None:
        lengths = self.headers.get_all("Content-Length", [])
        return bodies.announced(lengths, self.headers.get_all("Transfer-Encoding", []))

    def _read(self) -> tuple[dict[str, str], bytes | None]:
        headers = {str(name): str(value) for name, value in self.headers.items()}
        self._unread = True
        length = self._announced_length()
        try:
            body = bodies.read(self.rfile, length)
        except TimeoutError:
            raise Refused(HTTPStatus.REQUEST_TIMEOUT) from None
        self._unread = False
        if length is None:
            headers = {n: v for n, v in headers.items() if n.lower() != "transfer-encoding"}
            headers["Content-Length"] = str(len(body))
        return headers, body or None

    def _write_response(self, response: dict[str, Any]) -> None:
        body = self._handle_binary(response)["body"] or b""
        headers = {**response["headers"], **response["multiValueHeaders"]}
        if body and not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "application/json"  # as API Gateway supposes
        self._write(
            int(response["statusCode"]),
            headers,
            body if isinstance(body, bytes) else body.encode(),
        )

    def _refuse(self, refused: Refused) -> None:
        if self._unread:
            self.close_connection = True
        if self.request_version != "HTTP/1.0":
            self.request_version = "HTTP/1.1"  # also where it was unreadable: every request is answered
        self._write(refused.status, refused.headers, refused.document())

    def _write(self, status: int, headers: Mapping[str, str | list[str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            for single in value if isinstance(value, list) else [value]:
                self.send_header(name, single)
        if status not in BODILESS:
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        elif self.request_version == "HTTP/1.0":
            self.send_header("Connection", "keep-alive")
        self.end_headers()
        if status not in BODILESS and self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def _linger(self) -> None:
        """Take in for a while what the client still sends.

        Closing over unread bytes resets the connection, and the client may never see the answer.
        """
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(1)
        deadline = time.monotonic() + 5
        with contextlib.suppress(TimeoutError):
            while time.monotonic() < deadline and self.connection.recv(65536):
                pass
