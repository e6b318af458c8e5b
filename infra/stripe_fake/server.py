"""Serves the API and the pages over HTTP, on one port of this machine."""

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from infra.stripe_fake.api import Api
from infra.stripe_fake.dispatcher import Dispatcher
from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.faults import Faults
from infra.stripe_fake.pages import Pages
from infra.stripe_fake.store import Store
from infra.stripe_fake.webhooks import Endpoint

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

HOST = "127.0.0.1"
BACKLOG = 128  # connections that wait to be accepted


class LocalRequest(Request):
    """A request from this machine. `host` raises SecurityError for other names, against DNS rebinding."""

    trusted_hosts = [HOST, "localhost"]  # noqa: RUF012 - as the base class has it
    max_content_length = 1024 * 1024


class QuietHandler(WSGIRequestHandler):
    """Handles the requests of a connection without a log line for each."""

    wbufsize = -1  # buffered, so that a response is one packet

    def log_request(self, *_: object) -> None:
        pass


def _application(api: Api, pages: Pages) -> "WSGIApplication":
    @LocalRequest.application
    def respond(request: Request) -> Response:
        response = (api if request.path.startswith("/v1/") else pages).respond(request)
        response.headers["Cache-Control"] = "no-store"
        return response

    return respond


@contextlib.contextmanager
def running(
    *, port: int = 0, state: Path | None = None, endpoints: Sequence[Endpoint] = (), background: bool = True
) -> Iterator[StripeFake]:
    """Run a fake during a block. Raise OSError if the port is not free.

    The state is in a folder, or in memory. With `background=False` events are sent, and debits and refunds
    settle, only when the caller says so.
    """
    store = Store(state, Faults())
    store.endpoints = {endpoint.url: endpoint for endpoint in endpoints}
    dispatcher = Dispatcher(store)
    fake = StripeFake(store, dispatcher)
    # make_server would end the process if the port is not free, so it gets a socket.
    with contextlib.closing(store), socket.create_server((HOST, port), backlog=BACKLOG) as listener:
        application, fd = _application(Api(store), Pages(fake)), listener.fileno()
        server = make_server(HOST, port, application, threaded=True, request_handler=QuietHandler, fd=fd)
        store.base_url = f"http://{HOST}:{server.port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="stripe_fake", daemon=True)
        thread.start()
        if background:
            dispatcher.start()
        try:
            yield fake
        finally:
            server.shutdown()
            thread.join()
            dispatcher.stop()
