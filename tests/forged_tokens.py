"""Handmade tokens with any claims, secret and algorithm."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

from tests.conftest import SECRET

Algorithm = Literal["HS256", "HS512", "none"]


def claims(user_id: str, role: str, /, **changes: Any) -> dict[str, Any]:
    """Return the claims of a valid token, changed. A duration is a time from now, None leaves a claim out."""
    now = int(time.time())
    good = {
        "iss": "event-booking",
        "aud": "event-booking-api",
        "sub": user_id,
        "role": role,
        "ver": 1,
        "iat": now,
        "exp": now + 3600,
    }
    changed = {
        name: now + int(value.total_seconds()) if isinstance(value, timedelta) else value
        for name, value in (good | changes).items()
    }
    return {name: value for name, value in changed.items() if value is not None}


def token(payload: Mapping[str, Any], secret: bytes = SECRET, algorithm: Algorithm = "HS256") -> str:
    """Sign claims as a JSON Web Signature in compact form (RFC 7515)."""
    signed = f"{_encode({'alg': algorithm, 'typ': 'JWT'})}.{_encode(payload)}"
    if algorithm == "none":
        return f"{signed}."
    digest = {"HS256": hashlib.sha256, "HS512": hashlib.sha512}[algorithm]
    return f"{signed}.{_base64(hmac.new(secret, signed.encode(), digest).digest())}"


def _encode(members: Mapping[str, Any]) -> str:
    return _base64(json.dumps(members).encode())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
