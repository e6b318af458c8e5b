"""Settings of a deployment, read from environment variables when first needed."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import NamedTuple, Self

from chalicelib.platform import front_end, mailboxes
from chalicelib.platform.front_end import FrontEnd

MIN_SECRET_BYTES = 32
"""HS256 requires a key at least as long as its hash (RFC 7518, section 3.2)."""


class BadSetting(Exception):
    """A setting is missing or not valid. The message names the variable."""


class Quota(NamedTuple):
    """How many hits a rate limit allows in a window."""

    hits: int
    seconds: int

    def __str__(self) -> str:
        return f"{self.hits}/{self.seconds}"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one deployment. The repr shows no secrets, so that logs do not."""

    database_url: str
    """`postgresql+pg8000://user:password@host:5432/name`, percent-encoded."""
    jwt_secret: bytes | None = None
    """Signs tokens. At least 32 bytes. The API needs it."""
    previous_jwt_secret: bytes | None = None
    """The former `JWT_SECRET`. Its tokens stay valid, so that the change logs no user out."""
    link_secret: bytes | None = None
    """Signs unsubscribe links and hashes whom rate limits count. At least 32 bytes. The API and the functions
    that send e-mails need it."""
    ticket_secret: bytes | None = None
    """Signs the codes of tickets. At least 32 bytes. The API and the functions that send e-mails need it."""
    previous_ticket_secret: bytes | None = None
    """The former `TICKET_SECRET`. Its codes stay valid. Keep it until all events sold with it are over."""
    app_database_url: str | None = None
    """The `DATABASE_URL` of all other functions. Only `migrate` needs it: it creates the role."""
    database_pool_size: int = 1
    """Connections per process: as many as it serves concurrent requests, which is one in Lambda."""
    database_tls: bool = True
    """Whether to use TLS and verify the database's certificate. Always off on loopback."""
    database_ca_file: str | None = None
    """PEM file of the authorities to trust for the database's certificate, instead of the system's."""
    read_timeout_ms: int = 1000
    """Milliseconds after which the database gives up a list or an anonymous read, which then answers 503."""
    token_issuer: str = "event-booking"  # noqa: S105 (a name, not a secret)
    """The `iss` claim of tokens."""
    token_audience: str = "event-booking-api"  # noqa: S105 (a name, not a secret)
    """The `aud` claim of tokens."""
    token_lifetime: int = 3600
    """Seconds."""
    default_currency: str = "eur"
    """Currency of events that are created without one: an ISO 4217 code in lower case."""
    domain_events_topic_arn: str | None = None
    """SNS topic of the domain events. Only `relay_outbox` needs it."""
    stripe_api_key: str | None = None
    """Secret or restricted key. Without it, payments are off and all events must be free."""
    stripe_livemode: bool = False
    """Whether Stripe's events are about real money. Default: whether `STRIPE_API_KEY` is a live key."""
    stripe_api_base: str | None = None
    """URL of an API to use instead of Stripe's, such as the fake's."""
    stripe_webhook_secrets: tuple[bytes, ...] = ()
    """Signing secrets of the webhook endpoint, separated by commas: two while one replaces the other."""
    hold_seconds: int = 900
    """How long a place is held for an unpaid booking."""
    max_open_holds: int = 3
    """How many unpaid places one account can hold at the same time."""
    hold_cooldown_seconds: int | None = None
    """Pause after an unpaid hold before the account can hold the event again. Default: `HOLD_SECONDS`."""
    mail_sender: str = "Event booking <no-reply@example.com>"
    """The sender of e-mails, with name and address. SES must have verified the address."""
    mail_reply_to: str = ""
    """Where replies to e-mails go. Without it they go to the sender. Hosts' addresses stay private."""
    wallet_certificate: str | None = None
    """For passes of Apple Wallet: in PEM, the certificate of the pass type, its RSA key without password, and
    Apple's intermediate certificate. Or the ARN of a secret with this text, because it is too long for the
    variables of a function. Without it there are no passes. Only the API needs it."""
    verified_hosts_only: bool = False
    """Whether hosts must verify their e-mail address before they publish events."""
    verified_attendees_only: bool = False
    """Whether attendees must verify their e-mail address before they book, whatever the event says."""
    public_url: str = ""
    """URL of the API. Links in responses and e-mails start with it."""
    front_end_url: str = ""
    """The front end's home. The pages behind links in e-mails lead to it."""
    event_page_url: str = ""
    """The front end's page of an event, such as `https://tickets.example/e/{eventId}`. E-mails link to it."""
    booking_page_url: str = ""
    """The page of a booking, with `{bookingId}` and perhaps `{eventId}`."""
    payment_page_url: str = ""
    """The page where a held place is paid for, with `{bookingId}` and perhaps `{eventId}`."""

    rate_limits: bool = True
    """Whether the limits below apply. A limit is hits and a window in seconds, such as `10/900`."""

    login_failures: Quota = field(default=Quota(10, 900))
    """Failed logins with one e-mail address from one client."""

    login_failures_per_client: Quota = field(default=Quota(100, 900))
    """Failed logins from one client, with any addresses."""

    login_failures_per_address: Quota = field(default=Quota(100, 3600))
    """Failed logins with one e-mail address, from any clients."""

    password_failures_per_account: Quota = field(default=Quota(10, 900))
    """Wrong `currentPassword` of one account."""

    password_hashes_per_client: Quota = field(default=Quota(600, 600))
    """Passwords of one client that are hashed or verified, each of which takes 25 ms of a core."""

    registrations_per_client: Quota = field(default=Quota(50, 3600))
    """Registrations from one client."""

    account_emails_per_address: Quota = field(default=Quota(6, 3600))
    """E-mails for verification and password reset to one address. A registration sends one."""

    account_emails_per_client: Quota = field(default=Quota(150, 3600))
    """Such e-mails that one client causes."""

    publications_per_host: Quota = field(default=Quota(200, 86_400))
    """Events that one host publishes. Each notifies the host's followers."""

    event_changes_per_host: Quota = field(default=Quota(500, 86_400))
    """Changes of one host's events that notify attendees. Changes that share a notice count once."""

    wrong_codes_per_account: Quota = field(default=Quota(10, 900))
    """Orders and quotes of one account with a code that is not valid."""

    wrong_codes_per_client: Quota = field(default=Quota(100, 900))
    """Such orders and quotes from one client, of any accounts."""

    transfers_per_account: Quota = field(default=Quota(100, 86_400))
    """Tickets that one account offers to others. Each sends an e-mail."""

    transfers_per_address: Quota = field(default=Quota(20, 86_400))
    """Tickets that are offered to one e-mail address, by any accounts."""

    transfers_per_client: Quota = field(default=Quota(300, 86_400))
    """Such offers from one client."""

    reissues_per_ticket: Quota = field(default=Quota(5, 3600))
    """New codes of one ticket. Each sends e-mails."""

    box_office_emails_per_host: Quota = field(default=Quota(500, 86_400))
    """Customers of the box office to whom one host has tickets sent."""

    box_office_emails_per_address: Quota = field(default=Quota(10, 86_400))
    """Sales at box offices whose tickets are sent to one address, of any hosts."""

    def __repr__(self) -> str:
        return f"Settings(public_url={self.public_url!r}, …)"

    @property
    def charges(self) -> bool:
        """Whether payments can be taken."""
        return self.stripe_api_key is not None

    @property
    def token_key(self) -> bytes:
        """Return `JWT_SECRET`.

        Raises:
            BadSetting: It is not set, as in functions that neither issue nor check tokens.
        """
        return _given("JWT_SECRET", self.jwt_secret)

    @property
    def link_key(self) -> bytes:
        """Return `LINK_SECRET`.

        Raises:
            BadSetting: It is not set.
        """
        return _given("LINK_SECRET", self.link_secret)

    @property
    def ticket_keys(self) -> tuple[bytes, ...]:
        """Return `TICKET_SECRET`, and `TICKET_SECRET_PREVIOUS` if it is set.

        Raises:
            BadSetting: `TICKET_SECRET` is not set.
        """
        current = _given("TICKET_SECRET", self.ticket_secret)
        return (current, self.previous_ticket_secret) if self.previous_ticket_secret else (current,)

    @property
    def front_end(self) -> FrontEnd:
        return FrontEnd(
            home=self.front_end_url,
            event=self.event_page_url,
            booking=self.booking_page_url,
            payment=self.payment_page_url,
        )

    @property
    def hold(self) -> timedelta:
        return timedelta(seconds=self.hold_seconds)

    @property
    def hold_cooldown(self) -> timedelta:
        seconds = self.hold_cooldown_seconds
        return self.hold if seconds is None else timedelta(seconds=seconds)

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """Read all settings.

        Raises:
            BadSetting: A variable is missing or not valid.
        """
        return cls(
            database_url=_required(environment, "DATABASE_URL"),
            jwt_secret=_optional_secret(environment, "JWT_SECRET"),
            previous_jwt_secret=_optional_secret(environment, "JWT_SECRET_PREVIOUS"),
            link_secret=_optional_secret(environment, "LINK_SECRET"),
            ticket_secret=_optional_secret(environment, "TICKET_SECRET"),
            previous_ticket_secret=_optional_secret(environment, "TICKET_SECRET_PREVIOUS"),
            app_database_url=environment.get("APP_DATABASE_URL") or None,
            database_pool_size=_positive(environment, "DATABASE_POOL_SIZE", 1),
            database_tls=_switch(environment, "DATABASE_TLS", default=True),
            database_ca_file=environment.get("DATABASE_CA_FILE") or None,
            read_timeout_ms=_positive(environment, "READ_TIMEOUT_MS", cls.read_timeout_ms),
            token_issuer=environment.get("TOKEN_ISSUER") or cls.token_issuer,
            token_audience=environment.get("TOKEN_AUDIENCE") or cls.token_audience,
            default_currency=_currency(environment, "DEFAULT_CURRENCY", cls.default_currency),
            domain_events_topic_arn=environment.get("DOMAIN_EVENTS_TOPIC_ARN") or None,
            stripe_api_key=environment.get("STRIPE_API_KEY") or None,
            stripe_livemode=_livemode(environment, "STRIPE_LIVEMODE"),
            stripe_api_base=environment.get("STRIPE_API_BASE") or None,
            stripe_webhook_secrets=_list(environment.get("STRIPE_WEBHOOK_SECRETS", "")),
            hold_seconds=_positive(environment, "HOLD_SECONDS", cls.hold_seconds),
            max_open_holds=_positive(environment, "MAX_OPEN_HOLDS", cls.max_open_holds),
            hold_cooldown_seconds=_optional_number(environment, "HOLD_COOLDOWN_SECONDS"),
            mail_sender=_mailbox(environment, "MAIL_SENDER", cls.mail_sender),
            mail_reply_to=_mailbox(environment, "MAIL_REPLY_TO", ""),
            wallet_certificate=environment.get("WALLET_CERTIFICATE") or None,
            verified_hosts_only=_switch(environment, "VERIFIED_HOSTS_ONLY", default=False),
            verified_attendees_only=_switch(environment, "VERIFIED_ATTENDEES_ONLY", default=False),
            public_url=environment.get("PUBLIC_URL", "").rstrip("/"),
            front_end_url=_checked(environment, "FRONT_END_URL", front_end.check_url),
            event_page_url=_checked(environment, "EVENT_PAGE_URL", partial(front_end.check, "event")),
            booking_page_url=_checked(environment, "BOOKING_PAGE_URL", partial(front_end.check, "booking")),
            payment_page_url=_checked(environment, "PAYMENT_PAGE_URL", partial(front_end.check, "payment")),
            rate_limits=_switch(environment, "RATE_LIMITS", default=True),
            login_failures=_quota(environment, "LOGIN_FAILURES", cls.login_failures),
            login_failures_per_client=_quota(
                environment, "LOGIN_FAILURES_PER_CLIENT", cls.login_failures_per_client
            ),
            login_failures_per_address=_quota(
                environment, "LOGIN_FAILURES_PER_ADDRESS", cls.login_failures_per_address
            ),
            password_failures_per_account=_quota(
                environment, "PASSWORD_FAILURES_PER_ACCOUNT", cls.password_failures_per_account
            ),
            password_hashes_per_client=_quota(
                environment, "PASSWORD_HASHES_PER_CLIENT", cls.password_hashes_per_client
            ),
            registrations_per_client=_quota(
                environment, "REGISTRATIONS_PER_CLIENT", cls.registrations_per_client
            ),
            account_emails_per_address=_quota(
                environment, "ACCOUNT_EMAILS_PER_ADDRESS", cls.account_emails_per_address
            ),
            account_emails_per_client=_quota(
                environment, "ACCOUNT_EMAILS_PER_CLIENT", cls.account_emails_per_client
            ),
            publications_per_host=_quota(environment, "PUBLICATIONS_PER_HOST", cls.publications_per_host),
            event_changes_per_host=_quota(environment, "EVENT_CHANGES_PER_HOST", cls.event_changes_per_host),
            wrong_codes_per_account=_quota(
                environment, "WRONG_CODES_PER_ACCOUNT", cls.wrong_codes_per_account
            ),
            wrong_codes_per_client=_quota(environment, "WRONG_CODES_PER_CLIENT", cls.wrong_codes_per_client),
            transfers_per_account=_quota(environment, "TRANSFERS_PER_ACCOUNT", cls.transfers_per_account),
            transfers_per_address=_quota(environment, "TRANSFERS_PER_ADDRESS", cls.transfers_per_address),
            transfers_per_client=_quota(environment, "TRANSFERS_PER_CLIENT", cls.transfers_per_client),
            reissues_per_ticket=_quota(environment, "REISSUES_PER_TICKET", cls.reissues_per_ticket),
            box_office_emails_per_host=_quota(
                environment, "BOX_OFFICE_EMAILS_PER_HOST", cls.box_office_emails_per_host
            ),
            box_office_emails_per_address=_quota(
                environment, "BOX_OFFICE_EMAILS_PER_ADDRESS", cls.box_office_emails_per_address
            ),
        )


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name)
    if not value:
        raise BadSetting(f"{name} is not set")
    return value


