"""The in-app inbox: list notifications and mark them as read."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select, update

from chalicelib.notifications.models import INBOX, notifications
from chalicelib.platform.database.listing import Page, PageRequest
from chalicelib.platform.database.rendering import Render
from chalicelib.platform.errors import NotFound


class NoSuchNotification(NotFound):
    """No such notification, or not yours."""


def list_notifications(
    connection: Connection, user_id: UUID, page: PageRequest, *, unread: bool | None, render: Render
) -> Page:
    """List a user's inbox, all of it or what is or is not read."""
    filters = [] if unread is None else ["unread" if unread else "read"]
    return INBOX.fetch(connection, page, filters, {"owner": user_id}, render)


def mark_read(connection: Connection, user_id: UUID, notification_id: UUID, now: datetime) -> None:
    """Note that a notification was read; the first time counts.

    Raises:
        NoSuchNotification
    """
    mine = (
        notifications.c.notification_id == notification_id,
        notifications.c.user_id == user_id,
    )
    if connection.execute(select(notifications.c.notification_id).where(*mine)).first() is None:
        raise NoSuchNotification
    connection.execute(
        update(notifications).where(*mine, notifications.c.read_at.is_(None)).values(read_at=now)
    )
