"""Many clients at once, over real HTTP; and waiting for one that waits for a lock."""

import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tests.client import Account, Client, Reply
from tests.concurrency import run_concurrently
from tests.rows import value

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds after which a test that waits has failed; far more than any wait that ends well."""


@dataclass
class Line:
    """One client's connection, kept alive from request to request."""

    connection: http.client.HTTPConnection

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        by: Account,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        sent = {"Authorization": f"Bearer {by.token}", **(headers or {})}
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
        with closing(http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=PATIENCE)) as connection:
            connection.connect()
            yield Line(connection)

    def run_concurrently(self, deeds: Sequence[Deed[T]]) -> list[T]:
        """Do each deed on a line of its own, all let go at the same moment."""
        with ExitStack() as open_lines:
            lines = [open_lines.enter_context(self.line()) for _ in deeds]
            return run_concurrently([partial(deed, line) for deed, line in zip(deeds, lines, strict=True)])


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.002)


def waiting(client: Client) -> int:
    """How many sessions of the test's database wait for a lock."""
    return int(
        value(
            client,
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
    )


def until_waiting(client: Client, sessions: int, *unless_done: Future[Any]) -> None:
    """Wait until so many sessions wait for a lock, or until one of these is through without."""
    until(lambda: waiting(client) >= sessions or any(future.done() for future in unless_done))
