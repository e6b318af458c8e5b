"""Measures lists: short and long ones, first pages and deep ones, with and without filters."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from urllib.parse import urlencode

from sqlalchemy import event

from bench import ground
from bench.figures import Figure, Target, at_most, ratios
from bench.requests import next_query, request, token_of
from bench.scale import Scale
from chalicelib.platform.security import Role
from chalicelib.wiring import Wiring, using

LONGEST = 1.0
"""Seconds for one question in a run, where it takes its time."""
_PAGE = "limit=20"

_FILL = """
INSERT INTO users (user_id, role, name, email, created_at, updated_at)
SELECT uuidv7(), CASE WHEN n <= {hosts} THEN 'host' ELSE 'attendee' END, 'Somebody ' || n,
       n || '@example.com', now(), now()
FROM generate_series(1, {hosts} + 1000) n;
INSERT INTO events (event_id, host_id, title, description, starts_at, ends_at, timezone, currency, status,
                    created_at, updated_at)
SELECT uuidv7(make_interval(secs => n - {events})), hosts.ids[1 + n % {hosts}],
       (ARRAY['Jazz', 'Opera', 'Poetry', 'Chess', 'Football'])[1 + n % 5] || ' in the yard ' || n,
       'Come early. ' || md5((n % ({events} / 25))::text),
       now() + interval '1 day' + make_interval(mins => (n::bigint * 7919 % 500000)::int),
       now() + interval '1 day 3 hours' + make_interval(mins => (n::bigint * 7919 % 500000)::int),
       'UTC', 'eur', 'published', now(), now()
FROM generate_series(0, {events} - 1) n,
     (SELECT array_agg(user_id) AS ids FROM users WHERE role = 'host') hosts;
INSERT INTO places (event_id, capacity, taken, popularity)
SELECT event_id, 1000000, taken, 10 * ln(taken + 1)
FROM (SELECT event_id, row_number() OVER () % 500 AS taken FROM events) popular;
INSERT INTO ticket_types SELECT uuidv7(), event_id, 'General admission', 0 FROM events;
INSERT INTO credentials SELECT user_id, '', 1 FROM users
"""
_BOOKINGS = """
INSERT INTO bookings (booking_id, user_id, event_id, host_id, ticket_type_id, status, amount, currency,
                      created_at, updated_at)
SELECT uuidv7(make_interval(secs => n - {bookings})), {whose}, (event).event_id, (event).host_id, uuidv7(),
       {status}, 0, 'eur', now(), now()
FROM generate_series(1, {bookings}) n
JOIN (SELECT row_number() OVER () AS place, events AS event FROM (SELECT * FROM events {which}) events)
     numbered
  ON place = 1 + n % (SELECT count(*) FROM (SELECT FROM events {which}))
