"""Cancel or delete an event together with its bookings."""

from collections.abc import Collection
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection

from chalicelib.bookings.cancellation import CancellationReason, cancel_bookings_of_events
from chalicelib.events import cancellation


def cancel_event(
    connection: Connection,
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
    if cancellation.cancel(connection, host_id, event_id, how=how, expected=expected, now=now):
        reason: CancellationReason = "event-cancelled" if how == "cancelled" else "event-deleted"
        cancel_bookings_of_events(connection, [event_id], reason, now)
