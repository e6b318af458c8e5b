"""Settings: required and optional variables, and errors that name a bad one."""

from dataclasses import fields
from datetime import timedelta
from email.utils import parseaddr

import pytest

from chalicelib.platform.settings import BadSetting, Quota, Settings

ENVIRONMENT = {
    "DATABASE_URL": "postgresql+pg8000://somebody:hunter2@db.example.com/events",
    "JWT_SECRET": "s3cret-" * 5,
}


SECRETS = ("hunter2", "s3cret", "earlier", "sk_live", "whsec")


def test_one_variable_is_enough() -> None:
    settings = Settings.read({"DATABASE_URL": ENVIRONMENT["DATABASE_URL"]})

    assert settings.database_url == ENVIRONMENT["DATABASE_URL"]
    assert (settings.jwt_secret, settings.previous_jwt_secret, settings.link_secret) == (None, None, None)
    assert (settings.app_database_url, settings.database_ca_file) == (None, None)
    assert (settings.database_tls, settings.database_pool_size) == (True, 1)
    assert (settings.token_lifetime, settings.default_currency, settings.public_url) == (3600, "eur", "")
    assert (settings.stripe_api_key, settings.stripe_api_base) == (None, None)
    assert (settings.stripe_webhook_secrets, settings.hold_seconds) == ((), 900)
    assert (settings.charges, settings.stripe_livemode) == (False, False)


def test_every_variable_is_read() -> None:
    settings = Settings.read(
        {
            **ENVIRONMENT,
            "JWT_SECRET_PREVIOUS": "earlier" * 5,
            "LINK_SECRET": "of links" * 5,
            "TICKET_SECRET": "of tickets" * 4,
            "TICKET_SECRET_PREVIOUS": "of old ones" * 4,
            "APP_DATABASE_URL": "postgresql+pg8000://app:secret@db/booking",
            "DATABASE_POOL_SIZE": "7",
            "DATABASE_TLS": "off",
            "DATABASE_CA_FILE": "/ca.pem",
            "TOKEN_ISSUER": "us",
            "TOKEN_AUDIENCE": "them",
            "DEFAULT_CURRENCY": "chf",
            "PUBLIC_URL": "https://api.example.com/v1/",
            "STRIPE_API_KEY": "sk_test_1",
            "STRIPE_API_BASE": "http://127.0.0.1:12111",
            "STRIPE_WEBHOOK_SECRETS": "whsec_new, whsec_old,",
            "HOLD_SECONDS": "60",
            "RATE_LIMITS": "off",
            "MAX_OPEN_HOLDS": "5",
            "HOLD_COOLDOWN_SECONDS": "30",
            "WALLET_CERTIFICATE": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:wallet",
            "VERIFIED_ATTENDEES_ONLY": "on",
            "MAIL_SENDER": "Jazz Club <post@example.com>",
            "MAIL_REPLY_TO": "help@example.com",
            "FRONT_END_URL": "https://tickets.example",
            "EVENT_PAGE_URL": "https://tickets.example/e/{eventId}",
            "BOOKING_PAGE_URL": "https://tickets.example/e/{eventId}/b/{bookingId}",
            "PAYMENT_PAGE_URL": "https://tickets.example/pay?booking={bookingId}",
        }
    )

    assert settings == Settings(
        database_url=ENVIRONMENT["DATABASE_URL"],
        jwt_secret=ENVIRONMENT["JWT_SECRET"].encode(),
        previous_jwt_secret=b"earlier" * 5,
        link_secret=b"of links" * 5,
        ticket_secret=b"of tickets" * 4,
        previous_ticket_secret=b"of old ones" * 4,
        wallet_certificate="arn:aws:secretsmanager:eu-central-1:123456789012:secret:wallet",
        app_database_url="postgresql+pg8000://app:secret@db/booking",
        database_pool_size=7,
        database_tls=False,
        database_ca_file="/ca.pem",
        token_issuer="us",
        token_audience="them",
        default_currency="chf",
        public_url="https://api.example.com/v1",
        stripe_api_key="sk_test_1",
        stripe_api_base="http://127.0.0.1:12111",
        stripe_webhook_secrets=(b"whsec_new", b"whsec_old"),
        hold_seconds=60,
        rate_limits=False,
        max_open_holds=5,
        hold_cooldown_seconds=30,
        verified_attendees_only=True,
        mail_sender='"Jazz Club" <post@example.com>',
        mail_reply_to="help@example.com",
        front_end_url="https://tickets.example",
        event_page_url="https://tickets.example/e/{eventId}",
        booking_page_url="https://tickets.example/e/{eventId}/b/{bookingId}",
        payment_page_url="https://tickets.example/pay?booking={bookingId}",
    )
    assert settings.hold == timedelta(minutes=1)
    assert settings.hold_cooldown == timedelta(seconds=30)
    assert settings.charges


