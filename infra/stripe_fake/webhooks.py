"""Webhook endpoints, and deliveries of events to them."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Literal
from urllib.parse import urlsplit

from infra.stripe_fake.errors import Json

Send = Callable[[bytes, str], int]
"""Takes the body and the signature of an event, and returns the status of the response."""

TIMEOUT = 10.0  # seconds
RETRY_BACKOFF = (1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1500)
"""Seconds after each failed attempt: about an hour in all, where Stripe retries for three days."""


@dataclass(frozen=True)
class Endpoint:
    """A receiver of events."""

    url: str
    secrets: tuple[str, ...]
    """Two while one replaces the other. Each of them signs."""
    send: Send | None = None
    """Receives the events in this process instead of at the URL."""

    def post(self, event: Json) -> int:
        """Send an event and return the status of the response. Raise OSError or HTTPException."""
        body = json.dumps(event, indent=2).encode()
        signature = sign(body, self.secrets, int(time.time()))
        if self.send:
            return self.send(body, signature)
        target = urlsplit(self.url)
        connection = HTTPConnection(target.netloc, timeout=TIMEOUT)
        headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": signature}
        try:
            connection.request("POST", target.path or "/", body, headers)
            return connection.getresponse().status
        finally:
            connection.close()


def sign(body: bytes, secrets: Iterable[str], timestamp: int) -> str:
    """Return the Stripe-Signature header (docs.stripe.com/webhooks#verify-manually)."""
    payload = f"{timestamp}.".encode() + body
    signatures = (hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest() for secret in secrets)
    return ",".join([f"t={timestamp}", *(f"v1={signature}" for signature in signatures)])


@dataclass(eq=False)
class Delivery:
    """An event on its way to an endpoint."""

    event: Json
    endpoint: Endpoint
    due: float
    state: Literal["waiting", "sending", "delivered", "dropped", "failed"] = "waiting"
    attempts: int = 0
    outcome: str = ""
    """The status of the last response, or the last error."""

    def attempt(self) -> int:
        """Send the event once. Return the status, 0 without a response. Raise exceptions of `send`."""
        try:
            status = self.endpoint.post(self.event)
        except Exception as error:
            self._record(0, f"{type(error).__name__}: {error}")
            if isinstance(error, OSError | HTTPException):
                return 0
            raise
        self._record(status, str(status))
        return status

    def _record(self, status: int, outcome: str) -> None:
        """Record an attempt, and schedule the next one if it failed."""
        retry = self.attempts < len(RETRY_BACKOFF)
        if retry:
            self.due = time.time() + RETRY_BACKOFF[self.attempts]
        self.attempts += 1
        self.outcome = outcome
        if 200 <= status < 300:  # noqa: PLR2004
            self.state = "delivered"
        else:
            self.state = "waiting" if retry else "failed"
