"""A TCP proxy before PostgreSQL that counts the round trips of its clients."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import make_url


class RoundTripCounter:
    """A proxy whose `round_trips` counts how often a client sends something after a response."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.round_trips = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                ProxiedConnection(self, client, socket.create_connection(self._target)).start(self._threads)

    def close(self) -> None:
        """Stop, after the clients have closed their connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()


class ProxiedConnection:
    def __init__(self, counter: RoundTripCounter, client: socket.socket, server: socket.socket) -> None:
        self._counter = counter
        self._client = client
        self._server = server
        self._after_response = True
        self._lock = threading.Lock()

    def start(self, threads: list[threading.Thread]) -> None:
        for end in (self._client, self._server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # send each packet without a delay
        for ends in ((self._client, self._server), (self._server, self._client)):
            threads.append(threading.Thread(target=self._forward, args=ends))
            threads[-1].start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):  # closed by the peer
            while data := source.recv(65536):
                self._count(from_client=source is self._client)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        if source is self._server:
            self._client.close()
            self._server.close()

    def _count(self, *, from_client: bool) -> None:
        with self._lock:
            if from_client and self._after_response:
                self._counter.round_trips += 1
            self._after_response = not from_client


@contextmanager
def count_round_trips(database_url: str) -> Iterator[tuple[RoundTripCounter, str]]:
    """Run a proxy of a database, and yield its counter and its URL."""
    url = make_url(database_url)
    assert url.host
    assert url.port
    counter = RoundTripCounter(url.host, url.port)
    try:
        yield counter, url.set(host="127.0.0.1", port=counter.port).render_as_string(hide_password=False)
    finally:
        counter.close()
