"""A day at the door: four scanners that lose their networks, over HTTP, and what is known at its end."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from http import HTTPStatus
from threading import Event as Flag
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.check_in.crowd import Crowd, Ticket, sell
from tests.client import Client
from tests.concurrency import Line, Web, run_concurrently
from tests.rows import alter, rows

TICKETS = 5000
SCANNERS = 4
OFFLINE = 0.3
"""The share of the time that a scanner is offline."""
MORNING = timedelta(hours=3)
"""How long ago the day began."""


@dataclass
class Scanner:
    """A scanner at one gate, which knows what it has read, admitted and been told."""

    crowd: Crowd
    line: Line
    gate: str
    chance: random.Random
    skew: timedelta
    known: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Tickets by the hash of their code."""
    hashes: dict[str, list[str]] = field(default_factory=dict)
    """The same hashes by ticket."""
    inside: set[str] = field(default_factory=set)
    """Tickets that this scanner knows to be inside."""
    mark: str | None = None
    queue: list[dict[str, Any]] = field(default_factory=list)
    online: bool = True
    admitted: list[tuple[UUID, str]] = field(default_factory=list)
    """Nonces and tickets of all that it has let in."""
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the server said last of each nonce that was scanned offline."""

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request again, the same, until there is an answer."""
        while True:
            reply = self.line(method, f"/events/{self.crowd.event_id}/{path}", body, by=self.crowd.host)
            if reply.status != HTTPStatus.SERVICE_UNAVAILABLE:
                return reply

    def refresh(self) -> None:
        """Read the changes of the door list."""
        more = True
        while more:
            since = f"&since={self.mark}" if self.mark else ""
            reply = self.call("GET", f"door-list?limit=1000{since}")
            assert reply.status == 200, reply.text
            for ticket in reply.json["tickets"]:
                self._learn(ticket)
            self.mark, more = reply.json["mark"], reply.json["more"]

    def _learn(self, ticket: dict[str, Any]) -> None:
        for former in self.hashes.pop(ticket["ticketId"], ()):
            del self.known[former]
        self.hashes[ticket["ticketId"]] = ticket["codeHashes"]
        self.known |= dict.fromkeys(ticket["codeHashes"], ticket)
        if ticket["inside"]:
            self.inside.add(ticket["ticketId"])

    def scan(self, ticket: Ticket, at: datetime) -> None:
        """Scan a code, and let its holder in or not."""
        if self.chance.random() < 0.01:
            self._lose_or_find_the_network()
        nonce = uuid4()
        if self.online:
            body = {"code": ticket.code, "nonce": str(nonce), "gate": self.gate, "at": at.isoformat()}
            reply = self.call("POST", "check-ins", body)
            if self.chance.random() < 0.02:  # the answer was lost: the same scan again
                again = self.call("POST", "check-ins", body)
                assert again.status == reply.status
            if reply.status == 200:
                self.admitted.append((nonce, ticket.ticket_id))
                self.inside.add(ticket.ticket_id)
            elif reply.json["code"] == "already-checked-in":
                self.inside.add(ticket.ticket_id)
            return
        known = self.known.get(sha256(ticket.code.encode()).hexdigest())
        if known is None or known["ticketId"] in self.inside:
            return
        self.inside.add(ticket.ticket_id)
        self.admitted.append((nonce, ticket.ticket_id))
        device = (at + self.skew).isoformat()
        self.queue.append({"code": ticket.code, "nonce": str(nonce), "gate": self.gate, "at": device})

    def _lose_or_find_the_network(self) -> None:
        self.online = self.chance.random() >= OFFLINE
        if self.online:
            self.upload()
            self.refresh()

    def upload(self) -> None:
        """Send the queue in batches: in any order, some twice, some without hearing the answer."""
        self.chance.shuffle(self.queue)
        while self.queue:
            batch = self.queue[: self.chance.randint(1, 100)]
            sent = {"scans": batch, "sentAt": (datetime.now(UTC) + self.skew).isoformat()}
            reply = self.call("POST", "check-ins/batch", sent)
            assert reply.status == 200, reply.text
            if self.chance.random() < 0.2:  # killed before the answer was stored
                continue
            self.results |= {result["nonce"]: result for result in reply.json["results"]}
            self.queue = self.queue[len(batch) :]


