"""The webhook's signature: without the secret, or too late, an event has no effect."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from chalicelib.wiring import Wiring, using
from infra.stripe_fake.webhooks import sign
from tests.client import Client
from tests.conftest import Lines
from tests.payments.purchases import Hold, hold, post_webhook, status
from tests.payments.webhook_delivery import SECRET, event, intent_of, recorded

OTHER = "whsec_another"


@pytest.fixture
def held(client: Client) -> Hold:
    return hold(client)


@pytest.fixture
def body(client: Client, held: Hold) -> bytes:
    """An event that confirms the booking if it is accepted."""
    return json.dumps(event("payment_intent.succeeded", intent_of(client, held))).encode()


def signature(body: bytes, *secrets: str, age: float = 0) -> str:
    return sign(body, secrets or (SECRET,), int(time.time() - age))


def parts(header: str) -> tuple[str, str]:
    """Split a header into its time and its signature."""
    at, _, mac = header.partition(",")
    return at, mac


def assert_refused(client: Client, held: Hold, body: bytes, header: str | None) -> None:
    reply = post_webhook(client, body, header)
    assert (reply.status, reply.problem) == (400, "invalid-signature")
    assert recorded(client) == []
    assert status(client, held) == ("pending", "requires_payment")


def assert_accepted(client: Client, held: Hold, body: bytes, header: str) -> None:
    reply = post_webhook(client, body, header)
    assert (reply.status, reply.json) == (200, {"outcome": "confirmed"})
    assert status(client, held) == ("confirmed", "paid")


@pytest.mark.parametrize("age", [0, 240, -240])
def test_a_signature_within_five_minutes_is_accepted(
    client: Client, held: Hold, body: bytes, age: int
) -> None:
    assert_accepted(client, held, body, signature(body, age=age))


@pytest.mark.parametrize("age", [360, 86_400, -360, -86_400])
def test_a_signature_of_another_time_is_refused(client: Client, held: Hold, body: bytes, age: int) -> None:
    assert_refused(client, held, body, signature(body, age=age))


def test_a_signature_with_another_secret_is_refused(client: Client, held: Hold, body: bytes) -> None:
    assert_refused(client, held, body, signature(body, OTHER))


def test_one_of_several_signatures_is_enough(client: Client, held: Hold, body: bytes) -> None:
    assert_accepted(client, held, body, signature(body, OTHER, OTHER, SECRET))


def test_a_header_with_many_wrong_signatures_is_refused(client: Client, held: Hold, body: bytes) -> None:
    assert_refused(client, held, body, signature(body, *[OTHER] * 5000))


def test_a_changed_body_is_refused(client: Client, held: Hold, body: bytes) -> None:
    header = signature(body)

    for index in range(0, len(body), 97):
        changed = body[:index] + bytes([body[index] ^ 1]) + body[index + 1 :]
        assert_refused(client, held, changed, header)
    assert_refused(client, held, body + b" ", header)
    assert_refused(client, held, body[:-1], header)


def test_a_changed_time_is_refused(client: Client, held: Hold, body: bytes) -> None:
    _, mac = parts(signature(body, age=360))

    assert_refused(client, held, body, f"t={int(time.time())},{mac}")


def test_a_header_with_two_times_is_refused(client: Client, held: Hold, body: bytes) -> None:
    for age in (0, 360):
        at, mac = parts(signature(body, age=age))
        assert_refused(client, held, body, f"{at},{at},{mac}")
        assert_refused(client, held, body, f"t={int(time.time())},{at},{mac}")


def test_signatures_of_other_schemes_are_ignored(client: Client, held: Hold, body: bytes) -> None:
    at, mac = parts(signature(body))

    assert_refused(client, held, body, f"{at},{mac.replace('v1=', 'v0=')}")
    assert_accepted(client, held, body, f"{at},v0=0123,{mac}")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        " ",
        ",",
        "=",
        "t=",
        "v1=",
        "t=,v1=",
        "t=now,v1=0123",
        "t=-1,v1=0123",
        "t=1.5,v1=0123",
        "t=1e9,v1=0123",
        "t=٣,v1=0123",
        f"t={'9' * 5000},v1=0123",
        f"t=1,v1={'0' * 100_000}",
        "t=1,v1=ü",
        "t=1,v1=\0",
        "t=1,v1=\udc80",
        "t=1,v1=\U0001f3b7",
    ],
    ids=lambda header: ascii(header)[:20],
)
def test_a_malformed_header_is_refused(client: Client, held: Hold, body: bytes, header: str | None) -> None:
    assert_refused(client, held, body, header)


def test_a_truncated_header_is_refused(client: Client, held: Hold, body: bytes) -> None:
    header = signature(body)

    for length in range(0, len(header), 7):
        assert_refused(client, held, body, header[:length])
    assert_refused(client, held, body, header[:-1])


@pytest.mark.parametrize(
    ("reason", "header"),
    [
        ("no signature", lambda _: None),
        ("malformed signature", lambda _: "v1=0123"),
        ("wrong secret", lambda body: signature(body, OTHER)),
        ("too old", lambda body: signature(body, age=360)),
    ],
)
def test_a_refused_webhook_is_counted_and_its_reason_logged(
    client: Client, log: Lines, reason: str, header: Callable[[bytes], str | None]
) -> None:
    post_webhook(client, b"{}", header(b"{}"))

    warning, request = log()

    assert (warning["level"], warning["message"], warning["reason"]) == ("warning", "webhook refused", reason)
    assert (request["status"], request["WebhooksRefused"]) == (400, 1)


@pytest.fixture
def rotating(wiring: Wiring) -> Iterator[Client]:
    """A client of an app that accepts two secrets, as during a rotation."""
    settings = replace(wiring.settings, stripe_webhook_secrets=(OTHER.encode(), SECRET.encode()))
    with using(Wiring(settings, payments=wiring.payments)) as rotating:
        yield Client(rotating)


@pytest.mark.parametrize("secrets", [(SECRET,), (OTHER,), (SECRET, OTHER), ("whsec_third", OTHER)])
def test_both_secrets_are_accepted_during_a_rotation(rotating: Client, secrets: tuple[str, ...]) -> None:
    held = hold(rotating)
    body = json.dumps(event("payment_intent.succeeded", intent_of(rotating, held))).encode()

    assert_refused(rotating, held, body, signature(body, "whsec_third"))
    assert_accepted(rotating, held, body, signature(body, *secrets))


def test_the_name_of_the_header_has_any_case(client: Client, body: bytes) -> None:
    reply = client("POST", "/webhooks/stripe", raw=body, headers={"STRIPE-SIGNATURE": signature(body)})

    assert reply.json == {"outcome": "confirmed"}


@pytest.mark.parametrize("secret", [SECRET, OTHER])
def test_a_body_over_256_kibibytes_is_refused(client: Client, held: Hold, secret: str) -> None:
    short = json.dumps(event("payment_intent.succeeded", intent_of(client, held))).encode()
    longest = short + b" " * (256 * 1024 - len(short))

    reply = post_webhook(client, longest + b" ", signature(longest + b" ", secret))
    assert (reply.status, reply.problem) == (413, "content-too-large")
    assert recorded(client) == []
    assert post_webhook(client, longest, signature(longest, secret)).status == (
        200 if secret == SECRET else 400
    )
