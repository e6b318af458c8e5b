"""Attendance: how many tickets were admitted, by type, gate and time, and which scans are in conflict."""

from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, Uuid, bindparam, text

_COUNT = text(Path(__file__).with_suffix(".sql").read_text()).bindparams(bindparam("event_id", type_=Uuid))

MAX_GATES = 100

MAX_QUARTERS = 1_000
"""The latest ones: ten days without a pause."""

MAX_CONFLICTS = 100
"""The latest ones."""


def count(connection: Connection, event_id: UUID) -> str:
    """Count the attendance of an event. Return JSON text."""
    values = {
        "event_id": event_id,
        "max_gates": MAX_GATES,
        "max_quarters": MAX_QUARTERS,
        "max_conflicts": MAX_CONFLICTS,
    }
    counted: str = connection.execute(_COUNT, values).scalar_one()
    return counted
