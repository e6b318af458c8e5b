"""Serves the stand-in over HTTP, its API and its pages on one port."""

import contextlib
import functools
import socket
import threading
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import BaseServer
from urllib.parse import urlsplit

from infra.local.server import Listener, Request
from infra.local.stripe.account import Account
from infra.local.stripe.api import Answer, Api, Call
from infra.local.stripe.pages import Pages
from infra.local.stripe.stand_in import StandIn
from infra.local.stripe.switches import Switches
from infra.local.stripe.webhooks import Endpoint, Postman

HOST = "127.0.0.1"
LONGEST = 1024 * 1024  # bytes of a body


class Server(Listener):
    """A listener that knows its connections, to end them with itself."""

    def __init__(self, port: int, api: Api, pages: Pages) -> None:
        self.connections: set[socket.socket] = set()
        self._stopped = False
        super().__init__((HOST, port), functools.partial(Handler, api=api, pages=pages))

    def stop(self) -> None:
        """Take no more requests, on connections that are kept alive neither."""
        self.shutdown()
        self.server_close()
        self._stopped = True
        for connection in tuple(self.connections):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Request, client_address: object) -> None:
        if not self._stopped:  # what was cut off has failed, which nobody waits for
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # an answer goes out as one packet
    timeout = 60  # seconds that a connection may be silent

    def __init__(
        self,
        request: socket.socket,
        client_address: tuple[str, int],
        server: BaseServer,
        *,
        api: Api,
        pages: Pages,
    ) -> None:
        self._api = api
        self._pages = pages
        super().__init__(request, client_address, server)

    def setup(self) -> None:
        super().setup()
        self._connections.add(self.connection)

    def finish(self) -> None:
        self._connections.discard(self.connection)
        super().finish()

    def do_GET(self) -> None:
        self._answer("")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LONGEST:
            self.close_connection = True  # what follows is not a request
            self._send(Answer(HTTPStatus.BAD_REQUEST, b"A Content-Length of up to 1 MB is needed."))
            return
        self._answer(self.rfile.read(int(length)).decode(errors="replace"))

    def log_message(self, *_: object) -> None:
        """Write nothing."""

    def version_string(self) -> str:
        return "stripe-stand-in"

    @property
    def _connections(self) -> set[socket.socket]:
        connections: set[socket.socket] = getattr(self.server, "connections", set())
        return connections

    def _answer(self, body: str) -> None:
        where = urlsplit(self.path)
        form = where.query if self.command == "GET" else body
        headers = {name.title(): value for name, value in self.headers.items()}
        call = Call(self.command, where.path, form, headers)
        answer = (self._api if where.path.startswith("/v1/") else self._pages).answer(call)
        if answer is None:
            self.close_connection = True
        else:
            self._send(answer)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store", **answer.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)


@contextlib.contextmanager
def running(
    *,
    port: int = 0,
    state: Path | None = None,
    endpoints: Sequence[Endpoint] = (),
    api_key: str | None = None,
    background: bool = True,
) -> Iterator[StandIn]:
    """Serve a stand-in while a block runs; it keeps its state in a folder, or in memory. Raises OSError.

    Any key for tests is right unless there is one. Without a background, nothing is sent and nothing
    settles by itself: events wait for `deliver` and `deliver_all`.
    """
    switches, stopping = Switches(), threading.Event()
    account = Account(state, switches)
    with contextlib.closing(account):
        postman = Postman(account, switches, endpoints)
        stand_in = StandIn(account, switches, postman)
        server = Server(port, Api(account, switches, api_key, stopping), Pages(stand_in))
        account.base = f"http://{HOST}:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="stripe", daemon=True)
        thread.start()
        if background:
            postman.start()
        try:
            yield stand_in
        finally:
            stopping.set()
            server.stop()
            thread.join()
            postman.stop()
