"""Measures a rush: ten times as many requests as can be served, with an edge that refuses, and without."""

import argparse
import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench import ground, report
from bench.edge import LATE, WAITING, Front, Outcome, Throttle, front
from bench.figures import ratios
from bench.report import Machine
from infra.local.postgres import Postgres

PLENTY = 10**9
"""Places that nobody gets to the end of."""
PLACES = "UPDATE places SET capacity = {capacity}, taken = 0; TRUNCATE bookings, outbox CASCADE"
IN_TIME = {"201", "409 sold-out", "429", "503", "503 unavailable"}
"""What may be answered where the edge refuses."""

SUSTAINED = "sustained"
REFUSING = "10 x, refusing"
SOLD_OUT = "10 x, refusing, sold out"
QUEUEING = "10 x, queueing"


@dataclass(frozen=True, kw_only=True)
class Scale:
    containers: int
    """As many as run at once, at most."""
    seconds: float
    """Of one run under one load."""
    runs: int
    people: int
    overload: float = 10.0
    """Times the sustained rate."""


FULL = Scale(containers=8, seconds=3.0, runs=3, people=150_000)
QUICK = Scale(containers=2, seconds=0.5, runs=1, people=20_000)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one booking costs, on average."""

    container_ms: float
    """Of a processor, in the function."""
    database_ms: float | None
    """Of a processor, in all processes of PostgreSQL; not known where there is no /proc."""
    wal_bytes: float


@dataclass(frozen=True)
class Result:
    machine: Machine
    scale: Scale
    runs: dict[str, list[Outcome]]
    """By load; the n-th of each is of the same n-th round."""
    costs: list[Cost]
    """Of the sustained load, by round."""


class Meter:
    """Reads what PostgreSQL has used."""

    def __init__(self, server: Postgres, url: str) -> None:
        self._server = server
        self._url = url
        self._cpu, self._wal = self._read()

    def cost(self, outcome: Outcome) -> Cost:
        """Divide what was used since this meter was made by the bookings of a run."""
        cpu, wal = self._read()
        booked = len(outcome.bookings)
        used = None if cpu is None or self._cpu is None else (cpu - self._cpu) / booked * 1e3
        return Cost(
            container_ms=outcome.cpu / booked * 1e3,
            database_ms=used,
            wal_bytes=(wal - self._wal) / booked,
        )

    def _read(self) -> tuple[float | None, float]:
        wal = ground.value(self._url, "SELECT pg_current_wal_insert_lsn() - '0/0'")
        return _processor_time(self._server.process.pid), float(wal)


def _processor_time(server: int) -> float | None:
    """Seconds that a server's processes have used, those that have ended too."""
    listed = Path(f"/proc/{server}/task/{server}/children")
    if not listed.exists():
        return None
    ticks = sum(_ticks(server))
    for process in listed.read_text().split():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended, be it while read
            ticks += sum(_ticks(process)[:2])
    return ticks / os.sysconf("SC_CLK_TCK")


def _ticks(process: str | int) -> list[int]:
    """User and system time of a process, and of its children that have ended: see proc_pid_stat(5)."""
    after_name = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()
    return [int(field) for field in after_name[11:15]]


def measure(scale: Scale) -> Result:
    machine = report.machine()
    runs: dict[str, list[Outcome]] = {name: [] for name in (SUSTAINED, REFUSING, SOLD_OUT, QUEUEING)}
    costs = []
    with ground.server() as server:
        url = ground.peopled(server, "rush", scale.people, 1)
        with front(url, scale.containers) as at:
            for _ in range(scale.runs):
                _prepare(url, PLENTY)
                meter = Meter(server, url)
                sustained = at.sustain(scale.seconds)
                costs.append(meter.cost(sustained))
                check(url, sustained, SUSTAINED)
                runs[SUSTAINED].append(sustained)
                for load in (REFUSING, SOLD_OUT, QUEUEING):
                    runs[load].append(_flood(url, at, scale, load, sustained.booked))
    return Result(machine, scale, runs, costs)


def _flood(url: str, at: Front, scale: Scale, load: str, sustained: float) -> Outcome:
    places = int(sustained * scale.seconds / 4) if load == SOLD_OUT else PLENTY
    throttle = None if load == QUEUEING else Throttle(sustained, burst=scale.containers)
    _prepare(url, places)
    outcome = at.flood(scale.seconds, sustained * scale.overload, throttle)
    check(url, outcome, load)
    return outcome


