"""Fan out a domain event: inbox rows directly, e-mails through a queue, page by page."""

from datetime import datetime
from typing import Any
from uuid import UUID

from chalicelib.notifications.recipients import START_KEY, notify
from chalicelib.platform.database.engine import Database
from chalicelib.platform.messaging.ports import DomainEvent, QueueSender
from chalicelib.platform.messaging.queues import EMAIL

PAGE_SIZE = 1000
"""People told by one statement."""

EMAIL_BATCH_SIZE = 25
"""People whose e-mails are one message of the queue."""


def fan_out(
    database: Database,
    queues: QueueSender,
    queue: str,
    message: dict[str, Any],
    now: datetime,
    page: int = PAGE_SIZE,
) -> None:
    """Tell the next page of people whom a domain event concerns, and pass on what is left to do.

    The message is the domain event, as it comes from the topic, or `{"domainEvent", "after"}`, as this sends it to the
    queue it came from, so that a million people need no long function. Delivered twice, it tells nobody
    twice: inbox rows are unique, and so are the e-mails' rows where they are sent.

    Raises:
        Unreachable, Unavailable: To be delivered again.
    """
    domain_event = DomainEvent.from_message(message.get("domainEvent", message))
    after = UUID(message["after"]) if "after" in message else START_KEY
    with database.transaction() as connection:
        told = notify(connection, domain_event, after, page, now)
    chunks = [
        told.people[start : start + EMAIL_BATCH_SIZE]
        for start in range(0, len(told.people), EMAIL_BATCH_SIZE)
    ]
    queues.send(
        EMAIL.name,
        [
            {"domainEvent": domain_event.as_message(), "people": [str(user_id) for user_id in chunk]}
            for chunk in chunks
        ],
    )
    if told.next_after is not None:
        queues.send(queue, [{"domainEvent": domain_event.as_message(), "after": str(told.next_after)}])
