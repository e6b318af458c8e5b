"""Simulates API Gateway and Lambda: a throttle, and containers up to a limit.

The gateway refuses what its throttle does not admit (429) and what finds no free container (503), as the
template has API Gateway do. A container is a process with one connection to the database, which calls the
app as Lambda does, with one request at a time. Requests arrive at a fixed rate, whether earlier ones are
answered or not.
"""

import contextlib
import json
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any

from bench import database
from bench.containers import Handler, forks, handlers
from bench.requests import booking_request, token_of
from chalicelib.wiring import Wiring, using

TIMEOUT = 29 / 60
"""Time limit of a request, as a share of the run: API Gateway's 29 seconds of the first minute of a sale."""
THROTTLED, NO_CONTAINER, LATE = "429", "503", "504"
QUEUED = "queued"
"""Outcome of a request that is still in the queue when the run ends."""


@dataclass
class Outcome:
    """The responses of one run."""

    seconds: float
    responses: Counter[str] = field(default_factory=Counter)
    """By status, and the slug of the problem if the app answers one. Late responses count as 504."""
    latencies: list[float] = field(default_factory=list)
    """Seconds of the requests that a container answered."""
    bookings: list[str] = field(default_factory=list)
    """Ids in all responses with a booking, late ones too."""

    @property
    def rate(self) -> float:
        """Bookings per second that were answered in time."""
        return self.responses["201"] / self.seconds

    def count(self, *statuses: str) -> int:
        """Count responses by status, whatever their problem."""
        return sum(number for kind, number in self.responses.items() if kind.split(" ")[0] in statuses)


class TokenBucket:
    """A rate, and a burst above it, as in API Gateway's throttle."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._updated_at = now

    def admits(self, now: float) -> bool:
        self._tokens = min(self._burst, self._tokens + (now - self._updated_at) * self._rate)
        self._updated_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Gateway:
    """Hands each request, by a person of its own, to a free container."""

    def __init__(self, containers: Sequence[Connection]) -> None:
        self._free = deque(containers)
        self._busy: dict[Connection, float] = {}
        """When the request of a container arrived."""
        self._queue: deque[float] = deque()
        self._person = 0
        self._outcome = Outcome(0)

    def run(self, seconds: float, rate: float | None = None, throttle: TokenBucket | None = None) -> Outcome:
        """Offer requests at a rate, or without one as many as there are free containers.

        Without a throttle, requests wait in a queue without limit.
        """
        self._outcome, self._person = Outcome(seconds), 0
        start, offered = time.perf_counter(), 0
        while (now := time.perf_counter()) < start + seconds:
            due = offered + len(self._free) if rate is None else int((now - start) * rate)
            for number in range(offered, due):
                self._offer(now if rate is None else start + number / rate, now, throttle)
            offered = due
            while self._queue and self._free:
                self._hand_over(self._queue.popleft())
            self._receive(0.001)
        self._outcome.responses[QUEUED] += len(self._queue)
        self._queue.clear()
        while self._busy:
            self._receive(1)
        return self._outcome

    def _offer(self, arrived_at: float, now: float, throttle: TokenBucket | None) -> None:
        if throttle is None:
            self._queue.append(arrived_at)
        elif not throttle.admits(now):
            self._outcome.responses[THROTTLED] += 1
        elif not self._free:
            self._outcome.responses[NO_CONTAINER] += 1
        else:
            self._hand_over(arrived_at)

    def _hand_over(self, arrived_at: float) -> None:
        container = self._free.popleft()
        container.send(self._person)
        self._busy[container] = arrived_at
        self._person += 1

    def _receive(self, timeout: float) -> None:
        for container in wait(list(self._busy), timeout):
            assert isinstance(container, Connection)
            kind, booking_id = container.recv()
            took = time.perf_counter() - self._busy.pop(container)
            self._free.append(container)
            self._outcome.responses[LATE if took > TIMEOUT * self._outcome.seconds else kind] += 1
            self._outcome.latencies.append(took)
            if booking_id:
                self._outcome.bookings.append(booking_id)


@contextlib.contextmanager
def gateway(url: str, containers: int) -> Iterator[Gateway]:
    """Run a gateway with containers forked from this process, after the app was imported."""
    with forks([partial(_serve, url, handlers()["app"])] * containers) as pipes:
        yield Gateway(pipes)


def _serve(url: str, app: Handler, pipe: Connection) -> None:
    with using(Wiring(database.settings(url))) as wiring:
        wiring.database.call("SELECT 1")
        pipe.send("ready")
        while True:
            token = token_of(wiring.tokens, database.person_id(pipe.recv()))
            pipe.send(_kind_and_booking(app(booking_request(token, database.event_id(0)), None)))


def _kind_and_booking(response: dict[str, Any]) -> tuple[str, str | None]:
    body = json.loads(response["body"])
    problem = f" {body['code']}" if "code" in body else ""
    return f"{response['statusCode']}{problem}", body.get("bookingId")
