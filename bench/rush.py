"""Measures a rush: ten times as many requests as can be served, with and without an edge that refuses.

A front stands for API Gateway: it lets through what its throttle allows (429 for the rest) and hands it to a
free container, a process with one connection that runs the app through its Lambda entry (503 where none is
free, as for a function at its limit). Requests come at their own pace, whether or not others are answered.
"""

import argparse
import contextlib
import gc
import json
import multiprocessing
import os
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection, wait
from statistics import median
from typing import Any

from bench import ground, report
from bench.requests import booking_request, token_of
from chalicelib.wiring import Wiring, using

PATIENCE = 5.0
"""Seconds after which a client has given up, and an answer is worth nothing."""
PLACES = "UPDATE places SET capacity = {capacity}, taken = 0; TRUNCATE bookings, outbox CASCADE"


@dataclass(frozen=True, kw_only=True)
class Scale:
    containers: int
    seconds: float
    runs: int
    people: int
    overload: float = 10.0
    """Times the sustainable rate."""


FULL = Scale(containers=8, seconds=4.0, runs=3, people=150_000)
QUICK = Scale(containers=2, seconds=0.5, runs=1, people=20_000)


@dataclass
class Container:
    line: Connection
    asked_at: float = 0.0
    came_at: float = 0.0


@dataclass
class Outcome:
    """What became of the requests of one run."""

    offered: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    """By status; `late` for what was answered after its client had gone, `none` for what never was."""
    latencies: list[float] = field(default_factory=list)
    """Seconds from the request to the answer, of those that a container answered."""
    seconds: float = 0.0

    @property
    def booked(self) -> float:
        """Places a second that a client was told of in time."""
        return self.answers["201"] / self.seconds

    def percentile(self, percent: float) -> float:
        ranked = sorted(self.latencies)
        return ranked[min(int(len(ranked) * percent / 100), len(ranked) - 1)] if ranked else 0.0

    def as_json(self) -> dict[str, Any]:
        return {
            "offered a second": round(self.offered / self.seconds),
            "booked a second": round(self.booked),
            "answers": dict(self.answers),
            "p50 ms": round(self.percentile(50) * 1000, 1),
            "p99 ms": round(self.percentile(99) * 1000, 1),
        }


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
        self.outcome = Outcome()

    def sustain(self, seconds: float) -> Outcome:
        """Keep all containers busy, with no request more, and see what they can do."""
        end = self._begin() + seconds
        while (now := time.perf_counter()) < end:
            while self._free:
                self._hand_over(now)
            self._take_answers(end)
        return self._end(seconds)

    def flood(self, seconds: float, rate: float, throttle: Throttle | None) -> Outcome:
        """Offer requests at a rate. Without a throttle they queue up for the containers, without end."""
        start = self._begin()
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
        outcome = self._end(seconds)
        outcome.answers["none"] += len(queue)
        return outcome

    def _offer(self, at: float, now: float, queue: deque[float], throttle: Throttle | None) -> None:
        self.outcome.offered += 1
        if throttle is None:
            queue.append(at)
        elif not throttle.admits(now):
            self.outcome.answers["429"] += 1
        elif not self._free:
            self.outcome.answers["503"] += 1
        else:
            self._hand_over(at)

    def _begin(self) -> float:
        self.outcome = Outcome()
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
            status, again_after = line.recv()
            if status in {429, 503} and not again_after:
                raise RuntimeError(f"{status} was answered without Retry-After")
            took = time.perf_counter() - container.came_at
            self.outcome.answers["late" if took > PATIENCE else str(status)] += 1
            self.outcome.latencies.append(took)
            self._free.append(container)

    def _end(self, seconds: float) -> Outcome:
        """Wait for what is under way, which counts: its clients are still there."""
        while self._busy:
            self._take_answers(time.perf_counter() + PATIENCE)
        self.outcome.seconds = seconds
        return self.outcome


