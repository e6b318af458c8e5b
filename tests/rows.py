"""Queries of the test's database, past the API."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import NullPool, Row, create_engine, event, make_url, text

from infra.local.postgres import SUPERUSER, Postgres
from infra.local.run import APP_ROLE
from tests.client import Client


class RecordedEvent(NamedTuple):
    """A domain event in the outbox."""

    type: str
    body: dict[str, Any]


def app_url(server: Postgres, database: str) -> str:
    """Return the URL of a database for the app's role."""
    # Servers of tests trust every login, and the password has characters that need quoting.
    url = make_url(server.url(database)).set(username=APP_ROLE, password="%s'; \\:p$")
    return url.render_as_string(hide_password=False)


def owner_of(database_url: str) -> str:
    """Return the URL of a database on a server of tests for its owner."""
    return make_url(database_url).set(username=SUPERUSER).render_as_string(hide_password=False)


def alter(client: Client, *statements: str) -> None:
    """Run statements as the owner of the test's database, who can change the schema."""
    engine = create_engine(owner_of(client.wiring.settings.database_url), poolclass=NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def rows(client: Client, sql: str, **values: Any) -> list[Row[Any]]:
    """Run a statement in its own transaction, and return its rows."""
    with client.wiring.database.transaction() as connection:
        result = connection.execute(text(sql), values)
        return list(result.all()) if result.returns_rows else []


def value(client: Client, sql: str, **values: Any) -> Any:
    """Return the only value of a query."""
    [row] = rows(client, sql, **values)
    return row[0]


@contextmanager
def executed_statements(client: Client) -> Iterator[list[str]]:
    """Record the statements that are executed within the block."""
    executed: list[str] = []

    def record(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        executed.append(statement)

    event.listen(client.wiring.database.engine, "before_cursor_execute", record)
    try:
        yield executed
    finally:
        event.remove(client.wiring.database.engine, "before_cursor_execute", record)


def domain_events(client: Client, subject: str, *types: str) -> list[RecordedEvent]:
    """Return the domain events about an event or a user in order, all or those of some types."""
    recorded = rows(
        client, "SELECT type, body FROM outbox WHERE subject = :subject ORDER BY position", subject=subject
    )
    return [RecordedEvent(row.type, row.body) for row in recorded if not types or row.type in types]


def taken(client: Client, event_id: str) -> int:
    """Return the number of taken places, after checking it against the live bookings and the popularity."""
    [row] = rows(
        client,
        "SELECT taken, capacity, popularity, round(10 * ln(taken + 1)) AS step,"
        " (SELECT coalesce(sum(quantity), 0) FROM bookings b WHERE b.event_id = p.event_id"
        " AND status IN ('pending', 'confirmed')) AS live FROM places p WHERE event_id = :event_id",
        event_id=event_id,
    )
    assert row.popularity == row.step
    assert row.taken == row.live
    assert row.taken <= row.capacity
    return int(row.taken)
