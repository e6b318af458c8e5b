"""Fan out a domain event: inbox rows directly, e-mails through a queue, page by page."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Executable, Text, Uuid, bindparam, func, select
from sqlalchemy.dialects.postgresql import insert

from chalicelib import domain_events
from chalicelib.domain_events import BookingDetails, ConfirmedBooking, TicketDetails
from chalicelib.events.models import events
from chalicelib.notifications import booking_activity
from chalicelib.notifications.kinds import KINDS, Kind
from chalicelib.notifications.models import notifications
from chalicelib.notifications.recipients import START_KEY
from chalicelib.platform.database.columns import now_parameter
from chalicelib.platform.database.engine import Database
from chalicelib.platform.messaging.bodies import DomainEventBody
from chalicelib.platform.messaging.messages import EmailBatch, FanOutPage
from chalicelib.platform.messaging.ports import DomainEvent, QueueSender
from chalicelib.platform.messaging.queues import EMAIL
from chalicelib.users.models import credentials

PAGE_SIZE = 1000
"""Recipients that one statement notifies."""

EMAIL_BATCH_SIZE = 25
"""Recipients per message of the e-mail queue."""


def fan_out(
    database: Database,
    queues: QueueSender,
    queue: str,
    message: FanOutPage,
    now: datetime,
    page_size: int = PAGE_SIZE,
) -> None:
    """Notify the next page of recipients, and queue their e-mails and the page after it.

    With its first page, what happened to a booking is recorded for the event's host.

    The next page goes to the queue that this one came from, so that no call takes long, however many
    recipients there are. A second delivery changes nothing: inbox rows are unique, and so are the rows of
    sent e-mails.

    Raises:
        ValueError: There is no such notification, or the domain event is malformed.
        Unreachable, Unavailable: The message has to be delivered again.
    """
    domain_event = message.domain_event
    after = START_KEY if message.after is None else message.after
    with database.transaction() as connection:
        page = _notify(connection, domain_event, after, page_size, now)
        recipients = page.user_ids
        if message.after is None:
            booking_activity.record(connection, domain_event)
            recipients += _customers(domain_event)
    batches = [
        EmailBatch(domain_event=domain_event, recipients=recipients[start : start + EMAIL_BATCH_SIZE])
        for start in range(0, len(recipients), EMAIL_BATCH_SIZE)
    ]
    queues.send(EMAIL.name, [batch.as_message() for batch in batches])
    if page.next_after is not None:
        next_page = FanOutPage(domain_event=domain_event, after=page.next_after)
        queues.send(queue, [next_page.as_message()])


@dataclass(frozen=True)
class _NotifiedPage:
    user_ids: tuple[UUID, ...]
    next_after: UUID | None
    """Where the next page begins; None after the last one."""


def _notify(
    connection: Connection, domain_event: DomainEvent, after: UUID, page_size: int, now: datetime
) -> _NotifiedPage:
    """Write the inbox rows of a page of recipients, if there are any, and return the recipients."""
    if domain_event.type not in _NOTIFY:
        raise ValueError(f"there are no recipients for {domain_event.type}")
    body = domain_events.parse(domain_event)
    rows = connection.execute(
        _NOTIFY[domain_event.type],
        {
            "after": after,
            "at_most": page_size,
            "event_id": domain_event.subject,
            "host_id": getattr(body, "host_id", None),
            "booking_id": getattr(body, "booking_id", None),
            "transfer_id": getattr(body, "transfer_id", None),
            "ticket_ids": _tickets_of(body),
            "since": getattr(body, "since", None),
            "until": getattr(body, "until", None),
            "domain_event_id": domain_event.domain_event_id,
            "domain_event_type": domain_event.type,
            "now": now,
        },
    ).all()
    is_full = len(rows) == page_size
    return _NotifiedPage(tuple(row.user_id for row in rows), rows[-1].key if is_full else None)


def _customers(domain_event: DomainEvent) -> tuple[UUID, ...]:
    """The booking, if it was sold at the box office: its customer has no account, and gets e-mails only."""
    body = domain_events.parse(domain_event)
    return (body.booking_id,) if isinstance(body, ConfirmedBooking) and body.paid_by else ()


def _tickets_of(body: DomainEventBody) -> list[UUID]:
    """The tickets that a domain event is about."""
    if isinstance(body, TicketDetails):
        return [body.ticket_id]
    return [ticket.ticket_id for ticket in body.tickets] if isinstance(body, BookingDetails) else []


def _notifying(kind: Kind) -> Executable:
    """A statement that writes the inbox rows of a page of recipients, and returns the page.

    The page includes recipients who had their row before: their e-mails may be missing. Only accounts have
    rows, and a digest has none.
    """
    recipients: Any = kind.recipients
    if kind.while_booking is not None:
        recipients = recipients.where(kind.while_booking)
    if not kind.has_inbox:
        return select(recipients.subquery("page"))
    page = recipients.cte("page")
    event_id = bindparam("event_id", type_=Uuid)
    columns = {
        "notification_id": func.uuidv7(),
        "user_id": page.c.user_id,
        "domain_event_id": bindparam("domain_event_id", type_=Uuid),
        "type": bindparam("domain_event_type", type_=Text),
        "event_id": event_id,
        "title": select(events.c.title).where(events.c.event_id == event_id).scalar_subquery(),
        "created_at": now_parameter,
    }
    rows = select(*columns.values())
    if kind.holder_subject is not None:
        rows = rows.join(credentials, credentials.c.user_id == page.c.user_id)
    written = (
        insert(notifications)
        .from_select(list(columns), rows)
        .on_conflict_do_nothing(index_elements=["domain_event_id", "user_id"])
        .cte("written")
    )
    return select(page.c.key, page.c.user_id).order_by(page.c.key).add_cte(written)


_NOTIFY = {kind.type: _notifying(kind) for kind in KINDS if kind.recipients is not None}
