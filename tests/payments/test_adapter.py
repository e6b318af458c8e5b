"""The adapter: Stripe's errors in our words, and no request made twice."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from chalicelib.adapters.stripe import StripePayments
from chalicelib.payments import stripe_objects
from chalicelib.payments.gateway import Charge, PaymentRefused
from chalicelib.platform.errors import Unreachable
from infra.stripe_fake import objects
from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.faults import Fault, FaultKind

EVENT = uuid4()
EMAIL = "ada@example.com"

Call = Callable[[StripePayments, str], Any]


@pytest.fixture
def gateway(stripe: StripeFake) -> StripePayments:
    return StripePayments("sk_test_of_the_tests", stripe.url)


def due(amount: int = 2500, currency: str = "eur", attempt: int = 0, booking: UUID | None = None) -> Charge:
    return Charge(booking_id=booking or uuid4(), amount=amount, currency=currency, attempt=attempt)


OPEN: Call = lambda gateway, _: gateway.create_payment_intent(due(), EVENT, EMAIL)  # noqa: E731 (rows of a table)
LOOK_UP: Call = lambda gateway, intent: gateway.get_payment_intent(intent)  # noqa: E731
CALL_OFF: Call = lambda gateway, intent: gateway.cancel_payment_intent(intent)  # noqa: E731
REFUND: Call = lambda gateway, intent: gateway.create_refund(due(), intent)  # noqa: E731
LOOK_UP_REFUND: Call = lambda gateway, _: gateway.get_refund("re_1")  # noqa: E731
ALL = {
    "open": OPEN,
    "look up": LOOK_UP,
    "call off": CALL_OFF,
    "refund": REFUND,
    "look up refund": LOOK_UP_REFUND,
}


@pytest.mark.parametrize("call", ALL.values(), ids=ALL)
@pytest.mark.parametrize("kind", ["reset", "limit"])
def test_what_passes_leaves_open_whether_it_was_done(
    gateway: StripePayments, stripe: StripeFake, call: Call, kind: FaultKind
) -> None:
    intent = stripe.create(2500)["id"]
    stripe.faults.calls = [Fault(kind)]

    with pytest.raises(Unreachable, match=r"^Stripe: "):
        call(gateway, intent)


@pytest.mark.parametrize("call", ALL.values(), ids=ALL)
def test_a_key_that_is_not_accepted_is_for_a_person_to_mend_and_to_be_tried_again(
    stripe: StripeFake, call: Call
) -> None:
    intent = stripe.create(2500)["id"]

    with pytest.raises(Unreachable) as raised:
        call(StripePayments("sk_live_nobody_knows", stripe.url), intent)

    assert "sk_live_nobody_knows" not in str(raised.value)


@pytest.mark.parametrize("call", [LOOK_UP, CALL_OFF, LOOK_UP_REFUND], ids=["look up", "call off", "refund"])
def test_a_fault_of_stripe_passes_where_no_key_keeps_it(
    gateway: StripePayments, stripe: StripeFake, call: Call
) -> None:
    intent = stripe.create(2500)["id"]
    stripe.faults.calls = [Fault("error")]

    with pytest.raises(Unreachable):
        call(gateway, intent)


@pytest.mark.parametrize("call", [OPEN, REFUND], ids=["open", "refund"])
def test_a_fault_that_is_kept_with_its_key_is_a_refusal(
    gateway: StripePayments, stripe: StripeFake, call: Call
) -> None:
    intent = stripe.create(2500)["id"]
    stripe.confirm(intent)
    stripe.faults.calls = [Fault("error")]

    with pytest.raises(PaymentRefused):
        call(gateway, intent)


@pytest.mark.parametrize("call", [LOOK_UP, CALL_OFF, REFUND, LOOK_UP_REFUND])
def test_what_is_not_there_is_refused_by_its_code(gateway: StripePayments, call: Call) -> None:
    with pytest.raises(PaymentRefused) as raised:
        call(gateway, "pi_nowhere")

    assert raised.value.code == "resource_missing"


def test_an_amount_that_cannot_be_charged_is_refused_and_named(gateway: StripePayments) -> None:
    with pytest.raises(PaymentRefused) as raised:
        gateway.create_payment_intent(due(amount=49), EVENT, EMAIL)

    assert (raised.value.code, raised.value.member) == ("amount_too_small", "amount")


def test_the_same_due_and_attempt_makes_the_same_payment(gateway: StripePayments, stripe: StripeFake) -> None:
    owed = due()
    first = gateway.create_payment_intent(owed, EVENT, EMAIL)

    assert gateway.create_payment_intent(owed, EVENT, EMAIL) == first
    again = gateway.create_payment_intent(due(attempt=1, booking=owed.booking_id), EVENT, EMAIL)

    assert again.intent_id != first.intent_id
    assert (first.booking_id, first.attempt, again.attempt) == (owed.booking_id, 0, 1)
    assert len(stripe.intents()) == 2


def test_another_request_for_the_same_attempt_is_refused(gateway: StripePayments, stripe: StripeFake) -> None:
    owed = due()
    gateway.create_payment_intent(owed, EVENT, EMAIL)

    with pytest.raises(PaymentRefused):
        gateway.create_payment_intent(due(9900, booking=owed.booking_id), EVENT, EMAIL)

    assert len(stripe.intents()) == 1


def test_a_receipt_that_cannot_be_sent_is_left_out(gateway: StripePayments, stripe: StripeFake) -> None:
    owed = due()

    made = gateway.create_payment_intent(owed, EVENT, "nobody")

    assert stripe.intent(made.intent_id)["receipt_email"] is None
    assert gateway.create_payment_intent(owed, EVENT, "nobody") == made


@pytest.mark.parametrize(
    ("method", "status"),
    [(None, "canceled"), ("pm_card_visa", "succeeded"), ("pm_usBankAccount_processing", "processing")],
)
def test_calling_off_says_how_the_payment_is_then(
    gateway: StripePayments, stripe: StripeFake, method: str | None, status: str
) -> None:
    intent = stripe.create(2500)["id"]
    if method is not None:
        stripe.confirm(intent, method)

    for _ in range(2):
        assert gateway.cancel_payment_intent(intent).status == status
    assert gateway.get_payment_intent(intent).status == status


def test_a_payment_is_read_with_what_was_received_of_it(gateway: StripePayments, stripe: StripeFake) -> None:
    made = gateway.create_payment_intent(due(), EVENT, EMAIL)
    assert (made.status, made.amount, made.received, made.currency) == ("open", 2500, 0, "eur")
    assert made.client_secret

    stripe.confirm(made.intent_id)

    assert (
        gateway.get_payment_intent(made.intent_id).received,
        gateway.get_payment_intent(made.intent_id).amount,
    ) == (2500, 2500)


@pytest.mark.parametrize("after", [True, False])
def test_a_refund_whose_answer_was_lost_is_the_same_refund(
    gateway: StripePayments,
    stripe: StripeFake,
    after: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    intent = stripe.create(2500)["id"]
    stripe.confirm(intent)
    owed = due()
    stripe.faults.calls = [Fault("reset", after=after)]
    with pytest.raises(Unreachable):
        gateway.create_refund(owed, intent)

    made = gateway.create_refund(owed, intent)

    assert [refund["id"] for refund in stripe.refunds(intent)] == [made.refund_id]
    assert (made.status, made.amount, made.intent_id) == ("succeeded", 2500, intent)
    assert gateway.get_refund(made.refund_id) == made


def test_a_refund_that_somebody_else_has_made_is_found(gateway: StripePayments, stripe: StripeFake) -> None:
    intent = stripe.create(2500)["id"]
    stripe.confirm(intent)
    elsewhere = stripe.refund(intent)["id"]

    found = gateway.create_refund(due(), intent)

    assert (found.refund_id, found.booking_id) == (elsewhere, None)


def test_a_part_that_somebody_else_has_paid_back_is_no_refund(
    gateway: StripePayments, stripe: StripeFake
) -> None:
    intent = stripe.create(2500)["id"]
    stripe.confirm(intent)
    stripe.refund(intent, 1000)

    with pytest.raises(PaymentRefused):
        gateway.create_refund(due(), intent)

    assert len(stripe.refunds(intent)) == 1


def test_a_refund_that_failed_is_not_taken_for_one_that_stands(
    gateway: StripePayments, stripe: StripeFake
) -> None:
    intent = stripe.create(2500)["id"]
    stripe.confirm(intent, "pm_card_refundFail")
    owed = due()
    first = gateway.create_refund(owed, intent)
    stripe.settle(first.refund_id)

    second = gateway.create_refund(due(attempt=1, booking=owed.booking_id), intent)

    assert gateway.get_refund(first.refund_id).status == "failed"
    assert second.refund_id != first.refund_id
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
def test_amounts_go_to_stripe_and_come_back_the_same(currency: str, amount: int, at_stripe: int) -> None:
    assert stripe_objects.to_stripe_amount(amount, currency) == at_stripe

    of = {**objects.payment_intent(at_stripe, currency), "amount_received": at_stripe}

    assert (
        stripe_objects.parse_payment_intent(of).amount,
        stripe_objects.parse_payment_intent(of).received,
    ) == (amount, amount)


@pytest.mark.parametrize("currency", ["isk", "ugx"])
def test_a_fraction_of_money_that_has_none_is_no_amount_that_is_owed(currency: str) -> None:
    assert stripe_objects.parse_payment_intent(objects.payment_intent(250_001, currency)).amount == -1
