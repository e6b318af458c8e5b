"""Concurrent scans over real HTTP: a ticket is admitted once, and no request fails with a server error."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from uuid import uuid4

from tests.check_in.doors import Door
from tests.client import Client, Reply
from tests.concurrency import Line, Web, deadlocks
from tests.rows import rows, value

ROUNDS = 200


def outcomes(replies: Sequence[Reply]) -> Counter[str]:
    """Count the replies by status, or by the problem's name if the request was refused."""
    return Counter(str(reply.status) if reply.status < 400 else reply.problem for reply in replies)


def scan(door: Door, key: str, gate: str, ticket_id: str, line: Line) -> Reply:
    body = {"code": door.code(ticket_id), "nonce": str(uuid4()), "gate": gate}
    return line("POST", f"/events/{door.event_id}/check-ins", body, by=key)


def book(client: Client, door: Door, count: int) -> list[str]:
    """Book tickets, and return their ids."""
    for attendee in client.attendees(count):
        assert client.book(attendee, door.event_id).status == 201
    return [str(row.ticket_id) for row in rows(client, "SELECT ticket_id FROM tickets ORDER BY ticket_id")]


def race(door: Door, web: Web, ticket_ids: list[str]) -> list[list[Reply]]:
    """Let two scanners scan each ticket at the same moment, one ticket after the other."""
    gates = {gate: door.create_key(name=gate)["key"] for gate in ("North", "South")}
    with web.line() as north, web.line() as south:
        lines = {"North": north, "South": south}
        return [
            list(
                door.client.run_concurrently(
                    [partial(scan, door, key, gate, ticket_id, lines[gate]) for gate, key in gates.items()]
                )
            )
            for ticket_id in ticket_ids
        ]


def test_two_scanners_admit_a_ticket_once(client: Client, web: Web) -> None:
    door = Door.open(client, capacity=ROUNDS)

    rounds = race(door, web, book(client, door, ROUNDS))

    for replies in rounds:
        admitted, refused = sorted(replies, key=lambda reply: reply.status)
        assert outcomes(replies) == {"200": 1, "already-checked-in": 1}
        first = admitted.json["checkIn"]
        assert refused.json["first"] == {name: first[name] for name in ("checkInId", "scannedAt", "gate")}
    assert len(rounds) == ROUNDS
    assert value(client, "SELECT count(*) FROM check_ins") == ROUNDS
    assert deadlocks(client) == 0
