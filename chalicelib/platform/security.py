"""Authentication: password hashing and signed tokens."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Literal
from uuid import UUID

import jwt
from jwt.algorithms import HMACAlgorithm
from jwt.utils import force_bytes

from chalicelib.platform.errors import Unauthenticated
from chalicelib.platform.settings import BadSetting, Settings

ALGORITHM = "HS256"
"""The signature algorithm of tokens."""

Role = Literal["host", "attendee"]

ROLES: tuple[Role, ...] = ("host", "attendee")

LEEWAY_SECONDS = 5
"""How far the clocks of servers may differ when the times in a token are checked."""

_MAX_TOKEN_VERSION = 2**31 - 1
"""The column's type is integer."""

AccountLock = Literal["none", "share", "update"]
"""How a check of the caller's account locks it for the rest of the transaction."""


class InvalidToken(Unauthenticated):
    """The token is not valid or has expired."""


@cache
def _argon2() -> Any:
    """Return Argon2id with OWASP's parameters (Password Storage Cheat Sheet): 19 MiB, 2 passes, 1 lane."""
    from passlib.hash import argon2  # noqa: PLC0415 (takes 10 % of a cold start, and few requests need it)

    return argon2.using(type="ID", memory_cost=19456, time_cost=2, parallelism=1)  # type: ignore[no-untyped-call]


_DUMMY_HASH = (
    "$argon2id$v=19$m=19456,t=2,p=1$gfBey1mLsTbGWAthrJXSWg$memIly5fzRVmDerDSNpGJ0bSsbfCrfWfUMyISsEElMM"
)
"""The hash of a random password that was not stored."""


def hash_password(password: str) -> str:
    """Hash with Argon2id. Takes about 25 ms of one core, so never call it inside a transaction."""
    return str(_argon2().hash(password))


def password_matches(password: str, password_hash: str | None) -> bool:
    """Verify a password. Without a hash (no such account), return False after the same time."""
    matches = bool(_argon2().verify(password, password_hash or _DUMMY_HASH))
    return matches and password_hash is not None


def needs_rehash(password_hash: str) -> bool:
    """Whether the hash was made with other parameters than the current ones."""
    return bool(_argon2().needs_update(password_hash))


@dataclass(frozen=True)
class Caller:
    """The identity in a valid token. `require_account` checks that the account still exists."""

    user_id: UUID
    role: Role
    token_version: int
    """Each password change increases the account's version, which invalidates older tokens."""


class _PrecheckedHmac(HMACAlgorithm):
    """HMAC with a key that has been checked already."""

    def prepare_key(self, key: str | bytes) -> bytes:
        return force_bytes(key)


def _key(secret: bytes) -> jwt.PyJWK:
    """Make the key for reading tokens from a secret.

    The check that the secret is not a public key is made here once. PyJWT would repeat it with every token,
    which is a third of the time of reading a token.

    Raises:
        BadSetting: The secret is a public key.
    """
    key = jwt.PyJWK({**HMACAlgorithm.to_jwk(secret, as_dict=True), "alg": ALGORITHM})
    try:
        key.Algorithm.prepare_key(secret)
    except jwt.InvalidKeyError as error:
        raise BadSetting("JWT_SECRET is a public key or certificate, not a secret") from error
    key.Algorithm = _PrecheckedHmac(HMACAlgorithm.SHA256)
    return key


class Tokens:
    """Issues and reads the tokens of one deployment: JWTs (RFC 7519) with HS256."""

    def __init__(self, settings: Settings) -> None:
        self._secret = settings.jwt_secret
        self._accepted = [
            _key(secret) for secret in (settings.jwt_secret, settings.previous_jwt_secret) if secret
        ]
        self._reader = jwt.PyJWT({"require": ["iss", "aud", "sub", "iat", "exp"]})
        self._issuer = settings.token_issuer
        self._audience = settings.token_audience
        self._lifetime = timedelta(seconds=settings.token_lifetime)

    def issue(self, caller: Caller, at: datetime) -> str:
        """Make a token. The same caller and second give the same token."""
        issued_at = at.replace(microsecond=0)
        return jwt.encode(
            {
                "iss": self._issuer,
                "aud": self._audience,
                "sub": str(caller.user_id),
                "role": caller.role,
                "ver": caller.token_version,
                "iat": issued_at,
                "exp": issued_at + self._lifetime,
            },
            self._secret,
            algorithm=ALGORITHM,
        )

    def read(self, token: str) -> Caller:
        """Check the signature, algorithm, issuer, audience and times, and return the caller.

        Raises:
            InvalidToken: One of them is wrong. The client is not told which.
        """
        for key in self._accepted:
            try:
                return _caller(self._decode(token, key))
            except jwt.InvalidSignatureError:
                continue
            # Odd headers and claims raise others: numbers that are no times, deep nesting, wrong types.
            except (jwt.InvalidTokenError, ValueError, ArithmeticError, RecursionError, TypeError) as error:
                raise InvalidToken from error
        raise InvalidToken

    def _decode(self, token: str, key: jwt.PyJWK) -> dict[str, Any]:
        return self._reader.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            issuer=self._issuer,
            audience=self._audience,
            leeway=LEEWAY_SECONDS,
        )


def _caller(claims: dict[str, Any]) -> Caller:
    role, version = claims.get("role"), claims.get("ver")
    if role not in ROLES or type(version) is not int or not 0 < version <= _MAX_TOKEN_VERSION:
        raise InvalidToken
    try:
        return Caller(UUID(claims["sub"]), role, version)
    except ValueError as error:
        raise InvalidToken from error