"""
_SORT_IN = "SELECT gin_clean_pending_list('ix_events_words'), gin_clean_pending_list('ix_users_words')"


@dataclass(frozen=True)
class Ground:
    """A filled database, and those in it who ask."""

    url: str
    busy_host: str
    busy_attendee: str
    other_host: str
    word: str


@dataclass(frozen=True)
class Question:
    name: str
    route: str
    query: str
    user: tuple[str, Role] | None = None


@dataclass
class Answers:
    """What one question came to, run by run."""

    statements: int
    latencies: list[float]
    cpu: list[float]


def measure(scale: Scale) -> list[Figure]:
    few, many = scale.events
    with ground.server() as server:
        short, long = (_filled(ground.migrated(server, f"of_{size}"), size, scale) for size in (few, many))
        with _asking(short) as ask_short, _asking(long) as ask_long:
            deep = _page(long, scale.deep_page)
            shallow = _questions(short, scale), _questions(long, scale)
            in_short = {question.name: Answers(0, [], []) for question in shallow[0]}
            in_long = {question.name: Answers(0, [], []) for question in [*shallow[1], deep]}
            for _ in range(scale.runs):
                for question in shallow[0]:
                    ask_short(question, in_short[question.name], scale.requests)
                for question in [*shallow[1], deep]:
                    ask_long(question, in_long[question.name], scale.requests)
    figures = [_latency(name, many, responses) for name, responses in in_long.items()]
    for name, responses in in_long.items():
        figures += _cost(name, many, responses)
    figures.append(
        _ratio(
            f"{deep.name} to page 1, {many} events", in_long[deep.name], in_long["GET /events"], at_most(1.2)
        )
    )
    for name, responses in in_short.items():
        figures.append(_ratio(f"{name}, {many} events to {few}", in_long[name], responses, at_most(1.5)))
    return figures


def _latency(name: str, events: int, responses: Answers) -> Figure:
    return Figure(
        name=f"{name}, {events} events", unit="ms", runs=tuple(t * 1e3 for t in responses.latencies)
    )


def _cost(name: str, events: int, responses: Answers) -> list[Figure]:
    return [
        Figure(
            name=f"Statements of {name}",
            unit="",
            runs=(responses.statements,),
            target=at_most(2),
        ),
        Figure(
            name=f"CPU of the client for {name}, {events} events",
            unit="ms",
            runs=tuple(seconds * 1e3 for seconds in responses.cpu),
            target=at_most(1.5),
        ),
    ]


def _ratio(name: str, of: Answers, to: Answers, target: Target) -> Figure:
    return Figure(name=name, unit="times", runs=ratios(of.latencies, to.latencies), target=target)


def _filled(url: str, events: int, scale: Scale) -> Ground:
    hosts = max(10, events // 100)
    ground.run(url, ground.FILLING + _FILL.format(events=events, hosts=hosts))
    host = str(ground.value(url, "SELECT user_id FROM users WHERE role = 'host' ORDER BY user_id LIMIT 1"))
    last = "SELECT user_id FROM users WHERE role = 'attendee' ORDER BY user_id DESC LIMIT 1"
    attendee = str(ground.value(url, last))
    of_host = _BOOKINGS.format(
        bookings=scale.bookings_of_host,
        whose="(SELECT array_agg(user_id) FROM users WHERE role = 'attendee')[1 + n % 999]",
        status="CASE n % 10 WHEN 0 THEN 'cancelled' ELSE 'expired' END",
        which=f"WHERE host_id = '{host}'",
    )
    of_attendee = _BOOKINGS.format(
        bookings=scale.bookings_of_attendee,
        whose=f"'{attendee}'::uuid",
        status="'cancelled'",
        which=f"WHERE host_id <> '{host}' LIMIT 100",
    )
    ground.run(url, ground.FILLING + of_host, ground.FILLING + of_attendee)
    ground.run(url, "SET statement_timeout = 0", _SORT_IN)
    ground.settle(url)
    other = str(
        ground.value(url, "SELECT user_id FROM users WHERE role = 'host' ORDER BY user_id DESC LIMIT 1")
    )
    word = str(ground.value(url, "SELECT md5('1')"))
    return Ground(url, host, attendee, other, word)


def _questions(on: Ground, scale: Scale) -> list[Question]:
    soon = datetime.now(UTC) + timedelta(days=30)
    days = {"from": soon.isoformat(), "to": (soon + timedelta(days=5)).isoformat()}
    return [
        Question("GET /events", "/events", _PAGE),
        Question("GET /events?q=", "/events", f"{_PAGE}&q={on.word[:12]}"),
        Question("GET /events?from=&to=", "/events", f"{_PAGE}&{urlencode(days)}"),
        Question("GET /events?hostId=", "/events", f"{_PAGE}&hostId={on.other_host}"),
        Question(
            f"GET /bookings, attendee with {scale.bookings_of_attendee}",
            "/bookings",
            _PAGE,
            (on.busy_attendee, "attendee"),
        ),
        Question(
            f"GET /bookings, host with {scale.bookings_of_host}", "/bookings", _PAGE, (on.busy_host, "host")
        ),
    ]


Ask = Callable[[Question, Answers, int], None]


@contextlib.contextmanager
def _asking(on: Ground) -> Iterator[Ask]:
    from app import app  # noqa: PLC0415 (it would set up the log of whoever imports this)

    wiring = Wiring(ground.settings(on.url))
    executed: list[str] = []
    event.listen(wiring.database.engine, "before_cursor_execute", lambda *given: executed.append(given[2]))

    def ask(question: Question, responses: Answers, times: int) -> None:
        token = None if question.user is None else token_of(wiring.tokens, *question.user)
        asked = request("GET", question.route, query=question.query, token=token)
        with using(wiring):
            answer = app(asked, None)  # this one makes the connection and the statement
            assert answer["statusCode"] == 200, answer
            assert answer["body"] != "[]", f"{question.name} finds nothing"
            executed.clear()
            latencies: list[float] = []
            cpu = time.process_time()
            while len(latencies) < times and sum(latencies) < LONGEST:
                began = time.perf_counter()
                app(asked, None)
                latencies.append(time.perf_counter() - began)
            responses.cpu.append((time.process_time() - cpu) / len(latencies))
            responses.latencies.append(median(latencies))
            responses.statements = len(executed) // len(latencies)

    yield ask


def _page(on: Ground, number: int) -> Question:
    """Go from page to page as a client does, to find the query of one far behind."""
    from app import app  # noqa: PLC0415

    query: str | None = _PAGE
    with using(Wiring(ground.settings(on.url))):
        for _ in range(number - 1):
            assert query
            query = next_query(app(request("GET", "/events", query=query), None))
    assert query
    return Question(f"GET /events, page {number}", "/events", query)
