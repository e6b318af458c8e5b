"""Signatures of Stripe's webhooks: HMAC-SHA256 of time and raw body (docs.stripe.com/webhooks/signature)."""

import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta

from chalicelib.platform.errors import InvalidInput

HEADER = "stripe-signature"
TOLERANCE = timedelta(minutes=5)
"""Between the time that is signed and now, so that what was overheard cannot be sent again for long."""
MOST = 16
"""Signatures of one header that are looked at; Stripe sends one for each secret that an endpoint has."""


class InvalidSignature(InvalidInput):
    """The signature is not one of Stripe's for this body, or is too old."""


def check(body: bytes, header: str | None, secrets: Sequence[bytes], now: datetime) -> None:
    """Make sure that who sent this body knows one of the secrets, and has signed it just now.

    Raises:
        InvalidSignature: Which part of it is wrong is not said.
    """
    pairs = [part.strip().partition("=") for part in (header or "").split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    given = [value for name, _, value in pairs if name == "v1"][:MOST]
    if len(times) != 1 or not times[0].isascii() or not times[0].isdigit():
        raise InvalidSignature
    signed = times[0].encode() + b"." + body
    expected = [hmac.digest(secret, signed, "sha256").hex().encode() for secret in secrets]
    # All pairs are compared, each in constant time, before anything is said.
    matches = [
        hmac.compare_digest(one, other.encode(errors="replace")) for one in expected for other in given
    ]
    if not any(matches) or abs(now.timestamp() - int(times[0][:15])) > TOLERANCE.total_seconds():
        raise InvalidSignature
