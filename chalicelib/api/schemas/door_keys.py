"""Request and response bodies of /events/{eventId}/door-keys."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import ColumnElement, FromClause

from chalicelib.platform.database.rendering import as_json
from chalicelib.platform.http.pagination import PageQuery
from chalicelib.platform.http.validation import Body, Id, Time, text

KeyName = Annotated[str, text(200, description="Which scanner has it.", examples=["North gate"])]

ExpiresAt = Annotated[
    Time,
    Meta(description="At most 30 days after the end of the event. Left out: 12 hours after the end."),
]


class NewDoorKey(Body):
    """A new door key."""

    name: KeyName
    expires_at: ExpiresAt | UnsetType = UNSET


class DoorKey(Struct, kw_only=True, rename="camel"):
    """A door key, without its secret."""

    door_key_id: Id
    name: KeyName
    created_at: Time
    expires_at: Time
    revoked_at: Time | UnsetType = UNSET


class CreatedDoorKey(DoorKey, kw_only=True, rename="camel"):
    """A door key with its secret."""

    key: Annotated[
        str, Meta(description="The secret for the scanner, sent as a token. It is not shown again.")
    ]


class DoorKeyQuery(PageQuery, kw_only=True):
    sort: Literal["createdAt"] = "createdAt"


def door_key_json(row: FromClause) -> ColumnElement[Any]:
    return as_json(DoorKey, row)
