"""Authentication: password hashing and signed tokens."""

import hashlib
import hmac
import re
import secrets
import threading
import unicodedata
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Self, TypeGuard
from uuid import UUID

import jwt
from jwt.algorithms import HMACAlgorithm
from jwt.utils import force_bytes

from chalicelib.platform.errors import Forbidden, Unauthenticated
from chalicelib.platform.settings import BadSetting, Settings

if TYPE_CHECKING:
    from passlib.context import CryptContext

ALGORITHM = "HS256"
"""The signature algorithm of tokens."""

Role = Literal["host", "attendee"]

ROLES: tuple[Role, ...] = ("host", "attendee")

LEEWAY = timedelta(seconds=5)
"""How far the clocks of servers may differ when the times in a token are checked."""

RECENT_LOGIN = timedelta(minutes=10)
"""The age of a login that still allows the deletion of the account."""

AccountLock = Literal["none", "share", "sessions", "update"]
"""How a check of the caller's account locks it for the rest of the transaction."""


ACCESS_KEY_PREFIX = "key_"
_ACCESS_KEY = re.compile(f"{ACCESS_KEY_PREFIX}[A-Za-z0-9_-]{{43}}")


class InvalidToken(Unauthenticated):
    """The token is not valid or has expired."""


class LoginRequired(Forbidden):
    """A login with the password in the last 10 minutes is required."""


_contexts: list["CryptContext"] = []
_contexts_lock = threading.Lock()


def _passwords() -> "CryptContext":
    """Return passlib's hashing context. A hash of other parameters or another scheme is still verified.

    Argon2id has OWASP's parameters (Password Storage Cheat Sheet): 19 MiB, 2 passes, 1 lane. passlib imports
    its handlers when they are first used, which fails if two threads do it concurrently.
    """
    if not _contexts:
        with _contexts_lock:
            if not _contexts:
                # Takes 10 % of a cold start, and few requests need it.
                from passlib.context import CryptContext  # noqa: PLC0415

                context = CryptContext(
                    schemes=["argon2"],
                    argon2__type="ID",
                    argon2__memory_cost=19456,
                    argon2__time_cost=2,
                    argon2__parallelism=1,
                )
                context.needs_update(_DUMMY_HASH)  # loads the handler
                _contexts.append(context)
    return _contexts[0]


_DUMMY_HASH = (
    "$argon2id$v=19$m=19456,t=2,p=1$gfBey1mLsTbGWAthrJXSWg$memIly5fzRVmDerDSNpGJ0bSsbfCrfWfUMyISsEElMM"
)
"""The hash of a random password that was not stored."""


def _prepared(password: str) -> str:
    """Prepare a password as OpaqueString (RFC 8265, section 4.2): spaces to U+0020, then NFC.

    So it is the same password on keyboards that compose characters differently. Other characters stay as they
    are: refusing some would not make passwords stronger.
    """
    spaced = "".join(" " if unicodedata.category(letter) == "Zs" else letter for letter in password)
    return unicodedata.normalize("NFC", spaced)


def hash_password(password: str) -> str:
    """Hash with Argon2id. Takes about 25 ms of one core, so never call it inside a transaction."""
    return _passwords().hash(_prepared(password))


def password_matches(password: str, password_hash: str | None) -> bool:
    """Verify a password. Without a hash (no such account), return False after the same time."""
    matches = _passwords().verify(_prepared(password), password_hash or _DUMMY_HASH)
    return matches and password_hash is not None


def needs_rehash(password_hash: str) -> bool:
    """Whether the hash was made with other parameters than the current ones."""
    return _passwords().needs_update(password_hash)


@dataclass(frozen=True)
class Caller:
    """The identity in a valid token. `require_account` checks that the account still exists."""

    user_id: UUID
    role: Role
    token_version: int
    """Each password change increases the account's version, which invalidates older tokens."""
    logged_in_at: datetime | None = field(default=None, compare=False)
    """The login with the password, which a refresh does not renew. None: unknown."""
    session: UUID | None = field(default=None, compare=False)
    """The family of refresh tokens that the token belongs to. None: it cannot be refreshed."""

    def require_recent_login(self, now: datetime) -> None:
        """Check that the login with the password is recent.

        Raises:
            LoginRequired: The login is older than RECENT_LOGIN, or its time is unknown.
        """
        if self.logged_in_at is None or now - self.logged_in_at > RECENT_LOGIN:
            raise LoginRequired("Log in again, then repeat the request with the new token.")


@dataclass(frozen=True)
class AccessKey:
    """A key that devices send in place of a token, by its hash: 256 random bits need no salt."""

    digest: bytes

    @classmethod
    def read(cls, token: str) -> Self | None:
        """Return the access key in a token, or None if it has not the form of one."""
        return cls(hashlib.sha256(token.encode()).digest()) if _ACCESS_KEY.fullmatch(token) else None


def new_access_key() -> tuple[str, AccessKey]:
    """Make an access key. Its text is to be shown once, and only the hash stored."""
    return _access_key(secrets.token_bytes(32))


def derived_access_key(secret: bytes, content: bytes) -> tuple[str, AccessKey]:
    """Make the access key that belongs to a content. Without the secret it cannot be guessed."""
    return _access_key(hmac.digest(secret, content, "sha256"))


def _access_key(random: bytes) -> tuple[str, AccessKey]:
    text = ACCESS_KEY_PREFIX + urlsafe_b64encode(random).decode().rstrip("=")
    return text, AccessKey(hashlib.sha256(text.encode()).digest())


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
        self._secret = settings.token_key
        self._accepted = [_key(secret) for secret in (self._secret, settings.previous_jwt_secret) if secret]
        self._reader = jwt.PyJWT({"require": ["iss", "aud", "sub", "iat", "exp"]})
        self._issuer = settings.token_issuer
        self._audience = settings.token_audience
        self._lifetime = timedelta(seconds=settings.token_lifetime)

    def issue(self, caller: Caller, at: datetime) -> str:
        """Make a token. The same caller and second give the same token."""
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(caller.user_id),
            "role": caller.role,
            "ver": caller.token_version,
            "iat": at.replace(microsecond=0),
            "exp": self.expiry(at),
            "auth_time": int((caller.logged_in_at or at).timestamp()),
        }
        if caller.session is not None:
            claims["sid"] = str(caller.session)
        return jwt.encode(claims, self._secret, algorithm=ALGORITHM)

    def expiry(self, issued_at: datetime) -> datetime:
        """Return the end of a token that is issued at that time."""
        return issued_at.replace(microsecond=0) + self._lifetime

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
            leeway=LEEWAY,
        )


def _caller(claims: dict[str, Any]) -> Caller:
    role, version = claims.get("role"), claims.get("ver")
    logged_in_at, session = claims.get("auth_time"), claims.get("sid")
    if role not in ROLES or not _is_int32(version) or version < 1:
        raise InvalidToken
    try:
        return Caller(
            UUID(claims["sub"]),
            role,
            version,
            None if logged_in_at is None else _time(logged_in_at),
            None if session is None else UUID(session),
        )
    except (ValueError, TypeError, AttributeError, OverflowError, OSError) as error:
        raise InvalidToken from error


def _is_int32(value: object) -> TypeGuard[int]:
    """Whether a claim fits into PostgreSQL's integer. A JSON boolean is no number."""
    return type(value) is int and abs(value) < 2**31


def _time(value: object) -> datetime:
    if type(value) is not int:
        raise ValueError("not a time")
    return datetime.fromtimestamp(value, UTC)
