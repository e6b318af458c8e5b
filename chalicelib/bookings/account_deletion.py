"""Delete an account together with what it hosts and has booked."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, select

from chalicelib.bookings.cancellation import (
    _CANCEL_OF_ATTENDEE,
    _REFUND_OF_ATTENDEE,
    CancellationReason,
    cancel_bookings_of_events,
    refund_parameters,
)
from chalicelib.bookings.models import bookings, live
from chalicelib.events import cancellation
from chalicelib.events.locks import lock_places
from chalicelib.events.models import events
from chalicelib.platform.security import Caller
from chalicelib.users import deletion, profile


def delete_account(
    connection: Connection, caller: Caller, *, expected: Collection[int] | None, now: datetime
) -> None:
    """Delete an account: call off what it hosts, release what it booked, erase who it was.

    Past events and bookings stay, as the ledger, without the name. The caller's credentials must be
    locked for update, so that nothing is made for the account meanwhile.

    Raises:
        StaleVersion: The profile has changed since.
    """
    profile.lock_profile(connection, caller.user_id, expected, goes=True)
    if caller.role == "host":
        cancelled = cancellation.cancel_all_of_host(connection, caller.user_id, now)
        cancel_bookings_of_events(connection, cancelled, "event-cancelled", now)
    else:
        booked = connection.scalars(
            select(bookings.c.event_id)
            .join(events, events.c.event_id == bookings.c.event_id)
            .where(bookings.c.user_id == caller.user_id, live, events.c.starts_at > now)
        ).all()
        lock_places(connection, booked)
        reason: CancellationReason = "account-deleted"
        its = {"attendee": caller.user_id, "event_ids": booked}
        connection.execute(_CANCEL_OF_ATTENDEE, its | {"reason": reason, "now": now})
        connection.execute(_REFUND_OF_ATTENDEE, its | refund_parameters(reason, now))
    deletion.erase(connection, caller.user_id, now)