def _given(name: str, value: bytes | None) -> bytes:
    if not value:
        raise BadSetting(f"{name} is not set")
    return value


def _optional_secret(environment: Mapping[str, str], name: str) -> bytes | None:
    secret = environment.get(name, "").encode()
    if secret and len(secret) < MIN_SECRET_BYTES:
        raise BadSetting(f"{name} must have at least {MIN_SECRET_BYTES} bytes")
    return secret or None


def _livemode(environment: Mapping[str, str], name: str) -> bool:
    key = environment.get("STRIPE_API_KEY", "")
    is_live = key.startswith(("sk_live_", "rk_live_"))
    livemode = _switch(environment, name, default=is_live)
    if key and livemode != is_live:
        raise BadSetting(f"{name} must be {'on' if is_live else 'off'} with this STRIPE_API_KEY")
    return livemode


def _list(value: str) -> tuple[bytes, ...]:
    return tuple(part.encode() for part in map(str.strip, value.split(",")) if part)


def _positive(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name) or str(default)
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise BadSetting(f"{name} must be a positive whole number")
    return int(value)


def _quota(environment: Mapping[str, str], name: str, default: Quota) -> Quota:
    value = environment.get(name) or str(default)
    found = re.fullmatch("([1-9][0-9]{0,8})/([1-9][0-9]{0,7})", value)
    if not found:
        raise BadSetting(f"{name} must be hits and seconds, such as 10/900")
    return Quota(int(found[1]), int(found[2]))


def _optional_number(environment: Mapping[str, str], name: str) -> int | None:
    value = environment.get(name)
    if not value:
        return None
    return 0 if value == "0" else _positive(environment, name, 1)


def _currency(environment: Mapping[str, str], name: str, default: str) -> str:
    value = environment.get(name) or default
    if not re.fullmatch("[a-z]{3}", value):
        raise BadSetting(f"{name} must be an ISO 4217 code in lower case, such as eur")
    return value


def _mailbox(environment: Mapping[str, str], name: str, default: str) -> str:
    value = environment.get(name)
    try:
        return mailboxes.normalize(value) if value else default
    except ValueError as error:
        raise BadSetting(f"{name} {error}") from error


def _checked(environment: Mapping[str, str], name: str, check: Callable[[str], None]) -> str:
    value = environment.get(name, "")
    try:
        if value:
            check(value)
    except ValueError as error:
        raise BadSetting(f"{name} {error}") from error
    return value


def _switch(environment: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = environment.get(name, "").lower()
    if value not in {"", "on", "off"}:
        raise BadSetting(f"{name} must be on or off")
    return default if not value else value == "on"
