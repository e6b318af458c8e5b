"""Integrity: an event's places and money, counted again from their rows, and where they disagree."""

from datetime import datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, Text, bindparam, text

from chalicelib.events.locks import NotYourEvent
from chalicelib.events.search import NoSuchEvent

_COUNT = text(Path(__file__).with_suffix(".sql").read_text()).bindparams(bindparam("checked_at", type_=Text))

MAX_DIFFERENCES = 1000
"""Differences that are named."""


def check(connection: Connection, host_id: UUID, event_id: UUID, now: datetime) -> str:
    """Count an event's places and money, as JSON text.

    Raises:
        NoSuchEvent, NotYourEvent
    """
    values = {
        "event_id": event_id,
        "checked_at": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "at_most": MAX_DIFFERENCES,
    }
    row = connection.execute(_COUNT, values).one_or_none()
    if row is None or (row.status == "draft" and row.host_id != host_id):
        raise NoSuchEvent
    if row.host_id != host_id:
        raise NotYourEvent
    report: str = row.report
    return report
