"""What goes in and out of a view: the request with its caller, and the answer."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from sqlalchemy import Connection

from chalicelib import wiring
from chalicelib.platform.errors import Unauthenticated
from chalicelib.platform.security import Caller
from chalicelib.platform.settings import Settings
from chalicelib.users import authentication
from chalicelib.users.authentication import Lock
from chalicelib.wiring import Wiring


class Request(Struct, frozen=True, kw_only=True):
    """One HTTP request whose token, if any, has been read."""

    method: str
    route: str
    """The path with its parameters unfilled, such as /events/{eventId}."""
    path: str
    headers: Mapping[str, str]
    parameters: Mapping[str, Sequence[str]]
    raw_body: bytes
    request_id: str
    now: datetime
    """When the request came, in UTC, to the millisecond."""
    caller: Caller | None

    @property
    def wiring(self) -> Wiring:
        """The parts of this process, made when a request first needs them; /health never does."""
        return wiring.current()

    @property
    def settings(self) -> Settings:
        return self.wiring.settings

    @property
    def caller_id(self) -> UUID | None:
        return self.caller.user_id if self.caller else None

    def require_caller(self) -> Caller:
        """The caller of a route that demands one."""
        if self.caller is None:
            raise Unauthenticated
        return self.caller

    @contextmanager
    def transaction(self, lock: Lock | None = None) -> Iterator[Connection]:
        """Open a transaction in which the caller's account, if one is named, is known to stand.

        `lock` holds it so until the end: by default `share` for writes and none for reads.
        """
        with self.wiring.database.transaction() as connection:
            if self.caller is not None:
                default: Lock = "none" if self.method == "GET" else "share"
                authentication.require_account(connection, self.caller, lock or default)
            yield connection


class Response(Struct, frozen=True):
    """An HTTP answer; its body is JSON text, most of it as PostgreSQL wrote it."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = {}
    content_type: str = "application/json"
    public: bool = False
    """May be shared by caches when the request is anonymous."""
    personal_to: UUID | None = None
    """Whose name and address the body holds, where it is kept for a replay."""
