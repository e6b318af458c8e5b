"""Undo: a check-in that was a mistake does not count any more."""

from typing import Any
from uuid import uuid4

import pytest

from tests.check_in.doors import Door
from tests.client import Client, Reply
from tests.database_contents import contents
from tests.rows import rows, value


def undo(door: Door, scanned: Reply, by: str | None = None) -> Reply:
    check_in_id = scanned.json["checkIn"]["checkInId"]
    return door.client("DELETE", f"/events/{door.event_id}/check-ins/{check_in_id}", by=by or door.host)


@pytest.fixture
def club(client: Client) -> Door:
    """The door of an event that attendees can leave and enter again."""
    return Door.open(client, reEntryAllowed=True)


def test_after_an_undo_the_ticket_is_admitted_again(door: Door) -> None:
    ticket_id = door.ticket()
    first = door.scan(ticket_id)

    reply = undo(door, first)

    assert (reply.status, reply.text) == (204, "")
    assert door.status(ticket_id) == "valid"
    assert door.scan(ticket_id).status == 200
    assert door.status(ticket_id) == "used"


def test_a_scanner_can_undo(door: Door) -> None:
    key = door.create_key()["key"]

    assert undo(door, door.scan(door.ticket(), by=key), by=key).status == 204


def test_undoing_twice_changes_nothing(door: Door) -> None:
    ticket_id = door.ticket()
    first = door.scan(ticket_id)
    undo(door, first)
    door.scan(ticket_id)
    before = contents(door.client)

    assert undo(door, first).status == 204
    assert contents(door.client) == before


@pytest.mark.parametrize("of", ["no event", "another event"])
def test_unknown_check_ins_cannot_be_undone(door: Door, of: str) -> None:
    other = Door.open(door.client)
    check_in_id = (
        other.scan(other.ticket()).json["checkIn"]["checkInId"] if of == "another event" else uuid4()
    )
    before = contents(door.client)

    reply = door.client("DELETE", f"/events/{door.event_id}/check-ins/{check_in_id}", by=door.host)

    assert (reply.status, reply.problem) == (404, "no-such-check-in")
    assert contents(door.client) == before


def test_a_ticket_stays_used_if_another_admission_stands(club: Door) -> None:
    ticket_id = club.ticket()
    club.scan(ticket_id)
    club.scan(ticket_id, direction="out")
    second = club.scan(ticket_id)

    undo(club, second)

    assert club.status(ticket_id) == "used"
    assert club.scan(ticket_id).status == 200


def test_after_the_undo_of_a_check_out_the_ticket_is_inside(club: Door) -> None:
    ticket_id = club.ticket()
    club.scan(ticket_id)
    left = club.scan(ticket_id, direction="out")

    undo(club, left)

    assert club.scan(ticket_id).problem == "already-checked-in"
    assert club.scan(ticket_id, direction="out").status == 200


def test_a_stay_is_not_reopened_beside_another(club: Door) -> None:
    ticket_id = club.ticket()
    club.scan(ticket_id)
    left = club.scan(ticket_id, direction="out")
    club.scan(ticket_id)

    undo(club, left)

    assert (
        value(club.client, "SELECT count(*) FROM check_ins WHERE outcome = 'admitted' AND left_at IS NULL")
        == 1
    )


def test_a_cancelled_ticket_stays_cancelled(door: Door) -> None:
    ticket_id = door.ticket()
    first = door.scan(ticket_id)
    door.client("POST", f"/events/{door.event_id}/cancel", {}, by=door.host)

    assert undo(door, first).status == 204
    assert door.status(ticket_id) == "cancelled"


def test_an_undo_changes_the_ticket(door: Door) -> None:
    first = door.scan(door.ticket())
    before: Any = rows(door.client, "SELECT version, changed_in FROM tickets")

    undo(door, first)

    [after] = rows(door.client, "SELECT version, changed_in FROM tickets")
    assert after.version == before[0].version + 1
    assert after.changed_in > before[0].changed_in
