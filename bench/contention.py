"""Measures bookings with a long table, with one event against many, and of a sold-out event."""

import itertools
from collections import defaultdict

from bench import database
from bench.containers import containers
from bench.figures import Figure, Tally, rates, ratios
from bench.pgbench import Pgbench
from bench.scale import Scale

FIRST_FREE = 50
"""The events before it may have old bookings."""
FIRST_SPREAD = 100


def measure(scale: Scale) -> list[Figure]:
    many = scale.rows // 1000
    fresh, spread = itertools.count(FIRST_FREE), itertools.count(FIRST_SPREAD, many)
    clients, some = scale.clients[-2], scale.some
    tallies: dict[str, list[Tally]] = defaultdict(list)
    with database.server() as server:
        events = FIRST_SPREAD + scale.runs * many
        empty = Pgbench(database.populate(server, "empty", scale.people, events), scale)
        full = Pgbench(database.populate(server, "full", scale.people, events), scale)
        people = scale.people
        database.add_bookings(full.url, scale.rows, f"n % {people}", f"n / {people}", "'confirmed'")
        with containers(empty.url, scale, some) as app:
            for _ in range(scale.runs):
                database.clear_bookings(empty.url)
                tallies["hot"].append(empty.book(next(fresh), clients))
                tallies["long"].append(full.book(next(fresh), clients))
                database.clear_bookings(empty.url)
                tallies["spread"].append(empty.book(next(spread), clients, many))
                tallies["app"].append(app.book("app", next(fresh), some))
                sold_out = next(fresh)
                database.sell_out(empty.url, sold_out)
                tallies["refused"].append(empty.book(sold_out, clients, sold_out=True))
                tallies["app refused"].append(app.book("app", sold_out, some, sold_out=True))
    rate = {name: rates(runs) for name, runs in tallies.items()}
    pgbench, app_name = f"pgbench, {clients} clients", f"app, {some} clients"
    return [
        Figure(f"one event, empty table, {pgbench}", "bookings/s", rate["hot"]),
        Figure(f"one event, {scale.rows} old bookings, {pgbench}", "bookings/s", rate["long"]),
        Figure("old bookings to empty table", "%", ratios(rate["long"], rate["hot"]), least=90),
        Figure(f"{many} events, {pgbench}", "bookings/s", rate["spread"]),
        Figure(f"one event to {many} events", "%", ratios(rate["hot"], rate["spread"]), least=85),
        Figure(f"sold out, {pgbench}", "responses/s", rate["refused"]),
        Figure("sold out to booking, pgbench", "times", ratios(rate["refused"], rate["hot"]), least=3),
        Figure(f"sold out, {app_name}", "responses/s", rate["app refused"]),
        Figure(f"sold out to booking, {app_name}", "times", ratios(rate["app refused"], rate["app"])),
    ]
