"""Settings: what a deployment must say, and what is said back when it does not."""

import pytest

from chalicelib.settings import BadSetting, Settings

ENVIRONMENT = {
    "DATABASE_URL": "postgresql+pg8000://somebody:hunter2@db.example.com/events",
    "JWT_SECRET": "s3cret-" * 5,
}


def test_two_variables_are_enough() -> None:
    settings = Settings.read(ENVIRONMENT)

    assert settings.database_url == ENVIRONMENT["DATABASE_URL"]
    assert settings.jwt_secret == ENVIRONMENT["JWT_SECRET"].encode()
    assert (settings.previous_jwt_secret, settings.database_ca_file) == (None, None)
    assert (settings.database_tls, settings.database_pool_size) == (True, 1)
    assert (settings.token_lifetime, settings.default_currency, settings.public_url) == (3600, "eur", "")


def test_every_variable_has_its_say() -> None:
    settings = Settings.read(
        {
            **ENVIRONMENT,
            "JWT_SECRET_PREVIOUS": "earlier" * 5,
            "DATABASE_POOL_SIZE": "7",
            "DATABASE_TLS": "off",
            "DATABASE_CA_FILE": "/ca.pem",
            "TOKEN_ISSUER": "us",
            "TOKEN_AUDIENCE": "them",
            "DEFAULT_CURRENCY": "chf",
            "PUBLIC_URL": "https://api.example.com/v1/",
        }
    )

    assert settings == Settings(
        database_url=ENVIRONMENT["DATABASE_URL"],
        jwt_secret=ENVIRONMENT["JWT_SECRET"].encode(),
        previous_jwt_secret=b"earlier" * 5,
        database_pool_size=7,
        database_tls=False,
        database_ca_file="/ca.pem",
        token_issuer="us",
        token_audience="them",
        default_currency="chf",
        public_url="https://api.example.com/v1",
    )


@pytest.mark.parametrize("name", sorted(ENVIRONMENT))
def test_a_missing_variable_is_named(name: str) -> None:
    without = {other: value for other, value in ENVIRONMENT.items() if other != name}

    for environment in (without, {**without, name: ""}):
        with pytest.raises(BadSetting, match=f"^{name} is not set$"):
            Settings.read(environment)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWT_SECRET", "x" * 31),
        ("JWT_SECRET_PREVIOUS", "x" * 31),
        ("DATABASE_POOL_SIZE", "0"),
        ("DATABASE_POOL_SIZE", "-1"),
        ("DATABASE_POOL_SIZE", "many"),
        ("DATABASE_POOL_SIZE", "٣"),
        ("DATABASE_TLS", "perhaps"),
    ],
)
def test_an_unusable_value_is_refused_by_the_name_of_its_variable(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=f"^{name} must ") as refused:
        Settings.read(ENVIRONMENT | {name: value})

    assert "x" * 31 not in str(refused.value)


def test_a_secret_is_measured_in_bytes() -> None:
    assert Settings.read(ENVIRONMENT | {"JWT_SECRET": "ü" * 16}).jwt_secret == "ü".encode() * 16


@pytest.mark.parametrize("name", ["JWT_SECRET_PREVIOUS", "DATABASE_POOL_SIZE", "DATABASE_TLS", "PUBLIC_URL"])
def test_a_blank_optional_variable_is_as_if_it_were_not_set(name: str) -> None:
    assert Settings.read(ENVIRONMENT | {name: ""}) == Settings.read(ENVIRONMENT)


def test_nothing_secret_is_in_what_settings_print() -> None:
    settings = Settings.read(ENVIRONMENT | {"JWT_SECRET_PREVIOUS": "earlier" * 5})

    for printed in (repr(settings), str(settings), f"{settings}", f"{settings!r}"):
        assert not [secret for secret in ("hunter2", "s3cret", "earlier") if secret in printed]
