"""Announce the changes of events without waiting until they are due."""

from datetime import UTC, datetime

from sqlalchemy import update

from chalicelib.events import change_notices
from chalicelib.events.models import event_notices
from chalicelib.platform.database.engine import Database


def announce_changes(database: Database) -> int:
    """Record the domain events about changed events, as if they were due."""
    now = datetime.now(UTC)
    with database.transaction() as connection:
        connection.execute(
            update(event_notices).where(event_notices.c.due_at.is_not(None)).values(due_at=now)
        )
    return change_notices.announce(database, now)
