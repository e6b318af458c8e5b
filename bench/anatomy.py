"""Measures where the time of a booking goes, part by part, each by itself and one process alone."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from statistics import median
from typing import Any
from uuid import UUID

from chalice.app import Chalice

from bench import ground
from bench.containers import Handler
from bench.figures import Figure
from bench.requests import booking_request, token_of
from bench.scale import Scale
from bench.sql import Pgbench
from chalicelib.api.schemas.bookings import BookingRequest
from chalicelib.bookings import booking
from chalicelib.platform.database.engine import Database
from chalicelib.platform.http import validation
from chalicelib.platform.observability import metrics, request_context
from chalicelib.platform.security import Caller
from chalicelib.wiring import Wiring, using

_REQUEST_ID = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"

_bare = Chalice(app_name="bare", configure_logs=False)
_bare.api.binary_types = []


@_bare.route("/bookings", methods=["POST"], content_types=[])
def _nothing() -> str:
    return ""


class _Answering(Database):
    """Answers at once."""

    def __init__(self, answer: Sequence[Any]) -> None:
        self._answer = answer

    def call(self, _sql: str) -> Sequence[Any]:
        return self._answer


def measure(scale: Scale) -> list[Figure]:
    from app import app  # noqa: PLC0415 (it would set up the log of whoever imports this)

    times = scale.requests * 5
    parts: dict[str, list[float]] = {}
    with ground.server() as server:
        url = ground.peopled(server, "anatomy", scale.people, events=scale.runs + 2)
        pgbench = Pgbench(url, scale)
        with using(Wiring(ground.settings(url))) as wiring:
            for number in range(1, scale.runs + 1):
                for name, seconds in _run(wiring, app, number, times).items():
                    parts.setdefault(name, []).append(seconds)
                parts.setdefault("asking PostgreSQL nothing (pgbench)", []).append(
                    pgbench.ask("SELECT 1").percentile(50)
                )
                ground.forget_bookings(url)
                in_sql = pgbench.book(number, 1).percentile(50)
                parts.setdefault("the booking procedure (pgbench)", []).append(in_sql)
                ground.forget_bookings(url)
    return [
        Figure(name=f"In a booking: {name}", unit="µs", runs=tuple(seconds * 1e6 for seconds in runs))
        for name, runs in parts.items()
    ]


def _run(wiring: Wiring, app: Handler, number: int, times: int) -> dict[str, float]:
    people = count()
    event_id = ground.event(number)
    tokens = [token_of(wiring.tokens, ground.person(next(people))) for _ in range(2 * times + 2)]
    requests = iter([booking_request(token, event_id) for token in tokens])
    caller = Caller(UUID(ground.person(0)), "attendee", 1)
    body = booking_request(tokens[0], event_id)["body"].encode()
    _, answer = wiring.database.call(
        f"CALL {booking.PROCEDURE}(uuidv7(), '{event_id}', '{ground.person(times * 3)}', 1, NULL, NULL,"
        " now(), 900, 300, NULL, NULL, NULL)"
    )
    at_once = _Answering(["booked", answer])
    hold = timedelta(minutes=15)

    def book_nowhere() -> None:
        with request_context.bind(_REQUEST_ID), metrics.attach_to_request_log():
            booking.book(at_once, caller, UUID(event_id), key=None, hold=hold, now=datetime.now(UTC))

    def log() -> None:
        request_log.write(
            method="POST",
            route="/bookings",
            status=201,
            milliseconds=1.2,
            user_id=ground.person(0),
            request_id=_REQUEST_ID,
            metrics={},
        )

    def validate() -> None:
        validation.parse(BookingRequest, validation.parse_json(body, "application/json"))

    def whole() -> None:
        assert app(next(requests), None)["statusCode"] == 201

    whole()
    bare = booking_request(tokens[0], event_id)
    return {
        "all of it, in the app": _time(whole, times),
        "Chalice": _time(lambda: _bare(bare, None), times),
        "the token": _time(lambda: wiring.tokens.read(tokens[0]), times),
        "validation": _time(validate, times),
        "SQL text, ids and metrics": _time(book_nowhere, times),
        "the request's line in the log": _time(log, times),
        "asking PostgreSQL nothing (pool, driver, socket)": _time(
            lambda: wiring.database.call("SELECT 1, 2"), times
        ),
    }


def _time(work: Callable[[], Any], times: int) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return median(took)
