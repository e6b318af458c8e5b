"""The limit: the booking procedure as pgbench calls it, by the app's own call, prepared."""

import contextlib
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import make_url

from bench import ground
from bench.figures import Tally
from bench.scale import Scale
from chalicelib.bookings import booking
from chalicelib.platform.database.engine import Database
from chalicelib.platform.observability import request_context
from chalicelib.platform.security import Caller
from infra.local import installation

_EVENT = "00000000-0000-7000-9000-000000000000"
_PERSON = "00000000-0000-7000-8000-000000000000"


class _Recorder(Database):
    """Takes down what would be called."""

    def __init__(self) -> None:
        self.sql = ""

    def call(self, sql: str) -> Sequence[Any]:
        self.sql = sql
        return "booked", "{}"


def call_text() -> str:
    """What the app sends to book a place, with each id that differs left open for pgbench."""
    recorder = _Recorder()
    caller = Caller(UUID(_PERSON), "attendee", 1)
    now = datetime.now(UTC)
    with request_context.bind("c6af9ac6-7b61-11e6-9a41-93e8deadbeef"):
        booking.book(recorder, caller, UUID(_EVENT), key=None, hold=timedelta(minutes=15), now=now)
    text = recorder.sql.replace(f"'{UUID(_PERSON).hex}'", ":person").replace(
        f"'{UUID(_EVENT).hex}'", ":event"
    )
    made_in_python = re.compile("'[0-9a-f]{12}7[0-9a-f]{19}'")
    return made_in_python.sub("uuidv7()", text)


def script(call: str, first_event: int, people_each: int, events: int = 1) -> str:
    """A pgbench script in which each client books for people of its own, over some events in turn."""
    # In a prepared statement a variable is a parameter, which no quotes may be around.
    text = call.replace(":person", "('00000000-0000-7000-8000-' || :person)::uuid")
    text = text.replace(":event", "('00000000-0000-7000-9000-' || :event)::uuid")
    person = int(ground.person(0)[-12:])
    event = int(ground.event(first_event)[-12:])
    return "\n".join(
        (
            rf"\set person {person} + :client_id * {people_each} + :turn",
            rf"\set event {event} + mod(:turn + :client_id * 37, {events})",
            r"\set turn :turn + 1",
            f"{text};",
        )
    )


@dataclass(frozen=True)
class Pgbench:
    url: str
    scale: Scale

    def book(
        self,
        first_event: int,
        clients: int,
        events: int = 1,
        *,
        sold_out: bool = False,
        call: str | None = None,
    ) -> Tally:
        """Have so many clients book for a while, and check that all their calls took places, or none."""
        people_each = self.scale.people // clients
        tally, calls = self._run(script(call or call_text(), first_event, people_each, events), clients)
        ids = ", ".join(f"'{ground.event(first_event + number)}'" for number in range(events))
        booked = ground.value(self.url, f"SELECT count(*) FROM bookings WHERE event_id IN ({ids})")  # noqa: S608
        if booked != (0 if sold_out else calls):
            raise RuntimeError(f"pgbench called {calls} times, and {booked} places were taken")
        return tally

    def ask(self, query: str) -> Tally:
        """Have one client ask the same again and again."""
        return self._run(f"{query};", 1)[0]

    def _run(self, text: str, clients: int) -> tuple[Tally, int]:
        address = make_url(self.url)
        seconds = self.scale.seconds + self.scale.warm_up
        with _folder() as folder:
            (folder / "script").write_text(text)
            program = installation.find(lambda _: None).programs / "pgbench"
            done = subprocess.run(  # noqa: S603 (the program of the wheel)
                [
                    program,
                    "--no-vacuum",
                    "--protocol=prepared",
                    f"--host={address.host}",
                    f"--port={address.port}",
                    f"--username={address.username}",
                    f"--client={clients}",
                    f"--jobs={min(clients, 2)}",
                    f"--time={max(1, round(seconds))}",
                    "--define=turn=0",
                    f"--file={folder / 'script'}",
                    "--log",
                    f"--log-prefix={folder / 'log'}",
                    str(address.database),
                ],
                capture_output=True,
                text=True,
                timeout=60 + seconds,
                check=False,
            )
            if done.returncode or "number of failed transactions: 0 " not in done.stdout:
                raise RuntimeError(f"pgbench failed: {done.stdout}\n{done.stderr}")
            rows = [line.split() for log in folder.glob("log.*") for line in log.read_text().splitlines()]
        ended = [(int(row[4]) + int(row[5]) / 1e6, int(row[2]) / 1e6) for row in rows]
        begin = min(end - took for end, took in ended) + self.scale.warm_up
        counted = [took for end, took in ended if end >= begin]
        return Tally.of(max(end for end, _ in ended) - begin, counted), len(rows)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="event-booking-pgbench-") as name:
        yield Path(name)
