"""A relay between the app and PostgreSQL that counts how often the app waits for an answer."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import make_url


class Relay:
    """Passes bytes on, both ways; `turns` counts round trips: each time the app speaks after an answer."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.turns = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                app, _ = self._listener.accept()
                Conversation(self, app, socket.create_connection(self._target)).start(self._threads)

    def close(self) -> None:
        """Stop, once the app has closed its connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()


class Conversation:
    """One connection of the app, relayed."""

    def __init__(self, relay: Relay, app: socket.socket, server: socket.socket) -> None:
        self._relay = relay
        self._app = app
        self._server = server
        self._apps_turn = True
        self._lock = threading.Lock()

    def start(self, threads: list[threading.Thread]) -> None:
        for end in (self._app, self._server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # no waiting for more to send
        for ends in ((self._app, self._server), (self._server, self._app)):
            threads.append(threading.Thread(target=self._pass_on, args=ends))
            threads[-1].start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):  # closed by the other side
            while data := source.recv(65536):
                self._note(spoken_by_app=source is self._app)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        if source is self._server:  # it has said its last
            self._app.close()
            self._server.close()

    def _note(self, *, spoken_by_app: bool) -> None:
        with self._lock:
            if spoken_by_app and self._apps_turn:
                self._relay.turns += 1
            self._apps_turn = not spoken_by_app


@contextmanager
def relay_to(database_url: str) -> Iterator[tuple[Relay, str]]:
    """Run a relay, and give the address at which it stands for the database."""
    url = make_url(database_url)
    assert url.host
    assert url.port
    relay = Relay(url.host, url.port)
    try:
        yield relay, url.set(host="127.0.0.1", port=relay.port).render_as_string(hide_password=False)
    finally:
        relay.close()
