"""Simulates API Gateway and Lambda in front of the app: a throttle, and containers up to a limit.

The front refuses what its throttle does not let through, and what finds no free container, as the template
has API Gateway do. A container is a process with one connection to the database, which runs the app through
its Lambda entry, one request at a time. Requests come at their own pace, whether or not others are answered.
"""

import contextlib
import json
import os
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any

from bench import ground
from bench.forks import forks
from bench.requests import booking_request, token_of
from chalicelib.wiring import Wiring, using
from infra.aws.template.api_gateway import gateway_responses

PATIENCE = 29 / 60
"""API Gateway's time limit, as a share of a rush: 29 seconds of the first minute."""
LATE = "504"
WAITING = "waiting"
"""What became of a request that was still in line when the run ended."""


@dataclass
class Outcome:
    """What became of the requests of one run."""

    seconds: float
    offered: int = 0
    responses: Counter[str] = field(default_factory=Counter)
    """By status, and the name of the problem where it is the app's. Late ones count as 504."""
    latencies: list[float] = field(default_factory=list)
    """Seconds from a request to its answer, of those that a container answered."""
    bookings: list[str] = field(default_factory=list)
    """The ids in all answers with a place, the late ones too."""
    cpu: float = 0.0
    """Seconds of the containers' processors."""

    @property
    def booked(self) -> float:
        """Places a second that somebody was told of in time."""
        return self.responses["201"] / self.seconds

    def percentile(self, percent: float) -> float:
        ranked = sorted(self.latencies)
        return ranked[min(int(len(ranked) * percent / 100), len(ranked) - 1)] if ranked else 0.0


@dataclass(frozen=True)
class Answer:
    """What a container hands back."""

    kind: str
    again_after: str | None
    booking: str | None = None
    cpu: float = 0.0


@dataclass
class Container:
    line: Connection
    came_at: float = 0.0


class Throttle:
    """A token bucket, as API Gateway's: a rate, and a burst above it."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = time.perf_counter()

    def admits(self, now: float) -> bool:
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Front:
    """Hands requests to containers, each of another person, and takes their answers."""

    def __init__(self, containers: Sequence[Container]) -> None:
        self._free = deque(containers)
        self._busy: dict[Connection, Container] = {}
        self._person = 0
        self._outcome = Outcome(0)
        self._throttled = _refusal("THROTTLED")
        self._at_the_limit = _refusal("INTEGRATION_FAILURE")

    def sustain(self, seconds: float) -> Outcome:
        """Keep all containers busy, with no request more, and see what they can do."""
        end = self._begin(seconds) + seconds
        while (now := time.perf_counter()) < end:
            while self._free:
                self._outcome.offered += 1
                self._hand_over(now)
            self._take_answers(end)
        return self._end()

    def flood(self, seconds: float, rate: float, throttle: Throttle | None) -> Outcome:
        """Offer requests at a rate. Without a throttle they queue up for the containers, without end."""
        start = self._begin(seconds)
        queue: deque[float] = deque()
        came = 0
        while (now := time.perf_counter()) < start + seconds:
            due = int((now - start) * rate)
            for number in range(came, due):
                self._offer(start + number / rate, now, queue, throttle)
            came = due
            while queue and self._free:
                self._hand_over(queue.popleft())
            self._take_answers(now + 0.001)
        self._outcome.responses[WAITING] += len(queue)
        return self._end()

    def _offer(self, at: float, now: float, queue: deque[float], throttle: Throttle | None) -> None:
        self._outcome.offered += 1
        if throttle is None:
            queue.append(at)
        elif not throttle.admits(now):
            self._note(self._throttled)
        elif not self._free:
            self._note(self._at_the_limit)
        else:
            self._hand_over(at)

    def _begin(self, seconds: float) -> float:
        self._outcome = Outcome(seconds)
        self._person = 0
        return time.perf_counter()

    def _hand_over(self, came_at: float) -> None:
        container = self._free.popleft()
        container.came_at = came_at
        container.line.send(self._person)
        self._busy[container.line] = container
        self._person += 1

    def _take_answers(self, until: float) -> None:
        for line in wait(list(self._busy), max(0.0, until - time.perf_counter())):
            assert isinstance(line, Connection)
            container = self._busy.pop(line)
            answer: Answer = line.recv()
            took = time.perf_counter() - container.came_at
            self._note(answer, late=took > PATIENCE * self._outcome.seconds)
            self._outcome.latencies.append(took)
            self._free.append(container)

    def _note(self, answer: Answer, *, late: bool = False) -> None:
        if answer.kind.startswith(("429", "503")) and not answer.again_after:
            raise RuntimeError(f"{answer.kind} was answered without Retry-After")
        self._outcome.responses[LATE if late else answer.kind] += 1
        self._outcome.cpu += answer.cpu
        if answer.booking:
            self._outcome.bookings.append(answer.booking)

    def _end(self) -> Outcome:
        """Wait for what is under way, which counts: its clients are still there."""
        while self._busy:
            self._take_answers(time.perf_counter() + 1)
        return self._outcome


def _refusal(kind: str) -> Answer:
    """What API Gateway answers by itself, as the template has it."""
    response = gateway_responses()[kind]
    again_after = response["responseParameters"].get("gatewayresponse.header.Retry-After")
    return Answer(response["statusCode"], again_after)


@contextlib.contextmanager
def front(url: str, containers: int) -> Iterator[Front]:
    """Run containers, forked from this process, in which the app is imported already."""
    from app import app  # noqa: PLC0415 (it would set up the log of whoever imports this)

    with forks([partial(_serve, url, app)] * containers) as lines:
        yield Front([Container(line) for line in lines])


def _serve(url: str, app: Any, line: Connection) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the log is written, as in Lambda, and read by nobody
    event_id = ground.event(0)
    with using(Wiring(ground.settings(url))) as wiring:
        wiring.database.call("SELECT 1")
        line.send("ready")
        while True:
            token = token_of(wiring.tokens, ground.person(line.recv()))
            before = time.process_time()
            answer = app(booking_request(token, event_id), None)
            line.send(_read(answer, time.process_time() - before))


def _read(answer: Any, cpu: float) -> Answer:
    status, body = answer["statusCode"], json.loads(answer["body"])
    problem = f" {body['type'].rpartition('#')[2]}" if "type" in body else ""
    return Answer(f"{status}{problem}", answer["headers"].get("Retry-After"), body.get("bookingId"), cpu)
