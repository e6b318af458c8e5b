"""Measures a hot event: the app against what PostgreSQL can do, and against the usual way."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bench import ground, slow_line
from bench.containers import Containers, Handler, containers
from bench.figures import Figure, Point, Tally, at_least, at_most, ratios
from bench.requests import booking_request, token_of
from bench.scale import Scale
from bench.sql import Pgbench
from chalicelib.wiring import Wiring, using
from tests.relay import relay_to

EVENTS = 600
FAST, SLOW, FAR = "fast storage", "each flush 2 ms slower", "each round trip 0.5 ms longer"


@dataclass
class Runs:
    """What was measured on one kind of storage, by who booked and with how many clients."""

    tallies: dict[tuple[str, int], list[Tally]] = field(default_factory=dict)

    def add(self, who: str, clients: int, tally: Tally) -> None:
        self.tallies.setdefault((who, clients), []).append(tally)

    def rates(self, who: str, clients: int) -> tuple[float, ...]:
        return tuple(tally.rate for tally in self.tallies[who, clients])

    def latencies(self, who: str, clients: int, percent: float) -> tuple[float, ...]:
        return tuple(tally.percentile(percent) for tally in self.tallies[who, clients])

    def cpu(self, who: str, clients: int) -> tuple[float, ...]:
        return tuple(tally.cpu / len(tally.latencies) for tally in self.tallies[who, clients])


def measure(scale: Scale) -> list[Figure]:
    with ground.server() as server:
        url = ground.peopled(server, "hot", scale.people, EVENTS)
        trips = [*_trips("app", url), *_trips("five steps", url)]
        events = itertools.count(1)
        with containers(url, scale, scale.most_processes) as crowd:
            pgbench = Pgbench(url, scale)
            fast = _all(pgbench, crowd, scale, events)
            with ground.slow_flushes(url) as commit:
                slow = _all(pgbench, crowd, scale, events)
        far, trip_times = _far(url, scale, events)
    return [
        *trips,
        *_rates(FAST, fast),
        *_compared(FAST, fast, scale, five_times=8),
        *_one_process(fast),
        _no_cliff(FAST, fast, scale),
        _no_tail(fast, scale),
        Figure(name=f"A plain commit, {SLOW}", unit="ms", runs=(commit * 1e3,), target=at_least(2)),
        *_rates(SLOW, slow),
        *_compared(SLOW, slow, scale, five_times=12),
        _no_cliff(SLOW, slow, scale),
        Figure(name="A round trip by the slow line", unit="ms", runs=trip_times),
        *_rates(FAR, far),
        _times_five(FAR, far, scale.processes[1]),
    ]


def _all(pgbench: Pgbench, crowd: Containers, scale: Scale, events: Iterator[int]) -> Runs:
    """Run everything in turn, again and again, so that what is compared was measured side by side."""
    runs = Runs()
    one, some, _ = scale.processes
    for _ in range(scale.runs):
        for clients in scale.clients:
            ground.forget_bookings(pgbench.url)
            runs.add("pgbench", clients, pgbench.book(next(events), clients))
        for processes in scale.processes:
            ground.forget_bookings(pgbench.url)
            runs.add("app", processes, crowd.book("app", next(events), processes))
        for way, processes in (("call alone", some), ("five steps", one), ("five steps", some)):
            ground.forget_bookings(pgbench.url)
            runs.add(way, processes, crowd.book(way, next(events), processes))
    return runs


def _far(url: str, scale: Scale, events: Iterator[int]) -> tuple[Runs, tuple[float, ...]]:
    runs, times = Runs(), []
    some = scale.processes[1]
    with slow_line.to(url) as slow_url, containers(slow_url, scale, some) as crowd:
        for _ in range(scale.runs):
            times.append(slow_line.trip_time(slow_url) * 1e3)
            for way in ("app", "five steps"):
                ground.forget_bookings(url)
                runs.add(way, some, crowd.book(way, next(events), some))
    return runs, tuple(times)


def _rates(storage: str, runs: Runs) -> list[Figure]:
    return [
        Figure(
            name=f"{who}, {_clients(who, clients)}, {storage}",
            unit="bookings/s",
            runs=runs.rates(who, clients),
            point=None if who == "call alone" else Point(panel=storage, line=who, clients=clients),
        )
        for who, clients in runs.tallies
    ]


def _clients(who: str, clients: int) -> str:
    kind = "client" if who == "pgbench" else "process"
    plural = {"client": "clients", "process": "processes"}[kind]
    return f"{clients} {kind if clients == 1 else plural}"


def _compared(storage: str, runs: Runs, scale: Scale, *, five_times: float) -> list[Figure]:
    some = scale.processes[1]
    limit = ratios(runs.rates("app", some), runs.rates("pgbench", some))
    return [
        _times_five(storage, runs, some, five_times),
        Figure(
            name=f"app to pgbench, {some} each, {storage}",
            unit="%",
            runs=tuple(100 * ratio for ratio in limit),
            target=at_least(50),
        ),
        *_bounds(storage, runs, some),
    ]


def _bounds(storage: str, runs: Runs, processes: int) -> list[Figure]:
    """What the two ratios would be if all but the call took no time."""
    alone = runs.rates("call alone", processes)
    limit = ratios(alone, runs.rates("pgbench", processes))
    return [
        Figure(
            name=f"call alone to five steps, {processes} processes, {storage}",
            unit="times",
            runs=ratios(alone, runs.rates("five steps", processes)),
        ),
        Figure(
            name=f"call alone to pgbench, {processes} each, {storage}",
            unit="%",
            runs=tuple(100 * ratio for ratio in limit),
        ),
    ]


def _times_five(storage: str, runs: Runs, processes: int, bound: float | None = None) -> Figure:
    return Figure(
        name=f"app to five steps, {processes} processes, {storage}",
        unit="times",
        runs=ratios(runs.rates("app", processes), runs.rates("five steps", processes)),
        target=None if bound is None else at_least(bound),
    )


def _one_process(runs: Runs) -> list[Figure]:
    latency, limit = runs.latencies("app", 1, 50), runs.latencies("pgbench", 1, 50)
    return [
        Figure(name="latency of a booking, pgbench, 1 client", unit="µs", runs=_micro(limit)),
        Figure(name="latency of a booking, app, 1 process", unit="µs", runs=_micro(latency)),
        Figure(
            name="latency of a booking, app to pgbench, 1 each",
            unit="times",
            runs=ratios(latency, limit),
            target=at_most(2.2),
        ),
        Figure(
            name="CPU of the client for a booking, app, 1 process",
            unit="µs",
            runs=_micro(runs.cpu("app", 1)),
            target=at_most(400),
        ),
        Figure(
            name="CPU of the client for a booking, five steps, 1 process",
            unit="µs",
            runs=_micro(runs.cpu("five steps", 1)),
        ),
    ]


def _micro(seconds: Sequence[float]) -> tuple[float, ...]:
    return tuple(each * 1e6 for each in seconds)


def _no_cliff(storage: str, runs: Runs, scale: Scale) -> Figure:
    _, some, most = scale.processes
    kept = ratios(runs.rates("app", most), runs.rates("app", some))
    return Figure(
        name=f"app, {most} processes to {some}, {storage}",
        unit="%",
        runs=tuple(100 * ratio for ratio in kept),
        target=at_least(60),
    )


def _no_tail(runs: Runs, scale: Scale) -> Figure:
    crowd = scale.crowd
    return Figure(
        name=f"p99 to p50 of a booking, pgbench, {crowd} clients",
        unit="times",
        runs=ratios(runs.latencies("pgbench", crowd, 99), runs.latencies("pgbench", crowd, 50)),
        target=at_most(3.5),
    )


def _trips(way: str, url: str) -> list[Figure]:
    """Count how often a booking waits for the database."""
    from app import app  # noqa: PLC0415 (it would set up the log of whoever imports this)
    from bench import five_steps  # noqa: PLC0415

    handlers: Mapping[str, Handler] = {"app": app, "five steps": five_steps.app}
    with (
        relay_to(url) as (relay, relayed_url),
        five_steps.connected(relayed_url),
        using(Wiring(ground.settings(relayed_url))) as wiring,
    ):
        turns = []
        for number in range(2):  # the first connects
            request = booking_request(token_of(wiring.tokens, ground.person(number)), ground.event(0))
            answer = handlers[way](request, None)
            assert answer["statusCode"] == 201
            turns.append(relay.turns)
    ground.forget_bookings(url)
    target = at_most(2) if way == "app" else None
    return [
        Figure(name=f"round trips of a booking, {way}", unit="", runs=(turns[1] - turns[0],), target=target)
    ]
