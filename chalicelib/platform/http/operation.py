"""An operation: one method of one path, as declared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from msgspec import Struct

from chalicelib.platform.errors import Refusal
from chalicelib.platform.http.request import Response
from chalicelib.platform.security import AccountLock

Auth = Literal["none", "optional", "required", "host", "attendee", "self"]
"""Who may call a route.

`none`: no token is read. `optional`: a token may be sent and shows more. `required`: any account.
`host`, `attendee`: an account with that role. `self`: the account that the path's userId names.
"""

AccountCheck = Literal["router", "view"]
"""`view`: the view's own statement checks that the account exists, which saves a round trip."""

View = Callable[..., Response]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What a route enforces, and what the OpenAPI document says of it."""

    method: str
    path: str
    view: View
    auth: Auth
    account_check: AccountCheck
    account_lock: AccountLock
    responses: Mapping[int, Any]
    """Status to the type of the JSON body, to the media type of another body, or to None for no body."""
    errors: tuple[type[Refusal], ...]
    body: type[Struct] | None
    query: type[Struct] | None
    takes_connection: bool
    idempotent: bool
    """Takes an Idempotency-Key."""
    conditional: bool
    """Sends an ETag and heeds If-None-Match, or heeds If-Match."""
    media_type: str
