"""Settings: what a deployment decides, read from the environment when first needed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

MIN_SECRET_BYTES = 32
"""Bytes; HS256 wants a key at least as long as its hash (RFC 7518, section 3.2)."""


class BadSetting(Exception):
    """A setting is missing or unusable; the message names the variable."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One deployment's settings; secrets are kept out of its repr so that no log can show them."""

    database_url: str
    jwt_secret: bytes
    previous_jwt_secret: bytes | None = None
    """Still accepted for tokens, so that the secret can be changed without signing anyone out."""
    database_pool_size: int = 1
    """Connections of this process. A Lambda container serves one request at a time."""
    database_tls: bool = True
    database_ca_file: str | None = None
    """PEM bundle that the database's certificate must chain to; the system's store by default."""
    token_issuer: str = "event-booking"  # noqa: S105 (a name, not a secret)
    token_audience: str = "event-booking-api"  # noqa: S105
    token_lifetime: int = 3600
    """Seconds."""
    default_currency: str = "eur"
    domain_events_topic_arn: str | None = None
    """Where domain events are published. The API does without it; the relay does not."""
    stripe_api_key: str | None = None
    """Without it nothing can be charged, and events are free."""
    stripe_api_base: str | None = None
    """Where Stripe's API is; the real one by default."""
    stripe_webhook_secrets: tuple[bytes, ...] = ()
    """Of the endpoint that Stripe calls; several while one takes the place of another."""
    hold_seconds: int = 900
    """How long a place is held until it is paid."""
    mail_sender: str = "Event booking <no-reply@example.com>"
    verified_hosts_only: bool = False
    """Whether a host must have verified the e-mail address before publishing an event."""
    public_url: str = ""
    """Where clients reach the API, without a trailing slash: the beginning of every link in an answer."""

    def __repr__(self) -> str:
        return f"Settings(public_url={self.public_url!r}, …)"

    @property
    def charges(self) -> bool:
        """Whether payments can be taken."""
        return self.stripe_api_key is not None

    @property
    def stripe_livemode(self) -> bool:
        """Whether the key moves real money (its form: sk_live_… or, restricted, rk_live_…)."""
        return (self.stripe_api_key or "").startswith(("sk_live_", "rk_live_"))

    @property
    def hold(self) -> timedelta:
        return timedelta(seconds=self.hold_seconds)

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """Read all settings.

        Raises:
            BadSetting: A variable is missing, too short, or not of its type.
        """
        return cls(
            database_url=_required(environment, "DATABASE_URL"),
            jwt_secret=_secret("JWT_SECRET", _required(environment, "JWT_SECRET")),
            previous_jwt_secret=_optional_secret(environment, "JWT_SECRET_PREVIOUS"),
            database_pool_size=_positive(environment, "DATABASE_POOL_SIZE", 1),
            database_tls=_switch(environment, "DATABASE_TLS", default=True),
            database_ca_file=environment.get("DATABASE_CA_FILE") or None,
            token_issuer=environment.get("TOKEN_ISSUER") or cls.token_issuer,
            token_audience=environment.get("TOKEN_AUDIENCE") or cls.token_audience,
            default_currency=_currency(environment, "DEFAULT_CURRENCY", cls.default_currency),
            domain_events_topic_arn=environment.get("DOMAIN_EVENTS_TOPIC_ARN") or None,
            stripe_api_key=environment.get("STRIPE_API_KEY") or None,
            stripe_api_base=environment.get("STRIPE_API_BASE") or None,
            stripe_webhook_secrets=_list(environment.get("STRIPE_WEBHOOK_SECRETS", "")),
            hold_seconds=_positive(environment, "HOLD_SECONDS", cls.hold_seconds),
            mail_sender=environment.get("MAIL_SENDER") or cls.mail_sender,
            verified_hosts_only=_switch(environment, "VERIFIED_HOSTS_ONLY", default=False),
            public_url=environment.get("PUBLIC_URL", "").rstrip("/"),
        )


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name)
    if not value:
        raise BadSetting(f"{name} is not set")
    return value


def _secret(name: str, value: str) -> bytes:
    secret = value.encode()
    if len(secret) < MIN_SECRET_BYTES:
        raise BadSetting(f"{name} must have at least {MIN_SECRET_BYTES} bytes")
    return secret


def _optional_secret(environment: Mapping[str, str], name: str) -> bytes | None:
    value = environment.get(name)
    return _secret(name, value) if value else None


def _list(value: str) -> tuple[bytes, ...]:
    return tuple(part.encode() for part in map(str.strip, value.split(",")) if part)


def _positive(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name) or str(default)
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise BadSetting(f"{name} must be a positive whole number")
    return int(value)


def _currency(environment: Mapping[str, str], name: str, default: str) -> str:
    value = environment.get(name) or default
    if not re.fullmatch("[a-z]{3}", value):
        raise BadSetting(f"{name} must be an ISO 4217 code in lower case, such as eur")
    return value


def _switch(environment: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = environment.get(name, "").lower()
    if value not in {"", "on", "off"}:
        raise BadSetting(f"{name} must be on or off")
    return default if not value else value == "on"
