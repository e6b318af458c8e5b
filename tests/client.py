"""A client that hands the app the events that API Gateway would, and reads its answers."""

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from chalice.local import LocalChalice, RouteMatcher

import app
from chalicelib.bookings import booking as bookings
from chalicelib.events import publishing as events
from chalicelib.events.rules import Details
from chalicelib.platform import security
from chalicelib.platform.security import Caller, Role
from chalicelib.users import accounts as users
from chalicelib.wiring import Wiring
from infra.aws import function_table

# Chalice keeps the request that it serves on the app, as a container serves one at a time. In tests of what
# happens at once, threads stand for containers.
app.app.__class__ = type("ThreadedApp", (LocalChalice, type(app.app)), {})

_FUNCTIONS = {
    route: getattr(app, function.name) for function in function_table.TABLE for route in function.routes
}
"""Those that answer some routes in the place of the API's, as deployed."""

PASSWORD = "correct horse battery"
HOLD = timedelta(minutes=15)


@cache
def password_hash() -> str:
    return security.hash_password(PASSWORD)


@dataclass(frozen=True)
class Reply:
    """An answer, its headers by lower-case names."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def problem(self) -> str:
        """The name of the problem, after checking that this is a whole problem document."""
        problem = self.json
        assert self.headers["content-type"] == "application/problem+json"
        assert problem["status"] == self.status
        assert problem["title"]
        return str(problem["type"].rpartition("#")[2])

    @property
    def faulty_fields(self) -> set[str]:
        return {error["field"] for error in self.json.get("errors", [])}

    def links(self) -> dict[str, str]:
        """The Link header, from relation to target."""
        links: dict[str, str] = {}
        for link in filter(None, self.headers.get("link", "").split(", ")):
            target, _, relation = link.partition("; rel=")
            links[relation.strip('"')] = target.strip("<>")
        return links


@dataclass(frozen=True)
class Account:
    """Somebody signed in."""

    user_id: str
    name: str
    email: str
    token: str


@dataclass
class Client:
    """Calls the app in this process. Paths are as on the wire, with their query."""

    wiring: Wiring
    matcher: RouteMatcher = field(default_factory=lambda: RouteMatcher(list(app.app.routes)))

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        by: Account | str | None = None,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Reply:
        """Send a request; `body` as JSON, `raw` as it is; `by` an account or a token."""
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        if body is not None:
            raw = json.dumps(body).encode()
            sent.setdefault("content-type", "application/json")
        if by is not None:
            token = by.token if isinstance(by, Account) else by
            sent["authorization"] = f"Bearer {token}"
        route = self.matcher.match_route(urlsplit(path).path)
        query = parse_qs(urlsplit(path).query, keep_blank_values=True)
        function = _FUNCTIONS.get((method, route.route), app.app)
        answer = function(
            {
                "requestContext": {
                    "httpMethod": method,
                    "resourcePath": route.route,
                    "path": urlsplit(path).path,
                    "identity": {"sourceIp": "127.0.0.1"},
                },
                "headers": sent,
                "pathParameters": route.captured,
                "multiValueQueryStringParameters": query or None,
                "stageVariables": {},
                "body": raw,
                "isBase64Encoded": False,
            },
            None,
        )
        received = {name.lower(): value for name, value in answer["headers"].items()}
        return Reply(answer["statusCode"], received, answer["body"])

    def account(self, role: Role, name: str = "Somebody", email: str | None = None) -> Account:
        """Make an account without the cost of hashing; its password is PASSWORD."""
        now = datetime.now(UTC)
        email = email or f"{secrets.token_hex(6)}@example.com"
        with self.wiring.database.transaction() as connection:
            caller = users.register(
                connection, name=name, email=email, password_hash=password_hash(), role=role, now=now
            )
        return self._signed_in(caller, name, email)

    def host(self, name: str = "A host") -> Account:
        return self.account("host", name)

    def attendee(self, name: str = "An attendee") -> Account:
        return self.account("attendee", name)

    def attendees(self, count: int) -> list[Account]:
        """Make many attendees in one transaction."""
        now = datetime.now(UTC)
        made: list[Account] = []
        with self.wiring.database.transaction() as connection:
            for _ in range(count):
                email = f"{secrets.token_hex(6)}@example.com"
                caller = users.register(
                    connection,
                    name="One of many",
                    email=email,
                    password_hash=password_hash(),
                    role="attendee",
                    now=now,
                )
                made.append(self._signed_in(caller, "One of many", email))
        return made

    def _signed_in(self, caller: Caller, name: str, email: str) -> Account:
        token = self.wiring.tokens.issue(caller, datetime.now(UTC))
        return Account(str(caller.user_id), name, email, token)

    def event(self, host: Account, **members: Any) -> Any:
        """Publish an event over HTTP; `members` as on the wire."""
        reply = self("POST", "/events", event_body(**members), by=host)
        assert reply.status == 201, reply.text
        return reply.json

    def past_event(self, host: Account, *, started_ago: timedelta, lasts: timedelta, **more: Any) -> str:
        """Publish an event as of two days before its start, so that it can have begun, or ended."""
        starts_at = datetime.now(UTC) - started_ago
        details: dict[str, Any] = {
            "title": "In the past",
            "description": None,
            "location": None,
            "starts_at": starts_at,
            "ends_at": starts_at + lasts,
            "timezone": "UTC",
            "capacity": 10,
            "price": 0,
            "currency": "eur",
            "sale_starts_at": None,
            "sale_ends_at": None,
            "refund_until": None,
            "status": "published",
        }
        caller = self.wiring.tokens.read(host.token)
        with self.wiring.database.transaction() as connection:
            event_id = events.create(
                connection,
                caller.user_id,
                Details(**{**details, **more}),
                starts_at - timedelta(days=2),
                may_publish=True,
                charges=True,
            )
        return str(event_id)

    def book(self, attendee: Account, event_id: str, **headers: str) -> Reply:
        return self("POST", "/bookings", {"eventId": event_id}, by=attendee, headers=headers)

    def book_as_of(self, attendee: Account, event_id: str, at: datetime) -> str:
        """Book a place at an earlier time, when the event had not begun or ended; the booking's id."""
        caller = self.wiring.tokens.read(attendee.token)
        booked = bookings.book(self.wiring.database, caller, UUID(event_id), key=None, hold=HOLD, now=at)
        return str(json.loads(booked.booking)["bookingId"])

    def pages(self, path: str, by: Account | None = None) -> Iterator[Any]:
        """Follow `next` links to the end of a list and yield its items."""
        target: str | None = path
        while target:
            reply = self("GET", target, by=by)
            assert reply.status == 200, reply.text
            yield from reply.json
            target = reply.links().get("next")


def in_days(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat(timespec="seconds")


def event_body(**members: Any) -> dict[str, Any]:
    """What a host sends to publish an event next month; members given as None are left out."""
    body = {
        "title": "Jazz in the yard",
        "startDateTime": in_days(30),
        "endDateTime": in_days(30.125),
        "capacity": 100,
        **members,
    }
    return {name: value for name, value in body.items() if value is not None}
