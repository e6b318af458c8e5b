"""A booking or a scan takes one round trip to the database, and no request takes one per row."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from chalicelib.platform.settings import Settings
from chalicelib.wiring import Wiring, using
from tests.check_in.doors import Door
from tests.client import Account, Client, Reply
from tests.conftest import LINK_SECRET, SECRET, TICKET_SECRET
from tests.round_trips import RoundTripCounter, count_round_trips
from tests.rows import executed_statements


@pytest.fixture
def counted(database_url: str) -> Iterator[tuple[RoundTripCounter, Client]]:
    """A client of an app with one connection, as in a container, and the counter of its round trips."""
    with count_round_trips(database_url) as (counter, url):
        settings = Settings(
            database_url=url, jwt_secret=SECRET, link_secret=LINK_SECRET, ticket_secret=TICKET_SECRET
        )
        with using(Wiring(settings)) as wiring:
            yield counter, Client(wiring)


def prepared_booking(client: Client) -> Callable[[], Reply]:
    attendee, made = client.attendee(), client.event(client.host())
    return lambda: client.book(attendee, made["eventId"])


def prepared_booking_with_a_key(client: Client) -> Callable[[], Reply]:
    attendee, made = client.attendee(), client.event(client.host())
    return lambda: client.book(attendee, made["eventId"], **{"Idempotency-Key": "a key"})


def prepared_replay(client: Client) -> Callable[[], Reply]:
    book = prepared_booking_with_a_key(client)
    book()
    return book


def prepared_sold_out(client: Client) -> Callable[[], Reply]:
    attendee, made = client.attendee(), client.event(client.host(), capacity=1)
    client.book(client.attendee(), made["eventId"])
    return lambda: client.book(attendee, made["eventId"])


def prepared_sale(client: Client) -> Callable[[], Reply]:
    host = client.host()
    path = f"/events/{client.event(host)['eventId']}/box-office"
    return lambda: client("POST", path, {"name": "Ada", "paidBy": "cash"}, by=host)


@pytest.mark.parametrize(
    ("prepare", "status"),
    [
        (prepared_booking, 201),
        (prepared_booking_with_a_key, 201),
        (prepared_replay, 201),
        (prepared_sold_out, 409),
        (prepared_sale, 201),
    ],
)
def test_a_booking_takes_one_round_trip(
    counted: tuple[RoundTripCounter, Client], prepare: Callable[[Client], Callable[[], Reply]], status: int
) -> None:
    counter, client = counted
    book = prepare(client)
    before = counter.round_trips

    reply = book()

    assert reply.status == status
    assert counter.round_trips - before == 1


@pytest.mark.parametrize("by", ["host", "door key"])
def test_a_scan_takes_one_round_trip(counted: tuple[RoundTripCounter, Client], by: str) -> None:
    counter, client = counted
    door = Door.open(client)
    caller = door.host if by == "host" else door.create_key()["key"]
    ticket_id, nonce = door.ticket(), str(uuid4())
    scans: list[dict[str, Any]] = [{"nonce": nonce}, {"nonce": nonce}, {}, {"code": "forged"}]
    statuses, turns = [], []

    for scan in scans:
        before = counter.round_trips
        statuses.append(door.scan(ticket_id, by=caller, **scan).status)
        turns.append(counter.round_trips - before)

    assert statuses == [200, 200, 409, 404]
    assert turns == [1, 1, 1, 1]


def test_a_read_takes_two_round_trips(counted: tuple[RoundTripCounter, Client]) -> None:
    counter, client = counted
    client("GET", "/events")  # connects
    before = counter.round_trips

    client("GET", "/events")

    assert counter.round_trips - before == 2


def test_each_further_statement_takes_one_round_trip(counted: tuple[RoundTripCounter, Client]) -> None:
    counter, client = counted
    host = client.host()
    client("GET", "/bookings", by=host)
    with executed_statements(client) as executed:
        before = counter.round_trips

        client("GET", "/bookings", by=host)

    assert len(executed) == 2
    assert counter.round_trips - before == 3


ROWS = 12

LISTS = [
    ("/events", "anonymous"),
    ("/events?q=jazz&onSale=true&sort=popularity", "anonymous"),
    ("/events", "attendee"),
    ("/events?mine=true", "host"),
    ("/bookings", "attendee"),
    ("/bookings?sort=date&status=confirmed", "host"),
    ("/users", "attendee"),
    ("/users?q=one&role=attendee", "host"),
]


@pytest.mark.parametrize(("path", "reader"), LISTS)
def test_a_list_needs_a_fixed_number_of_statements(client: Client, path: str, reader: str) -> None:
    readers = {
        "anonymous": None,
        "host": client.host("One host"),
        "attendee": client.account("attendee", "One"),
    }
    host, attendee = readers["host"], readers["attendee"]
    assert host
    assert attendee

    short = add_and_list(client, host, attendee, (path, readers[reader]), rows=1)
    long = add_and_list(client, host, attendee, (path, readers[reader]), rows=ROWS)

    assert short[1] < long[1]
    assert short[0] == long[0] == (1 if reader == "anonymous" else 2)


def add_and_list(
    client: Client, host: Account, attendee: Account, request: tuple[str, Account | None], rows: int
) -> tuple[int, int]:
    """Add rows of each kind. Return the number of statements and of items of a list."""
    for other in client.attendees(rows):
        made = client.event(host)
        client.book(attendee, made["eventId"])
        client.book(other, made["eventId"])
    path, reader = request
    with executed_statements(client) as executed:
        items = client("GET", path, by=reader).json
    return len(executed), len(items)


@pytest.mark.parametrize(("method", "suffix"), [("POST", "/cancel"), ("DELETE", "")])
def test_cancelling_an_event_needs_a_fixed_number_of_statements(
    client: Client, method: str, suffix: str
) -> None:
    host = client.host()
    counts = []
    for size in (1, ROWS):
        made = client.event(host)
        for attendee in client.attendees(size):
            client.book(attendee, made["eventId"])
        with executed_statements(client) as executed:
            assert client(method, f"/events/{made['eventId']}{suffix}", by=host).status in {200, 204}
        counts.append(len(executed))

    assert counts[0] == counts[1]


def test_deleting_an_account_needs_a_fixed_number_of_statements(client: Client) -> None:
    host = client.host()
    counts = []
    for attendee, size in zip(client.attendees(2), (1, ROWS), strict=True):
        for _ in range(size):
            client.book(attendee, client.event(host)["eventId"])
        with executed_statements(client) as executed:
            assert client("DELETE", "/users/me", by=attendee).status == 204
        counts.append(len(executed))

    assert counts[0] == counts[1]