LIMITS = [field.name for field in fields(Settings) if isinstance(field.default, Quota)]


@pytest.mark.parametrize("limit", LIMITS)
def test_every_limit_is_a_setting(limit: str) -> None:
    settings = Settings.read(ENVIRONMENT | {limit.upper(): "7/77"})

    assert getattr(settings, limit) == Quota(7, 77)
    assert getattr(Settings.read(ENVIRONMENT), limit) != Quota(7, 77)


@pytest.mark.parametrize(("variable", "seconds"), [("", 60), ("0", 0), ("7", 7)])
def test_the_pause_after_a_hold_is_as_long_as_a_hold_by_default(variable: str, seconds: int) -> None:
    settings = Settings.read(ENVIRONMENT | {"HOLD_SECONDS": "60", "HOLD_COOLDOWN_SECONDS": variable})

    assert settings.hold_cooldown == timedelta(seconds=seconds)


def test_a_missing_variable_is_named() -> None:
    for environment in ({}, {"DATABASE_URL": ""}):
        with pytest.raises(BadSetting, match=r"^DATABASE_URL is not set$"):
            Settings.read(environment)


def test_a_missing_secret_is_named_where_it_is_used() -> None:
    settings = Settings.read(
        {"DATABASE_URL": ENVIRONMENT["DATABASE_URL"], "JWT_SECRET": "", "LINK_SECRET": ""}
    )

    with pytest.raises(BadSetting, match=r"^JWT_SECRET is not set$"):
        _ = settings.token_key
    with pytest.raises(BadSetting, match=r"^LINK_SECRET is not set$"):
        _ = settings.link_key


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWT_SECRET", "x" * 31),
        ("JWT_SECRET_PREVIOUS", "x" * 31),
        ("LINK_SECRET", "x" * 31),
        ("DATABASE_POOL_SIZE", "0"),
        ("DATABASE_POOL_SIZE", "-1"),
        ("DATABASE_POOL_SIZE", "many"),
        ("DATABASE_POOL_SIZE", "٣"),
        ("DATABASE_TLS", "perhaps"),
        ("HOLD_SECONDS", "0"),
        ("HOLD_SECONDS", "-900"),
        ("HOLD_SECONDS", "15m"),
        ("RATE_LIMITS", "yes"),
        ("LOGIN_FAILURES", "10"),
        ("LOGIN_FAILURES", "0/900"),
        ("LOGIN_FAILURES", "10/0"),
        ("LOGIN_FAILURES", "10/900/2"),
        ("LOGIN_FAILURES", "1e3/900"),
        ("MAX_OPEN_HOLDS", "0"),
        ("HOLD_COOLDOWN_SECONDS", "-1"),
        ("HOLD_COOLDOWN_SECONDS", "soon"),
        ("VERIFIED_ATTENDEES_ONLY", "yes"),
        ("DEFAULT_CURRENCY", "EUR"),
        ("DEFAULT_CURRENCY", "euro"),
        ("FRONT_END_URL", "tickets.example"),
        ("FRONT_END_URL", "javascript:alert(1)"),
        ("EVENT_PAGE_URL", "https://tickets.example/e"),
        ("EVENT_PAGE_URL", "https://tickets.example/{eventId}/{bookingId}"),
        ("EVENT_PAGE_URL", "https://tickets.example/{eventId}/{slug}"),
        ("EVENT_PAGE_URL", "https://tickets.example/{eventId}\r\nBcc: x"),
        ("EVENT_PAGE_URL", 'https://tickets.example/{eventId}">'),
        ("BOOKING_PAGE_URL", "https://tickets.example/{eventId}"),
        ("PAYMENT_PAGE_URL", "ftp://tickets.example/{bookingId}"),
    ],
)
def test_an_invalid_variable_is_named(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=f"^{name} must ") as refused:
        Settings.read(ENVIRONMENT | {name: value})

    assert "x" * 31 not in str(refused.value)


def test_the_length_of_a_secret_is_in_bytes() -> None:
    assert Settings.read(ENVIRONMENT | {"JWT_SECRET": "ü" * 16}).jwt_secret == "ü".encode() * 16


@pytest.mark.parametrize(
    ("key", "live"),
    [
        ("sk_test_1", False),
        ("rk_test_1", False),
        ("sk_live_1", True),
        ("rk_live_1", True),
        ("pk_live_1", False),
    ],
)
def test_the_key_decides_the_live_mode(key: str, live: bool) -> None:  # noqa: FBT001 (a column)
    assert Settings.read(ENVIRONMENT | {"STRIPE_API_KEY": key}).stripe_livemode == live


