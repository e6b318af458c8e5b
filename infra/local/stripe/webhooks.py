"""Sends events to webhook endpoints, signed, from several threads, again until they are taken."""

import contextlib
import hashlib
import hmac
import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from infra.local.stripe import endings
from infra.local.stripe.account import Account
from infra.local.stripe.errors import Json, Refused
from infra.local.stripe.switches import Switches

Send = Callable[[bytes, str], int]
"""Takes an event's body and its signature to whom it concerns, and returns the status of the answer."""
Order = Literal["kept", "reversed", "shuffled"]

WORKERS = 4
TIMEOUT = 10.0  # seconds
RETRIES = (1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1500)
"""Seconds between attempts; about an hour, three days at Stripe."""
LOOK_AT_LEAST_EVERY = 0.5
NEXT = (
    "place = (SELECT place FROM deliveries WHERE state = 'waiting' AND due <= ? ORDER BY due, place LIMIT 1)"
)
GRACE = 3.0  # seconds for webhooks under way when it ends


@dataclass(frozen=True)
class Endpoint:
    """Who is told of events."""

    url: str
    secrets: tuple[str, ...]
    """One, or two while one replaces the other; each signs."""
    events: tuple[str, ...] = ("*",)
    send: Send | None = None
    """Takes events instead of the address."""

    def wants(self, kind: str) -> bool:
        return "*" in self.events or kind in self.events

    def hand_over(self, body: bytes) -> int:
        """Send an event and return the answer's status. Raises OSError, HTTPException."""
        signature = sign(body, self.secrets, int(time.time()))
        return self.send(body, signature) if self.send else post(self.url, body, signature)


@dataclass(frozen=True)
class Delivery:
    """An event on its way to an endpoint."""

    event: str
    type: str
    url: str
    state: str
    """waiting, sending, done, dropped, or failed when it was tried often enough."""
    attempts: tuple[tuple[float, str], ...]
    """When, and what came of it."""


def sign(body: bytes, secrets: Iterable[str], at: int) -> str:
    """Return the header Stripe-Signature (docs.stripe.com/webhooks#verify-manually)."""
    signed = str(at).encode() + b"." + body
    marks = (hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets)
    return ",".join([f"t={at}", *(f"v1={mark}" for mark in marks)])


