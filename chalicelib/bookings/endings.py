"""What ends many bookings: an event that is called off, an account that is closed."""

from collections.abc import Collection
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import select

from chalicelib.bookings.models import bookings, live
from chalicelib.bookings.service import END_OF_ATTENDEE, END_OF_EVENTS, Ender
from chalicelib.db import Session
from chalicelib.events import service as events_service
from chalicelib.events.models import events
from chalicelib.events.service import lock_places
from chalicelib.security import Caller
from chalicelib.users import service as users_service


def call_off_event(
    session: Session,
    host_id: UUID,
    event_id: UUID,
    *,
    how: Literal["cancelled", "deleted"],
    expected: Collection[int] | None,
    now: datetime,
) -> None:
    """Cancel or delete an event and end its bookings, in one transaction.

    Raises:
        As `events.service.call_off`.
    """
    if events_service.call_off(session, host_id, event_id, how=how, expected=expected, now=now):
        reason: Ender = "event-cancelled" if how == "cancelled" else "event-deleted"
        session.execute(END_OF_EVENTS, {"event_ids": [event_id], "reason": reason, "now": now})


def close_account(
    session: Session, caller: Caller, *, expected: Collection[int] | None, now: datetime
) -> None:
    """Delete an account: call off what it hosts, release what it booked, erase who it was.

    Past events and bookings stay, as the ledger, without the name. The caller's credentials must be
    locked for update, so that nothing is made for the account meanwhile.

    Raises:
        StaleVersion: The profile has changed since.
    """
    users_service.check_profile_version(session, caller.user_id, expected)
    if caller.role == "host":
        cancelled = events_service.call_off_all(session, caller.user_id, now)
        reason: Ender = "event-cancelled"
        session.execute(END_OF_EVENTS, {"event_ids": cancelled, "reason": reason, "now": now})
    else:
        booked = session.scalars(
            select(bookings.c.event_id)
            .join(events, events.c.event_id == bookings.c.event_id)
            .where(bookings.c.user_id == caller.user_id, live, events.c.starts_at > now)
        ).all()
        lock_places(session, booked)
        reason = "account-deleted"
        session.execute(
            END_OF_ATTENDEE,
            {"attendee": caller.user_id, "event_ids": booked, "reason": reason, "now": now},
        )
    users_service.erase(session, caller.user_id, now)
