"""Undo a check-in that was a mistake."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Uuid, bindparam, select, update

from chalicelib.check_in import batches
from chalicelib.check_in.models import check_ins
from chalicelib.platform.database.columns import now_parameter
from chalicelib.platform.errors import NotFound


class NoSuchCheckIn(NotFound):
    """Check-in not found."""


_FIND = select(check_ins.c.ticket_id).where(
    check_ins.c.check_in_id == bindparam("check_in_id", type_=Uuid),
    check_ins.c.event_id == bindparam("event_id", type_=Uuid),
)
_UNDO = (
    update(check_ins)
    .where(check_ins.c.check_in_id == bindparam("this_check_in", type_=Uuid), check_ins.c.undone_at.is_(None))
    .values(undone_at=now_parameter)
)


def undo(connection: Connection, event_id: UUID, check_in_id: UUID, now: datetime) -> None:
    """Undo a check-in of an event. Idempotent.

    The ticket's other scans are decided anew: a later one that conflicted with it is the admission now. After
    the undo of a check-out, the ticket is inside again. Without any admission, it is valid again.

    Raises:
        NoSuchCheckIn: The event does not have it.
    """
    found = connection.execute(_FIND, {"check_in_id": check_in_id, "event_id": event_id}).one_or_none()
    if found is None:
        raise NoSuchCheckIn
    batches.lock(connection, [found.ticket_id])
    if connection.execute(_UNDO, {"this_check_in": check_in_id, "now": now}).rowcount:
        batches.decide_anew(connection, event_id, found.ticket_id, now)
