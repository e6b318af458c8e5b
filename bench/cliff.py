"""Measures what could slow a booking down: a long table, one hot row, an event that is sold out."""

import itertools
from collections.abc import Iterator

from bench import ground
from bench.containers import containers
from bench.figures import Figure, Tally, at_least, at_most, ratios
from bench.scale import Scale
from bench.sql import Pgbench

SPARE_EVENTS = 100


def measure(scale: Scale) -> list[Figure]:
    events = SPARE_EVENTS + scale.runs * scale.cold_events
    with ground.server() as server:
        empty = Pgbench(ground.peopled(server, "empty", scale.people, events), scale)
        full = Pgbench(ground.peopled(server, "full", scale.people, events), scale)
        ground.add_old_bookings(full.url, scale.people, scale.old_bookings)
        # The first events have the old bookings.
        fresh = itertools.count(SPARE_EVENTS // 2)
        cold = itertools.count(SPARE_EVENTS, scale.cold_events)
        hot, long, spread, sold_out = _in_sql(empty, full, fresh, cold)
        booked, refused = _in_the_app(empty, fresh)
    crowd = f"pgbench, {scale.crowd} clients"
    processes = f"app, {scale.processes[1]} processes"
    costs = [100 * (ratio - 1) for ratio in ratios(_rates(hot), _rates(long))]
    return [
        Figure(name=f"{crowd}, one event, no bookings yet", unit="bookings/s", runs=_rates(hot)),
        Figure(
            name=f"{crowd}, one event, {scale.old_bookings} bookings in the table",
            unit="bookings/s",
            runs=_rates(long),
        ),
        Figure(
            name=f"What {scale.old_bookings} bookings in the table cost",
            unit="%",
            runs=tuple(costs),
            target=at_most(10),
        ),
        Figure(name=f"{crowd}, {scale.cold_events} events", unit="bookings/s", runs=_rates(spread)),
        Figure(
            name=f"One hot event to {scale.cold_events} events",
            unit="%",
            runs=tuple(100 * ratio for ratio in ratios(_rates(hot), _rates(spread))),
            target=at_least(85),
        ),
        Figure(name=f"{crowd}, sold out", unit="answers/s", runs=_rates(sold_out)),
        Figure(
            name="A refusal as sold out to a booking, in SQL",
            unit="times",
            runs=ratios(_rates(sold_out), _rates(hot)),
            target=at_least(3),
        ),
        Figure(
            name=f"A refusal as sold out to a booking, {processes}",
            unit="times",
            runs=ratios(_rates(refused), _rates(booked)),
        ),
    ]


def _rates(tallies: list[Tally]) -> tuple[float, ...]:
    return tuple(tally.rate for tally in tallies)


def _in_sql(
    empty: Pgbench, full: Pgbench, fresh: Iterator[int], cold: Iterator[int]
) -> tuple[list[Tally], list[Tally], list[Tally], list[Tally]]:
    crowd, events = empty.scale.crowd, empty.scale.cold_events
    hot: list[Tally] = []
    long: list[Tally] = []
    spread: list[Tally] = []
    sold_out: list[Tally] = []
    for _ in range(empty.scale.runs):
        ground.forget_bookings(empty.url)
        hot.append(empty.book(next(fresh), crowd))
        long.append(full.book(next(fresh), crowd))
        ground.forget_bookings(empty.url)
        spread.append(empty.book(next(cold), crowd, events))
        sold_out.append(empty.book(_sell_out(empty.url, next(fresh)), crowd, sold_out=True))
    return hot, long, spread, sold_out


def _in_the_app(empty: Pgbench, fresh: Iterator[int]) -> tuple[list[Tally], list[Tally]]:
    some = empty.scale.processes[1]
    booked: list[Tally] = []
    refused: list[Tally] = []
    with containers(empty.url, empty.scale, some) as crowd:
        for _ in range(empty.scale.runs):
            ground.forget_bookings(empty.url)
            booked.append(crowd.book("app", next(fresh), some))
            sold_out = _sell_out(empty.url, next(fresh))
            refused.append(crowd.book("app", sold_out, some, sold_out=True))
    return booked, refused


def _sell_out(url: str, event: int) -> int:
    ground.run(url, f"UPDATE places SET taken = capacity WHERE event_id = '{ground.event(event)}'")  # noqa: S608
    return event
