"""The upper bound: pgbench makes the app's own call, as a prepared statement, without Python."""

import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import make_url

from bench import database
from bench.figures import Tally
from bench.requests import REQUEST_ID
from bench.scale import Scale
from chalicelib.bookings import booking
from chalicelib.bookings.booking import BookingLimits, Item, Order
from chalicelib.platform.database.engine import Database
from chalicelib.platform.observability import request_context
from chalicelib.platform.security import Caller
from infra.local import postgres_binaries

LIMITS = BookingLimits(
    hold=timedelta(minutes=15),
    max_open_holds=3,
    hold_cooldown=timedelta(minutes=15),
    verified_attendees_only=False,
)
_UUID_OF_PYTHON = re.compile("'[0-9a-f]{12}7[0-9a-f]{19}'")


class RecordingDatabase(Database):
    """Record the last call, and pretend that it booked a place or priced an order."""

    def __init__(self) -> None:
        self.sql = ""

    def call(self, sql: str) -> Sequence[Any]:
        self.sql = sql
        quoted = ", True, NULL, NULL, " in sql
        return ("quoted", '{"revision":1,"quote":{}}') if quoted else ("booked", "{}")


def call_text(tickets: int = 1, *, quote: bool = False) -> str:
    """Return the SQL by which the app books, with :person, :event and new ids in place of its ids."""
    recorder, person, event = RecordingDatabase(), UUID(database.person_id(0)), UUID(database.event_id(0))
    types = [UUID(type_id) for type_id in database.type_ids(str(event))]
    items = tuple(Item(type_id, tickets // 2) for type_id in types) if tickets > 1 else None
    caller, order, now = Caller(person, "attendee", 1), Order(event, items), datetime.now(UTC)
    with request_context.bind(REQUEST_ID):
        if quote:
            booking.quote(recorder, caller, order, limits=LIMITS, now=now)
        else:
            booking.book(recorder, caller, order, key=None, limits=LIMITS, now=now)
    # pgbench passes variables of a prepared statement as parameters, which must not be in quotes.
    text = recorder.sql.replace(f"'{person.hex}'", f"('{database.PERSON}' || :person)::uuid")
    text = text.replace(f"'{event.hex}'", f"('{database.EVENT}' || :event)::uuid")
    prefixes = f"'{database.TYPE}' || :event, '{database.SECOND_TYPE}' || :event"
    text = text.replace(f"'{{{types[0].hex},{types[1].hex}}}'", f"ARRAY[{prefixes}]::uuid[]")
    return _UUID_OF_PYTHON.sub("uuidv7()", text)


_SCRIPT = r"""
\set person {first} + :client_id * {people} + :turn
\set event {first_event} + mod(:turn + :client_id * 37, {events})
\set turn :turn + 1
{call};
"""
"""Each client books for its own people, over the events in turn."""


@dataclass(frozen=True)
class Pgbench:
    url: str
    scale: Scale

    def book(
        self, first_event: int, clients: int, events: int = 1, *, tickets: int = 1, sold_out: bool = False
    ) -> Tally:
        """Book with several clients for one run, and check that every call booked, or none did.

        Raises:
            RuntimeError: The number of bookings is wrong.
        """
        tally = self.call(call_text(tickets), first_event, clients, events)
        event_ids = [database.event_id(first_event + number) for number in range(events)]
        database.check_bookings(self.url, event_ids, 0 if sold_out else tally.calls, tickets)
        return tally

    def call(self, sql: str, first_event: int, clients: int, events: int = 1) -> Tally:
        """Make the same call with several clients for one run, with :person and :event that change."""
        script = _SCRIPT.format(
            call=sql,
            first=database.FIRST,
            first_event=database.FIRST + first_event,
            people=self.scale.people // clients,
            events=events,
        )
        return self.run(script, clients)

    def run(self, script: str, clients: int) -> Tally:
        """Run a script with several clients. `:turn` is 0 at first."""
        at = make_url(self.url)
        with tempfile.TemporaryDirectory(prefix="event-booking-pgbench-") as name:
            folder = Path(name)
            (folder / "script").write_text(script)
            done = subprocess.run(  # noqa: S603 (from the wheel)
                [
                    postgres_binaries.find(lambda _: None).programs / "pgbench",
                    *f"--no-vacuum --protocol=prepared --client={clients} --jobs=2".split(),
                    *f"--define=turn=0 --file=script --log {self.scale.pgbench_limit}".split(),
                    f"host={at.host} port={at.port} user={at.username} dbname={at.database}",
                ],
                cwd=folder,
                env={**os.environ, "PGPASSWORD": at.password or ""},
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            if done.returncode or "number of failed transactions: 0 " not in done.stdout:
                raise RuntimeError(f"pgbench failed: {done.stdout}\n{done.stderr}")
            rows = [
                line.split() for log in folder.glob("pgbench_log.*") for line in log.read_text().splitlines()
            ]
        return _tally(rows, self.scale.warm_up)


def _tally(rows: Sequence[Sequence[str]], warm_up: float) -> Tally:
    """Count the transactions of pgbench's log (pgbench manual, per-transaction logging)."""
    ended = [(int(row[4]) + int(row[5]) / 1e6, int(row[2]) / 1e6) for row in rows]
    begin = min(end - took for end, took in ended) + warm_up
    counted = sorted(took for end, took in ended if end >= begin)
    return Tally(max(end for end, _ in ended) - begin, counted, len(rows))
