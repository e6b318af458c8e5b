"""Response bodies of /notifications."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import ColumnElement, FromClause

from chalicelib.platform.database.rendering import as_json
from chalicelib.platform.http.pagination import PageQuery
from chalicelib.platform.http.validation import Id, Time


class Notification(Struct, kw_only=True, rename="camel"):
    """A notification in the inbox."""

    notification_id: Id
    type: Annotated[str, Meta(description="The kind of notification.", examples=["event-published"])]
    event_id: Id
    title: Annotated[str, Meta(description="The event's title when the notification was created.")]
    created_at: Time
    read_at: Time | UnsetType = UNSET
    count: (
        Annotated[
            int,
            Meta(
                description="Of `new-bookings`, which hosts get: the number of tickets. It grows until the "
                "notification is read or the day (UTC) ends."
            ),
        ]
        | UnsetType
    ) = UNSET


class NotificationQuery(PageQuery, kw_only=True):
    unread: bool | None = None
    sort: Literal["createdAt"] = "createdAt"


def notification_json(row: FromClause) -> ColumnElement[Any]:
    return as_json(Notification, row)
