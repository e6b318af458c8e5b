"""Containers: processes that stand for Lambda's, each with one connection, called one request at a time."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from bench import call_alone, five_steps, ground
from bench.figures import Tally
from bench.forks import forks
from bench.requests import booking_request, token_of
from bench.scale import Scale
from chalicelib.wiring import Wiring, using

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]

READY = 0.05
"""Seconds between a job and its start, in which all containers make their requests."""
FASTEST = 6000
"""Requests a second that one container is prepared for."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a container is to do: to take places of an event as fast as it can."""

    way: str
    event_id: str
    status: int
    starts_at: float
    counts_from: float
    ends_at: float


@dataclass(frozen=True)
class Part:
    """What one container did of it."""

    latencies: list[float]
    """Of the requests that count."""
    cpu: float
    calls: int
    failure: str | None = None


class Containers:
    """So many containers; the first of them take part in a run of fewer."""

    def __init__(self, url: str, scale: Scale, lines: list[Connection]) -> None:
        self._scale = scale
        self._lines = lines
        self.url = url

    def book(self, way: str, event: int, processes: int, *, sold_out: bool = False) -> Tally:
        """Have the first so many book for a while, and check that all of them got places, or none did."""
        event_id = ground.event(event)
        start = time.perf_counter() + READY + processes * 0.005
        count = start + self._scale.warm_up
        job = Job(
            way=way,
            event_id=event_id,
            status=409 if sold_out else 201,
            starts_at=start,
            counts_from=count,
            ends_at=count + self._scale.seconds,
        )
        working = self._lines[:processes]
        for line in working:
            line.send(job)
        latencies: list[float] = []
        cpu, calls = 0.0, 0
        for line in working:
            if not line.poll(60 + self._scale.seconds):
                raise RuntimeError("a container does not answer")
            part: Part = line.recv()
            if part.failure:
                raise RuntimeError(part.failure)
            latencies += part.latencies
            cpu += part.cpu
            calls += part.calls
        booked = ground.value(self.url, f"SELECT count(*) FROM bookings WHERE event_id = '{event_id}'")  # noqa: S608
        if booked != (0 if sold_out else calls):
            raise RuntimeError(f"{calls} places were answered for, and {booked} were taken")
        return Tally.of(self._scale.seconds, latencies, cpu)


@contextlib.contextmanager
def containers(url: str, scale: Scale, processes: int) -> Iterator[Containers]:
    """Run so many processes, forked from this one, in which the app is imported already."""
    from app import app  # noqa: PLC0415 (it would set up the log of whoever imports this)

    handlers: dict[str, Handler] = {
        "app": app,
        "call alone": call_alone.handle,
        "five steps": five_steps.app,
    }
    works = []
    for number in range(processes):
        # By how many runs of fewer processes one takes part in, so many people may it need at once.
        fewest = next(size for size in scale.processes if number < size)
        people = range(number * scale.people // processes, (number + 1) * scale.people // processes)
        people = people[: int(FASTEST * (scale.seconds + scale.warm_up) / fewest * 2)]
        works.append(partial(_serve, url, handlers, people))
    with forks(works) as lines:
        yield Containers(url, scale, lines)


def _serve(url: str, handlers: dict[str, Handler], people: range, line: Connection) -> None:
    with five_steps.connected(url), using(Wiring(ground.settings(url))) as wiring:
        tokens = [token_of(wiring.tokens, ground.person(number)) for number in people]
        wiring.database.call("SELECT 1")
        line.send("ready")
        while True:
            job: Job = line.recv()
            try:
                line.send(_work(job, handlers[job.way], tokens))
            except Exception as error:  # noqa: BLE001 (whatever it was, the one who asked is to know)
                line.send(Part([], 0.0, 0, f"{type(error).__name__}: {error}"))


def _work(job: Job, handle: Handler, tokens: list[str]) -> Part:
    """Book until the end."""
    latencies: list[float] = []
    cpu = 0.0
    time.sleep(max(0.0, job.starts_at - time.perf_counter()))
    for calls, token in enumerate(tokens):
        began = time.perf_counter()
        if began >= job.ends_at:
            return Part(latencies, time.process_time() - cpu, calls)
        answer = handle(booking_request(token, job.event_id), None)
        ended = time.perf_counter()
        if answer["statusCode"] != job.status:
            raise RuntimeError(f"{answer['statusCode']} was answered: {answer['body']}")
        if ended >= job.counts_from:
            cpu = cpu or time.process_time()
            latencies.append(ended - began)
    raise RuntimeError("a container ran out of people to book for")