@contextlib.contextmanager
def front(url: str, scale: Scale) -> Iterator[Front]:
    """Run containers, forked from this process, in which the app is imported already."""
    from app import app  # noqa: PLC0415 (it would set up the log of whoever imports this)

    context = multiprocessing.get_context("fork")
    lines: list[Connection] = []
    running = []
    try:
        for _ in range(scale.containers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(url, app, theirs, [*lines, ours]), daemon=True)
            process.start()
            theirs.close()
            lines.append(ours)
            running.append(process)
        for line in lines:
            line.recv()
        yield Front([Container(line) for line in lines])
    finally:
        for line in lines:
            line.close()
        for process in running:
            process.join(10)
            if process.is_alive():
                process.kill()


def _serve(url: str, app: Any, line: Connection, others: Sequence[Connection]) -> None:
    for other in others:
        other.close()
    gc.freeze()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the log is written, as in Lambda, and read by nobody
    event_id = ground.event(0)
    with using(Wiring(ground.settings(url))) as wiring, contextlib.suppress(EOFError):
        wiring.database.call("SELECT 1")
        line.send("ready")
        while True:
            token = token_of(wiring.tokens, ground.person(line.recv()))
            answer = app(booking_request(token, event_id), None)
            line.send((answer["statusCode"], answer["headers"].get("Retry-After")))


def prepare(url: str, capacity: int) -> None:
    ground.run(url, PLACES.format(capacity=capacity))
    ground.settle(url)


def check(url: str, outcome: Outcome) -> None:
    """Make sure that nobody was told of a place that is not there, and that none was sold twice."""
    rows, taken, capacity = ground.run(
        url, "SELECT (SELECT count(*) FROM bookings), sum(taken), sum(capacity) FROM places"
    )[0]
    told = outcome.answers["201"]
    if not told <= rows == taken <= capacity:
        raise RuntimeError(f"{told} were told of a place; {rows} bookings, counter {taken} of {capacity}")
    if wrong := set(outcome.answers) - {"201", "409", "429", "503", "late", "none"}:
        raise RuntimeError(f"answers of other kinds: {wrong}")


def measure(url: str, at: Front, scale: Scale) -> dict[str, list[Outcome]]:
    made: dict[str, list[Outcome]] = {name: [] for name in ("sustained", "refusing", "queueing", "sold out")}
    for _ in range(scale.runs):
        prepare(url, 10**9)
        sustained = at.sustain(scale.seconds)
        check(url, sustained)
        rate = sustained.booked * scale.overload
        for name, capacity, throttled in (
            ("refusing", 10**9, True),
            ("queueing", 10**9, False),
            ("sold out", int(sustained.booked * scale.seconds / 4), True),
        ):
            prepare(url, capacity)
            throttle = Throttle(sustained.booked, scale.containers) if throttled else None
            made[name].append(at.flood(scale.seconds, rate, throttle))
            check(url, made[name][-1])
        made["sustained"].append(sustained)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-rush")
    parser.add_argument("--quick", action="store_true", help="only see that it works")
    scale = QUICK if parser.parse_args().quick else FULL
    with ground.server() as server:
        url = ground.peopled(server, "rush", scale.people, 1)
        with front(url, scale) as at:
            made = measure(url, at, scale)
    print(json.dumps(whole(scale, made), indent=1))
    print(table(made))


def whole(scale: Scale, made: dict[str, list[Outcome]]) -> dict[str, Any]:
    outcomes = {name: [one.as_json() for one in runs] for name, runs in made.items()}
    return {"machine": asdict(report.machine()), "scale": asdict(scale), "runs": outcomes}


def table(made: dict[str, list[Outcome]]) -> str:
    """Medians of the runs, with the share of the sustained rate beside each."""
    lines = [
        "| load | booked/s | of sustained | 429 | 503 | 409 | late or never | p50 ms | p99 ms |",
        "|---" * 9 + "|",
    ]
    reference = median(one.booked for one in made["sustained"])
    for name, runs in made.items():
        booked = median(one.booked for one in runs)
        counts = [median(one.answers[status] for one in runs) for status in ("429", "503", "409")]
        lost = median(one.answers["late"] + one.answers["none"] for one in runs)
        times = [median(one.percentile(share) for one in runs) * 1000 for share in (50, 99)]
        cells = [f"{booked:.0f}", f"{booked / reference:.2f}", *(f"{n:.0f}" for n in (*counts, lost))]
        cells += [f"{one:.1f}" for one in times]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
