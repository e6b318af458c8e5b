"""Measures lists: short and long, first and deep pages, with and without filters."""

import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from bench import database
from bench.containers import handlers
from bench.figures import Figure, median_seconds, ratios
from bench.requests import next_query, request, token_of
from bench.scale import Scale
from chalicelib.platform.security import Role
from chalicelib.wiring import Wiring, using
from infra.local.postgres import Postgres

SHORT = 1000
"""Events in the short list."""
WORD = "c4ca4238a0b9"
"""In the description of some 25 events: the first digits of the MD5 of "1"."""
_PAGE = "limit=20"


@dataclass(frozen=True)
class Query:
    route: str
    query: str = _PAGE
    user: tuple[str, Role] | None = None


def measure(scale: Scale) -> list[Figure]:
    latencies: dict[tuple[str, int], list[float]] = defaultdict(list)
    cpu: dict[tuple[str, int], list[float]] = defaultdict(list)
    first, long, page = "GET /events", scale.rows, scale.rows // 1000
    deep = f"{first}, page {page}"
    with database.server() as server:
        wirings = {size: Wiring(database.settings(_fill(server, size, scale))) for size in (SHORT, long)}
        queries = {(name, size): query for size in wirings for name, query in _queries(scale).items()}
        queries[deep, long] = _deep_page(wirings[long], page)
        for _ in range(scale.runs):
            for key, query in queries.items():
                seconds, cpu_seconds = _request(wirings[key[1]], query, scale.requests)
                latencies[key].append(seconds)
                cpu[key].append(cpu_seconds)
    names = [name for name, size in queries if size == long]
    times = {name: ratios(latencies[name, long], latencies[name, SHORT]) for name in _queries(scale)}
    deep_to_first = ratios(latencies[deep, long], latencies[first, long])
    return [
        *(Figure(f"{name}, {long} events", "ms", latencies[name, long]) for name in names),
        *(Figure(f"client CPU of {name}, {long} events", "ms", cpu[name, long], most=1.5) for name in names),
        Figure(f"{deep}, to page 1, {long} events", "times", deep_to_first, most=1.2),
        *(
            Figure(f"{name}, {long} to {SHORT} events", "times", runs, most=1.5)
            for name, runs in times.items()
        ),
    ]


def _fill(on: Postgres, events: int, scale: Scale) -> str:
    """Create a database with 100 events per host, of which a host and an attendee have many bookings."""
    hosts = events // 100
    url = database.populate(on, f"of_{events}", 1000, events, hosts)
    status = "CASE n % 10 WHEN 0 THEN 'cancelled' ELSE 'expired' END"
    database.add_bookings(url, scale.rows // 10, "1 + n % 999", f"{hosts} * (n % 100)", status)
    database.add_bookings(url, scale.rows // 1000, "0", "n % 100", "'cancelled'")
    return url


def _queries(scale: Scale) -> dict[str, Query]:
    soon = datetime.now(UTC) + timedelta(days=30)
    days = urlencode({"from": soon.isoformat(), "to": (soon + timedelta(days=5)).isoformat()})
    attendee, host = database.person_id(0), database.host_id(0)
    return {
        "GET /events": Query("/events"),
        "GET /events?q=": Query("/events", f"{_PAGE}&q={WORD}"),
        "GET /events?from=&to=": Query("/events", f"{_PAGE}&{days}"),
        "GET /events?hostId=": Query("/events", f"{_PAGE}&hostId={database.host_id(1)}"),
        f"GET /bookings, attendee with {scale.rows // 1000}": Query("/bookings", user=(attendee, "attendee")),
        f"GET /bookings, host with {scale.rows // 10}": Query("/bookings", user=(host, "host")),
    }


def _deep_page(wiring: Wiring, number: int) -> Query:
    """Follow the links from page to page."""
    app, query = handlers()["app"], _PAGE
    with using(wiring):
        for _ in range(number - 1):
            query = next_query(app(request("GET", "/events", query=query), None))
    return Query("/events", query)


def _request(wiring: Wiring, query: Query, times: int) -> tuple[float, float]:
    """Request a list several times; return seconds and CPU seconds per request."""
    app = handlers()["app"]
    token = None if query.user is None else token_of(wiring.tokens, *query.user)
    event = request("GET", query.route, query=query.query, token=token)
    with using(wiring):
        response = app(event, None)  # connects, and compiles the statement
        assert response["statusCode"] == 200, response
        assert response["body"] != "[]", f"{query} finds nothing"
        cpu = time.process_time()
        seconds = median_seconds(lambda: app(event, None), times)
        return seconds, (time.process_time() - cpu) / times
