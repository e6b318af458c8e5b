"""Runs an app behind Chalice's own local HTTP server, made fit for many clients and any input."""

import contextlib
import functools
import socket
import socketserver
import sys
import threading
from collections.abc import Iterator

from chalice.app import Chalice
from chalice.config import Config
from chalice.local import LambdaContext, LocalChalice, LocalDevServer, ThreadedHTTPServer

from infra.local.gateway import Gateway
from infra.local.handler import RequestHandler

Request = socket.socket | tuple[bytes, socket.socket]  # what socketserver calls a request

GRACE = 3.0  # seconds for requests in progress when the server stops


class Listener(ThreadedHTTPServer):
    """A thread for each connection, and room for a rush of new ones."""

    request_queue_size = 512

    def server_bind(self) -> None:
        # Not HTTPServer's, which looks the host's name up and may wait for a name server.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def handle_error(self, request: Request, client_address: object) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that has gone is no error
            super().handle_error(request, client_address)


class Server(LocalDevServer):
    """A listening server for one app; `port` is the real one where 0 was asked for."""

    def __init__(self, app: Chalice, config: Config, host: str, port: int) -> None:
        self._gateway = Gateway(app, config)
        handler = functools.partial(RequestHandler, gateway=self._gateway)
        super().__init__(app, config, host, port, handler_cls=handler, server_cls=Listener)
        self.port = self.server.server_port

    @property
    def url(self) -> str:
        host = "127.0.0.1" if self.host in {"", "0.0.0.0"} else self.host  # noqa: S104
        return f"http://{host}:{self.port}"

    def serve_forever(self) -> None:
        self.server.serve_forever(poll_interval=0.05)

    def stop(self, grace: float = GRACE) -> bool:
        """Take no more requests, let those in progress end; say whether all did.

        Needs serve_forever in another thread.
        """
        self.server.shutdown()
        self.server.server_close()
        return self._gateway.close(grace)


class PerThread(LocalChalice):
    """An app whose context is one for each thread, as Chalice makes the request."""

    _here = threading.local()

    @property
    def lambda_context(self) -> LambdaContext:
        context: LambdaContext = self._here.context
        return context

    @lambda_context.setter
    def lambda_context(self, context: LambdaContext) -> None:
        self._here.context = context


def make_server(app: Chalice, host: str, port: int, config: Config | None = None) -> Server:
    """Make a server that listens already; its connections wait until it serves. Raises OSError."""
    if not isinstance(app, PerThread):
        app.__class__ = type("LocalApp", (PerThread, type(app)), {})
    return Server(app, config or Config(), host, port)


@contextlib.contextmanager
def serving(app: Chalice, port: int = 0) -> Iterator[str]:
    """Serve the app on the loopback interface while a block runs, which gets the base URL."""
    server = make_server(app, "127.0.0.1", port)
    thread = threading.Thread(target=server.serve_forever, name="local-server")
    thread.start()
    try:
        yield server.url
    finally:
        server.stop()
        thread.join()
