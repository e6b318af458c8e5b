"""The request that a view receives, and the response that it returns."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from msgspec import Struct, field
from sqlalchemy import Connection

from chalicelib.platform.database.engine import Database
from chalicelib.platform.errors import Forbidden, Unauthenticated
from chalicelib.platform.security import AccessKey, Caller, Role, Tokens
from chalicelib.platform.settings import Settings
from chalicelib.platform.throttle import Charge, Throttle, Usage, refuse_exceeded


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
    access_key: AccessKey | None = None
    """Of a route for a scope, which has either this or a caller."""
    client_address: str
    """The peer's address as the gateway saw it. A header could be forged."""
    rate_limits: list[Usage] = field(default_factory=list)
    """The limits that the request has been counted against, for the headers of its response."""
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

    def limit(self, connection: Connection, charges: Sequence[Charge]) -> None:
        """Count the request against rate limits.

        Raises:
            TooManyRequests: The caller has to let the transaction roll back.
        """
        usages = Throttle(self.settings).check(connection, charges, self.now)
        self.rate_limits.extend(usages)
        if any(usage.is_exceeded for usage in usages):
            self._uncount(charges)  # as the rollback does
        refuse_exceeded(usages)

    def give_back(self, connection: Connection, charges: Sequence[Charge]) -> None:
        """Undo what `limit` has counted."""
        Throttle(self.settings).give_back(connection, charges, self.now)
        self._uncount(charges)

    def _uncount(self, charges: Sequence[Charge]) -> None:
        hits = {charge.limit: charge.hits for charge in charges}
        self.rate_limits[:] = [
            usage._replace(hits=usage.hits - hits.get(usage.limit, 0)) for usage in self.rate_limits
        ]

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
    file: bytes | None = None
    """A binary body, in place of `body`."""
    public: bool = False
    """Shared caches may store it if the request is anonymous."""
    personal_to: UUID | None = None
    """The account whose personal data the body holds; a stored replay is deleted with that account."""


def json_response(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    return Response(status, json.dumps(body, separators=(",", ":")), headers or {})
