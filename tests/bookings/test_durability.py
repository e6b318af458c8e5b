"""What has been answered survives a crash, though no booking waits for the disk under a lock.

The servers here write their log when they are told to and hardly ever by themselves, so that what is not
flushed before the answer is not flushed for a while. By default they do not flush at all at a commit: the
procedure is to see to it itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from uuid import UUID

import pytest

from chalicelib.migrations import upgrade
from infra.local import postgres
from infra.local.postgres import Options, Postgres
from tests.bookings.crashes import DATABASE, DURABLE, book_until_the_crash, client_of, present
from tests.bookings.procedure import FLUSH, take_out
from tests.client import Client
from tests.rows import rows, value


@contextmanager
def new_server() -> Iterator[Postgres]:
    with postgres.temporary(DURABLE) as server:
        postgres.create_database(server, DATABASE)
        upgrade(server.url(DATABASE))
        yield server


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with new_server() as server:
        yield server


@pytest.fixture
def client(server: Postgres) -> Iterator[Client]:
    with client_of(server) as client:
        take_out(client.wiring.database)
        yield client


def behind(client: Client) -> int:
    """How many bytes of the log are not on disk."""
    return int(value(client, "SELECT pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn()"))


def bytes_behind_after_bookings(client: Client, **headers: str) -> list[int]:
    event_id = client.event(client.host())["eventId"]
    lags: list[int] = []
    for attendee in client.attendees(4):
        assert behind(client) > 0 or lags, "what was done before is on disk: the server flushes by itself"
        assert client.book(attendee, event_id, **headers).status == 201
        lags.append(behind(client))
    return lags


def test_the_log_is_on_disk_up_to_the_booking_before_it_is_answered(client: Client) -> None:
    # A background process may write something between the answer and the look, but not each time.
    assert min(bytes_behind_after_bookings(client)) == 0


def test_the_log_lags_behind_the_answer_without_the_flush(client: Client) -> None:
    take_out(client.wiring.database, FLUSH)

    assert min(bytes_behind_after_bookings(client)[1:]) > 0


def test_a_replayed_answer_is_on_disk_too(client: Client) -> None:
    key = {"Idempotency-Key": "a key"}
    event_id, attendee = client.event(client.host())["eventId"], client.attendee()
    take_out(client.wiring.database, FLUSH)
    client.book(attendee, event_id, **key)
    assert behind(client) > 0
    take_out(client.wiring.database)

    lags = []
    for _ in range(3):
        assert client.book(attendee, event_id, **key).headers["idempotent-replayed"] == "true"
        lags.append(behind(client))

    assert min(lags) == 0


def test_every_booking_that_was_answered_survives_crashes() -> None:
    with new_server() as first:
        again = partial(postgres.start, Options(first.data, settings=DURABLE), say=lambda _: None)
        with client_of(first) as client:
            host = client.host()
            event_ids = [UUID(client.event(host, capacity=5000)["eventId"]) for _ in range(3)]
            told = book_until_the_crash(first, client, event_ids)
        with again() as second, client_of(second) as client:
            assert told <= present(client)
            told |= book_until_the_crash(second, client, event_ids)
        with again() as third, client_of(third) as client:
            assert told <= present(client)
    assert len(told) >= 600


def test_bookings_that_were_answered_are_lost_in_a_crash_without_the_flush() -> None:
    with new_server() as server:
        with client_of(server) as client:
            event_ids = [UUID(client.event(client.host(), capacity=5000)["eventId"])]
            take_out(client.wiring.database, FLUSH)
            rows(client, "CHECKPOINT")
            told = book_until_the_crash(server, client, event_ids)
        again = postgres.start(Options(server.data, settings=DURABLE), say=lambda _: None)
        with again, client_of(again) as client:
            assert told - present(client)
