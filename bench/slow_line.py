"""A slow line to PostgreSQL: a relay, in a process of its own, that holds back what passes it."""

import contextlib
import multiprocessing
import select
import socket
import time
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection
from statistics import median

from sqlalchemy import make_url

from bench import ground

HELD_BACK = 0.00025
"""Seconds, each way."""


@contextlib.contextmanager
def to(url: str) -> Iterator[str]:
    """Run a relay, and give the address at which it stands for the database."""
    address = make_url(url)
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=((address.host, address.port), theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(30):
            raise RuntimeError("the relay does not start")
        relayed = address.set(host="127.0.0.1", port=ours.recv())
        yield relayed.render_as_string(hide_password=False)
    finally:
        process.kill()
        process.join()
        ours.close()


def trip_time(url: str) -> float:
    """Seconds that the shortest question takes there and back."""
    with ground.session(url) as connection:
        times = []
        for _ in range(200):
            began = time.perf_counter()
            connection.run("SELECT 1")
            times.append(time.perf_counter() - began)
    return median(times)


def _run(target: tuple[str, int], line: Connection) -> None:
    """Pass on what comes, in its order, each part once its time has come."""
    listener = socket.create_server(("127.0.0.1", 0))
    line.send(listener.getsockname()[1])
    other: dict[socket.socket, socket.socket] = {}
    held: deque[tuple[float, socket.socket, bytes]] = deque()
    while True:
        wait = None if not held else max(0.0, held[0][0] - time.perf_counter())
        # Not epoll, which waits for whole milliseconds only.
        ready, _, _ = select.select([listener, *other], [], [], wait)
        now = time.perf_counter()
        while held and held[0][0] <= now:
            _, receiver, data = held.popleft()
            with contextlib.suppress(OSError):  # gone meanwhile
                receiver.sendall(data)
        for source in ready:
            if source is listener:
                client, server = listener.accept()[0], socket.create_connection(target)
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                other |= {client: server, server: client}
            elif data := _received(source):
                held.append((now + HELD_BACK, other[source], data))
            else:
                peer = other.pop(source)
                del other[peer]
                source.close()
                peer.close()
                break  # the peer may be among the ready ones


def _received(source: socket.socket) -> bytes:
    try:
        return source.recv(65536)
    except OSError:
        return b""
