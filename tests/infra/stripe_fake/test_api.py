"""The API: errors, idempotency keys and faults."""

import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec
import pytest
import stripe

from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.faults import ALWAYS, Fault
from infra.stripe_fake.server import running
from tests.infra.stripe_fake.conftest import client_of

FORM = {"amount": "1250", "currency": "eur"}


def call(
    fake: StripeFake, method: str, path: str, form: dict[str, str] | None = None, **headers: str
) -> tuple[int, dict[str, str], Any]:
    """Call the API without Stripe's package."""
    connection = HTTPConnection(urlsplit(fake.url).netloc, timeout=30)
    all_headers = {
        "Authorization": "Bearer sk_test_1",
        "Content-Type": "application/x-www-form-urlencoded",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    try:
        connection.request(method, path, urlencode(form) if form else None, all_headers)
        response = connection.getresponse()
        return response.status, dict(response.headers), msgspec.json.decode(response.read())
    finally:
        connection.close()


def create(client: stripe.StripeClient, key: str, amount: int = 1250) -> stripe.PaymentIntent:
    options: stripe.RequestOptions = {"idempotency_key": key}
    return client.v1.payment_intents.create({"amount": amount, "currency": "eur"}, options)


@pytest.mark.parametrize("key", ["sk_live_1", "nonsense", "pk_test_1"])
def test_only_secret_test_keys_are_accepted(fake: StripeFake, key: str) -> None:
    with client_of(fake, key) as client, pytest.raises(stripe.AuthenticationError) as raised:
        client.v1.refunds.list()
    assert raised.value.http_status == 401


def test_keys_come_by_bearer_or_basic_authentication(fake: StripeFake) -> None:
    assert call(fake, "GET", "/v1/refunds", Authorization="")[0] == 401
    basic = "Basic c2tfdGVzdF8xOg=="  # sk_test_1 without a password
    assert call(fake, "GET", "/v1/refunds", Authorization=basic)[0] == 200


@pytest.mark.parametrize(
    ("form", "code", "param"),
    [
        ({"currency": "eur"}, "parameter_missing", "amount"),
        ({"amount": "1250"}, "parameter_missing", "currency"),
        (FORM | {"amount": "12.50"}, "parameter_invalid_integer", "amount"),
        (FORM | {"amount": "-5"}, "parameter_invalid_integer", "amount"),
        (FORM | {"amount": "49"}, "amount_too_small", "amount"),
        ({"amount": "29", "currency": "gbp"}, "amount_too_small", "amount"),
        ({"amount": "49", "currency": "JPY"}, "amount_too_small", "amount"),
        (FORM | {"amount": "100000000"}, "amount_too_large", "amount"),
        (FORM | {"currency": "xxx"}, None, "currency"),
        (FORM | {"receipt_email": "not an address"}, "email_invalid", "receipt_email"),
        (FORM | {"nonsense": "1"}, "parameter_unknown", "nonsense"),
        (FORM | {f"metadata[{'k' * 41}]": "x"}, None, f"metadata[{'k' * 41}]"),
        (FORM | {"metadata[k]": "x" * 501}, None, "metadata[k]"),
        (FORM | {f"metadata[{number}]": "x" for number in range(51)}, None, "metadata"),
    ],
)
def test_invalid_parameters_are_named(
    fake: StripeFake, form: dict[str, str], code: str | None, param: str
) -> None:
    status, _, body = call(fake, "POST", "/v1/payment_intents", form)
    assert status == 400
    error = body["error"]
    assert (error["type"], error.get("code"), error["param"]) == ("invalid_request_error", code, param)
    assert fake.intents() == []


def test_minimum_amounts_are_accepted(fake: StripeFake) -> None:
    for amount, currency in ((50, "eur"), (30, "gbp"), (50, "jpy")):
        assert fake.create(amount, currency)["amount"] == amount


@pytest.mark.parametrize(
    ("method", "path", "form"),
    [
        ("GET", "/v1/payment_intents/pi_none", None),
        ("POST", "/v1/payment_intents/pi_none/confirm", {"payment_method": "pm_card_visa"}),
        ("POST", "/v1/payment_intents/pi_none/cancel", None),
        ("POST", "/v1/refunds", {"payment_intent": "pi_none"}),
        ("GET", "/v1/refunds/re_none", None),
        ("GET", "/v1/charges", None),
        ("DELETE", "/v1/refunds", None),
        ("GET", "/v1/payment_intents/../refunds", None),
    ],
)
def test_missing_objects_and_urls_are_not_found(
    fake: StripeFake, method: str, path: str, form: dict[str, str] | None
) -> None:
    status, headers, body = call(fake, method, path, form)
    assert status == 404
    assert body["error"]["type"] == "invalid_request_error"
    assert headers["Request-Id"].startswith("req_")


def test_a_key_repeats_the_response(client: stripe.StripeClient, fake: StripeFake) -> None:
    first, again = create(client, "once"), create(client, "once")
    assert again == first
    assert again.last_response is not None
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert len(fake.intents()) == 1


def test_a_key_for_another_call_is_an_error(client: stripe.StripeClient, fake: StripeFake) -> None:
    first = create(client, "once")
    with pytest.raises(stripe.IdempotencyError):
        create(client, "once", 1251)
    with pytest.raises(stripe.IdempotencyError):
        client.v1.payment_intents.cancel(first.id, options={"idempotency_key": "once"})
    assert [intent["status"] for intent in fake.intents()] == ["requires_payment_method"]


def test_a_key_stores_a_decline(client: stripe.StripeClient, intent: stripe.PaymentIntent) -> None:
    for replayed in (None, "true"):
        with pytest.raises(stripe.CardError) as raised:
            client.v1.payment_intents.confirm(
                intent.id, {"payment_method": "pm_card_chargeDeclined"}, {"idempotency_key": "decline"}
            )
        assert raised.value.headers is not None
        assert raised.value.headers.get("Idempotent-Replayed") == replayed


def test_a_key_does_not_store_invalid_calls(client: stripe.StripeClient, fake: StripeFake) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        create(client, "k", 1)
    create(client, "k")
    assert len(fake.intents()) == 1


def test_a_key_stores_a_late_error(client: stripe.StripeClient, fake: StripeFake) -> None:
    fake.faults.calls = [Fault("error", after=True, route="POST /v1/payment_intents")]
    for _ in range(2):
        with pytest.raises(stripe.APIError) as raised:
            create(client, "lost")
        assert raised.value.http_status == 500
    assert len(fake.intents()) == 1


def test_a_key_returns_a_lost_response(client: stripe.StripeClient, fake: StripeFake) -> None:
    fake.faults.calls = [Fault("reset", after=True)]
    with pytest.raises(stripe.APIConnectionError):
        create(client, "lost")
    (made,) = fake.intents()
    assert create(client, "lost").id == made["id"]


def test_a_key_survives_a_restart(tmp_path: Path) -> None:
    made = []
    for _ in range(2):
        with running(state=tmp_path, background=False) as fake, client_of(fake) as client:
            made.append(create(client, "once"))
            assert len(fake.intents()) == 1
    assert made[0].id == made[1].id


def test_concurrent_calls_with_one_key_conflict(fake: StripeFake) -> None:
    fake.faults.latency = 1.0
    barrier = threading.Barrier(4)

    def post(_: int) -> int:
        barrier.wait()
        return call(fake, "POST", "/v1/payment_intents", FORM, Idempotency_Key="same")[0]

    with ThreadPoolExecutor(4) as pool:
        statuses = set(pool.map(post, range(4)))
    assert len(fake.intents()) == 1
    assert statuses <= {200, 409}
    assert 409 in statuses


def test_concurrent_calls_succeed(fake: StripeFake) -> None:
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: call(fake, "POST", "/v1/payment_intents", FORM)[0], range(80)))
    assert statuses == [200] * 80
    assert len({intent["id"] for intent in fake.intents()}) == 80


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [
        (Fault("error"), stripe.APIError, 500),
        (Fault("limit"), stripe.RateLimitError, 429),
        (Fault("reset"), stripe.APIConnectionError, None),
    ],
)
def test_a_fault_can_come_before_execution(
    client: stripe.StripeClient,
    fake: StripeFake,
    fault: Fault,
    error: type[stripe.StripeError],
    status: int | None,
) -> None:
    fake.faults.calls = [fault]
    with pytest.raises(error) as raised:
        create(client, "k")
    assert raised.value.http_status == status
    assert fake.intents() == []
    create(client, "k")
    assert len(fake.intents()) == 1


def test_a_fault_can_be_limited_to_a_route(
    client: stripe.StripeClient, intent: stripe.PaymentIntent, fake: StripeFake
) -> None:
    fake.faults.calls = [Fault("error", times=ALWAYS, route="POST */confirm")]
    for _ in range(3):
        with pytest.raises(stripe.APIError):
            client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert client.v1.payment_intents.retrieve(intent.id).status == "requires_payment_method"
