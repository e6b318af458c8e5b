"""A PostgreSQL server with the durability of production, and the data that is measured with."""

import contextlib
import os
import tempfile
from collections.abc import Collection, Iterator
from math import nan
from pathlib import Path
from typing import Any

import pg8000.native
from sqlalchemy import make_url

from bench.figures import median_seconds
from chalicelib.migrations import upgrade
from chalicelib.platform.settings import Settings
from infra.local import postgres
from infra.local.postgres import Postgres
from tests.concurrency import until

SETTINGS = {
    # No checkpoint during a run: it would slow down one run and spare another.
    "checkpoint_timeout": "1h",
    "max_wal_size": "16GB",
    "synchronous_commit": "on",
    "fsync": "on",
}
SECRET = b"a secret for the bench of more than 32 bytes"
FLUSH_DELAY = 0.002
"""Seconds added to each flush, as on network storage."""

HOST = "00000000-0000-7000-a000-"
PERSON = "00000000-0000-7000-8000-"
EVENT = "00000000-0000-7000-9000-"
TYPE = "00000000-0000-7000-b000-"
SECOND_TYPE = "00000000-0000-7000-b001-"
FIRST = 100_000_000_000
"""Number of the first host, person, event and ticket type. The last twelve digits of an id can be counted
up in SQL."""

FILL = "SET statement_timeout = 0; SET session_replication_role = replica; SET synchronous_commit = off;"
"""For connections that write many rows whose references are known to be valid."""

_POPULATE = """
INSERT INTO users (user_id, role, name, email, created_at, updated_at)
SELECT ('{HOST}' || {FIRST} + n)::uuid, 'host', 'Host ' || n, 'host-' || n || '@example.com', now(), now()
FROM generate_series(0, {hosts} - 1) n;
INSERT INTO users (user_id, role, name, email, email_verified_at, created_at, updated_at)
SELECT ('{PERSON}' || {FIRST} + n)::uuid, 'attendee', 'Person ' || n, n || '@example.com', now(), now(), now()
FROM generate_series(0, {people} - 1) n;
INSERT INTO credentials SELECT user_id, '', 1 FROM users;
INSERT INTO events (event_id, host_id, title, description, starts_at, ends_at, timezone, currency, status,
                    max_per_attendee, min_charge, max_charge, charge_step, created_at, updated_at)
SELECT ('{EVENT}' || {FIRST} + n)::uuid, ('{HOST}' || {FIRST} + n % {hosts})::uuid,
       (ARRAY['Jazz', 'Opera', 'Poetry', 'Chess', 'Football'])[1 + n % 5] || ' in the yard ' || n,
       'Come early. ' || md5((n % ({events} / 25 + 1))::text), start, start + interval '2 hours', 'UTC',
       'eur', 'published', CASE WHEN n < {events} - {with_two_types} THEN 1 ELSE 4 END, 50, 99999999, 1,
       now(), now()
FROM (SELECT n, now() + interval '1 day' + make_interval(mins => (n::bigint * 7919 % 500000)::int) AS start
      FROM generate_series(0, {events} - 1) n);
INSERT INTO places (event_id, capacity, popularity)
SELECT event_id, 1000000000, 10 * ln(1 + row_number() OVER () % 500) FROM events;
INSERT INTO ticket_types (ticket_type_id, event_id, name, price, created_at)
SELECT replace(event_id::text, '{EVENT}', prefix)::uuid, event_id, 'General admission', 0, now()
FROM events CROSS JOIN unnest(ARRAY['{TYPE}', '{SECOND_TYPE}']) AS prefix
WHERE prefix = '{TYPE}' OR max_per_attendee > 1;
INSERT INTO pools (pool_id, event_id, kind, taken)
SELECT ticket_type_id, event_id, 'ticket-type', CASE WHEN max_per_attendee > 1 THEN 0 END
FROM ticket_types JOIN events USING (event_id)
"""
_BOOKINGS = """
WITH made AS (
    INSERT INTO bookings (booking_id, user_id, event_id, host_id, status, quantity, amount, currency, sole,
                          created_at, updated_at)
    SELECT uuidv7(make_interval(secs => n - {number})), ('{PERSON}' || {FIRST} + {person})::uuid, event_id,
           host_id, made_as, (made_as = 'confirmed')::int, 0, 'eur', true, now(), now()
    FROM generate_series(0, {number} - 1) n CROSS JOIN LATERAL (SELECT {status} AS made_as)
         JOIN events ON event_id = ('{EVENT}' || {FIRST} + {event})::uuid
    RETURNING booking_id, event_id, quantity
)
INSERT INTO tickets (ticket_id, booking_id, ticket_type_id, list_price, price, status, cancellation_reason,
                     updated_at)
SELECT uuidv7(), booking_id, replace(event_id::text, '{EVENT}', '{TYPE}')::uuid, 0, 0,
       CASE WHEN quantity > 0 THEN 'valid' ELSE 'cancelled' END, CASE WHEN quantity = 0 THEN 'attendee' END,
       now()
FROM made
"""


def host_id(number: int) -> str:
    return f"{HOST}{FIRST + number}"


def person_id(number: int) -> str:
    return f"{PERSON}{FIRST + number}"


def event_id(number: int) -> str:
    return f"{EVENT}{FIRST + number}"


def type_ids(event_id: str) -> list[str]:
    """Return the ids that the ticket types of an event have if it has two."""
    return [event_id.replace(EVENT, prefix) for prefix in (TYPE, SECOND_TYPE)]


