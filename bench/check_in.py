"""Measures scans at the door of one event by the app, against bookings and pgbench."""

import hashlib
import itertools
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from multiprocessing.connection import Connection
from typing import Any
from uuid import UUID, uuid4

from bench import database
from bench.booking import with_database_cpu
from bench.containers import containers, forks, handlers, send_all, start_of_run, together
from bench.figures import Figure, Tally, percentiles, rates, ratios
from bench.pgbench import Pgbench
from bench.requests import request
from bench.scale import Scale
from chalicelib.check_in import scanning
from chalicelib.check_in.scanning import Scan
from chalicelib.check_in.ticket_codes import TicketCodes, TicketVersion
from chalicelib.platform.database.engine import Database
from chalicelib.platform.security import AccessKey
from chalicelib.wiring import Wiring, using

TICKETS = 40_000
"""More than one run can scan."""
TICKET = "00000000-0000-7000-c000-"
KEY = "key_" + "k" * 43
_ROUTE = "/events/{eventId}/check-ins"

_OPEN = """
UPDATE events SET doors_open_at = now() - interval '1 hour';
UPDATE tickets SET ticket_id = ('{TICKET}' || {FIRST} + n - 1)::uuid
FROM (SELECT ticket_id AS id, row_number() OVER () AS n FROM tickets) numbered WHERE ticket_id = id;
INSERT INTO door_keys (door_key_id, event_id, name, key_hash, created_at, expires_at)
VALUES (uuidv7(), '{event}', 'North gate', '\\x{hash}', now(), now() + interval '1 day')
"""
_AGAIN = (
    "TRUNCATE check_ins",
    "UPDATE tickets SET status = 'valid' WHERE status = 'used'",
    "VACUUM ANALYZE tickets",
    "CHECKPOINT",
)

_SCRIPT = r"""
\set ticket {first} + :client_id * {tickets} + :turn
\set turn :turn + 1
{call};
"""
"""Each client scans its own tickets."""


class _RecordingDatabase(Database):
    """Record the last call, and pretend that it admitted a ticket."""

    def __init__(self) -> None:
        self.sql = ""

    def call(self, sql: str) -> Sequence[Any]:
        self.sql = sql
        return ("admitted", "{}")


def measure(scale: Scale) -> list[Figure]:
    tallies: dict[tuple[str, int], list[Tally]] = defaultdict(list)
    with database.server() as server:
        people = max(TICKETS, scale.people)
        url = _populate(database.populate(server, "check_in", people, 1 + scale.runs))
        pgbench, handle, some = Pgbench(url, scale), handlers()["app"], scale.some
        works = [partial(_serve, url, scale, handle, range(TICKETS)[number::some]) for number in range(some)]
        with forks(works) as pipes, containers(url, scale, some) as crowd:
            ways = {"pgbench": partial(_pgbench, pgbench), "app": partial(_app, scale, pipes)}
            for run in range(scale.runs):
                for clients, way in itertools.product((1, some), ways):
                    database.run(url, *_AGAIN)
                    tally = with_database_cpu(server, partial(ways[way], clients))
                    _check(url, tally.calls)
                    tallies[way, clients].append(tally)
                tallies["bookings", some].append(crowd.book("app", 1 + run, some))
    return _figures(tallies, some)


def _figures(tallies: dict[tuple[str, int], list[Tally]], some: int) -> list[Figure]:
    app, pgbench, bookings = (rates(tallies[way, some]) for way in ("app", "pgbench", "bookings"))
    return [
        Figure(f"app, {some} clients", "scans/s", app, least=1000),
        Figure(f"app to bookings by the app, {some} clients", "%", ratios(app, bookings), least=100),
        Figure(f"pgbench, {some} clients", "scans/s", pgbench),
        Figure(f"app to pgbench, {some} clients", "%", ratios(app, pgbench)),
        *(
            Figure(f"latency, {way}, 1 client", "µs", percentiles(tallies[way, 1], 50))
            for way in ("app", "pgbench")
        ),
        Figure(f"latency, app, {some} clients, p99", "ms", percentiles(tallies["app", some], 99)),
        Figure("client CPU, app, 1 client", "µs", [tally.client_cpu for tally in tallies["app", 1]]),
        Figure("database CPU, app, 1 client", "µs", [tally.database_cpu for tally in tallies["app", 1]]),
    ]


def _populate(url: str) -> str:
    """Sell tickets of an event whose doors are open, and create a door key."""
    database.add_bookings(url, TICKETS, "n", "0", "'confirmed'")
    values = {
        "TICKET": TICKET,
        "FIRST": database.FIRST,
        "event": database.event_id(0),
        "hash": hashlib.sha256(KEY.encode()).hexdigest(),
    }
    database.run(url, _OPEN.format_map(values))
    return url


def _check(url: str, calls: int) -> None:
    """Check that every call has admitted a ticket.

    Raises:
        RuntimeError: It is not so.
    """
    admitted = database.value(
        url, "SELECT count(DISTINCT ticket_id) FROM check_ins WHERE outcome = 'admitted'"
    )
    if admitted != calls:
        raise RuntimeError(f"{calls} scans admitted {admitted} tickets")


def _pgbench(pgbench: Pgbench, clients: int) -> Tally:
    script = _SCRIPT.format(first=database.FIRST, tickets=TICKETS // clients, call=_call_text())
    return pgbench.run(script, clients)


def _call_text() -> str:
    """Return the SQL by which the app scans, with :ticket and new ids in place of its ids."""
    recorder, now = _RecordingDatabase(), datetime.now(UTC)
    ticket_id, nonce = UUID(f"{TICKET}{database.FIRST}"), uuid4()
    scan = Scan(ticket_id=ticket_id, serial=1, nonce=nonce, scanned_at=now, gate="North")
    key = AccessKey.read(KEY)
    scanning.scan(recorder, UUID(database.event_id(0)), scan, caller=None, key=key, now=now)
    text = recorder.sql.replace(f"'{ticket_id.hex}'", f"('{TICKET}' || :ticket)::uuid")
    text = text.replace(f"'{nonce.hex}'", "gen_random_uuid()")
    return re.sub(r"check_in\('[0-9a-f]{32}'", "check_in(uuidv7()", text)


def _app(scale: Scale, pipes: Sequence[Connection], clients: int) -> Tally:
    start = start_of_run(clients)
    for pipe in pipes[:clients]:
        pipe.send(start)
    return together([pipe.recv() for pipe in pipes[:clients]], scale)


def _serve(url: str, scale: Scale, handle: Any, numbers: range, pipe: Connection) -> None:
    settings = database.settings(url)
    with using(Wiring(settings)) as wiring:
        codes = TicketCodes.of(settings)
        ids = (UUID(f"{TICKET}{database.FIRST + number}") for number in numbers)
        scanned = [codes.make(TicketVersion(ticket_id, 1)) for ticket_id in ids]
        wiring.database.call("SELECT 1")
        pipe.send("ready")
        while True:
            starts_at: float = pipe.recv()
            pipe.send(send_all(_requests(scanned), handle, scale, starts_at=starts_at, expected_status=200))


def _requests(codes: Sequence[str]) -> Iterator[dict[str, Any]]:
    event_id = database.event_id(0)
    for code in codes:
        body = json.dumps({"code": code, "nonce": str(uuid4()), "gate": "North"}, separators=(",", ":"))
        sent = request("POST", _ROUTE, token=KEY, body=body)
        sent["pathParameters"] = {"eventId": event_id}
        yield sent
