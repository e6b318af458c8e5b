"""The database's edge: a connection that failed half-way never serves the next one."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import BindParameter, DateTime, Text, bindparam, select, text
from sqlalchemy.exc import DBAPIError

from chalicelib.db import Database
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
        with pytest.raises((OverflowError, UnicodeError)), database.transaction() as session:
            session.execute(select(parameter))

        with database.transaction() as session:
            assert session.execute(text("SELECT :number + 1"), {"number": number}).scalar_one() == number + 1
        assert list(database.call(f"SELECT {number}")) == [number]


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
    with database.transaction() as session:
        before = session.execute(text("SELECT pg_backend_pid()")).scalar_one()

    with pytest.raises(Exception, match="division by zero"), database.transaction() as session:
        session.execute(text("SELECT 1 / :nothing"), {"nothing": 0})

    with database.transaction() as session:
        assert session.execute(text("SELECT pg_backend_pid()")).scalar_one() == before


def test_an_error_does_not_tell_the_values_that_it_is_about(database: Database) -> None:
    """They would stand in the log."""
    statement = text("SELECT length(:secret) / :nothing")

    with pytest.raises(DBAPIError) as failed, database.transaction() as session:
        session.execute(statement, {"secret": "hunter2", "nothing": 0})

    assert "division by zero" in str(failed.value)
    assert "hunter2" not in str(failed.value)


def test_what_a_transaction_did_before_it_failed_is_undone(client: Client) -> None:
    def fail_half_way() -> None:
        with client.wiring.database.transaction() as session:
            session.execute(text("UPDATE alembic_version SET version_num = 'new'"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()

    assert value(client, "SELECT version_num FROM alembic_version") != "new"
