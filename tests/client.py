"""A client that calls the app in this process with the events of API Gateway."""

import base64
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

from chalice.local import LocalChalice, RouteMatcher
from sqlalchemy import Connection, update

import app
from chalicelib.bookings import booking as bookings
from chalicelib.bookings.booking import BookingLimits, Order
from chalicelib.events import publishing as events
from chalicelib.events.rules import Details
from chalicelib.platform import security
from chalicelib.platform.http import problems
from chalicelib.platform.security import Caller, Role
from chalicelib.users import accounts as users
from chalicelib.users.models import users as users_table
from chalicelib.wiring import Wiring
from infra.aws import function_table

# Chalice keeps the current request on the app, because a container serves one request at a time. With this
# class each thread has its own current request, so that threads can stand for containers.
app.app.__class__ = type("ThreadedApp", (LocalChalice, type(app.app)), {})

_FUNCTIONS = {
    route: getattr(app, function.name) for function in function_table.TABLE for route in function.routes
}
"""The functions of routes that have their own function when deployed."""

PASSWORD = "correct horse battery"
HOLD = timedelta(minutes=15)
LIMITS = BookingLimits(hold=HOLD, max_open_holds=3, hold_cooldown=HOLD, verified_attendees_only=False)
"""The default limits."""
EVENT: dict[str, Any] = {
    "title": "Jazz in the yard",
    "startDateTime": timedelta(days=30),
    "endDateTime": timedelta(days=30, hours=3),
    "capacity": 100,
}
"""A body that publishes an event. `Client` sends a duration as the time that is this far from now."""


@cache
def password_hash() -> str:
    return security.hash_password(PASSWORD)


@dataclass(frozen=True)
class Reply:
    """A response. The names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    text: str
    """In Base64 if the body is binary."""
    is_base64: bool = False

    @property
    def content(self) -> bytes:
        return base64.b64decode(self.text) if self.is_base64 else self.text.encode()

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def problem(self) -> str:
        """Return the name of the problem, after checking the problem document."""
        problem = self.json
        assert self.headers["content-type"] == "application/problem+json"
        assert problem["status"] == self.status
        assert problem["title"]
        assert problem["type"] == problems.TYPE_PREFIX + problem["code"]
        return str(problem["code"])

    @property
    def faulty_fields(self) -> set[str]:
        return {error["field"] for error in self.json.get("errors", [])}

    def links(self) -> dict[str, str]:
        """Return the targets in the Link header by relation."""
        links: dict[str, str] = {}
        for link in filter(None, self.headers.get("link", "").split(", ")):
            target, _, relation = link.partition("; rel=")
            links[relation.strip('"')] = target.strip("<>")
        return links


@dataclass(frozen=True)
class Account:
    """An account with a valid token."""

    user_id: str
    name: str
    email: str
    token: str


@dataclass
class Client:
    """Calls the app in this process. A path can have a query."""

    wiring: Wiring
    verified: bool = False
    """Whether the addresses of new accounts are verified. Others get hardly any e-mails."""
    address: str = "127.0.0.1"
    """The address of the peer, as API Gateway reports it."""
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
        """Send a request: `body` as JSON, `raw` as it is, `by` an account or a token."""
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        if body is not None:
            raw = json.dumps(with_times(body)).encode()
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
                    "requestId": str(uuid4()),
                    "httpMethod": method,
                    "resourcePath": route.route,
                    "path": urlsplit(path).path,
                    "identity": {"sourceIp": self.address},
                },
                "headers": sent,
                "pathParameters": route.captured,
                "multiValueQueryStringParameters": query or None,
                "stageVariables": {},
                "body": None if raw is None else base64.b64encode(raw).decode(),
                "isBase64Encoded": raw is not None,
            },
            None,
        )
        received = {name.lower(): value for name, value in answer["headers"].items()}
        return Reply(answer["statusCode"], received, answer["body"], answer.get("isBase64Encoded", False))

    def account(self, role: Role, name: str = "Somebody", email: str | None = None) -> Account:
        """Make an account with the password PASSWORD, without the cost of hashing."""
        now = datetime.now(UTC)
        email = email or f"{secrets.token_hex(6)}@example.com"
        with self.wiring.database.transaction() as connection:
            caller = users.register(
                connection, name=name, email=email, password_hash=password_hash(), role=role, now=now
            )
            if self.verified:
                self._verify(connection, [caller.user_id], now)
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
            if self.verified:
                self._verify(connection, [UUID(one.user_id) for one in made], now)
        return made

    def verify(self, accounts: list[Account]) -> None:
        """Mark the addresses of accounts as verified."""
        with self.wiring.database.transaction() as connection:
            self._verify(connection, [UUID(one.user_id) for one in accounts], datetime.now(UTC))

    @staticmethod
    def _verify(connection: Connection, user_ids: list[UUID], now: datetime) -> None:
        connection.execute(
            update(users_table).where(users_table.c.user_id.in_(user_ids)).values(email_verified_at=now)
        )

    def _signed_in(self, caller: Caller, name: str, email: str) -> Account:
        token = self.wiring.tokens.issue(caller, datetime.now(UTC))
        return Account(str(caller.user_id), name, email, token)

    def event(self, host: Account, **members: Any) -> Any:
        """Publish an event with these members of the body."""
        reply = self("POST", "/events", event_body(**members), by=host)
        assert reply.status == 201, reply.text
        return reply.json

    def past_event(self, host: Account, *, started_ago: timedelta, lasts: timedelta, **more: Any) -> str:
        """Publish an event that has started, and possibly ended, as of two days before its start."""
        starts_at = datetime.now(UTC) - started_ago
        details: dict[str, Any] = {"title": "In the past", "capacity": 10, "currency": "eur", **more}
        caller = self.wiring.tokens.read(host.token)
        with self.wiring.database.transaction() as connection:
            event_id = events.create(
                connection,
                caller.user_id,
                Details(starts_at=starts_at, ends_at=starts_at + lasts, **details),
                starts_at - timedelta(days=2),
                may_publish=True,
                charges=True,
            )
        return str(event_id)

    def book(self, attendee: Account, event_id: str, **headers: str) -> Reply:
        return self("POST", "/bookings", {"eventId": event_id}, by=attendee, headers=headers)

    def book_as_of(self, attendee: Account, event_id: str, at: datetime) -> str:
        """Book a place as of an earlier time, before the event ended, and return the id of the booking."""
        caller = self.wiring.tokens.read(attendee.token)
        order = Order(UUID(event_id))
        booked = bookings.book(self.wiring.database, caller, order, key=None, limits=LIMITS, now=at)
        return str(json.loads(booked.booking)["bookingId"])

    def pages(self, path: str, by: Account | None = None) -> Iterator[Any]:
        """Yield the items of a list, following `next` links to its end."""
        target: str | None = path
        while target:
            reply = self("GET", target, by=by)
            assert reply.status == 200, reply.text
            yield from reply.json
            target = reply.links().get("next")


def in_days(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat(timespec="seconds")


def with_times(body: Any) -> Any:
    """Replace each duration in an object by the time that is this far from now.

    Parameters of tests are durations, because a test can run long after its module was imported.
    """
    if not isinstance(body, dict):
        return body
    now = datetime.now(UTC)
    return {
        name: (now + value).isoformat(timespec="seconds") if isinstance(value, timedelta) else value
        for name, value in body.items()
    }


def event_body(**members: Any) -> dict[str, Any]:
    """Return a valid body that publishes an event next month. Members that are None are left out."""
    return {name: value for name, value in with_times(EVENT | members).items() if value is not None}