def post(url: str, body: bytes, signature: str) -> int:
    """Post an event, follow no redirect, and return the status. Raises OSError, HTTPException."""
    where = urlsplit(url)
    kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
    connection = kind(where.netloc, timeout=TIMEOUT)
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": signature,
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    }
    try:
        connection.request("POST", f"{where.path or '/'}?{where.query}".rstrip("?"), body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


class Postman:
    """Delivers what the account has to tell."""

    def __init__(self, account: Account, switches: Switches, endpoints: Sequence[Endpoint]) -> None:
        self._account = account
        self._switches = switches
        self._threads: list[threading.Thread] = []
        self._stopped = False
        self._endpoints = {endpoint.url: endpoint for endpoint in endpoints}
        account.recipients = lambda kind: [one.url for one in self._endpoints.values() if one.wants(kind)]
        # A delivery that an end of the process cut off may have arrived or not; it is made again.
        account.run("UPDATE deliveries SET state = 'waiting' WHERE state = 'sending'")

    def start(self) -> None:
        for _ in range(WORKERS):
            thread = threading.Thread(target=self._work, name="stripe webhooks", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        with self._account.changed:
            self._stopped = True
            self._account.changed.notify_all()
        until = time.monotonic() + GRACE
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def add(self, endpoint: Endpoint) -> None:
        with self._account.lock:
            self._endpoints[endpoint.url] = endpoint

    def waiting(self) -> list[str]:
        """Return the ids of the events that wait for their delivery, the oldest first."""
        rows = self._account.run(
            "SELECT event FROM deliveries WHERE state = 'waiting' GROUP BY event ORDER BY min(place)"
        )
        return [event for (event,) in rows]

    def deliver(self, event: str) -> list[int]:
        """Send an event now, again if it was, and return what each endpoint answers, 0 for nothing."""
        self._account.get("event", event)
        with self._account.changing():
            taken = self._take("event = ?", event)
            for url in [] if taken else self._account.recipients(self._account.tag(event)):
                self._account.run(
                    "INSERT INTO deliveries (event, url, state, due) VALUES (?, ?, 'sending', 0)", event, url
                )
                taken.append(self._account.run("SELECT last_insert_rowid()")[0][0])
        return [self._try(place) for place in taken]

    def deliver_all(self, order: Order) -> list[int]:
        """Send all that wait, one after the other, and return the answers."""
        places = self._waiting("true")
        if order == "reversed":
            places.reverse()
        elif order == "shuffled":
            random.shuffle(places)
        return [self._send(place) for place in places if self._take("place = ?", place)]

    def drop(self, event: str) -> None:
        """Lose an event that waits."""
        with self._account.changing():
            self._account.run(
                "UPDATE deliveries SET state = 'dropped' WHERE event = ? AND state = 'waiting'", event
            )

    def deliveries(self, limit: int) -> list[Delivery]:
        """Return the newest, the newest first."""
        rows = self._account.run(
            "SELECT d.place, d.event, o.tag, d.url, d.state FROM deliveries d "
            "JOIN objects o ON o.id = d.event ORDER BY d.place DESC LIMIT ?",
            limit,
        )
        return [
            Delivery(event, kind, url, state, tuple(self._attempts(place)))
            for place, event, kind, url, state in rows
        ]

    def idle(self, timeout: float) -> None:
        """Wait until nothing is to be delivered or settled. Raises TimeoutError."""
        left = (
            "SELECT (SELECT count(*) FROM deliveries WHERE state IN ('waiting', 'sending'))"
            " + (SELECT count(*) FROM endings)"
        )
        with self._account.changed:
            if not self._account.changed.wait_for(lambda: self._account.run(left)[0][0] == 0, timeout):
                raise TimeoutError("There are still webhooks to be delivered.")

    def _attempts(self, place: int) -> list[tuple[float, str]]:
        return self._account.run("SELECT at, outcome FROM attempts WHERE delivery = ? ORDER BY place", place)

    def _work(self) -> None:
        while (place := self._next()) is not None:
            self._send(place)

    def _next(self) -> int | None:
        """Wait for a delivery and take it; None when it is over. What ends by itself does so meanwhile."""
        with self._account.changed:
            while not self._stopped:
                if (identity := endings.due(self._account)) is not None:
                    self._end(identity)
                    continue
                if not self._switches.hold and (taken := self._take(NEXT, time.time())):
                    return taken[0]
                self._account.changed.wait(self._pause())
        return None

    def _end(self, identity: str) -> None:
        with contextlib.suppress(Refused):  # somebody was quicker
            endings.end(self._account, identity)

    def _take(self, which: str, *values: object) -> list[int]:
        """Take waiting deliveries for this thread, which wakes no other."""
        with self._account.lock:
            found = self._waiting(which, *values)
            for place in found:
                self._account.run("UPDATE deliveries SET state = 'sending' WHERE place = ?", place)
        return found

    def _waiting(self, which: str, *values: object) -> list[int]:
        rows = self._account.run(
            f"SELECT place FROM deliveries WHERE state = 'waiting' AND {which} ORDER BY place",  # noqa: S608
            *values,
        )
        return [place for (place,) in rows]

    def _pause(self) -> float:
        if self._switches.hold:
            return LOOK_AT_LEAST_EVERY
        due = self._account.run(
            "SELECT min(due) FROM (SELECT min(due) AS due FROM deliveries WHERE state = 'waiting'"
            " UNION ALL SELECT min(due) FROM endings)"
        )[0][0]
        return LOOK_AT_LEAST_EVERY if due is None else min(LOOK_AT_LEAST_EVERY, max(0.001, due - time.time()))

    def _send(self, place: int) -> int:
        """Make a delivery, as the switches want it, and return the last answer, 0 for none."""
        with self._account.lock:
            lost = self._switches.take_drop()
        if lost:
            self._record(place, "dropped", "dropped")
            return 0
        status = 0
        for _ in range(1 + self._switches.duplicate):
            status = self._try(place)
        return status

    def _try(self, place: int) -> int:
        with self._account.lock:
            if self._stopped:
                return 0
            event, url = self._account.run("SELECT event, url FROM deliveries WHERE place = ?", place)[0]
            told = self._account.get("event", event)
            endpoint = self._endpoints.get(url)
        if endpoint is None:  # it may come back
            self._record(place, None, "no such endpoint")
            return 0
        try:
            status = endpoint.hand_over(body_of(told))
        except Exception as error:
            self._record(place, None, f"{type(error).__name__}: {error}")
            if isinstance(error, OSError | http.client.HTTPException):
                return 0
            raise
        taken = 200 <= status < 300  # noqa: PLR2004
        self._record(place, "done" if taken else None, str(status))
        return status

    def _record(self, place: int, state: str | None, outcome: str) -> None:
        """Note what came of an attempt; without a state there will be another."""
        with self._account.lock:
            if self._stopped:  # the account may be closed; the next run tries again
                return
            with self._account.changing():
                (tried,) = self._account.run("SELECT attempts FROM deliveries WHERE place = ?", place)[0]
                if state is None:
                    state = "waiting" if tried < len(RETRIES) else "failed"
                due = time.time() + (RETRIES[tried] if tried < len(RETRIES) else 0)
                self._account.run(
                    "UPDATE deliveries SET state = ?, attempts = attempts + 1, due = ? WHERE place = ?",
                    state, due, place,
                )  # fmt: skip
                self._account.run(
                    "INSERT INTO attempts (delivery, at, outcome) VALUES (?, ?, ?)",
                    place,
                    time.time(),
                    outcome,
                )


def body_of(event: Json) -> bytes:
    """Return an event as Stripe writes it."""
    return json.dumps(event, indent=2).encode()
