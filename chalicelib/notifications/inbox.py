"""The inbox in the app: list notifications and mark them as read."""

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
    """List a user's inbox: all of it, or the unread or the read notifications."""
    filters = [] if unread is None else ["unread" if unread else "read"]
    return INBOX.fetch(connection, page, filters, {"owner": user_id}, render)


def mark_read(connection: Connection, user_id: UUID, notification_id: UUID, now: datetime) -> None:
    """Mark a notification as read. If it is read already, its time stays.

    Raises:
        NoSuchNotification
    """
    own = (
        notifications.c.notification_id == notification_id,
        notifications.c.user_id == user_id,
    )
    if connection.execute(select(notifications.c.notification_id).where(*own)).first() is None:
        raise NoSuchNotification
    connection.execute(
        update(notifications).where(*own, notifications.c.read_at.is_(None)).values(read_at=now)
    )