@contextlib.contextmanager
def server() -> Iterator[Postgres]:
    """Run an empty server, and remove its data afterwards."""
    with tempfile.TemporaryDirectory(prefix="event-booking-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # if root runs this, PostgreSQL runs as another account
        options = postgres.Options(folder / "data", settings=SETTINGS)
        with postgres.start(options, say=lambda _: None) as running:
            yield running


def populate(
    on: Postgres, name: str, people: int, events: int, hosts: int = 1, with_two_types: int = 0
) -> str:
    """Create a database with people who have no bookings and events that never sell out; return its URL.

    The last `with_two_types` events have two ticket types, and four tickets for each attendee. The others
    have one of both.
    """
    url = on.url(name)
    postgres.create_database(on, name)
    upgrade(url)
    fill(url, _POPULATE, people=people, events=events, hosts=hosts, with_two_types=with_two_types)
    return url


def add_bookings(url: str, number: int, person: str, event: str, status: str) -> None:
    """Add bookings. The numbers of person and event, and the status, are SQL expressions over `n`."""
    fill(url, _BOOKINGS, number=number, person=person, event=event, status=status)


def fill(url: str, statements: str, **values: object) -> None:
    """Write many rows, then do what autovacuum and a checkpoint would otherwise do during a run."""
    names = {"HOST": HOST, "PERSON": PERSON, "EVENT": EVENT, "TYPE": TYPE, "SECOND_TYPE": SECOND_TYPE}
    run(url, FILL + statements.format(FIRST=FIRST, **names, **values))
    run(url, "SET statement_timeout = 0", "VACUUM ANALYZE", "CHECKPOINT")


def clear_bookings(url: str) -> None:
    run(url, "TRUNCATE bookings, outbox CASCADE")


def sell_out(url: str, event: int) -> None:
    run(url, f"UPDATE places SET taken = capacity WHERE event_id = '{event_id(event)}'")  # noqa: S608 (our own id)


def check_bookings(url: str, event_ids: Collection[str], expected: int, tickets: int) -> None:
    """Check how many bookings the events have, each with so many tickets.

    Raises:
        RuntimeError: There are others.
    """
    ids = ", ".join(f"'{event_id}'" for event_id in event_ids)
    query = (
        "SELECT count(DISTINCT booking_id), count(*) FROM bookings JOIN tickets USING (booking_id)"  # noqa: S608 (our own ids)
        f" WHERE event_id IN ({ids})"
    )
    [[booked, made]] = run(url, query)
    if (booked, made) != (expected, expected * tickets):
        raise RuntimeError(f"{expected} calls made {booked} bookings with {made} tickets")


def run(url: str, *statements: str) -> list[list[Any]]:
    """Run each statement in a transaction of its own, and return the rows of the last one."""
    with connect(url) as connection:
        rows: list[list[Any]] = []
        for statement in statements:
            rows = list(connection.run(statement) or [])
        return rows


def value(url: str, query: str) -> Any:
    [[found]] = run(url, query)
    return found


@contextlib.contextmanager
def connect(url: str) -> Iterator[Any]:
    address = make_url(url)
    connection: Any = pg8000.native.Connection(  # type: ignore[no-untyped-call]
        address.username,
        address.host,
        address.database,
        address.port,
        address.password,
        ssl_context=False,
    )
    with contextlib.closing(connection):
        yield connection


def settings(url: str, **others: Any) -> Settings:
    return Settings(
        database_url=url,
        jwt_secret=SECRET,
        link_secret=SECRET,
        ticket_secret=SECRET,
        token_lifetime=86_400,
        public_url="https://booking.example.com",
        rate_limits=False,
        **others,
    )


def cpu_seconds(on: Postgres) -> float:
    """CPU seconds that all processes of a server have used, or NaN where there is no /proc."""
    pid = on.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children")
    if not children.exists():
        return nan
    ticks = sum(_ticks(pid))
    for child in children.read_text().split():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the process has just ended
            ticks += sum(_ticks(child)[:2])
    return ticks / os.sysconf("SC_CLK_TCK")


def _ticks(pid: str | int) -> list[int]:
    """User and system time of a process, and of its children that have ended (proc_pid_stat(5))."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return [int(field) for field in after_name[11:15]]


@contextlib.contextmanager
def slow_flushes(url: str) -> Iterator[float]:
    """Delay each flush by FLUSH_DELAY, and yield the seconds that a plain commit then takes.

    Raises:
        RuntimeError: The delay has no effect.
    """
    parameters = {"commit_delay": f"{FLUSH_DELAY * 1e6:.0f}", "commit_siblings": "0"}
    reload = "SELECT pg_reload_conf()"
    run(url, *(f"ALTER SYSTEM SET {name} = {value}" for name, value in parameters.items()), reload)
    try:
        with connect(url) as connection:
            until(lambda: connection.run("SHOW commit_delay") != [["0"]])  # the reload is asynchronous
            commit = "SELECT pg_logical_emit_message(true, '', '')"
            seconds = median_seconds(lambda: connection.run(commit), 20)
        if seconds < FLUSH_DELAY:
            raise RuntimeError(f"a commit takes {seconds * 1e3:.2f} ms in spite of commit_delay")
        yield seconds
    finally:
        run(url, *(f"ALTER SYSTEM RESET {name}" for name in parameters), reload)
