"""Undo a check-in that was a mistake."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, Uuid, and_, bindparam, case, select, update

from chalicelib.bookings.models import tickets
from chalicelib.check_in.models import check_ins, is_inside
from chalicelib.platform.database.columns import SystemTime, now_parameter, sql_literal
from chalicelib.platform.errors import NotFound


class NoSuchCheckIn(NotFound):
    """Check-in not found."""


_this_ticket = bindparam("this_ticket", type_=Uuid)

_FIND = select(check_ins.c.ticket_id).where(
    check_ins.c.check_in_id == bindparam("check_in_id", type_=Uuid),
    check_ins.c.event_id == bindparam("event_id", type_=Uuid),
)
_LOCK = select(tickets.c.ticket_id).where(tickets.c.ticket_id == _this_ticket).with_for_update(key_share=True)
_UNDO = (
    update(check_ins)
    .where(check_ins.c.check_in_id == bindparam("this_check_in", type_=Uuid), check_ins.c.undone_at.is_(None))
    .values(undone_at=now_parameter)
    .returning(check_ins.c.outcome, check_ins.c.scanned_at)
)

_of_ticket = check_ins.c.ticket_id == _this_ticket
_stands = and_(check_ins.c.outcome == sql_literal("admitted"), check_ins.c.undone_at.is_(None))
_ended = (
    select(check_ins.c.check_in_id)
    .where(_of_ticket, _stands, check_ins.c.left_at == bindparam("ended_at", type_=SystemTime()))
    .order_by(check_ins.c.check_in_id.desc())
    .limit(1)
)
_inside_again = select(check_ins.c.check_in_id).where(_of_ticket, is_inside).exists()
_REOPEN = (
    update(check_ins)
    .where(check_ins.c.check_in_id == _ended.scalar_subquery(), ~_inside_again)
    .values(left_at=None)
)
_was_admitted = select(check_ins.c.check_in_id).where(_of_ticket, _stands).exists()
_CHANGE_TICKET = (
    update(tickets)
    .where(tickets.c.ticket_id == _this_ticket)
    .values(
        status=case(
            (and_(tickets.c.status == sql_literal("used"), ~_was_admitted), sql_literal("valid")),
            else_=tickets.c.status,
        ),
        version=tickets.c.version + 1,
        updated_at=now_parameter,
    )
)


def undo(connection: Connection, event_id: UUID, check_in_id: UUID, now: datetime) -> None:
    """Undo a check-in of an event. Idempotent.

    The ticket can be used again unless another admission stands. After the undo of a check-out the ticket is
    inside again, unless it was admitted again since.

    Raises:
        NoSuchCheckIn: The event does not have it.
    """
    found = connection.execute(_FIND, {"check_in_id": check_in_id, "event_id": event_id}).one_or_none()
    if found is None:
        raise NoSuchCheckIn
    ticket = {"this_ticket": found.ticket_id}
    connection.execute(_LOCK, ticket)
    undone = connection.execute(_UNDO, {"this_check_in": check_in_id, "now": now}).one_or_none()
    if undone is None:
        return
    if undone.outcome == "left":
        connection.execute(_REOPEN, {**ticket, "ended_at": undone.scanned_at})
    connection.execute(_CHANGE_TICKET, {**ticket, "now": now})
