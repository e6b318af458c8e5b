"""Batches of offline scans: repeatable, in any order, and what they report."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from chalicelib.check_in import undo
from chalicelib.check_in.batches import Scan
from chalicelib.check_in.ticket_codes import TicketVersion
from tests.check_in.crowd import Crowd, sell
from tests.client import Client
from tests.rows import rows


@pytest.fixture
def crowd(client: Client) -> Crowd:
    return sell(client, 3)


def stored(crowd: Crowd) -> list[tuple[object, ...]]:
    """Return what is known of all scans, without their ids and the times at which they were recorded."""
    found = rows(
        crowd.client,
        "SELECT s.nonce, s.ticket_id, s.direction, s.outcome, s.scanned_at, s.gate, s.left_at, w.nonce"
        " FROM check_ins s LEFT JOIN check_ins w ON w.check_in_id = s.conflicts_with ORDER BY s.nonce",
    )
    return [tuple(row) for row in found]


def test_an_offline_scan_admits_its_ticket(crowd: Crowd) -> None:
    [result] = crowd.record(crowd.scan(crowd.tickets[0], crowd.at, gate="A"))

    assert (result.outcome, result.first, list(result.later)) == ("admitted", None, [])
    assert result.check_in is not None
    assert (result.check_in.scanned_at, result.check_in.gate) == (crowd.at, "A")
    assert result.ticket is not None
    assert (result.ticket.status, result.ticket.holder_name) == ("used", crowd.attendee.name)
    assert [crowd.status(ticket) for ticket in crowd.tickets] == ["used", "valid", "valid"]


def test_the_earliest_scan_wins_and_both_are_reported(crowd: Crowd) -> None:
    ticket = crowd.tickets[0]
    late, early = (
        crowd.scan(ticket, crowd.at + timedelta(minutes=5), gate="B"),
        crowd.scan(ticket, crowd.at, gate="A"),
    )

    [before] = crowd.record(late)
    [after] = crowd.record(early)
    [again] = crowd.record(late)

    assert (before.outcome, after.outcome, again.outcome) == ("admitted", "admitted", "already-checked-in")
    assert [one.gate for one in after.later] == ["B"]
    assert again.first is not None
    assert (again.first.gate, again.first.scanned_at) == ("A", crowd.at)


def test_a_batch_can_be_sent_again(crowd: Crowd) -> None:
    batch = [
        crowd.scan(ticket, crowd.at + timedelta(seconds=n)) for n, ticket in enumerate([*crowd.tickets] * 2)
    ]
    first = crowd.record(*batch)
    before = stored(crowd)

    assert crowd.record(*batch) == first
    assert crowd.record(*reversed(batch)) == first[::-1]
    assert stored(crowd) == before


@pytest.mark.parametrize("seed", range(8))
def test_order_and_repetition_of_batches_do_not_matter(client: Client, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 (reproducible)
    crowd = sell(client, 4, re_entry=True)
    scans = [
        crowd.scan(chance.choice(crowd.tickets), crowd.at + timedelta(seconds=n), out=chance.random() < 0.3)
        for n in range(30)
    ]
    crowd.record(*scans)
    expected, statuses = stored(crowd), [crowd.status(ticket) for ticket in crowd.tickets]
    rows(client, "DELETE FROM check_ins")
    rows(client, "UPDATE tickets SET status = 'valid'")

    shuffled = chance.sample(scans, len(scans))
    while shuffled:
        size = chance.randint(1, 7)
        batch, shuffled = shuffled[:size], shuffled[size:]
        crowd.record(*batch)
        crowd.record(*chance.sample(scans, 3))

    assert stored(crowd) == expected
    assert [crowd.status(ticket) for ticket in crowd.tickets] == statuses


def _old_code(crowd: Crowd) -> Scan:
    scan = crowd.scan(crowd.tickets[0], crowd.at)
    rows(crowd.client, "UPDATE tickets SET serial = 2 WHERE ticket_id = :id", id=crowd.tickets[0].ticket_id)
    return scan


def _cancelled(crowd: Crowd) -> Scan:
    client, ticket_id = crowd.client, crowd.tickets[0].ticket_id
    assert client("DELETE", f"/tickets/{ticket_id}", by=crowd.attendee).status == 204
    return crowd.scan(crowd.tickets[0], crowd.at)


def _foreign(crowd: Crowd) -> Scan:
    return crowd.scan(sell(crowd.client).tickets[0], crowd.at)


BAD: dict[str, Callable[[Crowd], Scan]] = {
    "no-such-ticket": lambda crowd: crowd.scan("A" * 55, crowd.at),
    "wrong-event": _foreign,
    "invalid-time": lambda crowd: crowd.scan(crowd.tickets[0], crowd.at + timedelta(hours=2)),
    "no-re-entry": lambda crowd: crowd.scan(crowd.tickets[0], crowd.at, out=True),
    "ticket-cancelled": _cancelled,
    "code-replaced": _old_code,
    "not-yet-valid": lambda crowd: crowd.scan(crowd.tickets[0], crowd.at - timedelta(hours=13)),
}


@pytest.mark.parametrize("outcome", BAD)
def test_a_bad_scan_is_reported_and_the_others_count(crowd: Crowd, outcome: str) -> None:
    bad, good = BAD[outcome](crowd), crowd.scan(crowd.tickets[1], crowd.at)

    results = crowd.record(bad, good)

    assert [result.outcome for result in results] == [outcome, "admitted"]
    assert crowd.record(bad, good)[0].outcome == outcome
    assert crowd.status(crowd.tickets[0]) == ("cancelled" if outcome == "ticket-cancelled" else "valid")


def test_an_unknown_ticket_of_a_genuine_code_is_reported(crowd: Crowd) -> None:
    assert crowd.record(crowd.scan(TicketVersion(uuid4(), 1), crowd.at))[0].outcome == "no-such-ticket"


def test_a_nonce_of_another_ticket_is_not_used_again(crowd: Crowd) -> None:
    first = crowd.scan(crowd.tickets[0], crowd.at)
    crowd.record(first)

    [result] = crowd.record(crowd.scan(crowd.tickets[1], crowd.at, nonce=first.nonce))

    assert (result.outcome, result.check_in) == ("nonce-reused", None)
    assert crowd.status(crowd.tickets[1]) == "valid"


def test_an_undone_scan_lets_the_next_one_in(crowd: Crowd) -> None:
    ticket = crowd.tickets[0]
    early, late = crowd.scan(ticket, crowd.at), crowd.scan(ticket, crowd.at + timedelta(minutes=1))
    first, _ = crowd.record(early, late)
    assert first.check_in is not None

    with crowd.client.wiring.database.transaction() as connection:
        event_id = rows(crowd.client, "SELECT event_id FROM check_ins LIMIT 1")[0][0]
        undo.undo(connection, event_id, first.check_in.check_in_id, datetime.now(UTC))

    assert crowd.record(late)[0].outcome == "admitted"
    assert crowd.status(ticket) == "used"
