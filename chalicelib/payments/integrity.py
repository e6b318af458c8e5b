"""Integrity: an event's places and money, counted again from their rows, and where they disagree."""

from datetime import datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy import Text, bindparam, text

from chalicelib.db import Session
from chalicelib.events.finding import NoSuchEvent
from chalicelib.events.service import NotYourEvent

_COUNT = text(Path(__file__).with_suffix(".sql").read_text()).bindparams(bindparam("checked_at", type_=Text))

MOST = 1000
"""Differences that are named."""


def check(session: Session, host_id: UUID, event_id: UUID, now: datetime) -> str:
    """Count an event's places and money, as JSON text.

    Raises:
        NoSuchEvent, NotYourEvent
    """
    values = {
        "event_id": event_id,
        "checked_at": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "at_most": MOST,
    }
    row = session.execute(_COUNT, values).one_or_none()
    if row is None or (row.status == "draft" and row.host_id != host_id):
        raise NoSuchEvent
    if row.host_id != host_id:
        raise NotYourEvent
    report: str = row.report
    return report
