"""Read the test's database directly."""

from typing import Any, NamedTuple

from sqlalchemy import Row, text

from tests.client import Client


class RecordedEvent(NamedTuple):
    """A domain event in the outbox."""

    type: str
    body: dict[str, Any]


def rows(client: Client, sql: str, **values: Any) -> list[Row[Any]]:
    """Run a statement in its own transaction, and return its rows, if any."""
    with client.wiring.database.transaction() as connection:
        result = connection.execute(text(sql), values)
        return list(result.all()) if result.returns_rows else []


def value(client: Client, sql: str, **values: Any) -> Any:
    """Return the only value of a query."""
    [row] = rows(client, sql, **values)
    return row[0]


def domain_events(client: Client, subject: str, *types: str) -> list[RecordedEvent]:
    """Return the domain events about a subject in order, optionally of some types only."""
    told = rows(
        client, "SELECT type, body FROM outbox WHERE subject = :subject ORDER BY position", subject=subject
    )
    return [RecordedEvent(row.type, row.body) for row in told if not types or row.type in types]


def taken(client: Client, event_id: str) -> int:
    """Return the counter of taken places, after checking it and the popularity against the live bookings."""
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
