"""The ground that is measured on: a durable PostgreSQL of its own, and the data in it."""

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pg8000.native
from sqlalchemy import make_url

from chalicelib.migrations import upgrade
from chalicelib.platform.settings import Settings
from infra.local import postgres
from infra.local.postgres import Postgres

SETTINGS = {
    # No checkpoint while something is measured: whom it would hit is chance.
    "checkpoint_timeout": "1h",
    "max_wal_size": "16GB",
    "synchronous_commit": "on",
    "fsync": "on",
}
SECRET = b"a secret for measuring, of more than 32 bytes"
SLOW_FLUSH = 0.002
"""Seconds that each flush is made to take longer, as on network storage."""

HOST = "00000000-0000-7000-8000-000000000001"
_FIRST = 100_000_000_000
"""So that the last twelve digits of an id are a number that pgbench can count up."""

FILLING = "SET statement_timeout = 0; SET session_replication_role = replica; SET synchronous_commit = off;"
"""For sessions that write many rows which are known to refer to each other rightly."""

_PEOPLE = """
INSERT INTO users (user_id, role, name, email, created_at, updated_at)
VALUES ('{host}', 'host', 'The Blue Notes', 'host@example.com', now(), now());
INSERT INTO users (user_id, role, name, email, created_at, updated_at)
SELECT ('00000000-0000-7000-8000-' || n)::uuid, 'attendee', 'Person ' || n, n || '@example.com', now(), now()
FROM generate_series({first}, {first} + {people} - 1) n;
INSERT INTO credentials SELECT user_id, '', 1 FROM users
"""
_EVENTS = """
INSERT INTO events (event_id, host_id, title, starts_at, ends_at, timezone, currency, status,
                    created_at, updated_at)
SELECT ('00000000-0000-7000-9000-' || n)::uuid, '{host}', 'Jazz in the yard', now() + interval '30 days',
       now() + interval '31 days', 'UTC', 'eur', 'published', now(), now()
FROM generate_series({first}, {first} + {events} - 1) n;
INSERT INTO places (event_id, capacity) SELECT event_id, 1000000000 FROM events;
INSERT INTO ticket_types SELECT uuidv7(), event_id, 'General admission', 0 FROM events
"""
_OLD_BOOKINGS = """
INSERT INTO bookings (booking_id, user_id, event_id, host_id, ticket_type_id, status, amount, currency,
                      created_at, updated_at)
SELECT uuidv7(make_interval(secs => n - {bookings})),
       ('00000000-0000-7000-8000-' || {first} + n % {people})::uuid,
       ('00000000-0000-7000-9000-' || {first} + n / {people})::uuid,
       '{host}', uuidv7(), 'confirmed', 0, 'eur', now(), now()
FROM generate_series(0, {bookings} - 1) n
"""


def person(number: int) -> str:
    return f"00000000-0000-7000-8000-{_FIRST + number}"


def event(number: int) -> str:
    return f"00000000-0000-7000-9000-{_FIRST + number}"


@contextlib.contextmanager
def server() -> Iterator[Postgres]:
    """Run an empty server that is as durable as one in production, and remove its data afterwards."""
    with tempfile.TemporaryDirectory(prefix="event-booking-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the account that stands in for root has to come through
        options = postgres.Options(folder / "data", settings=SETTINGS)
        with postgres.start(options, say=lambda _: None) as running:
            yield running


def migrated(on: Postgres, name: str) -> str:
    """Make a database with the schema, and return its address."""
    postgres.create_database(on, name)
    upgrade(on.url(name))
    return on.url(name)


def peopled(on: Postgres, name: str, people: int, events: int) -> str:
    """Make a database with people who have no bookings yet, and events whose places never end."""
    url = migrated(on, name)
    values = {"host": HOST, "first": _FIRST, "people": people, "events": events}
    run(url, FILLING + _PEOPLE.format(**values) + ";" + _EVENTS.format(**values))
    settle(url)
    return url


def add_old_bookings(url: str, people: int, bookings: int) -> None:
    values = {"host": HOST, "first": _FIRST, "people": people, "bookings": bookings}
    run(url, FILLING + _OLD_BOOKINGS.format(**values))
    settle(url)


def settle(url: str) -> None:
    """Do now what autovacuum and a checkpoint would do in the midst of what is measured."""
    run(url, "SET statement_timeout = 0", "VACUUM ANALYZE", "CHECKPOINT")


def forget_bookings(url: str) -> None:
    run(url, "TRUNCATE bookings, outbox CASCADE")


def run(url: str, *statements: str) -> list[list[Any]]:
    """Run statements one after the other, each a transaction of its own, and return the last one's rows."""
    with session(url) as connection:
        rows: list[list[Any]] = []
        for statement in statements:
            rows = list(connection.run(statement) or [])
        return rows


def value(url: str, query: str) -> Any:
    [[found]] = run(url, query)
    return found


@contextlib.contextmanager
def session(url: str) -> Iterator[Any]:
    address = make_url(url)
    connection: Any = pg8000.native.Connection(  # type: ignore[no-untyped-call]
        address.username, address.host, address.database, address.port, ssl_context=False
    )
    with contextlib.closing(connection):
        yield connection


def settings(url: str) -> Settings:
    return Settings(
        database_url=url,
        jwt_secret=SECRET,
        token_lifetime=86_400,
        public_url="https://booking.example.com",
    )


@contextlib.contextmanager
def slow_flushes(url: str) -> Iterator[float]:
    """Have every flush take 2 ms longer; gives the seconds that a plain commit takes then.

    Raises:
        RuntimeError: It does not take that long.
    """
    slower = f"ALTER SYSTEM SET commit_delay = {SLOW_FLUSH * 1e6:.0f}"
    run(url, slower, "ALTER SYSTEM SET commit_siblings = 0", "SELECT pg_reload_conf()")
    try:
        took = _commit_time(url)
        if took < SLOW_FLUSH:
            raise RuntimeError(f"a commit takes {took * 1e3:.2f} ms, though commit_delay is set")
        yield took
    finally:
        run(
            url,
            "ALTER SYSTEM RESET commit_delay",
            "ALTER SYSTEM RESET commit_siblings",
            "SELECT pg_reload_conf()",
        )


def _commit_time(url: str) -> float:
    with session(url) as connection:
        deadline = time.monotonic() + 10
        while connection.run("SHOW commit_delay") == [["0"]]:  # told of the reload, but not yet heard
            if time.monotonic() > deadline:
                raise RuntimeError("the server does not read its settings again")
            time.sleep(0.01)
        took = []
        for _ in range(20):
            began = time.perf_counter()
            connection.run("SELECT pg_logical_emit_message(true, '', '')")
            took.append(time.perf_counter() - began)
    return median(took)
