"""Integrity: recount an event's places and money from their rows, and report differences."""

from datetime import datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, Text, bindparam, text

from chalicelib.events.locks import own_event
from chalicelib.platform.times import rfc3339

_COUNT = text(Path(__file__).with_suffix(".sql").read_text()).bindparams(bindparam("checked_at", type_=Text))

MAX_DIFFERENCES = 1000
"""The number of bookings with differences that a report lists."""


def check(connection: Connection, host_id: UUID, event_id: UUID, now: datetime) -> str:
    """Return a report on an event's places and money as JSON text.

    Raises:
        NoSuchEvent, NotYourEvent
    """
    values = {
        "event_id": event_id,
        "checked_at": rfc3339(now, "milliseconds"),
        "max_differences": MAX_DIFFERENCES,
    }
    row = own_event(connection.execute(_COUNT, values).one_or_none(), host_id)
    report: str = row.report
    return report
