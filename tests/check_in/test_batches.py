"""Batches of offline scans: repeatable, in any order, and what they report."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from chalicelib.check_in import batches
from chalicelib.check_in.batches import Scan
from chalicelib.check_in.ticket_codes import TicketVersion
from tests.check_in.door import Door, open_door
from tests.client import Client
from tests.rows import rows

NOW = datetime.now(UTC).replace(microsecond=0)
AT = NOW - timedelta(minutes=30)


@pytest.fixture
def door(client: Client) -> Door:
    return open_door(client, 3)


def stored(door: Door) -> list[tuple[object, ...]]:
    """Return what is known of all scans, without their ids and the times at which they were recorded."""
    found = rows(
        door.client,
        "SELECT s.nonce, s.ticket_id, s.direction, s.outcome, s.scanned_at, s.gate, s.left_at, w.nonce"
        " FROM check_ins s LEFT JOIN check_ins w ON w.check_in_id = s.conflicts_with ORDER BY s.nonce",
    )
    return [tuple(row) for row in found]


def test_an_offline_scan_admits_its_ticket(door: Door) -> None:
    [result] = door.record(door.scan(door.tickets[0], AT, gate="A"))

    assert (result.outcome, result.first, list(result.later)) == ("admitted", None, [])
    assert result.check_in is not None
    assert (result.check_in.scanned_at, result.check_in.gate) == (AT, "A")
    assert result.ticket is not None
    assert (result.ticket.status, result.ticket.holder_name) == ("used", door.attendee.name)
    assert [door.status(ticket) for ticket in door.tickets] == ["used", "valid", "valid"]


def test_the_earliest_scan_wins_and_both_are_reported(door: Door) -> None:
    ticket = door.tickets[0]
    late, early = door.scan(ticket, AT + timedelta(minutes=5), gate="B"), door.scan(ticket, AT, gate="A")

    [before] = door.record(late)
    [after] = door.record(early)
    [again] = door.record(late)

    assert (before.outcome, after.outcome, again.outcome) == ("admitted", "admitted", "already-checked-in")
    assert [one.gate for one in after.later] == ["B"]
    assert again.first is not None
    assert (again.first.gate, again.first.scanned_at) == ("A", AT)


def test_a_batch_can_be_sent_again(door: Door) -> None:
    batch = [door.scan(ticket, AT + timedelta(seconds=n)) for n, ticket in enumerate([*door.tickets] * 2)]
    first = door.record(*batch)
    before = stored(door)

    assert door.record(*batch) == first
    assert door.record(*reversed(batch)) == first[::-1]
    assert stored(door) == before


@pytest.mark.parametrize("seed", range(8))
def test_order_and_repetition_of_batches_do_not_matter(client: Client, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 (reproducible)
    door = open_door(client, 4, re_entry=True)
    scans = [
        door.scan(chance.choice(door.tickets), AT + timedelta(seconds=n), out=chance.random() < 0.3)
        for n in range(30)
    ]
    door.record(*scans)
    expected, statuses = stored(door), [door.status(ticket) for ticket in door.tickets]
    rows(client, "DELETE FROM check_ins")
    rows(client, "UPDATE tickets SET status = 'valid'")

    shuffled = chance.sample(scans, len(scans))
    while shuffled:
        size = chance.randint(1, 7)
        batch, shuffled = shuffled[:size], shuffled[size:]
        door.record(*batch)
        door.record(*chance.sample(scans, 3))

    assert stored(door) == expected
    assert [door.status(ticket) for ticket in door.tickets] == statuses


def _old_code(door: Door) -> Scan:
    scan = door.scan(door.tickets[0], AT)
    rows(door.client, "UPDATE tickets SET serial = 2 WHERE ticket_id = :id", id=door.tickets[0].ticket_id)
    return scan


def _cancelled(door: Door) -> Scan:
    client, ticket_id = door.client, door.tickets[0].ticket_id
    assert client("DELETE", f"/tickets/{ticket_id}", by=door.attendee).status == 204
    return door.scan(door.tickets[0], AT)


def _foreign(door: Door) -> Scan:
    return door.scan(open_door(door.client).tickets[0], AT)


BAD: dict[str, Callable[[Door], Scan]] = {
    "no-such-ticket": lambda door: door.scan("A" * 55, AT),
    "wrong-event": _foreign,
    "invalid-time": lambda door: door.scan(door.tickets[0], NOW + timedelta(hours=1)),
    "no-re-entry": lambda door: door.scan(door.tickets[0], AT, out=True),
    "ticket-cancelled": _cancelled,
    "code-replaced": _old_code,
    "not-yet-valid": lambda door: door.scan(door.tickets[0], NOW - timedelta(hours=13)),
}


@pytest.mark.parametrize("outcome", BAD)
def test_a_bad_scan_is_reported_and_the_others_count(door: Door, outcome: str) -> None:
    bad, good = BAD[outcome](door), door.scan(door.tickets[1], AT)

    results = door.record(bad, good)

    assert [result.outcome for result in results] == [outcome, "admitted"]
    assert door.record(bad, good)[0].outcome == outcome
    assert door.status(door.tickets[0]) == ("cancelled" if outcome == "ticket-cancelled" else "valid")


def test_an_unknown_ticket_of_a_genuine_code_is_reported(door: Door) -> None:
    assert door.record(door.scan(TicketVersion(uuid4(), 1), AT))[0].outcome == "no-such-ticket"


def test_a_nonce_of_another_ticket_is_not_used_again(door: Door) -> None:
    first = door.scan(door.tickets[0], AT)
    door.record(first)

    [result] = door.record(door.scan(door.tickets[1], AT, nonce=first.nonce))

    assert result.check_in is not None
    assert str(result.check_in.ticket_id) == door.tickets[0].ticket_id
    assert door.status(door.tickets[1]) == "valid"


def test_an_undone_scan_lets_the_next_one_in(door: Door) -> None:
    ticket = door.tickets[0]
    early, late = door.scan(ticket, AT), door.scan(ticket, AT + timedelta(minutes=1))
    first, _ = door.record(early, late)
    assert first.check_in is not None

    with door.client.wiring.database.transaction() as connection:
        event_id = rows(door.client, "SELECT event_id FROM check_ins LIMIT 1")[0][0]
        assert batches.undo(connection, event_id, first.check_in.check_in_id, NOW)

    assert door.record(late)[0].outcome == "admitted"
    assert door.status(ticket) == "used"
