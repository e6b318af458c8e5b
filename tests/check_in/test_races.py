"""Concurrent scans over real HTTP: a ticket is admitted once, and no request fails with a server error."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import uuid4

import pytest

from tests.check_in.doors import Door
from tests.check_in.procedure import CHECK_IN, locked_ticket
from tests.client import Client, Reply
from tests.concurrency import Line, Web, deadlocks, until_waiting
from tests.rows import alter, rows, value

ROUNDS = 200

Rival = Callable[[Door, str, Line], Reply]
"""What somebody else does with a ticket while it is scanned."""


def outcome(reply: Reply) -> str:
    """Return the status, or the problem's name if the request was refused."""
    return str(reply.status) if reply.status < 400 else reply.problem


def outcomes(replies: Sequence[Reply]) -> Counter[str]:
    return Counter(map(outcome, replies))


def scan(door: Door, ticket_id: str, line: Line, *, by: str, gate: str) -> Reply:
    body = {"code": door.code(ticket_id), "nonce": str(uuid4()), "gate": gate}
    return line("POST", f"/events/{door.event_id}/check-ins", body, by=by)


def book(door: Door, count: int) -> list[str]:
    """Book tickets, and return their ids."""
    for attendee in door.client.attendees(count):
        assert door.client.book(attendee, door.event_id).status == 201
    return [str(row.ticket_id) for row in rows(door.client, "SELECT ticket_id FROM tickets")]


def race(door: Door, web: Web, ticket_ids: Sequence[str], rival: Rival | None = None) -> list[list[Reply]]:
    """Scan each ticket while a second scanner, or a rival, uses it at the same moment.

    Both have read the ticket before either of them can change it.
    """
    north, south = (
        partial(scan, by=door.create_key(name=gate)["key"], gate=gate) for gate in ("North", "South")
    )
    deeds, replies = (north, rival or south), []
    with web.line() as first, web.line() as second, ThreadPoolExecutor(2) as threads:
        for ticket_id in ticket_ids:
            with locked_ticket(door.client, ticket_id):
                sent = [
                    threads.submit(deed, door, ticket_id, line)
                    for deed, line in zip(deeds, (first, second), strict=True)
                ]
                until_waiting(door.client, 2)
            replies.append([reply.result() for reply in sent])
    return replies


def test_two_scanners_admit_a_ticket_once(client: Client, web: Web) -> None:
    door = Door.open(client, capacity=ROUNDS)

    rounds = race(door, web, book(door, ROUNDS))

    assert len(rounds) == ROUNDS
    for replies in rounds:
        assert outcomes(replies) == {"200": 1, "already-checked-in": 1}
        admitted, refused = sorted(replies, key=lambda reply: reply.status)
        first = admitted.json["checkIn"]
        assert refused.json["first"] == {name: first[name] for name in ("checkInId", "scannedAt", "gate")}
    assert value(client, "SELECT count(*) FROM check_ins") == ROUNDS
    assert deadlocks(client) == 0


def test_without_guards_and_index_two_scanners_admit_a_ticket_twice(client: Client, web: Web) -> None:
    door = Door.open(client, capacity=ROUNDS)
    CHECK_IN.replace(client, CHECK_IN.without_guard("ticket-unchanged", "not-inside"))
    alter(client, "DROP INDEX uq_check_ins_inside")

    rounds = race(door, web, book(door, ROUNDS))

    assert [outcomes(replies) for replies in rounds] == [{"200": 2}] * ROUNDS
    assert value(client, "SELECT count(*) FROM check_ins") == 2 * ROUNDS


def cancel(door: Door, ticket_id: str, line: Line) -> Reply:
    return line("DELETE", f"/tickets/{ticket_id}", by=door.host)


def replace_code(door: Door, ticket_id: str, line: Line) -> Reply:
    return line("POST", f"/tickets/{ticket_id}/reissue", by=door.host)


def cancel_event(door: Door, _ticket_id: str, line: Line) -> Reply:
    return line("POST", f"/events/{door.event_id}/cancel", {}, by=door.host)


@pytest.mark.parametrize(
    ("rival", "done", "refused"),
    [(cancel, "204", "ticket-cancelled"), (replace_code, "200", "code-replaced")],
    ids=["cancel", "replace the code"],
)
def test_a_ticket_is_either_admitted_or_changed(
    client: Client, web: Web, rival: Rival, done: str, refused: str
) -> None:
    door = Door.open(client)
    ticket_ids = book(door, 60)

    rounds = race(door, web, ticket_ids, rival)

    for ticket_id, (scanned, changed) in zip(ticket_ids, rounds, strict=True):
        assert (outcome(scanned), outcome(changed)) in {("200", "ticket-used"), (refused, done)}
        assert (door.status(ticket_id) == "used") == (scanned.status == 200)
    assert deadlocks(client) == 0


def test_a_ticket_of_a_cancelled_event_is_not_admitted(client: Client, web: Web) -> None:
    host = client.host()
    for _ in range(20):
        door = Door.open(client, host)
        ticket_id = door.ticket()
        [[scanned, cancelled]] = race(door, web, [ticket_id], cancel_event)

        assert cancelled.status == 200
        assert outcome(scanned) in {"200", "ticket-cancelled"}
        assert door.status(ticket_id) == "cancelled"
        assert door.scan(ticket_id).problem == "ticket-cancelled"
    assert deadlocks(client) == 0
