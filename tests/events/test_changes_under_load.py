"""Hosts change ticket types and codes while attendees book: nothing deadlocks, and every count is right."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.client import Account, Client, Reply
from tests.concurrency import run_concurrently
from tests.events.test_ticket_types import path_of, publish
from tests.rows import rows

ATTENDEES = 60
BOOKERS = 6

TYPE_POOLS = """
SELECT p.pool_id, p.capacity, p.taken, (
    SELECT count(*) FROM tickets k WHERE k.ticket_type_id = p.pool_id AND k.status <> 'cancelled'
) AS counted
FROM pools p WHERE p.event_id = :id AND p.kind = 'ticket-type'
"""
CODE_POOLS = """
SELECT p.pool_id, p.capacity, p.taken, (
    SELECT count(*) FROM bookings b WHERE b.code_id = p.pool_id AND b.status IN ('pending', 'confirmed')
) AS counted
FROM pools p WHERE p.event_id = :id AND p.kind = 'code'
"""
PLACES = """
SELECT capacity, taken, (
    SELECT count(*) FROM tickets k JOIN bookings b USING (booking_id)
    WHERE b.event_id = :id AND k.status <> 'cancelled'
) AS counted
FROM places WHERE event_id = :id
"""


def check_counts(client: Client, event_id: str) -> None:
    for sql in (TYPE_POOLS, CODE_POOLS, PLACES):
        for pool in rows(client, sql, id=event_id):
            assert pool.taken is None or pool.taken == pool.counted
            assert pool.capacity is None or pool.counted <= pool.capacity


class Rush:
    """Attendees who book and cancel until the host has made all changes."""

    def __init__(self, client: Client, event: Any, attendees: list[Account]) -> None:
        self.client = client
        self.event = event
        self.attendees = attendees
        self.is_over = threading.Event()
        self.outcomes: Counter[str] = Counter()

    def book(self, number: int) -> None:
        choice = random.Random(number)  # noqa: S311 (no secret)
        while not self.is_over.is_set():
            attendee = choice.choice(self.attendees[number::BOOKERS])
            types = [kind["ticketTypeId"] for kind in self.event["ticketTypes"]]
            wanted = choice.sample(types, choice.randint(1, len(types)))
            body = {
                "eventId": self.event["eventId"],
                "items": [{"ticketTypeId": one, "quantity": choice.randint(1, 2)} for one in wanted],
                **({"code": "EARLYBIRD"} if choice.random() < 0.5 else {}),
            }
            reply = self.client("POST", "/bookings", body, by=attendee)
            self.outcomes[str(reply.status) if reply.status < 400 else reply.problem] += 1
            if reply.status == 201 and choice.random() < 0.5:
                path = f"/bookings/{reply.json['bookingId']}"
                assert self.client("DELETE", path, by=attendee).status == 204

    def run(self, changes: Callable[[], None]) -> None:
        def change() -> None:
            try:
                changes()
            finally:
                self.is_over.set()

        bookers = [lambda number=number: self.book(number) for number in range(BOOKERS)]
        run_concurrently([change, *bookers])


@pytest.fixture
def host(client: Client) -> Account:
    return client.host()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_types_and_codes_change_while_attendees_book(client: Client, host: Account, seed: int) -> None:
    types = [{"name": f"Type {number}", "price": 0, "capacity": 20} for number in range(3)]
    event = publish(client, host, *types, capacity=50, maxPerAttendee=6)
    event_id = event["eventId"]
    code = client(
        "POST", f"/events/{event_id}/codes", {"code": "EARLYBIRD", "kind": "access", "maxUses": 15}, by=host
    ).json
    choice = random.Random(seed)  # noqa: S311 (no secret)
    refused: Counter[str] = Counter()

    def change_all() -> None:
        for number in range(60):
            reply = change_one(number)
            assert reply.status < 500, reply.text
            if reply.status >= 400:
                refused[reply.problem] += 1

    def change_one(number: int) -> Reply:
        kind = path_of(event, choice.randrange(3))
        match number % 6:
            case 0:
                return client("PATCH", kind, {"capacity": choice.choice([5, 15, 25, None])}, by=host)
            case 1:
                return client("PATCH", kind, {"maxPerBooking": choice.randint(1, 100)}, by=host)
            case 2:
                made = client("POST", path_of(event), {"name": "Brief", "price": 0}, by=host)
                return client("DELETE", f"{path_of(event)}/{made.json['ticketTypeId']}", by=host)
            case 3:
                body = {"maxUses": choice.choice([5, 15, None])}
                return client("PATCH", f"/events/{event_id}/codes/{code['codeId']}", body, by=host)
            case 4:
                return client("PATCH", f"/events/{event_id}", {"capacity": choice.randint(20, 60)}, by=host)
            case _:
                return client("PATCH", f"/events/{event_id}", {"title": f"Jazz {number}"}, by=host)

    rush = Rush(client, event, client.attendees(ATTENDEES))
    rush.run(change_all)

    assert set(refused) <= {"capacity-below-taken", "max-uses-below-uses"}
    assert rush.outcomes["201"] > 0
    expected = {"201", "sold-out", "limit-reached", "code-invalid", "invalid-input"}
    assert set(rush.outcomes) <= expected, rush.outcomes
    check_counts(client, event_id)


def test_a_type_is_removed_while_attendees_book_it(client: Client, host: Account) -> None:
    for _ in range(5):
        types = [{"name": name, "price": 0} for name in ("Stays", "Goes")]
        event = publish(client, host, *types, capacity=1000, maxPerAttendee=100)
        rush = Rush(client, event, client.attendees(BOOKERS))

        def change(event: Any = event) -> None:
            assert client("DELETE", path_of(event, 1), by=host).status == 204

        rush.run(change)

        shown = client("GET", f"/events/{event['eventId']}").json["ticketTypes"]
        [removed] = rows(
            client,
            "SELECT deleted_at, EXISTS (SELECT FROM tickets WHERE ticket_type_id = :id) AS has_tickets"
            " FROM ticket_types WHERE ticket_type_id = :id",
            id=event["ticketTypes"][1]["ticketTypeId"],
        )
        assert [kind["availability"] for kind in shown[1:]] == ["archived"] * (removed.deleted_at is None)
        assert removed.has_tickets == (removed.deleted_at is None)
        assert set(rush.outcomes) <= {"201", "code-invalid", "invalid-input", "limit-reached"}, rush.outcomes
        check_counts(client, event["eventId"])


def test_a_second_type_is_added_while_attendees_book(client: Client, host: Account) -> None:
    for number in range(5):
        event = client.event(host, capacity=1000, maxPerAttendee=100)
        rush = Rush(client, event, client.attendees(BOOKERS))

        def change(event: Any = event, number: int = number) -> None:
            if number % 2:
                reply = client("POST", path_of(event), {"name": "VIP", "price": 0}, by=host)
            else:
                reply = client("PATCH", path_of(event, 0), {"capacity": 900}, by=host)
            assert reply.status in {200, 201}

        rush.run(change)

        assert set(rush.outcomes) <= {"201", "code-invalid", "limit-reached"}, rush.outcomes
        check_counts(client, event["eventId"])
        [first, *_] = rows(client, f"{TYPE_POOLS} ORDER BY p.pool_id", id=event["eventId"])
        assert first.taken is not None
