"""Measures ten times more bookings than can be served, with a gateway that refuses them and with a queue."""

import time
from collections import defaultdict

from bench import database
from bench.figures import Figure, percentile, ratios
from bench.gateway_sim import LATE, QUEUED, Gateway, Outcome, TokenBucket, gateway
from bench.scale import Scale

OVERLOAD = 10.0
"""Times the sustained rate."""
UNLIMITED = 10**9
"""Places of an event that does not sell out."""
RESPONSES = {"201", "409 sold-out", "429", "503", "503 unavailable", LATE, QUEUED}
"""What may be answered. A late response (504) is no error: it depends on the machine."""

SUSTAINED = "sustained"
SHEDDING = "10 x, shedding"
SOLD_OUT = "10 x, shedding, sold out"
QUEUEING = "10 x, queueing"

_RESET = "UPDATE places SET capacity = {capacity}, taken = 0; TRUNCATE bookings, outbox CASCADE"


def measure(scale: Scale) -> list[Figure]:
    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    with database.server() as server:
        url = database.populate(server, "load_shedding", scale.people, 1)
        with gateway(url, scale.some) as simulated:
            for _ in range(scale.runs):
                sustained = _run(url, simulated, SUSTAINED, scale)
                outcomes[SUSTAINED].append(sustained)
                for load in (SHEDDING, SOLD_OUT, QUEUEING):
                    outcomes[load].append(_run(url, simulated, load, scale, sustained.rate))
    rates = {load: [one.rate for one in runs] for load, runs in outcomes.items()}
    return [
        figure
        for load in outcomes
        for figure in _figures(load, outcomes[load], rates[load], rates[SUSTAINED])
    ]


def _run(url: str, simulated: Gateway, load: str, scale: Scale, sustained: float = 0.0) -> Outcome:
    """Offer one load for one run, and check the outcome. `sustained` is a rate."""
    sold_out_after = max(1, int(sustained * scale.seconds / 4))
    database.fill(url, _RESET, capacity=sold_out_after if load == SOLD_OUT else UNLIMITED)
    if load == SUSTAINED:
        outcome = simulated.run(scale.seconds)
    else:
        throttle = TokenBucket(sustained, burst=scale.some, now=time.perf_counter())
        outcome = simulated.run(scale.seconds, sustained * OVERLOAD, throttle if load != QUEUEING else None)
    check(url, outcome)
    return outcome


def _figures(load: str, outcomes: list[Outcome], rates: list[float], sustained: list[float]) -> list[Figure]:
    return [
        Figure(f"{load}: bookings", "/s", rates),
        Figure(f"{load}: bookings to sustained", "%", ratios(rates, sustained)),
        Figure(f"{load}: refused (409, 429, 503)", "", [one.count("409", "429", "503") for one in outcomes]),
        Figure(f"{load}: late (504) or still queued", "", [one.count(LATE, QUEUED) for one in outcomes]),
        Figure(f"{load}: latency, p99", "ms", [percentile(sorted(one.latencies), 99) for one in outcomes]),
    ]


def check(url: str, outcome: Outcome) -> None:
    """Check that the responses are true: each booking exists once, and there are no others.

    Raises:
        RuntimeError: They are not, or a response is of an unexpected kind.
    """
    rows = {str(row[0]) for row in database.run(url, "SELECT booking_id FROM bookings")}
    [[people, taken, capacity]] = database.run(
        url, "SELECT (SELECT count(DISTINCT user_id) FROM bookings), sum(taken), sum(capacity) FROM places"
    )
    if not (len(rows) == people == taken <= capacity):
        raise RuntimeError(f"{len(rows)} bookings by {people} people, counter {taken} of {capacity}")
    if len(outcome.bookings) != len(rows) or set(outcome.bookings) != rows:
        raise RuntimeError(f"{len(outcome.bookings)} bookings were answered, {len(rows)} exist")
    if outcome.responses["409 sold-out"] and taken < capacity:
        raise RuntimeError(f"sold out was answered at {taken} of {capacity}")
    if unexpected := {kind for kind, count in outcome.responses.items() if count} - RESPONSES:
        raise RuntimeError(f"unexpected responses: {sorted(unexpected)}")
