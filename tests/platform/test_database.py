"""The database's edge: a connection that failed half-way never serves the next one."""

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
from tests.client import Client
from tests.rows import rows, value


@pytest.fixture
def database(client: Client) -> Iterator[Database]:
    """A database of one connection, as a container has it."""
    database = Database(replace(client.wiring.settings, database_pool_size=1))
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
    ids=["a time before all times", "a lone surrogate"],
)
def test_a_value_that_the_driver_cannot_send_does_not_mix_up_later_answers(
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


def test_a_server_that_drops_its_connections_is_found_again(client: Client) -> None:
    host = client.host()
    event = client.event(host)
    drop = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    client("GET", "/events")

    for _ in range(2):
        rows(client, drop)
        statuses = [client("GET", "/events", by=host).status for _ in range(3)]
        rows(client, drop)
        statuses += [client.book(client.attendee(), event["eventId"]).status for _ in range(3)]
        assert set(statuses) <= {200, 201, 503}
        assert statuses[-1] == 201


def test_an_error_of_the_server_leaves_the_connection_as_it_was(database: Database) -> None:
    with database.transaction() as connection:
        before = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()

    with pytest.raises(Exception, match="division by zero"), database.transaction() as connection:
        connection.execute(text("SELECT 1 / :nothing"), {"nothing": 0})

    with database.transaction() as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar_one() == before


def test_an_error_does_not_tell_the_values_that_it_is_about(database: Database) -> None:
    """They would stand in the log."""
    statement = text("SELECT length(:secret) / :nothing")

    with pytest.raises(DBAPIError) as failed, database.transaction() as connection:
        connection.execute(statement, {"secret": "hunter2", "nothing": 0})

    assert "division by zero" in str(failed.value)
    assert "hunter2" not in str(failed.value)


def test_what_a_transaction_did_before_it_failed_is_undone(client: Client) -> None:
    def fail_half_way() -> None:
        with client.wiring.database.transaction() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = 'new'"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()

    assert value(client, "SELECT version_num FROM alembic_version") != "new"


def test_an_answer_of_any_length_is_read_whole(database: Database) -> None:
    """Answers come in pieces of the network's choosing."""
    with database.transaction() as connection:
        for length in (0, 1, 8_180, 8_192, 70_000, 1_000_000):
            rows = connection.execute(
                text("SELECT repeat('é', :length), n FROM generate_series(1, 3) n"), {"length": length}
            ).all()
            assert [(len(filled), n) for filled, n in rows] == [(length, 1), (length, 2), (length, 3)]


def test_a_statement_is_read_as_its_columns_are_now(database: Database) -> None:
    """What is kept of a statement is not kept for too long."""
    statement = text("SELECT * FROM changing WHERE 1 = :one")
    found = []
    with database.transaction() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE changing AS SELECT 1 AS a"))
        found.append(connection.execute(statement, {"one": 1}).mappings().one())
        connection.execute(text("ALTER TABLE changing ADD b text DEFAULT 'x'"))
        found.append(connection.execute(statement, {"one": 1}).mappings().one())

    assert [dict(row) for row in found] == [{"a": 1}, {"a": 1, "b": "x"}]


@pytest.mark.parametrize(
    "given", [None, "", "100 % of 'it' é $1 \\ %s", 0, -(2**62), True, ["a", None, 'b"c']], ids=repr
)
def test_a_value_comes_back_as_it_was_given(database: Database, given: Any) -> None:
    with database.transaction() as connection:
        table = "CREATE TEMPORARY TABLE kept (value " + _TYPES[type(given)] + ")"
        connection.execute(text(table))
        connection.execute(text("INSERT INTO kept VALUES (:given)"), {"given": given})

        assert (
            connection.execute(text("SELECT value FROM kept WHERE 1 = :one"), {"one": 1}).scalar_one()
            == given
        )


_TYPES = {type(None): "text", str: "text", int: "bigint", bool: "boolean", list: "text[]"}


def test_a_statement_that_fails_with_the_beginning_of_its_transaction_can_be_followed_by_others(
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


def test_a_call_whose_answer_was_read_by_half_does_not_mix_up_later_ones(database: Database) -> None:
    """The driver gives up amidst a copy, for which it has been given no place."""
    for number in range(3):
        with pytest.raises(Unavailable):
            database.call("COPY (SELECT generate_series(1, 100000)) TO STDOUT")

        assert database.call(f"SELECT {number}") == [str(number)]


def test_a_call_leaves_the_only_connection_to_whoever_waits_for_it(database: Database) -> None:
    """It keeps it for the next call only where nobody else is there."""

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
def test_a_connection_that_has_rested_is_tried_before_it_is_used(
    client: Client,
    database: Database,
    before: Callable[[Database], str],
    use: Callable[[Database], str],
) -> None:
    """A container may have been frozen for so long that the server has hung up."""
    pooled = database.engine.raw_connection()
    connection = pooled.driver_connection
    pooled.close()
    assert isinstance(connection, Connection)
    process = before(database)
    connection.used_at -= 3600
    rows(client, "SELECT pg_terminate_backend(CAST(:process AS integer), 5000)", process=process)

    assert use(database) != process
