"""Concurrent calls, in this process or over HTTP, and waits for sessions that wait for a lock."""

import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Barrier
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tests.client import Account, Client, Reply
from tests.rows import rows, value

T = TypeVar("T")

WAIT_TIMEOUT = 60.0
"""Seconds after which a waiting test fails, far more than any successful wait takes."""


def run_concurrently(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Make all calls concurrently, each in a thread, and return their results in order."""
    start = Barrier(len(calls))

    def make(call: Callable[[], T]) -> T:
        start.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(make, calls))


@dataclass
class Line:
    """The persistent connection of one client."""

    connection: http.client.HTTPConnection

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        by: Account | str,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request: `by` is an account or a token."""
        token = by.token if isinstance(by, Account) else by
        sent = {"Authorization": f"Bearer {token}", **(headers or {})}
        if body is not None:
            sent["Content-Type"] = "application/json"
        self.connection.request(method, path, None if body is None else json.dumps(body), sent)
        answer = self.connection.getresponse()
        received = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, received, answer.read().decode())

    def book(self, attendee: Account, event_id: str, **headers: str) -> Reply:
        return self("POST", "/bookings", {"eventId": event_id}, by=attendee, headers=headers)

    def cancel(self, by: Account, booking_id: str) -> Reply:
        return self("DELETE", f"/bookings/{booking_id}", by=by)


Deed = Callable[[Line], T]


@dataclass
class Web:
    """The app behind a real HTTP server."""

    url: str

    @contextmanager
    def line(self) -> Iterator[Line]:
        with closing(
            http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=WAIT_TIMEOUT)
        ) as connection:
            connection.connect()
            yield Line(connection)

    def run_concurrently(self, deeds: Sequence[Deed[T]]) -> list[T]:
        """Do all deeds concurrently, each over a new connection."""
        with ExitStack() as open_lines:
            lines = [open_lines.enter_context(self.line()) for _ in deeds]
            return run_concurrently([partial(deed, line) for deed, line in zip(deeds, lines, strict=True)])


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, f"not true after {WAIT_TIMEOUT} s"
        time.sleep(0.002)


def waiting(client: Client) -> int:
    """Return how many sessions of the test's database wait for a lock."""
    return int(
        value(
            client,
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
    )


def deadlocks(client: Client) -> int:
    """End the app's other sessions at the test's database, and return how many deadlocks it has had.

    A session reports its deadlocks when it ends, at the latest.
    """
    rows(
        client,
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()",
    )
    return int(value(client, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))


def until_waiting(client: Client, sessions: int, *unless_done: Future[Any]) -> None:
    """Wait until this many sessions wait for a lock, or one of the futures is done without waiting."""
    until(lambda: waiting(client) >= sessions or any(future.done() for future in unless_done))
