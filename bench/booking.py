"""Measures bookings of one event by the app, against pgbench and against five separate statements."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from bench import database, five_steps
from bench.containers import Containers, containers, handlers
from bench.figures import Figure, Tally, median_seconds, percentiles, rates, ratios
from bench.pgbench import Pgbench, RecordingDatabase
from bench.requests import REQUEST_ID, booking_request, token_of
from bench.scale import Scale
from chalicelib.platform.database.engine import Database
from chalicelib.platform.http import request_log
from chalicelib.wiring import Wiring, using
from infra.local.postgres import Postgres
from tests.round_trips import count_round_trips

EVENTS = 200
FAST, SLOW = "fast storage", "flushes 2 ms slower"

Tallies = dict[tuple[str, int], list[Tally]]
"""The runs by way to book and number of clients."""


def measure(scale: Scale) -> list[Figure]:
    with database.server() as server:
        url = database.populate(server, "booking", scale.people, EVENTS)
        trips = [_round_trips(way, url) for way in ("app", "five steps")]
        parts = _parts(url, scale)
        events = itertools.count(1)
        with containers(url, scale, max(scale.clients)) as crowd:
            fast = _run_all(server, Pgbench(url, scale), crowd, events)
            with database.slow_flushes(url) as commit_seconds:
                slow = _run_all(server, Pgbench(url, scale), crowd, events)
    return [
        *trips,
        *_rates(FAST, fast, scale, least_to_five_steps=8),
        *_costs(fast, scale),
        *parts,
        Figure(f"plain commit, {SLOW}", "ms", [commit_seconds], least=2),
        *_rates(SLOW, slow, scale, least_to_five_steps=12),
    ]


def _run_all(server: Postgres, pgbench: Pgbench, crowd: Containers, events: Iterator[int]) -> Tallies:
    """Measure all ways in turn, so that what is compared was measured side by side.

    Each run books a new event, so that it finds no row versions of another run.
    """
    ways: dict[str, Callable[[int, int], Tally]] = {
        "pgbench": pgbench.book,
        "app": partial(crowd.book, "app"),
        "five steps": partial(crowd.book, "five steps"),
    }
    tallies: Tallies = defaultdict(list)
    for _, clients, way in itertools.product(range(pgbench.scale.runs), pgbench.scale.clients, ways):
        if way == "five steps" and clients > pgbench.scale.some:
            continue
        database.clear_bookings(pgbench.url)
        before = database.cpu_seconds(server)
        tally = ways[way](next(events), clients)
        used = database.cpu_seconds(server) - before
        tallies[way, clients].append(replace(tally, database_cpu=used / max(1, tally.calls)))
    return tallies


def _rates(storage: str, tallies: Tallies, scale: Scale, *, least_to_five_steps: float) -> list[Figure]:
    some, most = scale.some, max(scale.clients)
    rate = {key: rates(runs) for key, runs in tallies.items()}
    compared = (
        (("app", some), ("five steps", some), "times", least_to_five_steps),
        (("app", some), ("pgbench", some), "%", 50),
        (("app", most), ("app", some), "%", 60),
    )
    return [
        *(Figure(f"{_name(key)}, {storage}", "bookings/s", runs) for key, runs in rate.items()),
        *(
            Figure(f"{_name(of)}, to {_name(to)}, {storage}", unit, ratios(rate[of], rate[to]), least=least)
            for of, to, unit, least in compared
        ),
    ]


def _costs(tallies: Tallies, scale: Scale) -> list[Figure]:
    """Latency of a booking, and its CPU in client and database."""
    pgbench, app = percentiles(tallies["pgbench", 1], 50), percentiles(tallies["app", 1], 50)
    many = ("pgbench", scale.clients[-2])
    tail = ratios(percentiles(tallies[many], 99), percentiles(tallies[many], 50))
    client = {
        key: [tally.client_cpu for tally in runs] for key, runs in tallies.items() if key[0] != "pgbench"
    }
    server = {key: [tally.database_cpu for tally in runs] for key, runs in tallies.items()}
    most = {("app", 1): 400}
    return [
        Figure("latency, pgbench, 1 client", "µs", pgbench),
        Figure("latency, app, 1 client", "µs", app),
        Figure("latency, app to pgbench, 1 client", "times", ratios(app, pgbench), most=2.2),
        Figure(f"latency, p99 to p50, {_name(many)}", "times", tail, most=3.5),
        *(
            Figure(f"client CPU per booking, {_name(key)}", "µs", runs, most=most.get(key))
            for key, runs in client.items()
        ),
        *(Figure(f"database CPU per booking, {_name(key)}", "µs", runs) for key, runs in server.items()),
    ]


def _name(key: tuple[str, int]) -> str:
    way, clients = key
    return f"{way}, {clients} client{'s' if clients > 1 else ''}"


def _round_trips(way: str, url: str) -> Figure:
    """Count the round trips of a booking to the database."""
    database.clear_bookings(url)
    handle, turns = handlers()[way], []
    with (
        count_round_trips(url) as (counter, counted_url),
        five_steps.connected(counted_url),
        using(Wiring(database.settings(counted_url))) as wiring,
    ):
        for number in range(2):  # the first booking connects
            token = token_of(wiring.tokens, database.person_id(number))
            assert handle(booking_request(token, database.event_id(0)), None)["statusCode"] == 201
            turns.append(counter.round_trips)
    most = 2 if way == "app" else None
    return Figure(f"round trips of a booking, {way}", "", [turns[1] - turns[0]], most=most)


def _parts(url: str, scale: Scale) -> list[Figure]:
    """Time the parts of a booking by the app one by one, in this process."""
    app, user_id = handlers()["app"], database.person_id(0)

    def log() -> None:
        request_log.write(
            method="POST",
            route="/bookings",
            status=201,
            milliseconds=1.2,
            user_id=user_id,
            request_id=REQUEST_ID,
            metrics={},
        )

    seconds: dict[str, list[float]] = defaultdict(list)
    with using(Wiring(database.settings(url))) as wiring:
        token = token_of(wiring.tokens, user_id)
        request = booking_request(token, database.event_id(0))
        real, fake = wiring.database, RecordingDatabase()
        parts: tuple[tuple[str, Database, Callable[[], object]], ...] = (
            ("the app without database", fake, lambda: app(request, None)),
            ("the app without database, reading the token", fake, lambda: wiring.tokens.read(token)),
            ("the app without database, log line", fake, log),
            ("SELECT 1 by the app", real, lambda: real.call("SELECT 1, 2")),
        )
        for _, (name, connected, work) in itertools.product(range(scale.runs), parts):
            wiring.database = connected
            work()  # not counted: it may connect, or fill a cache
            seconds[name].append(median_seconds(work, scale.requests * 5))
        wiring.database = real
    return [Figure(f"part of a booking: {name}", "µs", runs) for name, runs in seconds.items()]
