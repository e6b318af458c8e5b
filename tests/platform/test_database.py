"""Connections: a failure mixes up no later results, and lost connections are replaced."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import BindParameter, DateTime, Text, bindparam, select, text
from sqlalchemy.exc import DBAPIError

from chalicelib.platform.database.engine import Database
from chalicelib.platform.database.pg8000_pipelining import Connection
from chalicelib.platform.errors import Unavailable
from chalicelib.platform.settings import Settings
from tests.client import Client
from tests.rows import rows, value


@pytest.fixture
def database(client: Client) -> Iterator[Database]:
    """A database with one connection, as in a container."""
    database = Database(replace(client.wiring.settings, database_pool_size=1))
    yield database
    database.close()


@pytest.fixture
def owned(owner_url: str) -> Iterator[Database]:
    """A database whose connection may create temporary tables."""
    database = Database(Settings(database_url=owner_url))
    yield database
    database.close()


@pytest.mark.parametrize(
    "parameter",
    [
        bindparam(
            "value", datetime.min.replace(tzinfo=timezone(timedelta(hours=14))), DateTime(timezone=True)
        ),
        bindparam("value", "\ud800", Text),
    ],
    ids=["a time before the year 1", "a lone surrogate"],
)
def test_an_unsendable_value_does_not_mix_up_later_results(
    database: Database, parameter: BindParameter[Any]
) -> None:
    for number in range(3):
        with pytest.raises((OverflowError, UnicodeError)), database.transaction() as connection:
            connection.execute(select(parameter))

        with database.transaction() as connection:
            assert (
                connection.execute(text("SELECT :number + 1"), {"number": number}).scalar_one() == number + 1
            )
        assert database.call(f"SELECT {number}, 'é', NULL") == [str(number), "é", ""]


def test_lost_connections_are_replaced(client: Client) -> None:
    host = client.host()
    event = client.event(host)
    drop = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
    )
    client("GET", "/events")

    for _ in range(2):
        rows(client, drop)
        statuses = [client("GET", "/events", by=host).status for _ in range(3)]
        rows(client, drop)
        statuses += [client.book(client.attendee(), event["eventId"]).status for _ in range(3)]
        assert set(statuses) <= {200, 201, 503}
        assert statuses[-1] == 201


def test_a_database_error_keeps_the_connection(database: Database) -> None:
    with database.transaction() as connection:
        before = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()

    with pytest.raises(Exception, match="division by zero"), database.transaction() as connection:
        connection.execute(text("SELECT 1 / :nothing"), {"nothing": 0})

    with database.transaction() as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar_one() == before


def test_an_error_does_not_contain_bound_values(database: Database) -> None:
    """The log would contain them."""
    statement = text("SELECT length(:secret) / :nothing")

    with pytest.raises(DBAPIError) as failed, database.transaction() as connection:
        connection.execute(statement, {"secret": "hunter2", "nothing": 0})

    assert "division by zero" in str(failed.value)
    assert "hunter2" not in str(failed.value)


def test_a_failed_transaction_is_rolled_back(client: Client) -> None:
    client.host()

    def fail_halfway() -> None:
        with client.wiring.database.transaction() as connection:
            connection.execute(text("INSERT INTO opt_outs SELECT user_id, 'new' FROM users"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()

    assert value(client, "SELECT count(*) FROM opt_outs") == 0


def test_a_result_of_any_length_is_read(database: Database) -> None:
    """The network splits results into pieces of any size."""
    with database.transaction() as connection:
        for length in (0, 1, 8_180, 8_192, 70_000, 1_000_000):
            rows = connection.execute(
                text("SELECT repeat('é', :length), n FROM generate_series(1, 3) n"), {"length": length}
            ).all()
            assert [(len(filled), n) for filled, n in rows] == [(length, 1), (length, 2), (length, 3)]


def test_a_cached_statement_sees_a_new_column(owned: Database) -> None:
    """The cached columns of a statement become invalid with a change of its table."""
    statement = text("SELECT * FROM changing WHERE 1 = :one")
    found = []
    with owned.transaction() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE changing AS SELECT 1 AS a"))
        found.append(connection.execute(statement, {"one": 1}).mappings().one())
        connection.execute(text("ALTER TABLE changing ADD b text DEFAULT 'x'"))
        found.append(connection.execute(statement, {"one": 1}).mappings().one())

    assert [dict(row) for row in found] == [{"a": 1}, {"a": 1, "b": "x"}]


@pytest.mark.parametrize(
    "given", [None, "", "100 % of 'it' é $1 \\ %s", 0, -(2**62), True, ["a", None, 'b"c']], ids=repr
)
def test_a_value_is_read_as_it_was_written(owned: Database, given: Any) -> None:
    with owned.transaction() as connection:
        table = "CREATE TEMPORARY TABLE stored (value " + _TYPES[type(given)] + ")"
        connection.execute(text(table))
        connection.execute(text("INSERT INTO stored VALUES (:given)"), {"given": given})

        assert (
            connection.execute(text("SELECT value FROM stored WHERE 1 = :one"), {"one": 1}).scalar_one()
            == given
        )


_TYPES = {type(None): "text", str: "text", int: "bigint", bool: "boolean", list: "text[]"}


def test_a_connection_survives_a_failed_first_statement(
    database: Database,
) -> None:
    with database.transaction() as connection:
        with pytest.raises(DBAPIError, match="division by zero"):
            connection.execute(text("SELECT 1 / :nothing"), {"nothing": 0})
        with pytest.raises(DBAPIError, match="aborted"):
            connection.execute(text("SELECT :one"), {"one": 1})
        connection.rollback()

    with database.transaction() as connection:
        assert connection.execute(text("SELECT 1 + :one"), {"one": 1}).scalar_one() == 2


def test_a_half_read_call_does_not_mix_up_later_results(database: Database) -> None:
    """The driver fails in the middle of a COPY, because it was given no stream to write to."""
    for number in range(3):
        with pytest.raises(Unavailable):
            database.call("COPY (SELECT generate_series(1, 100000)) TO STDOUT")

        assert database.call(f"SELECT {number}") == [str(number)]


def test_calls_release_the_only_connection_to_waiters(database: Database) -> None:
    """A call keeps the connection for the next call only while no thread waits for it."""

    def use(number: int) -> int:
        if number % 2:
            return int(database.call(f"SELECT {number}")[0])
        with database.transaction() as connection:
            return int(
                connection.execute(text("SELECT CAST(:number AS integer)"), {"number": number}).scalar_one()
            )

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(use, range(400))) == list(range(400))


def test_calls_and_transactions_share_the_only_connection(database: Database) -> None:
    [first] = database.call("SELECT pg_backend_pid()")
    with database.transaction() as connection:
        second = connection.execute(text("SELECT CAST(pg_backend_pid() AS text)")).scalar_one()
    [third] = database.call("SELECT pg_backend_pid()")

    assert first == second == third


def read(database: Database) -> str:
    with database.transaction() as connection:
        return str(connection.execute(text("SELECT CAST(pg_backend_pid() AS text)")).scalar_one())


def call(database: Database) -> str:
    return database.call("SELECT pg_backend_pid()")[0]


@pytest.mark.parametrize("before", [read, call], ids=["in the pool", "kept for the next call"])
@pytest.mark.parametrize("use", [read, call])
def test_an_idle_connection_is_tested_before_its_use(
    client: Client,
    database: Database,
    before: Callable[[Database], str],
    use: Callable[[Database], str],
) -> None:
    """A container can be frozen for so long that the server closes the connection."""
    pooled = database.engine.raw_connection()
    connection = pooled.driver_connection
    pooled.close()
    assert isinstance(connection, Connection)
    process = before(database)
    connection.used_at -= 3600
    rows(client, "SELECT pg_terminate_backend(CAST(:process AS integer), 5000)", process=process)

    assert use(database) != process


SLEEP = text("SELECT pg_sleep(:seconds)")


def test_a_bounded_read_ends_after_its_limit(client: Client) -> None:
    database = Database(replace(client.wiring.settings, database_pool_size=1, read_timeout_ms=100))
    pid = database.call("SELECT pg_backend_pid()")

    with pytest.raises(Unavailable, match="takes too long") as refusal, database.bounded_read() as connection:
        connection.execute(SLEEP, {"seconds": 5})
    with database.transaction() as connection:
        connection.execute(SLEEP, {"seconds": 0.2})

    assert refusal.value.retry_after == 1
    assert database.call("SELECT pg_backend_pid()") == pid
    database.close()


def test_a_bounded_read_is_one_round_trip(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    database.call("SELECT 1")
    answers: list[object] = []
    handle = Connection.handle_messages

    def count(self: Connection, context: object) -> None:
        answers.append(context)
        handle(self, context)

    monkeypatch.setattr(Connection, "handle_messages", count)

    with database.bounded_read() as connection:
        assert connection.execute(text("SELECT :n + 1"), {"n": 1}).scalar_one() == 2
        assert len(answers) == 1


def test_bounded_reads_leave_connections_to_others(client: Client) -> None:
    database = Database(replace(client.wiring.settings, database_pool_size=4, read_timeout_ms=2000))

    def read(_: int) -> None:
        with database.bounded_read() as connection:
            connection.execute(SLEEP, {"seconds": 0.2})

    with ThreadPoolExecutor(8) as threads:
        reads = threads.map(read, range(8))
        started = time.monotonic()
        for _ in range(5):
            database.call("SELECT 1")
        assert time.monotonic() - started < 1
        list(reads)
    database.close()
