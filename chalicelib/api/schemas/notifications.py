"""Response bodies of /notifications."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from chalicelib.platform.http.pagination import PageQuery
from chalicelib.platform.http.validation import Id, Time, message


class Notification(Struct, kw_only=True, rename="camel"):
    """What a person was told."""

    notification_id: Id
    type: Annotated[str, Meta(description="The domain event it tells of.", examples=["event-published"])]
    event_id: Id
    title: Annotated[str, Meta(description="The event's title at the time.")]
    created_at: Time
    read_at: Time | UnsetType = UNSET


class NotificationQuery(PageQuery, kw_only=True):
    unread: Annotated[bool, Meta(extra={"says": "must be true or false", "lax": True})] | None = None
    sort: Annotated[Literal["createdAt"], message("must be createdAt")] = "createdAt"
