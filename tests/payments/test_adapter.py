"""The Stripe adapter: errors, idempotency and conversion of amounts."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from chalicelib.adapters.stripe import StripePayments
from chalicelib.payments import stripe_objects
from chalicelib.payments.gateway import Charge, DueRefund, PaymentRefused
from chalicelib.platform.errors import Unreachable
from infra.stripe_fake import objects
from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.faults import Fault, FaultKind
from tests.conftest import Lines

EVENT = uuid4()

Call = Callable[[StripePayments, str], Any]


@pytest.fixture
def gateway(stripe: StripeFake) -> StripePayments:
    return StripePayments("sk_test_1", stripe.url)


def charge_of(
    amount: int = 2500, currency: str = "eur", attempt: int = 0, booking: UUID | None = None
) -> Charge:
    return Charge(booking_id=booking or uuid4(), amount=amount, currency=currency, attempt=attempt)


def due(intent_id: str, amount: int = 2500) -> DueRefund:
    return DueRefund(
        refund_id=uuid4(),
        booking_id=uuid4(),
        intent_id=intent_id,
        amount=amount,
        currency="eur",
        attempt=0,
    )


OPEN: Call = lambda gateway, _: gateway.create_payment_intent(charge_of(), EVENT)  # noqa: E731 (rows of a table)
GET: Call = lambda gateway, intent: gateway.get_payment_intent(intent)  # noqa: E731
CANCEL: Call = lambda gateway, intent: gateway.cancel_payment_intent(intent)  # noqa: E731
REFUND: Call = lambda gateway, intent: gateway.create_refund(due(intent))  # noqa: E731
GET_REFUND: Call = lambda gateway, _: gateway.get_refund("re_1")  # noqa: E731
LIST_REFUNDS: Call = lambda gateway, intent: gateway.list_refunds(intent)  # noqa: E731
ALL = {
    "open": OPEN,
    "get": GET,
    "cancel": CANCEL,
    "refund": REFUND,
    "get refund": GET_REFUND,
    "list refunds": LIST_REFUNDS,
}


@pytest.mark.parametrize("call", ALL.values(), ids=ALL)
@pytest.mark.parametrize(("kind", "times"), [("reset", 2), ("limit", 1)])
def test_transient_errors_are_unreachable(
    gateway: StripePayments, stripe: StripeFake, call: Call, kind: FaultKind, times: int
) -> None:
    intent = stripe.create(2500)["id"]
    stripe.faults.calls = [Fault(kind, times)]

    with pytest.raises(Unreachable, match=r"^Stripe: "):
        call(gateway, intent)


@pytest.mark.parametrize(
    ("faults", "failures"),
    [([], 0), ([Fault("limit", 1)], 1), ([Fault("reset", 2)], 1), ([Fault("error", 1)], 1)],
)
def test_each_call_is_measured(
    gateway: StripePayments, stripe: StripeFake, log: Lines, faults: list[Fault], failures: int
) -> None:
    stripe.faults.calls = faults

    with suppress(Unreachable, PaymentRefused):
        OPEN(gateway, "")

    [line] = [line for line in log() if line["message"] == "metric"]  # the fake logs too
    assert line["StripeFailures"] == failures
    assert line["StripeLatency"] > 0
    assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [[]]


def test_a_rejected_call_is_no_failure_of_stripe(gateway: StripePayments, log: Lines) -> None:
    with pytest.raises(PaymentRefused):
        GET(gateway, "pi_unknown")

    assert [line["StripeFailures"] for line in log()] == [0]


@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize("call", ALL.values(), ids=ALL)
def test_a_broken_connection_is_tried_once_more(
    gateway: StripePayments,
    stripe: StripeFake,
    call: Call,
    after: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    intent = stripe.create(2500)["id"]
    stripe.faults.calls = [Fault("reset", after=after)]

    with suppress(PaymentRefused):  # the PaymentIntent is not paid, or there is no such refund
        call(gateway, intent)

    assert stripe.faults.calls[0].times == 0
    assert len(stripe.intents()) == (2 if call is OPEN else 1)


def test_a_timeout_is_not_tried_again(stripe: StripeFake) -> None:
    gateway = StripePayments("sk_test_1", stripe.url, timeout_seconds=(1.0, 1.2))
    intent = stripe.create(2500)["id"]
    stripe.faults.latency = 2.5
    started = time.monotonic()

    with pytest.raises(Unreachable):
        gateway.get_payment_intent(intent)

    assert time.monotonic() - started < 2.4


@pytest.mark.parametrize("call", ALL.values(), ids=ALL)
def test_an_invalid_api_key_is_unreachable_and_not_shown(stripe: StripeFake, call: Call) -> None:
    intent = stripe.create(2500)["id"]

    with pytest.raises(Unreachable) as raised:
        call(StripePayments("sk_live_unknown", stripe.url), intent)

    assert "sk_live_unknown" not in str(raised.value)


@pytest.mark.parametrize("call", [GET, CANCEL, GET_REFUND], ids=["get", "cancel", "get refund"])
def test_an_error_500_is_unreachable_without_an_idempotency_key(
    gateway: StripePayments, stripe: StripeFake, call: Call
) -> None:
    intent = stripe.create(2500)["id"]
    stripe.faults.calls = [Fault("error")]

    with pytest.raises(Unreachable):
        call(gateway, intent)


@pytest.mark.parametrize("call", [OPEN, REFUND], ids=["open", "refund"])
def test_an_error_500_stored_with_an_idempotency_key_is_a_refusal(
    gateway: StripePayments, stripe: StripeFake, call: Call
) -> None:
    intent = stripe.create(2500)["id"]
    stripe.confirm(intent)
    stripe.faults.calls = [Fault("error")]

    with pytest.raises(PaymentRefused):
        call(gateway, intent)


@pytest.mark.parametrize(
    "call", [GET, CANCEL, REFUND, GET_REFUND], ids=["get", "cancel", "refund", "get refund"]
)
def test_a_missing_object_is_refused_with_its_code(gateway: StripePayments, call: Call) -> None:
    with pytest.raises(PaymentRefused) as raised:
        call(gateway, "pi_nowhere")

    assert raised.value.code == "resource_missing"


def test_an_amount_too_small_is_refused_with_the_member(gateway: StripePayments) -> None:
    with pytest.raises(PaymentRefused) as raised:
        gateway.create_payment_intent(charge_of(amount=49), EVENT)

    assert (raised.value.code, raised.value.member) == ("amount_too_small", "amount")


def test_one_attempt_makes_one_payment(gateway: StripePayments, stripe: StripeFake) -> None:
    charge = charge_of()
    first = gateway.create_payment_intent(charge, EVENT)

    assert gateway.create_payment_intent(charge, EVENT) == first
    again = gateway.create_payment_intent(charge_of(attempt=1, booking=charge.booking_id), EVENT)

    assert again.intent_id != first.intent_id
    assert (first.booking_id, first.attempt, again.attempt) == (charge.booking_id, 0, 1)
    assert len(stripe.intents()) == 2


def test_another_amount_for_the_same_attempt_is_refused(gateway: StripePayments, stripe: StripeFake) -> None:
    charge = charge_of()
    gateway.create_payment_intent(charge, EVENT)

    with pytest.raises(PaymentRefused):
        gateway.create_payment_intent(charge_of(9900, booking=charge.booking_id), EVENT)

    assert len(stripe.intents()) == 1


@pytest.mark.parametrize(
    ("method", "status"),
    [(None, "canceled"), ("pm_card_visa", "succeeded"), ("pm_usBankAccount_processing", "processing")],
)
def test_cancel_returns_the_state_of_the_payment(
    gateway: StripePayments, stripe: StripeFake, method: str | None, status: str
) -> None:
    intent = stripe.create(2500)["id"]
    if method is not None:
        stripe.confirm(intent, method)

    for _ in range(2):
        assert gateway.cancel_payment_intent(intent).status == status
    assert gateway.get_payment_intent(intent).status == status


def test_a_payment_has_the_received_amount(gateway: StripePayments, stripe: StripeFake) -> None:
    made = gateway.create_payment_intent(charge_of(), EVENT)
    assert (made.status, made.amount, made.received, made.currency) == ("open", 2500, 0, "eur")
    assert made.client_secret

    stripe.confirm(made.intent_id)

    assert (
        gateway.get_payment_intent(made.intent_id).received,
        gateway.get_payment_intent(made.intent_id).amount,
    ) == (2500, 2500)


@pytest.mark.parametrize("after", [True, False])
def test_a_refund_with_a_lost_response_is_made_once(
    gateway: StripePayments,
    stripe: StripeFake,
    after: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    intent = stripe.create(2500)["id"]
    stripe.confirm(intent)
    request = due(intent)
    stripe.faults.calls = [Fault("reset", 2, after=after)]
    with pytest.raises(Unreachable):
        gateway.create_refund(request)

    made = gateway.create_refund(request)

    assert [refund["id"] for refund in stripe.refunds(intent)] == [made.stripe_refund_id]
    assert made.refund_id == request.refund_id
    assert (made.status, made.amount, made.intent_id) == ("succeeded", 2500, intent)
    assert gateway.get_refund(made.stripe_refund_id) == made


def test_all_refunds_of_a_payment_are_listed(gateway: StripePayments, stripe: StripeFake) -> None:
    intent = stripe.create(25_000)["id"]
    stripe.confirm(intent)
    in_dashboard = [stripe.refund(intent, 100)["id"] for _ in range(101)]  # more than a page
    ours = gateway.create_refund(due(intent, 100))

    found = gateway.list_refunds(intent)

    assert {refund.stripe_refund_id for refund in found} == {*in_dashboard, ours.stripe_refund_id}
    assert sorted(refund.refund_id is None for refund in found) == [False] + [True] * 101
    assert {(refund.amount, refund.currency) for refund in found} == {(100, "eur")}
    assert gateway.list_refunds("pi_nowhere") == []


def test_a_partial_refund_from_the_dashboard_is_not_enough(
    gateway: StripePayments, stripe: StripeFake
) -> None:
    intent = stripe.create(2500)["id"]
    stripe.confirm(intent)
    stripe.refund(intent, 1000)

    with pytest.raises(PaymentRefused):
        gateway.create_refund(due(intent))

    assert len(stripe.refunds(intent)) == 1


def test_a_failed_refund_is_replaced_by_a_new_one(gateway: StripePayments, stripe: StripeFake) -> None:
    intent = stripe.create(2500)["id"]
    stripe.confirm(intent, "pm_card_refundFail")
    request = due(intent)
    first = gateway.create_refund(request)
    stripe.settle(first.stripe_refund_id)

    second = gateway.create_refund(replace(request, attempt=1))

    assert gateway.get_refund(first.stripe_refund_id).status == "failed"
    assert second.stripe_refund_id != first.stripe_refund_id
    assert second.status == "succeeded"


@pytest.mark.parametrize(
    ("currency", "amount", "at_stripe"),
    [
        ("eur", 2500, 2500),
        ("jpy", 2500, 2500),
        ("kwd", 2500, 2500),
        ("isk", 2500, 250_000),
        ("ugx", 2500, 250_000),
    ],
)
def test_amounts_are_converted_to_stripes_and_back(currency: str, amount: int, at_stripe: int) -> None:
    assert stripe_objects.to_stripe_amount(amount, currency) == at_stripe

    intent = {**objects.payment_intent(at_stripe, currency), "amount_received": at_stripe}

    assert (
        stripe_objects.parse_payment_intent(intent).amount,
        stripe_objects.parse_payment_intent(intent).received,
    ) == (amount, amount)


@pytest.mark.parametrize("currency", ["isk", "ugx"])
def test_an_amount_that_is_not_representable_is_minus_one(currency: str) -> None:
    assert stripe_objects.parse_payment_intent(objects.payment_intent(250_001, currency)).amount == -1
