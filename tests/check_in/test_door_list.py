"""The door list: complete at first, then what has changed since a mark, and nothing is missed."""

import hashlib
from datetime import timedelta
from threading import Thread
from uuid import UUID, uuid4

import pytest

from chalicelib.check_in import door_list
from chalicelib.check_in.door_list import DoorList, ListedTicket, Mark
from chalicelib.check_in.ticket_codes import TicketCodes
from chalicelib.platform.errors import InvalidInput
from tests.check_in.crowd import Crowd, sell
from tests.client import Client
from tests.rows import rows


@pytest.fixture
def crowd(client: Client) -> Crowd:
    return sell(client, 5)


def read(
    crowd: Crowd, mark: Mark | None = None, limit: int = 100, codes: TicketCodes | None = None
) -> DoorList:
    with crowd.client.wiring.database.transaction() as connection:
        return door_list.read(connection, codes or crowd.codes, UUID(crowd.event_id), mark, limit)


def changed(crowd: Crowd, mark: Mark) -> list[str]:
    return [str(ticket.ticket_id) for ticket in read(crowd, mark).tickets]


def hash_of(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


def test_the_first_list_has_all_tickets_with_the_hashes_of_their_codes(crowd: Crowd) -> None:
    listed = read(crowd)

    assert (listed.full, listed.more) == (True, False)
    found = {str(ticket.ticket_id): ticket.code_hashes for ticket in listed.tickets}
    assert found == {ticket.ticket_id: [hash_of(ticket.code)] for ticket in crowd.tickets}
    assert {(ticket.status, ticket.inside, ticket.holder_name) for ticket in listed.tickets} == {
        ("valid", False, crowd.attendee.name)
    }


def test_pages_have_each_ticket_once(crowd: Crowd) -> None:
    pages = [read(crowd, limit=2)]
    while pages[-1].more:
        pages.append(read(crowd, Mark.parse(str(pages[-1].mark)), limit=2))

    assert [len(page.tickets) for page in pages] == [2, 2, 1]
    assert all(page.full for page in pages)
    listed = [str(ticket.ticket_id) for page in pages for ticket in page.tickets]
    assert sorted(listed) == sorted(ticket.ticket_id for ticket in crowd.tickets)


def test_a_mark_gives_what_has_changed_since(crowd: Crowd) -> None:
    first = read(crowd)
    in_, cancelled = crowd.tickets[:2]
    crowd.record(crowd.scan(in_, crowd.at, gate="A"))
    assert crowd.client("DELETE", f"/tickets/{cancelled.ticket_id}", by=crowd.attendee).status == 204

    later = read(crowd, first.mark)

    assert (later.full, later.more) == (False, False)
    by_id = {str(ticket.ticket_id): ticket for ticket in later.tickets}
    assert by_id.keys() == {in_.ticket_id, cancelled.ticket_id}
    used = by_id[in_.ticket_id]
    assert (used.status, used.inside, used.checked_in_at, used.gate) == ("used", True, crowd.at, "A")
    assert (by_id[cancelled.ticket_id].status, by_id[cancelled.ticket_id].code_hashes) == ("cancelled", [])
    assert changed(crowd, later.mark) == []


def test_a_new_serial_comes_with_another_hash(crowd: Crowd) -> None:
    first, ticket = read(crowd), crowd.tickets[0]
    rows(crowd.client, "UPDATE tickets SET serial = 2 WHERE ticket_id = :id", id=ticket.ticket_id)

    [listed] = read(crowd, first.mark).tickets

    assert listed.code_hashes != [hash_of(ticket.code)]


def test_leaving_and_undoing_are_changes_too(client: Client) -> None:
    crowd = sell(client, re_entry=True)
    [ticket] = crowd.tickets
    crowd.record(crowd.scan(ticket, crowd.at))
    mark = read(crowd).mark

    crowd.record(crowd.scan(ticket, crowd.at + timedelta(minutes=1), out=True))

    assert [one.inside for one in read(crowd, mark).tickets] == [False]


def test_held_tickets_are_listed_when_they_are_paid(client: Client) -> None:
    crowd = sell(client)
    rows(client, "UPDATE tickets SET status = 'held'")
    mark = read(crowd).mark
    assert changed(crowd, mark) == []

    rows(client, "UPDATE tickets SET status = 'valid'")

    assert changed(crowd, mark) == [crowd.tickets[0].ticket_id]


def test_a_change_that_was_running_is_not_missed(crowd: Crowd) -> None:
    """A transaction that started before the list was read, and committed after later ones."""
    slow, fast = crowd.tickets[:2]
    update = "UPDATE tickets SET version = version + 1 WHERE ticket_id = :id"
    with crowd.client.wiring.database.engine.connect() as connection, connection.begin():
        connection.exec_driver_sql(
            "UPDATE tickets SET version = version + 1 WHERE ticket_id = %s", (slow.ticket_id,)
        )
        other = Thread(target=lambda: rows(crowd.client, update, id=fast.ticket_id))
        other.start()
        other.join()
        mark = read(crowd).mark
        assert slow.ticket_id not in changed(crowd, mark)

    assert slow.ticket_id in changed(crowd, mark)


def test_other_keys_start_a_new_list(crowd: Crowd) -> None:
    first = read(crowd)
    rotated = TicketCodes((b"another key" * 4, *crowd.codes.keys))

    listed = read(crowd, first.mark, codes=rotated)

    assert listed.full
    hashes: set[str] = {one for ticket in listed.tickets for one in ticket.code_hashes}
    assert {hash_of(ticket.code) for ticket in crowd.tickets} < hashes
    assert {len(ticket.code_hashes) for ticket in listed.tickets} == {2}


def test_a_mark_of_another_database_starts_a_new_list(crowd: Crowd) -> None:
    mark = read(crowd).mark
    ahead = Mark(keys=mark.keys, since=mark.since + 10**9, started=0)

    assert read(crowd, ahead).full


@pytest.mark.parametrize(
    "bad", ["", "x", "0.0.0.0", "01234567.1.1.xyz", "01234567.-1.0.", "01234567." + "9" * 30 + ".0.", "\x00"]
)
def test_other_texts_are_no_marks(bad: str) -> None:
    with pytest.raises(InvalidInput):
        Mark.parse(bad)


def test_a_mark_is_read_as_it_was_written() -> None:
    for mark in (
        Mark(keys="01234567", since=0, started=0),
        Mark(keys="01234567", since=7, started=9, after=(uuid4(), uuid4())),
    ):
        assert Mark.parse(str(mark)) == mark


def test_other_events_are_not_listed(crowd: Crowd) -> None:
    other = sell(crowd.client)

    listed: list[ListedTicket] = read(other).tickets

    assert [str(ticket.ticket_id) for ticket in listed] == [other.tickets[0].ticket_id]