def replace_codes(crowd: Crowd, void: list[Ticket]) -> None:
    """Replace the codes of tickets that are not used, as a transfer does."""
    for ticket in void:
        unused = f"ticket_id = '{UUID(ticket.ticket_id)}' AND status = 'valid'"
        alter(crowd.client, f"UPDATE tickets SET serial = serial + 1 WHERE {unused}")  # noqa: S608 (an id)


def kill_sessions(crowd: Crowd, over: Flag) -> None:
    """End sessions of the app again and again, in the middle of whatever they do."""
    while not over.wait(0.3):
        alter(
            crowd.client,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND usename <> current_user AND query LIKE '%check_in%'",
        )


def work(crowd: Crowd, web: Web, number: int, arrivals: Sequence[tuple[Ticket, datetime]]) -> Scanner:
    """Scan all arrivals at one gate, and upload what is left at the end."""
    with web.line() as line:
        chance, skew = random.Random(number), timedelta(seconds=37 * number - 60)  # noqa: S311 (reproducible)
        scanner = Scanner(crowd, line, f"Gate {number}", chance, skew)
        scanner.refresh()
        for ticket, at in arrivals:
            scanner.scan(ticket, at)
        scanner.online = True
        scanner.upload()
        scanner.refresh()
        return scanner


@pytest.mark.slow
def test_a_day_at_the_door(client: Client, web: Web) -> None:
    crowd = sell(client, TICKETS)
    chance = random.Random(7)  # noqa: S311 (reproducible)
    people = [*crowd.tickets, *chance.sample(crowd.tickets, TICKETS // 20)]  # some with a copy
    chance.shuffle(people)
    morning = datetime.now(UTC) - MORNING
    arrivals = [(ticket, morning + timedelta(seconds=number)) for number, ticket in enumerate(people)]
    over = Flag()

    with ThreadPoolExecutor(2) as others:
        replaced = others.submit(replace_codes, crowd, chance.sample(crowd.tickets, 60))
        killed = others.submit(kill_sessions, crowd, over)
        try:
            gates = [partial(work, crowd, web, n, arrivals[n::SCANNERS]) for n in range(SCANNERS)]
            scanners = run_concurrently(gates)
        finally:
            over.set()
        replaced.result()
        killed.result()

    let_in = {nonce: ticket for scanner in scanners for nonce, ticket in scanner.admitted}
    stored = rows(client, "SELECT * FROM check_ins ORDER BY scanned_at, nonce")
    assert_nothing_is_lost_or_doubled(let_in, stored)
    assert_the_earliest_scan_wins(stored)
    assert_scanners_did_not_know_better(scanners, stored)
    counts = Counter(row.outcome for row in stored)
    attendance = client("GET", f"/events/{crowd.event_id}/attendance", by=crowd.host).json
    used = rows(client, "SELECT ticket_id FROM tickets WHERE status = 'used'")
    assert attendance["admitted"] == attendance["inside"] == counts["admitted"] == len(used)
    assert attendance["conflicts"] == counts["already-checked-in"] > 0


def assert_nothing_is_lost_or_doubled(let_in: Mapping[UUID, str], stored: Sequence[Any]) -> None:
    assert {row.nonce: str(row.ticket_id) for row in stored} == let_in
    assert len(stored) == len(let_in)


def assert_the_earliest_scan_wins(stored: Sequence[Any]) -> None:
    winners: dict[UUID, Any] = {}
    for row in stored:
        if row.outcome == "code-replaced":
            continue
        winner = winners.setdefault(row.ticket_id, row)
        expected = ("admitted", None) if row is winner else ("already-checked-in", winner.check_in_id)
        assert (row.outcome, row.conflicts_with) == expected


def assert_scanners_did_not_know_better(scanners: Sequence[Scanner], stored: Sequence[Any]) -> None:
    outcomes = {str(row.nonce): row.outcome for row in stored}
    for scanner in scanners:
        assert max(Counter(ticket for _, ticket in scanner.admitted).values()) == 1
        # A scan that a later batch has overtaken was reported as admitted before.
        refused = [nonce for nonce, told in scanner.results.items() if told["outcome"] != "admitted"]
        assert {outcomes[nonce] for nonce in refused} <= {"already-checked-in", "code-replaced"}
