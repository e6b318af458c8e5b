"""Lambda containers: processes with one connection each, which serve one request at a time."""

import contextlib
import gc
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import nan
from multiprocessing.connection import Connection
from typing import Any

from bench import database, five_steps
from bench.figures import Tally
from bench.requests import booking_request, token_of
from bench.scale import Scale
from chalicelib.wiring import Wiring, using

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]
Work = Callable[[Connection], None]
"""What a fork does: it sends a message when it is ready, and ends when its pipe is closed."""


@dataclass(frozen=True)
class Job:
    """Book an event as fast as possible."""

    way: str
    event_id: str
    tickets: int
    expected_status: int
    starts_at: float


@dataclass(frozen=True)
class Result:
    """Outcome of one container's job."""

    latencies: Sequence[float]
    """Without those of the warm-up."""
    cpu: float
    calls: int


class Containers:
    """A number of containers, of which a run uses the first few."""

    def __init__(self, url: str, scale: Scale, pipes: Sequence[Connection]) -> None:
        self._url = url
        self._scale = scale
        self._pipes = pipes

    def book(
        self, way: str, event: int, processes: int, *, tickets: int = 1, sold_out: bool = False
    ) -> Tally:
        """Book with several processes for one run, and check that every request booked, or none did.

        Raises:
            EOFError: A container failed; its traceback is on standard error.
            RuntimeError: The number of bookings is wrong.
        """
        event_id = database.event_id(event)
        start = start_of_run(processes)
        for pipe in self._pipes[:processes]:
            pipe.send(Job(way, event_id, tickets, 409 if sold_out else 201, start))
        results: list[Result] = [pipe.recv() for pipe in self._pipes[:processes]]
        tally = together(results, self._scale)
        database.check_bookings(self._url, [event_id], 0 if sold_out else tally.calls, tickets)
        return tally


def together(results: Sequence[Result], scale: Scale) -> Tally:
    """Sum up what the containers of one run have done."""
    latencies = sorted(each for result in results for each in result.latencies)
    cpu = sum(result.cpu for result in results) / max(1, len(latencies))
    return Tally(scale.seconds, latencies, sum(result.calls for result in results), cpu)


def start_of_run(processes: int) -> float:
    """Return a time at which all containers have their job."""
    return time.perf_counter() + 0.05 + processes * 0.005


def handlers() -> Mapping[str, Handler]:
    """Return the handler of each way to book."""
    from app import app  # noqa: PLC0415 (its import configures the log of the process)

    return {"app": app, "five steps": five_steps.app}


@contextlib.contextmanager
def containers(url: str, scale: Scale, processes: int) -> Iterator[Containers]:
    """Run containers, forked from this process after the app was imported."""
    ways = handlers()
    everyone = range(scale.people)
    works = [partial(_serve, url, scale, ways, everyone[number::processes]) for number in range(processes)]
    with forks(works) as pipes:
        yield Containers(url, scale, pipes)


def _serve(url: str, scale: Scale, ways: Mapping[str, Handler], people: range, pipe: Connection) -> None:
    with five_steps.connected(url), using(Wiring(database.settings(url))) as wiring:
        tokens = [token_of(wiring.tokens, database.person_id(number)) for number in people]
        wiring.database.call("SELECT 1")
        pipe.send("ready")
        while True:
            job: Job = pipe.recv()
            requests = (booking_request(token, job.event_id, job.tickets) for token in tokens)
            status = job.expected_status
            pipe.send(
                send_all(requests, ways[job.way], scale, starts_at=job.starts_at, expected_status=status)
            )


def send_all(
    requests: Iterable[dict[str, Any]],
    handle: Handler,
    scale: Scale,
    *,
    starts_at: float,
    expected_status: int,
) -> Result:
    """Send requests one after another for one run.

    Raises:
        RuntimeError: A response has another status, or there are too few requests.
    """
    latencies: list[float] = []
    counts_from = starts_at + scale.warm_up
    cpu = 0.0
    time.sleep(max(0.0, starts_at - time.perf_counter()))
    for calls, request in enumerate(requests):
        began = time.perf_counter()
        if began >= counts_from + scale.seconds:
            return Result(latencies, time.process_time() - cpu if latencies else nan, calls)
        response = handle(request, None)
        ended = time.perf_counter()
        if response["statusCode"] != expected_status:
            raise RuntimeError(f"status {response['statusCode']}: {response['body']}")
        if ended >= counts_from:
            cpu = cpu or time.process_time()
            latencies.append(ended - began)
    raise RuntimeError("no requests left to send")


@contextlib.contextmanager
def forks(works: Iterable[Work]) -> Iterator[list[Connection]]:
    """Run forks of this process until the block ends, and yield pipes to them once all are ready.

    Raises:
        EOFError: A fork does not start.
    """
    context = multiprocessing.get_context("fork")
    pipes: list[Connection] = []
    processes = []
    try:
        for work in works:
            ours, theirs = context.Pipe()
            process = context.Process(target=_run, args=(work, theirs, [*pipes, ours]), daemon=True)
            process.start()
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        for pipe in pipes:
            pipe.recv()
        yield pipes
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join(10)
            process.kill()


def _run(work: Work, pipe: Connection, others: Sequence[Connection]) -> None:
    for other in others:
        other.close()  # inherited copies would keep the pipes of other forks open
    gc.freeze()  # keep the collector away from what was imported
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        work(pipe)
