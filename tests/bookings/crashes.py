"""Crash a database server during bookings, and compare the confirmed bookings with those it still has."""

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from uuid import UUID

from chalicelib.bookings import booking
from chalicelib.bookings.booking import Order
from chalicelib.platform.errors import Unavailable
from chalicelib.platform.security import Caller
from chalicelib.platform.settings import Settings
from chalicelib.wiring import Wiring, using
from infra.local.postgres import Postgres
from tests.bookings.orders import Sale, taken_by_pool
from tests.client import LIMITS, Client
from tests.concurrency import until
from tests.conftest import LINK_SECRET, SECRET, TICKET_SECRET
from tests.rows import app_url, rows, taken

DATABASE = "durable"
DURABLE = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "off",
    "wal_writer_delay": "10s",
    "wal_writer_flush_after": "1GB",
    # Keep background processes from writing to the log.
    "autovacuum": "off",
    "checkpoint_timeout": "1h",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
"""With these settings the server rarely flushes its log by itself, and by default not at a commit. So only
the procedure can flush a booking before its response."""
CLIENTS = 6


@contextmanager
def client_of(server: Postgres) -> Iterator[Client]:
    settings = Settings(
        database_url=app_url(server, DATABASE),
        jwt_secret=SECRET,
        link_secret=LINK_SECRET,
        ticket_secret=TICKET_SECRET,
        database_pool_size=CLIENTS + 2,
    )
    with using(Wiring(settings)) as wiring:
        yield Client(wiring)


def crash(server: Postgres, client: Client) -> None:
    """Kill all processes of the server, so that data which is only in their memory is lost."""
    server_id = server.process.pid
    processes = {row.pid for row in rows(client, "SELECT pid FROM pg_stat_activity")}
    os.kill(server_id, signal.SIGSTOP)  # it must start no more processes, since those would outlive it
    with contextlib.suppress(FileNotFoundError):  # not Linux: processes started since the query are not known
        processes |= set(map(int, Path(f"/proc/{server_id}/task/{server_id}/children").read_text().split()))
    for pid in [*processes, server_id]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    server.process.wait()


def book_until_the_crash(
    server: Postgres, client: Client, sales: Sequence[Sale], minimum: int = 300
) -> set[tuple[UUID, UUID]]:
    """Order 3 tickets of 2 types from several clients, and crash the server after `minimum` confirmations.

    Return the event and the attendee of each confirmed booking.
    """
    made = rows(
        client,
        "INSERT INTO users (user_id, role, name, email, created_at, updated_at)"
        " SELECT id, 'attendee', 'A', id || '@example.com', now(), now()"
        " FROM (SELECT uuidv7() AS id FROM generate_series(1, 20000)) RETURNING user_id",
    )
    rows(client, "INSERT INTO credentials SELECT user_id, '', 1 FROM users ON CONFLICT DO NOTHING")
    attendees = [row.user_id for row in made]
    confirmed: list[tuple[UUID, UUID]] = []
    number = count()

    def book_until_refused() -> None:
        with contextlib.suppress(Unavailable):
            while True:
                turn = next(number)
                caller = Caller(attendees[turn], "attendee", 1)
                sale = sales[turn % len(sales)]
                order, now = Order(UUID(sale.event_id), sale.items(2, 1)), datetime.now(UTC)
                booking.book(client.wiring.database, caller, order, key=None, limits=LIMITS, now=now)
                confirmed.append((order.event_id, caller.user_id))

    with ThreadPoolExecutor(CLIENTS) as threads:
        running = [threads.submit(book_until_refused) for _ in range(CLIENTS)]
        until(lambda: len(confirmed) >= minimum or any(future.done() for future in running))
        crash(server, client)
    for future in running:
        future.result()
    return set(confirmed)


def present(client: Client) -> set[tuple[UUID, UUID]]:
    """Check that counters, bookings and tickets agree, and return each booking's event and attendee."""
    for row in rows(client, "SELECT event_id FROM places"):
        taken_by_pool(client, row.event_id)
        taken(client, row.event_id)
    incomplete = rows(
        client,
        "SELECT booking_id FROM bookings LEFT JOIN tickets USING (booking_id) GROUP BY booking_id"
        " HAVING count(ticket_type_id) <> 3 OR count(DISTINCT ticket_type_id) <> 2",
    )
    assert incomplete == []
    return {(row.event_id, row.user_id) for row in rows(client, "SELECT event_id, user_id FROM bookings")}
