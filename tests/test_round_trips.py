"""How often a request waits for the database: once for a booking, never once per row."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from chalicelib.platform.settings import Settings
from chalicelib.wiring import Wiring, using
from tests.client import Account, Client, Reply
from tests.conftest import SECRET
from tests.relay import Relay, relay_to


@pytest.fixture
def relayed(database_url: str) -> Iterator[tuple[Relay, Client]]:
    """A client of an app that reaches its database by one connection, as a container does, and a relay."""
    with relay_to(database_url) as (relay, url):
        settings = Settings(database_url=url, jwt_secret=SECRET)
        with using(Wiring(settings)) as wiring:
            yield relay, Client(wiring)


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


@pytest.mark.parametrize(
    ("prepare", "status"),
    [
        (prepared_booking, 201),
        (prepared_booking_with_a_key, 201),
        (prepared_replay, 201),
        (prepared_sold_out, 409),
    ],
)
def test_a_booking_waits_for_the_database_once(
    relayed: tuple[Relay, Client], prepare: Callable[[Client], Callable[[], Reply]], status: int
) -> None:
    relay, client = relayed
    book = prepare(client)
    before = relay.turns

    reply = book()

    assert reply.status == status
    assert relay.turns - before == 1


def test_reading_waits_twice_for_one_statement_and_its_end(relayed: tuple[Relay, Client]) -> None:
    relay, client = relayed
    client("GET", "/events")  # the first connects
    before = relay.turns

    client("GET", "/events")

    assert relay.turns - before == 2


def test_each_further_statement_is_waited_for_once(relayed: tuple[Relay, Client]) -> None:
    relay, client = relayed
    host = client.host()
    client("GET", "/bookings", by=host)
    with statements(client) as executed:
        before = relay.turns

        client("GET", "/bookings", by=host)

    assert len(executed) == 2
    assert relay.turns - before == 3


@contextmanager
def statements(client: Client) -> Iterator[list[str]]:
    """The statements that are executed meanwhile."""
    executed: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        executed.append(statement)

    event.listen(client.wiring.database.engine, "before_cursor_execute", note)
    try:
        yield executed
    finally:
        event.remove(client.wiring.database.engine, "before_cursor_execute", note)


ROWS = 12

LISTS = [
    ("/events", "nobody"),
    ("/events?q=jazz&onSale=true&sort=popularity", "nobody"),
    ("/events", "attendee"),
    ("/events?mine=true", "host"),
    ("/bookings", "attendee"),
    ("/bookings?sort=date&status=confirmed", "host"),
    ("/users", "attendee"),
    ("/users?q=one&role=attendee", "host"),
]


@pytest.mark.parametrize(("path", "reader"), LISTS)
def test_a_list_takes_as_many_statements_whatever_its_length(client: Client, path: str, reader: str) -> None:
    readers = {"nobody": None, "host": client.host("One host"), "attendee": client.account("attendee", "One")}
    host, attendee = readers["host"], readers["attendee"]
    assert host
    assert attendee

    short = add_and_list(client, host, attendee, (path, readers[reader]), rows=1)
    long = add_and_list(client, host, attendee, (path, readers[reader]), rows=ROWS)

    assert short[1] < long[1]
    assert short[0] == long[0] == (1 if reader == "nobody" else 2)


def add_and_list(
    client: Client, host: Account, attendee: Account, request: tuple[str, Account | None], rows: int
) -> tuple[int, int]:
    """How many statements a list takes, and how many items it has, with so many more of all."""
    for other in client.attendees(rows):
        made = client.event(host)
        client.book(attendee, made["eventId"])
        client.book(other, made["eventId"])
    path, reader = request
    with statements(client) as executed:
        items = client("GET", path, by=reader).json
    return len(executed), len(items)


@pytest.mark.parametrize(("method", "end"), [("POST", "/cancel"), ("DELETE", "")])
def test_an_event_is_called_off_in_as_many_statements_however_many_booked(
    client: Client, method: str, end: str
) -> None:
    host = client.host()
    taken = []
    for size in (1, ROWS):
        made = client.event(host)
        for attendee in client.attendees(size):
            client.book(attendee, made["eventId"])
        with statements(client) as executed:
            assert client(method, f"/events/{made['eventId']}{end}", by=host).status in {200, 204}
        taken.append(len(executed))

    assert taken[0] == taken[1]


def test_an_attendee_leaves_in_as_many_statements_however_much_they_booked(client: Client) -> None:
    host = client.host()
    taken = []
    for attendee, size in zip(client.attendees(2), (1, ROWS), strict=True):
        for _ in range(size):
            client.book(attendee, client.event(host)["eventId"])
        with statements(client) as executed:
            assert client("DELETE", "/users/me", by=attendee).status == 204
        taken.append(len(executed))

    assert taken[0] == taken[1]
