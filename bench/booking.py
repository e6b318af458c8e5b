"""Measures bookings of one event by the app, against pgbench and against five separate steps."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from bench import database, five_steps
from bench.containers import Containers, containers, handlers
from bench.figures import Figure, Tally, median_seconds, percentiles, rates, ratios
from bench.pgbench import Pgbench, RecordingDatabase, call_text
from bench.requests import REQUEST_ID, booking_request, token_of
from bench.scale import Scale
from chalicelib.platform.database.engine import Database
from chalicelib.platform.http import request_log
from chalicelib.wiring import Wiring, using
from infra.local.postgres import Postgres
from tests.round_trips import count_round_trips

EVENTS = 400
WITH_TWO_TYPES = 200
ORDERS = (1, 4)
"""Tickets of an order: of the event's only type, or half of them of each of two types."""
FAST, SLOW = "fast storage", "flushes 2 ms slower"

Tallies = dict[tuple[str, int], list[Tally]]
"""The runs by way to book and number of clients."""


def measure(scale: Scale) -> list[Figure]:
    with database.server() as server:
        url = database.populate(server, "booking", scale.people, EVENTS, with_two_types=WITH_TWO_TYPES)
        firsts = [_round_trips(way, url, tickets) for way in ("app", "five steps") for tickets in ORDERS]
        parts = [*_parts(url, scale), *_database_parts(server, Pgbench(url, scale))]
        events = {1: itertools.count(1), 4: itertools.count(EVENTS - WITH_TWO_TYPES + 1)}
        with containers(url, scale, max(scale.clients)) as crowd:
            fast = _run_all(server, Pgbench(url, scale), crowd, events)
            with database.slow_flushes(url) as commit_seconds:
                slow = _run_all(server, Pgbench(url, scale), crowd, events)
    figures = [*firsts, *parts, Figure(f"plain commit, {SLOW}", "ms", [commit_seconds], least=2)]
    for tickets in ORDERS:
        figures += _rates(FAST, tickets, fast[tickets], scale, least_to_five_steps=8)
        figures += _costs(tickets, fast[tickets], scale)
        figures += _rates(SLOW, tickets, slow[tickets], scale, least_to_five_steps=12)
    return figures


def _run_all(
    server: Postgres, pgbench: Pgbench, crowd: Containers, events: Mapping[int, Iterator[int]]
) -> dict[int, Tallies]:
    """Measure all orders and ways in turn, so that what is compared was measured side by side.

    Each run books a new event, so that it finds no row versions of another run.
    """
    ways: dict[str, Callable[..., Tally]] = {
        "pgbench": pgbench.book,
        "app": partial(crowd.book, "app"),
        "five steps": partial(crowd.book, "five steps"),
    }
    tallies: dict[int, Tallies] = {tickets: defaultdict(list) for tickets in ORDERS}
    scale = pgbench.scale
    for _, clients, tickets, way in itertools.product(range(scale.runs), scale.clients, ORDERS, ways):
        if way == "five steps" and clients > scale.some:
            continue
        database.clear_bookings(pgbench.url)
        work = partial(ways[way], next(events[tickets]), clients, tickets=tickets)
        tallies[tickets][way, clients].append(with_database_cpu(server, work))
    return tallies


def with_database_cpu(server: Postgres, work: Callable[[], Tally]) -> Tally:
    before = database.cpu_seconds(server)
    tally = work()
    used = database.cpu_seconds(server) - before
    return replace(tally, database_cpu=used / max(1, tally.calls))


def _database_parts(server: Postgres, pgbench: Pgbench) -> list[Figure]:
    """Measure the database's CPU for parts of a booking: a call, and the reads, as a quote makes them."""
    calls = {"SELECT 1": (1, "SELECT 1")}
    calls |= {f"quote, order of {tickets}": (tickets, call_text(tickets, quote=True)) for tickets in ORDERS}
    tallies: dict[str, list[Tally]] = defaultdict(list)
    for _, (name, (tickets, sql)) in itertools.product(range(pgbench.scale.runs), calls.items()):
        event = 0 if tickets == 1 else EVENTS - WITH_TWO_TYPES
        work = partial(pgbench.call, sql, event, pgbench.scale.some)
        tallies[name].append(with_database_cpu(server, work))
    return [
        Figure(f"database CPU: {name}", "µs", [tally.database_cpu for tally in runs])
        for name, runs in tallies.items()
    ]


def _rates(
    storage: str, tickets: int, tallies: Tallies, scale: Scale, *, least_to_five_steps: float
) -> list[Figure]:
    some, most, order = scale.some, max(scale.clients), f"order of {tickets}"
    rate = {key: rates(runs) for key, runs in tallies.items()}
    compared = (
        (("app", some), ("five steps", some), "times", least_to_five_steps),
        (("app", some), ("pgbench", some), "%", 50),
        (("app", most), ("app", some), "%", 60),
    )
    return [
        *(Figure(f"{order}: {_name(key)}, {storage}", "bookings/s", runs) for key, runs in rate.items()),
        *(
            Figure(
                f"{order}: {_name(of)}, to {_name(to)}, {storage}",
                unit,
                ratios(rate[of], rate[to]),
                least=least,
            )
            for of, to, unit, least in compared
        ),
    ]


def _costs(tickets: int, tallies: Tallies, scale: Scale) -> list[Figure]:
    """Latency of a booking, and its CPU in client and database."""
    pgbench, app = percentiles(tallies["pgbench", 1], 50), percentiles(tallies["app", 1], 50)
    many = ("pgbench", scale.clients[-2])
    tail = ratios(percentiles(tallies[many], 99), percentiles(tallies[many], 50))
    client = {
        key: [tally.client_cpu for tally in runs] for key, runs in tallies.items() if key[0] != "pgbench"
    }
    server = {key: [tally.database_cpu for tally in runs] for key, runs in tallies.items()}
    most = {("app", 1): 400}
    order = f"order of {tickets}"
    return [
        Figure(f"{order}: latency, pgbench, 1 client", "µs", pgbench),
        Figure(f"{order}: latency, app, 1 client", "µs", app),
        Figure(f"{order}: latency, app to pgbench, 1 client", "times", ratios(app, pgbench), most=2.2),
        Figure(f"{order}: latency, p99 to p50, {_name(many)}", "times", tail, most=3.5),
        *(
            Figure(f"{order}: client CPU, {_name(key)}", "µs", runs, most=most.get(key))
            for key, runs in client.items()
        ),
        *(Figure(f"{order}: database CPU, {_name(key)}", "µs", runs) for key, runs in server.items()),
    ]


def _name(key: tuple[str, int]) -> str:
    way, clients = key
    return f"{way}, {clients} client{'s' if clients > 1 else ''}"


def _round_trips(way: str, url: str, tickets: int) -> Figure:
    """Count the round trips of a booking to the database."""
    database.clear_bookings(url)
    handle, turns = handlers()[way], []
    event_id = database.event_id(0 if tickets == 1 else EVENTS - WITH_TWO_TYPES)
    with (
        count_round_trips(url) as (counter, counted_url),
        five_steps.connected(counted_url),
        using(Wiring(database.settings(counted_url))) as wiring,
    ):
        for number in range(2):  # the first booking connects
            token = token_of(wiring.tokens, database.person_id(number))
            assert handle(booking_request(token, event_id, tickets), None)["statusCode"] == 201
            turns.append(counter.round_trips)
    most = 1 if way == "app" else None
    return Figure(f"order of {tickets}: round trips, {way}", "", [turns[1] - turns[0]], most=most)


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
