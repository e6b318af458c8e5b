"""The webhook's signature: whoever does not know the secret, or is late, changes nothing."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from chalicelib.wiring import Wiring, using
from infra.stripe_fake.webhooks import sign
from tests.client import Client
from tests.payments.purchases import Hold, hold, status, webhook
from tests.payments.webhook_delivery import SECRET, event, intent_of, recorded

OTHER = "whsec_of_somebody_else"


@pytest.fixture
def held(client: Client) -> Hold:
    return hold(client)


@pytest.fixture
def body(client: Client, held: Hold) -> bytes:
    """What would confirm the booking, were it believed."""
    return json.dumps(event("payment_intent.succeeded", intent_of(client, held))).encode()


def signature(body: bytes, *secrets: str, age: float = 0) -> str:
    return sign(body, secrets or (SECRET,), int(time.time() - age))


def parts(header: str) -> tuple[str, str]:
    """The time and the first signature of a header."""
    at, _, mark = header.partition(",")
    return at, mark


def is_refused(client: Client, held: Hold, body: bytes, header: str | None) -> None:
    reply = webhook(client, body, header)
    assert (reply.status, reply.problem) == (400, "invalid-signature")
    assert recorded(client) == []
    assert status(client, held) == ("pending", "requires_payment")


def is_taken(client: Client, held: Hold, body: bytes, header: str) -> None:
    reply = webhook(client, body, header)
    assert (reply.status, reply.json) == (200, {"outcome": "confirmed"})
    assert status(client, held) == ("confirmed", "paid")


@pytest.mark.parametrize("age", [0, 240, -240])
def test_what_is_signed_within_five_minutes_is_believed(
    client: Client, held: Hold, body: bytes, age: int
) -> None:
    is_taken(client, held, body, signature(body, age=age))


@pytest.mark.parametrize("age", [360, 86_400, -360, -86_400])
def test_what_was_signed_at_another_time_is_not(client: Client, held: Hold, body: bytes, age: int) -> None:
    is_refused(client, held, body, signature(body, age=age))


def test_a_signature_with_another_secret_is_not(client: Client, held: Hold, body: bytes) -> None:
    is_refused(client, held, body, signature(body, OTHER))


def test_one_of_several_signatures_is_enough(client: Client, held: Hold, body: bytes) -> None:
    is_taken(client, held, body, signature(body, OTHER, OTHER, SECRET))


def test_a_header_full_of_guesses_is_not(client: Client, held: Hold, body: bytes) -> None:
    is_refused(client, held, body, signature(body, *[OTHER] * 5000))


def test_a_body_that_differs_by_one_byte_is_not(client: Client, held: Hold, body: bytes) -> None:
    header = signature(body)

    for place in range(0, len(body), 97):
        changed = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        is_refused(client, held, changed, header)
    is_refused(client, held, body + b" ", header)
    is_refused(client, held, body[:-1], header)


def test_the_time_that_is_signed_cannot_be_exchanged(client: Client, held: Hold, body: bytes) -> None:
    _, mark = parts(signature(body, age=360))

    is_refused(client, held, body, f"t={int(time.time())},{mark}")


def test_two_times_are_one_too_many(client: Client, held: Hold, body: bytes) -> None:
    for age in (0, 360):
        at, mark = parts(signature(body, age=age))
        is_refused(client, held, body, f"{at},{at},{mark}")
        is_refused(client, held, body, f"t={int(time.time())},{at},{mark}")


def test_a_signature_of_another_scheme_is_not_looked_at(client: Client, held: Hold, body: bytes) -> None:
    at, mark = parts(signature(body))

    is_refused(client, held, body, f"{at},{mark.replace('v1=', 'v0=')}")
    is_taken(client, held, body, f"{at},v0=0123,{mark}")


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
def test_what_is_no_signature_is_refused_and_breaks_nothing(
    client: Client, held: Hold, body: bytes, header: str | None
) -> None:
    is_refused(client, held, body, header)


def test_a_signature_that_is_cut_off_is_not(client: Client, held: Hold, body: bytes) -> None:
    header = signature(body)

    for length in range(0, len(header), 7):
        is_refused(client, held, body, header[:length])
    is_refused(client, held, body, header[:-1])


@pytest.fixture
def rotating(wiring: Wiring) -> Iterator[Client]:
    """A client of an app that knows two secrets, while one takes the place of the other."""
    settings = replace(wiring.settings, stripe_webhook_secrets=(OTHER.encode(), SECRET.encode()))
    with using(Wiring(settings, payments=wiring.payments)) as rotating:
        yield Client(rotating)


@pytest.mark.parametrize("secrets", [(SECRET,), (OTHER,), (SECRET, OTHER), ("whsec_third", OTHER)])
def test_while_the_secret_is_exchanged_both_are_believed(rotating: Client, secrets: tuple[str, ...]) -> None:
    held = hold(rotating)
    body = json.dumps(event("payment_intent.succeeded", intent_of(rotating, held))).encode()

    is_refused(rotating, held, body, signature(body, "whsec_third"))
    is_taken(rotating, held, body, signature(body, *secrets))


def test_what_is_signed_is_believed_whatever_the_case_of_the_headers_name(
    client: Client, body: bytes
) -> None:
    reply = client("POST", "/webhooks/stripe", raw=body, headers={"STRIPE-SIGNATURE": signature(body)})

    assert reply.json == {"outcome": "confirmed"}


@pytest.mark.parametrize("secret", [SECRET, OTHER])
def test_a_body_of_more_than_256_kilobytes_is_not_read(client: Client, held: Hold, secret: str) -> None:
    told = event("payment_intent.succeeded", intent_of(client, held))
    short = json.dumps(told).encode()
    longest = short + b" " * (256 * 1024 - len(short))

    reply = webhook(client, longest + b" ", signature(longest + b" ", secret))
    assert (reply.status, reply.problem) == (413, "content-too-large")
    assert recorded(client) == []
    assert webhook(client, longest, signature(longest, secret)).status == (200 if secret == SECRET else 400)
