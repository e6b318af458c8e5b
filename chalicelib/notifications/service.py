"""Telling people of a fact: their inboxes at once, their e-mails through a queue, page by page."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select, update

from chalicelib.db import Database, Session
from chalicelib.errors import NotFound
from chalicelib.listing import Page, Slice
from chalicelib.notifications.audiences import FIRST, tell
from chalicelib.notifications.models import INBOX, deliveries, notifications
from chalicelib.ports import Fact, Queues
from chalicelib.topology import EMAIL

PAGE = 1000
"""People told by one statement."""
CHUNK = 25
"""People whose e-mails are one message of the queue."""


LONGEST_IN_A_QUEUE = timedelta(days=30)
"""SQS keeps a message for 14 days at most, and a dead-letter queue again as long."""


class NoSuchNotification(NotFound):
    """No such notification, or not yours."""


def spread(
    database: Database,
    queues: Queues,
    queue: str,
    message: dict[str, Any],
    now: datetime,
    page: int = PAGE,
) -> None:
    """Tell the next page of people whom a fact concerns, and pass on what is left to do.

    The message is the fact, as it comes from the topic, or `{"fact", "after"}`, as this sends it to the
    queue it came from, so that a million people need no long function. Delivered twice, it tells nobody
    twice: inbox rows are unique, and so are the e-mails' rows where they are sent.

    Raises:
        OutOfReach, Unavailable: To be delivered again.
    """
    fact = Fact.from_message(message.get("fact", message))
    after = UUID(message["after"]) if "after" in message else FIRST
    with database.transaction() as session:
        told = tell(session, fact, after, page, now)
    chunks = [told.people[start : start + CHUNK] for start in range(0, len(told.people), CHUNK)]
    queues.send(
        EMAIL.name,
        [{"fact": fact.as_message(), "people": [str(user_id) for user_id in chunk]} for chunk in chunks],
    )
    if told.next_after is not None:
        queues.send(queue, [{"fact": fact.as_message(), "after": str(told.next_after)}])


def list_notifications(session: Session, user_id: UUID, page: Page, *, unread: bool | None) -> Slice:
    """List a user's inbox, all of it or what is or is not read."""
    filters = [] if unread is None else ["unread" if unread else "read"]
    return INBOX.fetch(session, page, filters, {"owner": user_id})


def mark_read(session: Session, user_id: UUID, notification_id: UUID, now: datetime) -> None:
    """Note that a notification was read; the first time counts.

    Raises:
        NoSuchNotification
    """
    mine = (
        notifications.c.notification_id == notification_id,
        notifications.c.user_id == user_id,
    )
    if session.execute(select(notifications.c.notification_id).where(*mine)).first() is None:
        raise NoSuchNotification
    session.execute(update(notifications).where(*mine, notifications.c.read_at.is_(None)).values(read_at=now))


def forget_deliveries(database: Database, now: datetime) -> int:
    """Delete what says who was sent an e-mail, once no queue holds a message any more that it could be of."""
    return database.delete_before(deliveries.c.claimed_at, now - LONGEST_IN_A_QUEUE)
