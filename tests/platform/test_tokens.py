"""Tokens: valid ones are accepted, invalid and malformed ones are refused."""

from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from chalicelib.platform.security import Caller, InvalidToken, Tokens
from chalicelib.platform.settings import BadSetting, Settings
from chalicelib.wiring import Wiring, using
from tests.client import Account, Client
from tests.conftest import SECRET
from tests.forged_tokens import claims, token

SETTINGS = Settings(database_url="postgresql+pg8000://nobody@127.0.0.1/none", jwt_secret=SECRET)
USER = "019b2f3e-7c1a-7b55-9d41-2f6d0c8a1e90"
NEW_SECRET = b"another secret for tests, long enough too"


@contextmanager
def rotated(client: Client) -> Iterator[Client]:
    """A client of the same deployment after its secret was changed."""
    settings = replace(client.wiring.settings, jwt_secret=NEW_SECRET, previous_jwt_secret=SECRET)
    with using(Wiring(settings)) as wiring:
        yield Client(wiring)


def test_a_valid_handmade_token_is_accepted() -> None:
    """Otherwise the forged tokens below could be refused for another reason."""
    caller = Tokens(SETTINGS).read(token(claims(USER, "host", ver=3)))

    assert caller == Caller(UUID(USER), "host", token_version=3)


def test_a_token_is_read_as_it_was_issued() -> None:
    caller = Caller(UUID(USER), "attendee", token_version=2)

    assert Tokens(SETTINGS).read(Tokens(SETTINGS).issue(caller, datetime.now(UTC))) == caller


@pytest.mark.parametrize(
    ("forged", "options"),
    [
        ({}, {"secret": b"a guess at the secret, of 32 bytes or more"}),
        ({}, {"algorithm": "none"}),
        ({}, {"algorithm": "HS512"}),
        ({"iss": "somebody-else"}, {}),
        ({"aud": "another-api"}, {}),
        ({"exp": timedelta(seconds=-6)}, {}),
        ({"exp": 1e400}, {}),
        ({"iat": timedelta(seconds=9)}, {}),
        ({"iat": 1e400}, {}),
        ({"nbf": 1e400}, {}),
        ({"exp": "tomorrow"}, {}),
        ({"iat": timedelta(hours=1)}, {}),
        ({"nbf": timedelta(hours=1)}, {}),
        *(({name: None}, {}) for name in ("iss", "aud", "sub", "role", "ver", "iat", "exp")),
        ({"role": "admin"}, {}),
        ({"role": ["host"]}, {}),
        ({"ver": "1"}, {}),
        ({"ver": 1.0}, {}),
        ({"ver": True}, {}),
        ({"ver": 0}, {}),
        ({"ver": 2**31}, {}),
        ({"auth_time": "today"}, {}),
        ({"auth_time": True}, {}),
        ({"auth_time": 10**20}, {}),
        ({"sid": "somewhere"}, {}),
        ({"sid": 5}, {}),
        ({"sub": "somebody"}, {}),
        ({"sub": 5}, {}),
    ],
)
def test_an_invalid_token_is_refused(forged: dict[str, Any], options: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        Tokens(SETTINGS).read(token(claims(USER, "host", **forged), **options))


@pytest.mark.parametrize(
    "skewed", [{"exp": timedelta(seconds=-3)}, {"iat": timedelta(seconds=3)}], ids=["past", "future"]
)
def test_clocks_may_differ_by_a_few_seconds(skewed: dict[str, timedelta]) -> None:
    assert Tokens(SETTINGS).read(token(claims(USER, "host", **skewed))).user_id == UUID(USER)


@pytest.mark.parametrize(
    "garbage",
    ["", " ", "null", ".", "..", "...", "a.b.c", "e30.e30.", "ü.ü.ü", "\ud800.e30.e30", "x" * 100_000, "\0"],
    ids=lambda garbage: ascii(garbage)[:30],
)
def test_a_malformed_token_is_refused(garbage: str) -> None:
    with pytest.raises(InvalidToken):
        Tokens(SETTINGS).read(garbage)


@pytest.mark.parametrize("forged", [{"exp": timedelta(seconds=-3)}, {"iat": timedelta(seconds=3)}])
def test_clocks_may_differ_by_five_seconds(forged: dict[str, Any]) -> None:
    assert Tokens(SETTINGS).read(token(claims(USER, "host", **forged))).user_id == UUID(USER)


def test_a_deeply_nested_token_is_refused() -> None:
    header = urlsafe_b64encode(b'{"alg":' + b"[" * 100_000).decode()

    with pytest.raises(InvalidToken):
        Tokens(SETTINGS).read(f"{header}.e30.e30")


def test_a_signature_is_valid_for_its_claims_only() -> None:
    head, _, signature = token(claims(USER, "attendee")).split(".")
    _, promoted, _ = token(claims(USER, "host")).split(".")

    with pytest.raises(InvalidToken):
        Tokens(SETTINGS).read(f"{head}.{promoted}.{signature}")


def test_a_token_expires_after_an_hour() -> None:
    caller = Caller(UUID(USER), "host", token_version=1)
    now = datetime.now(UTC)

    assert Tokens(SETTINGS).read(Tokens(SETTINGS).issue(caller, now - timedelta(minutes=59))) == caller
    with pytest.raises(InvalidToken):
        Tokens(SETTINGS).read(Tokens(SETTINGS).issue(caller, now - timedelta(minutes=61)))


def test_tokens_of_the_previous_secret_stay_valid(client: Client) -> None:
    ada = client.host()

    with rotated(client) as later:
        assert later("GET", "/users/me", by=ada).status == 200


def test_new_tokens_are_signed_with_the_new_secret(client: Client) -> None:
    with rotated(client) as later:
        ada: Account = later.host()

        assert later("GET", "/users/me", by=ada).status == 200
    with pytest.raises(InvalidToken):
        client.wiring.tokens.read(ada.token)


def test_tokens_of_a_removed_secret_are_refused(client: Client) -> None:
    ada = client.host()
    settings = replace(client.wiring.settings, jwt_secret=NEW_SECRET)

    with using(Wiring(settings)) as wiring:
        assert Client(wiring)("GET", "/users/me", by=ada).problem == "invalid-token"


@pytest.mark.parametrize(
    "secret",
    [
        b"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n",
        b'{"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"}',
    ],
    ids=["PEM", "JWK"],
)
def test_a_public_key_as_the_secret_is_refused(
    secret: bytes,
) -> None:
    """A public key is not secret, so that anyone could sign tokens with it."""
    with pytest.raises(BadSetting, match="JWT_SECRET"):
        Tokens(replace(SETTINGS, jwt_secret=secret))
