"""Signatures of Stripe's webhooks: HMAC-SHA256 of time and raw body (docs.stripe.com/webhooks/signature)."""

import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta

from chalicelib.platform.errors import InvalidInput
from chalicelib.platform.observability import logs, metrics

HEADER = "stripe-signature"
TOLERANCE = timedelta(minutes=5)
"""The maximum age of a signature, which limits replays of a recorded request."""
MAX_SIGNATURES = 16
"""Signatures that are checked per header. Stripe sends one for each secret of the endpoint."""


class InvalidSignature(InvalidInput):
    """The Stripe-Signature header is invalid or too old."""


def check(body: bytes, header: str | None, secrets: Sequence[bytes], now: datetime) -> None:
    """Check that a body was signed recently, with one of the secrets.

    Raises:
        InvalidSignature: The signature is missing, malformed, wrong or too old. The sender does not learn
        which.
    """
    reason = _refusal(body, header, secrets, now)
    if reason is not None:
        metrics.put("WebhooksRefused", 1, "Count")
        logs.warning("webhook refused", reason=reason)
        raise InvalidSignature


def _refusal(body: bytes, header: str | None, secrets: Sequence[bytes], now: datetime) -> str | None:
    """Return why a signature is not valid, or None."""
    if header is None:
        return "no signature"
    pairs = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    received = [value for name, _, value in pairs if name == "v1"][:MAX_SIGNATURES]
    if len(times) != 1 or not times[0].isascii() or not times[0].isdigit():
        return "malformed signature"
    signed = times[0].encode() + b"." + body
    expected = [hmac.digest(secret, signed, "sha256").hex().encode() for secret in secrets]
    # Compare all pairs, each in constant time, so that the response time reveals nothing.
    matches = [
        hmac.compare_digest(ours, theirs.encode(errors="replace")) for ours in expected for theirs in received
    ]
    if not any(matches):
        return "wrong secret"
    if abs(now.timestamp() - int(times[0][:15])) > TOLERANCE.total_seconds():
        return "too old"
    return None
