"""An operation: one HTTP method of one path, as its route declares it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from msgspec import Struct

from chalicelib.platform.errors import Refusal
from chalicelib.platform.http.request import Response
from chalicelib.platform.security import AccountLock

Auth = Literal["none", "optional", "required", "host", "attendee", "self", "scope:check-in"]
"""Who may call a route.

`none`: no token is read. `optional`: a token may be sent and shows more. `required`: any account.
`host`, `attendee`: an account with that role. `self`: the account that the path's userId names.
`scope:<name>`: a host, or an access key with that scope. The view checks the key.
"""

AccountCheck = Literal["router", "view"]
"""`view`: the view's own statement checks that the account exists, which saves a round trip."""

View = Callable[..., Response]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """The declaration of a route, which the router enforces and the OpenAPI document describes."""

    tag: str
    """The resource, by which the OpenAPI document groups operations."""
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
    body_required: bool
    raw_body: bool
    """The view reads or ignores the bytes of the body. Otherwise a body that is not declared is refused."""
    query: type[Struct] | None
    takes_connection: bool
    is_page: bool
    """For people: unknown query parameters are ignored, and refusals are pages too."""
    idempotent: bool
    """Accepts an Idempotency-Key."""
    conditional: bool
    """Supports ETag and If-None-Match (reads) or If-Match (writes)."""
    media_type: str
    limited: bool
    """Counts against rate limits, which its responses describe in RateLimit headers."""
