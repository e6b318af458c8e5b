"""The request that a view receives, and the response that it returns."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from msgspec import Struct

from chalicelib.platform.database.engine import Database
from chalicelib.platform.errors import Forbidden, Unauthenticated
from chalicelib.platform.security import Caller, Role, Tokens
from chalicelib.platform.settings import Settings


class Services(Protocol):
    """The services of the process that requests use."""

    @property
    def settings(self) -> Settings: ...
    @property
    def tokens(self) -> Tokens: ...
    @property
    def database(self) -> Database: ...


class Request(Struct, frozen=True, kw_only=True):
    """One HTTP request; its token, if any, has been verified."""

    method: str
    route: str
    """The path template, such as /events/{eventId}."""
    path: str
    headers: Mapping[str, str]
    parameters: Mapping[str, Sequence[str]]
    raw_body: bytes
    request_id: str
    now: datetime
    """When the request arrived, in UTC, to the millisecond."""
    caller: Caller | None
    get_services: Callable[[], Services]
    """Called when the request first needs the settings or the database; /health needs neither."""

    @property
    def settings(self) -> Settings:
        return self.get_services().settings

    @property
    def database(self) -> Database:
        return self.get_services().database

    @property
    def tokens(self) -> Tokens:
        return self.get_services().tokens

    @property
    def caller_id(self) -> UUID | None:
        return self.caller.user_id if self.caller else None

    def require_caller(self) -> Caller:
        """Return the caller of a route that requires a token."""
        if self.caller is None:
            raise Unauthenticated
        return self.caller

    def require_role(self, role: Role) -> Caller:
        """Return the caller if it has the role.

        Raises:
            Forbidden: The caller has another role.
        """
        caller = self.require_caller()
        if caller.role != role:
            raise Forbidden(f"Only {role}s may do this.")
        return caller


class Response(Struct, frozen=True):
    """An HTTP response. Most bodies are JSON rendered by PostgreSQL."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = {}
    content_type: str = "application/json"
    public: bool = False
    """Shared caches may store it if the request is anonymous."""
    personal_to: UUID | None = None
    """The account whose personal data the body holds; a stored replay is deleted with that account."""


def json_response(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    return Response(status, json.dumps(body, separators=(",", ":")), headers or {})
