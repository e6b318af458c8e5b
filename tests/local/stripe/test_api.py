"""The promises of the API as such: errors, idempotency keys, and faults on request."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import stripe

from infra.local.stripe.server import running
from infra.local.stripe.stand_in import StandIn
from infra.local.stripe.switches import ALL, Fault
from tests.local.conftest import becomes_true
from tests.local.stripe.conftest import talking_to


def call(
    stand_in: StandIn, method: str, path: str, form: dict[str, str] | None = None, **headers: str
) -> tuple[int, dict[str, str], Any]:
    """Call the API without the package."""
    connection = HTTPConnection(urlsplit(stand_in.url).netloc, timeout=30)
    given = {"Authorization": "Bearer sk_test_1"} | {k.replace("_", "-"): v for k, v in headers.items()}
    try:
        connection.request(method, path, urlencode(form) if form else None, given)
        response = connection.getresponse()
        return response.status, dict(response.headers), json.loads(response.read())
    finally:
        connection.close()


@pytest.mark.parametrize("key", ["sk_live_1", "nonsense", "pk_test_1"])
def test_a_wrong_key_is_refused(stand_in: StandIn, key: str) -> None:
    with talking_to(stand_in, key) as client, pytest.raises(stripe.AuthenticationError) as raised:
        client.v1.payment_intents.list()
    assert raised.value.http_status == 401


def test_there_may_be_one_right_key() -> None:
    with running(api_key="sk_test_right", background=False) as stand_in:
        with talking_to(stand_in, "sk_test_right") as client:
            assert client.v1.events.list().data == []
        with talking_to(stand_in, "sk_test_other") as client, pytest.raises(stripe.AuthenticationError):
            client.v1.events.list()


def test_without_a_key_or_with_basic_authentication(stand_in: StandIn) -> None:
    assert call(stand_in, "GET", "/v1/events", Authorization="")[0] == 401
    basic = "Basic c2tfdGVzdF8xOg=="  # sk_test_1 and no password
    assert call(stand_in, "GET", "/v1/events", Authorization=basic)[0] == 200


def test_a_browser_reaches_the_one_payment_whose_secret_it_knows(stand_in: StandIn) -> None:
    intent, other = stand_in.create(500), stand_in.create(500)
    path, browser = f"/v1/payment_intents/{intent['id']}", "Bearer pk_test_1"
    secret = f"?client_secret={intent['client_secret']}"
    assert call(stand_in, "GET", path + secret, Authorization=browser)[2]["id"] == intent["id"]
    assert call(stand_in, "GET", path, Authorization=browser)[0] == 400
    wrong = f"?client_secret={other['client_secret']}"
    assert call(stand_in, "GET", path + wrong, Authorization=browser)[0] == 404
    form = {"client_secret": intent["client_secret"], "payment_method": "pm_card_visa"}
    paid = call(stand_in, "POST", f"{path}/confirm", form, Authorization=browser)[2]
    assert paid["status"] == "succeeded"
    assert call(stand_in, "POST", f"{path}/cancel", form, Authorization=browser)[0] == 401


GOOD = {"amount": "1250", "currency": "eur"}


@pytest.mark.parametrize(
    ("form", "code", "param"),
    [
        ({"currency": "eur"}, "parameter_missing", "amount"),
        ({"amount": "1250"}, "parameter_missing", "currency"),
        (GOOD | {"amount": "12.50"}, "parameter_invalid_integer", "amount"),
        (GOOD | {"amount": "-5"}, "parameter_invalid_integer", "amount"),
        (GOOD | {"amount": "49"}, "amount_too_small", "amount"),
        ({"amount": "29", "currency": "gbp"}, "amount_too_small", "amount"),
        ({"amount": "49", "currency": "JPY"}, "amount_too_small", "amount"),
        (GOOD | {"amount": "100000000"}, "amount_too_large", "amount"),
        (GOOD | {"currency": "xxx"}, None, "currency"),
        (GOOD | {"receipt_email": "nobody"}, "email_invalid", "receipt_email"),
        (GOOD | {"nonsense": "1"}, "parameter_unknown", "nonsense"),
        (GOOD | {"payment_method": "pm_card_none"}, "resource_missing", "payment_method"),
        (GOOD | {"confirm": "perhaps"}, None, "confirm"),
        (GOOD | {"amount[a]": "1"}, None, "amount[a]"),
        (GOOD | {"metadata": "x"}, None, "metadata"),
        (GOOD | {f"metadata[{'k' * 41}]": "x"}, None, f"metadata[{'k' * 41}]"),
        (GOOD | {f"metadata[{number}]": "x" for number in range(51)}, None, "metadata"),
    ],
)
def test_wrong_parameters_are_named_and_nothing_is_made(
    stand_in: StandIn, form: dict[str, str], code: str | None, param: str
) -> None:
    status, _, body = call(stand_in, "POST", "/v1/payment_intents", form)
    assert status == 400
    error = body["error"]
    assert (error["type"], error.get("code"), error["param"]) == ("invalid_request_error", code, param)
    assert stand_in.intents() == []


def test_the_least_amounts_are_taken(stand_in: StandIn) -> None:
    for amount, currency in ((50, "eur"), (30, "gbp"), (50, "jpy")):
        assert stand_in.create(amount, currency)["amount"] == amount


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/payment_intents/pi_none"),
        ("POST", "/v1/payment_intents/pi_none/confirm"),
        ("GET", "/v1/refunds/re_none"),
        ("GET", "/v1/charges/ch_none"),
        ("GET", "/v1/events/evt_none"),
        ("POST", "/v1/disputes/du_none/close"),
        ("GET", "/v1/events?starting_after=evt_none"),
        ("GET", "/v1/nothing"),
        ("GET", "/v1/payment_intents/../events"),
    ],
)
def test_what_is_not_there_is_missing(stand_in: StandIn, method: str, path: str) -> None:
    status, headers, body = call(stand_in, method, path, {} if method == "GET" else {"expand[]": "charge"})
    assert status == 404
    assert body["error"]["type"] == "invalid_request_error"
    assert headers["Request-Id"].startswith("req_")


def test_what_cannot_be_expanded_is_refused(
    client: stripe.StripeClient, intent: stripe.PaymentIntent
) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        client.v1.payment_intents.retrieve(intent.id, {"expand": ["nonsense"]})
    client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    (listed,) = client.v1.payment_intents.list({"expand": ["data.latest_charge"]}).data
    assert isinstance(listed.latest_charge, stripe.Charge)


def test_each_answer_names_its_request_and_version(stand_in: StandIn) -> None:
    _, headers, _ = call(stand_in, "GET", "/v1/events", Stripe_Version="2026-10-28.endive")
    assert headers["Request-Id"].startswith("req_")
    assert headers["Stripe-Version"] == "2026-10-28.endive"


def test_the_same_key_gives_the_same_answer_once(client: stripe.StripeClient, stand_in: StandIn) -> None:
    first = client.v1.payment_intents.create({"amount": 1250, "currency": "eur"}, {"idempotency_key": "once"})
    again = client.v1.payment_intents.create({"currency": "eur", "amount": 1250}, {"idempotency_key": "once"})
    assert again == first
    assert again.last_response is not None
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert len(stand_in.intents()) == 1
    (created,) = stand_in.events()
    assert created["request"]["idempotency_key"] == "once"
    assert created["request"]["id"].startswith("req_")


def test_the_same_key_for_something_else_is_an_error(client: stripe.StripeClient, stand_in: StandIn) -> None:
    create = client.v1.payment_intents.create
    first = create({"amount": 1250, "currency": "eur"}, {"idempotency_key": "once"})
    with pytest.raises(stripe.IdempotencyError):
        create({"amount": 1251, "currency": "eur"}, {"idempotency_key": "once"})
    with pytest.raises(stripe.IdempotencyError):
        client.v1.payment_intents.cancel(first.id, options={"idempotency_key": "once"})
    assert [intent["status"] for intent in stand_in.intents()] == ["requires_payment_method"]


def test_a_decline_is_kept_for_its_key(client: stripe.StripeClient, intent: stripe.PaymentIntent) -> None:
    for replayed in (None, "true"):
        with pytest.raises(stripe.CardError) as raised:
            client.v1.payment_intents.confirm(
                intent.id, {"payment_method": "pm_card_chargeDeclined"}, {"idempotency_key": "decline"}
            )
        assert raised.value.headers is not None
        assert raised.value.headers.get("Idempotent-Replayed") == replayed


def test_a_call_that_never_began_is_not_kept_for_its_key(
    client: stripe.StripeClient, stand_in: StandIn
) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.create({"amount": 1, "currency": "eur"}, {"idempotency_key": "k"})
    client.v1.payment_intents.create({"amount": 1250, "currency": "eur"}, {"idempotency_key": "k"})
    assert len(stand_in.intents()) == 1


def test_a_failure_after_it_began_is_kept_for_its_key(client: stripe.StripeClient, stand_in: StandIn) -> None:
    stand_in.switches.faults = [Fault("error", after=True, route="POST /v1/payment_intents")]
    for _ in range(2):
        with pytest.raises(stripe.APIError) as raised:
            client.v1.payment_intents.create({"amount": 1250, "currency": "eur"}, {"idempotency_key": "lost"})
        assert raised.value.http_status == 500
    assert len(stand_in.intents()) == 1


def test_an_answer_that_was_lost_is_given_to_its_key(client: stripe.StripeClient, stand_in: StandIn) -> None:
    stand_in.switches.faults = [Fault("reset", after=True)]
    with pytest.raises(stripe.APIConnectionError):
        client.v1.payment_intents.create({"amount": 1250, "currency": "eur"}, {"idempotency_key": "lost"})
    (made,) = stand_in.intents()
    found = client.v1.payment_intents.create({"amount": 1250, "currency": "eur"}, {"idempotency_key": "lost"})
    assert found.id == made["id"]


def test_a_key_survives_a_restart(tmp_path: Path) -> None:
    made = []
    for _ in range(2):
        with running(state=tmp_path, background=False) as stand_in, talking_to(stand_in) as client:
            made.append(
                client.v1.payment_intents.create(
                    {"amount": 1250, "currency": "eur"}, {"idempotency_key": "once"}
                )
            )
            assert len(stand_in.intents()) == 1
    assert made[0].id == made[1].id


def test_a_key_is_used_by_one_call_at_a_time(stand_in: StandIn) -> None:
    stand_in.switches.latency = 1.0
    together = threading.Barrier(4)

    def create(_: int) -> int:
        together.wait()
        return call(stand_in, "POST", "/v1/payment_intents", GOOD, Idempotency_Key="same")[0]

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(create, range(4)))
    assert len(stand_in.intents()) == 1
    assert set(statuses) <= {200, 409}
    assert 409 in statuses


def test_many_calls_at_once_are_all_done(stand_in: StandIn) -> None:
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: call(stand_in, "POST", "/v1/payment_intents", GOOD)[0], range(80)))
    assert statuses == [200] * 80
    assert len({intent["id"] for intent in stand_in.intents()}) == 80


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [
        (Fault("error"), stripe.APIError, 500),
        (Fault("limit"), stripe.RateLimitError, 429),
        (Fault("reset"), stripe.APIConnectionError, None),
    ],
)
def test_a_call_can_fail_before_it_is_done(
    client: stripe.StripeClient,
    stand_in: StandIn,
    fault: Fault,
    error: type[stripe.StripeError],
    status: int | None,
) -> None:
    stand_in.switches.faults = [fault]
    with pytest.raises(error) as raised:
        client.v1.payment_intents.create({"amount": 1250, "currency": "eur"})
    assert raised.value.http_status == status
    assert stand_in.intents() == []
    client.v1.payment_intents.create({"amount": 1250, "currency": "eur"})
    assert len(stand_in.intents()) == 1


def test_a_call_can_hang_until_the_client_has_had_enough(stand_in: StandIn) -> None:
    stand_in.switches.faults = [Fault("reset", after=True, seconds=60)]
    with talking_to(stand_in, timeout=0.3) as client, pytest.raises(stripe.APIConnectionError):
        client.v1.payment_intents.create({"amount": 1250, "currency": "eur"})
    assert becomes_true(lambda: len(stand_in.intents()) == 1)


def test_a_fault_may_be_for_some_calls_only(client: stripe.StripeClient, stand_in: StandIn) -> None:
    stand_in.switches.faults = [Fault("error", times=ALL, route="POST */confirm")]
    intent = client.v1.payment_intents.create({"amount": 1250, "currency": "eur"})
    for _ in range(3):
        with pytest.raises(stripe.APIError):
            client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert client.v1.payment_intents.retrieve(intent.id).status == "requires_payment_method"