@pytest.mark.parametrize("mode", ["on", "off"])
def test_the_mode_is_known_without_the_key_and_must_be_that_of_the_key(mode: str) -> None:
    key, other = ("sk_live_1", "sk_test_1") if mode == "on" else ("sk_test_1", "sk_live_1")
    environment = ENVIRONMENT | {"STRIPE_LIVEMODE": mode}

    for known in (environment, environment | {"STRIPE_API_KEY": key}):
        assert Settings.read(known).stripe_livemode == (mode == "on")
    with pytest.raises(BadSetting, match=r"^STRIPE_LIVEMODE must be ") as refused:
        Settings.read(environment | {"STRIPE_API_KEY": other})
    assert other not in str(refused.value)


@pytest.mark.parametrize("given", ["", " ", ",", " , ,"])
def test_blank_webhook_secrets_are_ignored(given: str) -> None:
    assert Settings.read(ENVIRONMENT | {"STRIPE_WEBHOOK_SECRETS": given}).stripe_webhook_secrets == ()


@pytest.mark.parametrize(
    ("given", "name", "address"),
    [
        ("no-reply@example.com", "", "no-reply@example.com"),
        ("<no-reply@example.com>", "", "no-reply@example.com"),
        ("Jazz Club <no-reply@example.com>", "Jazz Club", "no-reply@example.com"),
        ("Kulturhof, Berlin <no-reply@example.com>", "Kulturhof, Berlin", "no-reply@example.com"),
        ('"Kulturhof, Berlin" <no-reply@example.com>', "Kulturhof, Berlin", "no-reply@example.com"),
        ('The "Hof" (Berlin); a:b <x@example.com>', 'The "Hof" (Berlin); a:b', "x@example.com"),
        ("Bühne <no-reply@bühne.example>", "Bühne", "no-reply@xn--bhne-0ra.example"),
        ("no-reply@例え.jp", "", "no-reply@xn--r8jz45g.jp"),
    ],
)
def test_any_name_and_domain_can_send(given: str, name: str, address: str) -> None:
    sender = Settings.read(ENVIRONMENT | {"MAIL_SENDER": given}).mail_sender

    assert parseaddr(sender) == (name, address)
    assert Settings.read(ENVIRONMENT | {"MAIL_SENDER": sender}).mail_sender == sender


@pytest.mark.parametrize("setting", ["MAIL_SENDER", "MAIL_REPLY_TO"])
@pytest.mark.parametrize(
    "given",
    [
        *("Jazz Club", "jazz@", "@example.com", "a@b", "a b@example.com", "bühne@example.com"),
        *("a@example.com, b@example.com", "A <a@example.com> B", "A <a@example.com", "a@b@example.com"),
        *(
            "A\r\nBcc: b <a@example.com>",
            "a@-example.com",
            "a@exam ple.com",
            ".a@example.com",
            "a@example..com",
        ),
        "A <a@example.com>, B <b@example.com>",
    ],
)
def test_a_sender_that_mail_servers_refuse_is_named(setting: str, given: str) -> None:
    with pytest.raises(BadSetting, match=f"^{setting} must "):
        Settings.read(ENVIRONMENT | {setting: given})


OPTIONAL = [
    *("MAIL_SENDER", "MAIL_REPLY_TO", "FRONT_END_URL"),
    *("EVENT_PAGE_URL", "BOOKING_PAGE_URL", "PAYMENT_PAGE_URL"),
    *("JWT_SECRET_PREVIOUS", "DATABASE_POOL_SIZE", "DATABASE_TLS", "PUBLIC_URL"),
    *(
        "JWT_SECRET",
        "LINK_SECRET",
        "TICKET_SECRET",
        "TICKET_SECRET_PREVIOUS",
        "WALLET_CERTIFICATE",
        "APP_DATABASE_URL",
        "STRIPE_LIVEMODE",
    ),
    *("STRIPE_API_KEY", "STRIPE_API_BASE", "STRIPE_WEBHOOK_SECRETS", "HOLD_SECONDS", "DEFAULT_CURRENCY"),
]


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_blank_optional_variable_is_unset(name: str) -> None:
    without = {key: value for key, value in ENVIRONMENT.items() if key != name}
    assert Settings.read(without | {name: ""}) == Settings.read(without)


def test_printed_settings_contain_no_secrets() -> None:
    stripe = {"STRIPE_API_KEY": "sk_live_1", "STRIPE_WEBHOOK_SECRETS": "whsec_1"}
    settings = Settings.read(ENVIRONMENT | {"JWT_SECRET_PREVIOUS": "earlier" * 5} | stripe)

    for printed in (repr(settings), str(settings), f"{settings}", f"{settings!r}"):
        assert not [secret for secret in SECRETS if secret in printed]