def _prepare(url: str, capacity: int) -> None:
    ground.run(url, PLACES.format(capacity=capacity))
    ground.settle(url)


def check(url: str, outcome: Outcome, load: str) -> None:
    """Make sure that what was answered is so: each place told of is there once, and no other is.

    Raises:
        RuntimeError: It is not so, or an answer is of another kind.
    """
    rows = {str(row[0]) for row in ground.run(url, "SELECT booking_id FROM bookings")}
    [[people, taken, capacity]] = ground.run(
        url, "SELECT (SELECT count(DISTINCT user_id) FROM bookings), sum(taken), sum(capacity) FROM places"
    )
    if not (len(rows) == people == taken <= capacity):
        raise RuntimeError(f"{len(rows)} bookings of {people} people, counter {taken} of {capacity}")
    if len(outcome.bookings) != len(rows) or set(outcome.bookings) != rows:
        raise RuntimeError(f"{len(outcome.bookings)} were told of a place, {len(rows)} have one")
    if "409 sold-out" in outcome.responses and taken < capacity:
        raise RuntimeError(f"sold out was answered at {taken} of {capacity}")
    allowed = {"201", LATE, WAITING} if load == QUEUEING else IN_TIME
    if others := {kind for kind, count in outcome.responses.items() if count} - allowed:
        raise RuntimeError(f"answers of other kinds: {sorted(others)}")


def as_json(result: Result) -> dict[str, Any]:
    return {
        "machine": asdict(result.machine),
        "scale": asdict(result.scale),
        "cost of a booking": [asdict(cost) for cost in result.costs],
        "runs": {name: [_figures(one) for one in runs] for name, runs in result.runs.items()},
    }


def _figures(outcome: Outcome) -> dict[str, Any]:
    return {
        "offered a second": round(outcome.offered / outcome.seconds),
        "booked a second": round(outcome.booked),
        "answers": {kind: count for kind, count in outcome.responses.items() if count},
        "p50 ms": round(outcome.percentile(50) * 1000, 1),
        "p99 ms": round(outcome.percentile(99) * 1000, 1),
    }


def table(result: Result) -> str:
    """Medians of the runs, with lowest and highest; shares are of the sustained rate of the same round."""
    lines = [
        report.table(result.machine, [], quick=result.scale == QUICK),
        "| load | booked/s | of sustained | 409 | 429 | 503 | 504 | in line at the end | p50 ms | p99 ms |",
        "|---|" + "---:|" * 9,
    ]
    sustained = [one.booked for one in result.runs[SUSTAINED]]
    for name, runs in result.runs.items():
        booked = [one.booked for one in runs]
        cells = [_spread(booked, 0), _spread(ratios(booked, sustained), 2)]
        cells += [_spread(_count(runs, kind), 0) for kind in ("409", "429", "503", LATE, WAITING)]
        cells += [_spread([one.percentile(share) * 1000 for one in runs], 1) for share in (50, 99)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", f"A booking costs {_costs(result.costs)}."]
    return "\n".join(lines)


def _count(runs: Sequence[Outcome], status: str) -> list[int]:
    """Answers of a status, whichever problem it is."""
    return [sum(n for kind, n in one.responses.items() if kind.split(" ")[0] == status) for one in runs]


def _spread(values: Sequence[float], digits: int) -> str:
    low, middle, high = (f"{value:.{digits}f}" for value in (min(values), median(values), max(values)))
    return middle if low == high else f"{middle} ({low} … {high})"


def _costs(costs: Sequence[Cost]) -> str:
    parts = [f"{_spread([cost.container_ms for cost in costs], 2)} ms of a processor in the function"]
    if used := [cost.database_ms for cost in costs if cost.database_ms is not None]:
        parts.append(f"{_spread(used, 2)} ms in the database")
    parts.append(f"{_spread([cost.wal_bytes for cost in costs], 0)} bytes of log")
    return ", ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-rush", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a little of each load: does it work?")
    result = measure(QUICK if parser.parse_args().quick else FULL)
    print(json.dumps(as_json(result), indent=1))
    print(table(result))


if __name__ == "__main__":
    main()
