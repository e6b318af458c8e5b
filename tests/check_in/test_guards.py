"""The guards of a check-in, tested in pairs: with the guard the race is safe, without it the race is lost.

No race depends on timing. A test locks the ticket's row, waits until all racing scans wait for that lock, and
then releases it.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, text

from chalicelib.check_in import undo
from chalicelib.check_in.models import Direction
from chalicelib.payments import cancellation
from tests.check_in.doors import Door
from tests.check_in.procedure import CHECK_IN, attempt, locked_ticket
from tests.client import Client
from tests.concurrency import until_waiting
from tests.rows import alter, value

Change = Callable[[Connection, Door, str], object]

DROP_INDEX = "DROP INDEX uq_check_ins_inside"
DROP_CHECK = "ALTER TABLE tickets DROP CONSTRAINT ck_tickets_cancelled"


def test_every_guard_has_a_pair_test() -> None:
    CHECK_IN.check(Path(__file__).parent)


def race(door: Door, ticket_id: str, direction: Direction = "in", nonce: UUID | None = None) -> list[str]:
    """Let two scanners scan a ticket at the same time, after each has read it as it was."""
    with ThreadPoolExecutor(2) as threads, locked_ticket(door.client, ticket_id):
        attempts = [threads.submit(attempt, door, ticket_id, direction, nonce) for _ in range(2)]
        until_waiting(door.client, 2)
    return sorted(outcome.result() for outcome in attempts)


def inside(client: Client) -> int:
    sql = (
        "SELECT count(*) FROM check_ins WHERE outcome = 'admitted' AND left_at IS NULL AND undone_at IS NULL"
    )
    return int(value(client, sql))


ONCE = ["admitted", "already-checked-in"]


@pytest.mark.parametrize(
    ("removed", "drop", "outcomes"),
    [
        ([], None, ONCE),
        ([], DROP_INDEX, ONCE),
        (["ticket-unchanged"], None, ONCE),
        (["ticket-unchanged", "not-inside"], None, ["admitted", "uq_check_ins_inside"]),
        (["ticket-unchanged", "not-inside"], DROP_INDEX, ["admitted", "admitted"]),
    ],
    ids=["guards and index", "first guard alone", "second guard and index", "index alone", "nothing"],
)
def test_a_ticket_is_admitted_by_one_of_two_scanners(
    door: Door, removed: list[str], drop: str | None, outcomes: list[str]
) -> None:
    ticket_id = door.ticket()
    CHECK_IN.replace(door.client, CHECK_IN.without_guard(*removed))
    if drop:
        alter(door.client, drop)

    assert race(door, ticket_id) == outcomes

    assert inside(door.client) == outcomes.count("admitted")
    assert value(door.client, "SELECT count(*) FROM check_ins") == outcomes.count("admitted")


@pytest.mark.parametrize(
    ("removed", "drop", "outcomes"),
    [
        ([], None, ONCE),
        (["not-inside"], None, ["admitted", "uq_check_ins_inside"]),
        (["not-inside"], DROP_INDEX, ["admitted", "admitted"]),
    ],
    ids=["guard and index", "index alone", "neither"],
)
def test_a_ticket_comes_back_by_one_of_two_scanners(
    client: Client, removed: list[str], drop: str | None, outcomes: list[str]
) -> None:
    door = Door.open(client, reEntryAllowed=True)
    ticket_id = door.ticket()
    attempt(door, ticket_id)
    attempt(door, ticket_id, "out")
    CHECK_IN.replace(client, CHECK_IN.without_guard(*removed))
    if drop:
        alter(client, drop)

    assert race(door, ticket_id) == outcomes

    assert inside(client) == outcomes.count("admitted")


@pytest.mark.parametrize(
    ("removed", "outcomes"),
    [([], ["left", "not-checked-in"]), (["still-inside"], ["left", "left"])],
    ids=["guarded", "unguarded"],
)
def test_a_ticket_leaves_once(client: Client, removed: list[str], outcomes: list[str]) -> None:
    door = Door.open(client, reEntryAllowed=True)
    ticket_id = door.ticket()
    attempt(door, ticket_id)
    CHECK_IN.replace(client, CHECK_IN.without_guard(*removed))

    assert race(door, ticket_id, "out") == outcomes

    assert value(client, "SELECT count(*) FROM check_ins WHERE outcome = 'left'") == outcomes.count("left")


def test_a_scan_that_is_sent_twice_concurrently_is_recorded_once(client: Client) -> None:
    door = Door.open(client, reEntryAllowed=True)
    ticket_id = door.ticket()
    attempt(door, ticket_id)
    attempt(door, ticket_id, "out")

    assert race(door, ticket_id, nonce=uuid4()) == ["admitted", "admitted"]

    assert value(client, "SELECT count(*) FROM check_ins") == 3


def ticket_cancelled(connection: Connection, door: Door, ticket_id: str) -> None:
    host, now = door.client.wiring.tokens.read(door.host.token), datetime.now(UTC)
    cancellation.cancel_ticket(connection, host, UUID(ticket_id), expected=None, now=now)


def event_cancelled(connection: Connection, door: Door, _ticket_id: str) -> None:
    host_id, event_id = UUID(door.host.user_id), UUID(door.event_id)
    cancellation.cancel_event(
        connection, host_id, event_id, reason=None, expected=None, now=datetime.now(UTC)
    )


def code_replaced(connection: Connection, _door: Door, _ticket_id: str) -> None:
    connection.execute(text("UPDATE tickets SET serial = serial + 1"))


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        (ticket_cancelled, "ticket-cancelled"),
        (event_cancelled, "ticket-cancelled"),
        (code_replaced, "code-replaced"),
    ],
)
@pytest.mark.parametrize("removed", [[], ["ticket-unchanged"]], ids=["guarded", "unguarded"])
def test_a_ticket_changed_during_a_scan_is_not_admitted(
    door: Door, removed: list[str], change: Change, refused: str
) -> None:
    ticket_id = door.ticket()
    CHECK_IN.replace(door.client, CHECK_IN.without_guard(*removed))
    alter(door.client, DROP_CHECK)

    with ThreadPoolExecutor(1) as thread, locked_ticket(door.client, ticket_id) as connection:
        scanned = thread.submit(attempt, door, ticket_id)
        until_waiting(door.client, 1)  # the scan has read the ticket as it was
        change(connection, door, ticket_id)

    assert scanned.result() == ("admitted" if removed else refused)
    assert inside(door.client) == len(removed)


def test_an_undo_waits_for_a_scan(client: Client) -> None:
    door = Door.open(client, reEntryAllowed=True)
    ticket_id = door.ticket()
    check_in_id = UUID(door.scan(ticket_id).json["checkIn"]["checkInId"])
    door.scan(ticket_id, direction="out")

    def undo_first() -> None:
        with client.wiring.database.transaction() as connection:
            undo.undo(connection, UUID(door.event_id), check_in_id, datetime.now(UTC))

    with ThreadPoolExecutor(2) as threads, locked_ticket(client, ticket_id):
        scanned, undone = threads.submit(attempt, door, ticket_id), threads.submit(undo_first)
        until_waiting(client, 2)

    undone.result()
    assert scanned.result() == "admitted"
    assert door.status(ticket_id) == "used"
    assert inside(client) == 1
