"""Looks into the test's database, past the API."""

from typing import Any, NamedTuple

from sqlalchemy import Row, text

from tests.client import Client


class Fact(NamedTuple):
    """A domain event that waits in the outbox."""

    type: str
    body: dict[str, Any]


def rows(client: Client, sql: str, **values: Any) -> list[Row[Any]]:
    """Run a statement in a transaction of its own; the rows that it returns, if any."""
    with client.wiring.database.transaction() as connection:
        result = connection.execute(text(sql), values)
        return list(result.all()) if result.returns_rows else []


def value(client: Client, sql: str, **values: Any) -> Any:
    """The one value that a query returns."""
    [row] = rows(client, sql, **values)
    return row[0]


def domain_events(client: Client, subject: str, *types: str) -> list[Fact]:
    """What was told of an event or a user, in order; of some types only where they are named."""
    told = rows(
        client, "SELECT type, body FROM outbox WHERE subject = :subject ORDER BY position", subject=subject
    )
    return [Fact(row.type, row.body) for row in told if not types or row.type in types]


def taken(client: Client, event_id: str) -> int:
    """Places taken as the counter has it, after checking that it counts the live bookings.

    And that the popularity is of that count.
    """
    [row] = rows(
        client,
        "SELECT taken, capacity, popularity, round(10 * ln(taken + 1)) AS step,"
        " (SELECT count(*) FROM bookings b WHERE b.event_id = p.event_id"
        " AND status IN ('pending', 'confirmed')) AS live FROM places p WHERE event_id = :event_id",
        event_id=event_id,
    )
    assert row.popularity == row.step
    assert row.taken == row.live
    assert row.taken <= row.capacity
    return int(row.taken)
