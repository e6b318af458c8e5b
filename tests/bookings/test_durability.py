"""A confirmed booking survives a crash, although no booking waits for the disk while it holds a lock.

The servers of these tests rarely flush their log unless a commit asks for it, and by default no commit does.
So only the procedure itself can flush a booking before its response.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from infra.local import postgres
from infra.local.postgres import Options, Postgres
from tests.bookings.crashes import DATABASE, DURABLE, book_until_the_crash, client_of, present
from tests.bookings.orders import Sale, sell, ticket_type
from tests.bookings.procedure import replace_procedure, without_guard
from tests.client import Account, Client
from tests.conftest import create_migrated
from tests.rows import alter, value

pytestmark = pytest.mark.slow


@contextmanager
def new_server() -> Iterator[Postgres]:
    with postgres.temporary(DURABLE) as server:
        create_migrated(server, DATABASE)
        yield server


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with new_server() as server:
        yield server


@pytest.fixture
def client(server: Postgres) -> Iterator[Client]:
    with client_of(server) as client:
        replace_procedure(client)
        yield client


def festival(client: Client, host: Account) -> Sale:
    return sell(client, host, ticket_type("Day"), ticket_type("Weekend", capacity=5000), capacity=15_000)


def unflushed(client: Client) -> int:
    """Return how many bytes of the log are not on disk."""
    return int(value(client, "SELECT pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn()"))


def unflushed_after_bookings(client: Client) -> list[int]:
    event_id = client.event(client.host())["eventId"]
    sizes: list[int] = []
    for attendee in client.attendees(4):
        assert unflushed(client) > 0 or sizes, "the server flushes by itself"
        assert client.book(attendee, event_id).status == 201
        sizes.append(unflushed(client))
    return sizes


def test_a_booking_is_on_disk_before_its_response(client: Client) -> None:
    # A background process may write to the log after a response, but not after each of them.
    assert min(unflushed_after_bookings(client)) == 0


def test_a_booking_is_not_on_disk_without_the_flush(client: Client) -> None:
    replace_procedure(client, without_guard("flush"))

    assert min(unflushed_after_bookings(client)[1:]) > 0


def test_a_replayed_booking_is_on_disk(client: Client) -> None:
    key = {"Idempotency-Key": "a key"}
    event_id, attendee = client.event(client.host())["eventId"], client.attendee()
    replace_procedure(client, without_guard("flush"))
    client.book(attendee, event_id, **key)
    assert unflushed(client) > 0
    replace_procedure(client)

    sizes = []
    for _ in range(3):
        assert client.book(attendee, event_id, **key).headers["idempotent-replayed"] == "true"
        sizes.append(unflushed(client))

    assert min(sizes) == 0


def test_confirmed_bookings_survive_crashes() -> None:
    with new_server() as first:
        again = partial(postgres.start, Options(first.data, settings=DURABLE), say=lambda _: None)
        with client_of(first) as client:
            host = client.host()
            sales = [festival(client, host) for _ in range(3)]
            confirmed = book_until_the_crash(first, client, sales)
        with again() as second, client_of(second) as client:
            assert confirmed <= present(client)
            confirmed |= book_until_the_crash(second, client, sales)
        with again() as third, client_of(third) as client:
            assert confirmed <= present(client)
    assert len(confirmed) >= 600


def test_confirmed_bookings_are_lost_in_crashes_without_the_flush() -> None:
    with new_server() as server:
        with client_of(server) as client:
            sale = festival(client, client.host())
            replace_procedure(client, without_guard("flush"))
            alter(client, "CHECKPOINT")
            confirmed = book_until_the_crash(server, client, [sale])
        again = postgres.start(Options(server.data, settings=DURABLE), say=lambda _: None)
        with again, client_of(again) as client:
            assert confirmed - present(client)
