"""Payments, refunds and disputes, through Stripe's own package."""

import pytest
import stripe

from infra.stripe_fake.errors import ApiError
from infra.stripe_fake.fake import StripeFake

DECLINES = [
    ("pm_card_chargeDeclined", "4000000000000002", "card_declined", "generic_decline"),
    ("pm_card_chargeDeclinedInsufficientFunds", "4000000000009995", "card_declined", "insufficient_funds"),
    ("pm_card_chargeDeclinedExpiredCard", "4000000000000069", "expired_card", None),
    ("pm_card_chargeDeclinedIncorrectCvc", "4000000000000127", "incorrect_cvc", None),
    ("pm_card_chargeDeclinedProcessingError", "4000000000000119", "processing_error", None),
]
PAID = ["charge.succeeded", "payment_intent.succeeded", "charge.updated"]


def types(fake: StripeFake) -> list[str]:
    return [event["type"] for event in fake.events()]


def pay(
    client: stripe.StripeClient, intent: stripe.PaymentIntent, method: str = "pm_card_visa"
) -> stripe.PaymentIntent:
    return client.v1.payment_intents.confirm(intent.id, {"payment_method": method})


def test_a_new_intent_requires_a_payment_method(
    client: stripe.StripeClient, intent: stripe.PaymentIntent, fake: StripeFake
) -> None:
    found = client.v1.payment_intents.retrieve(intent.id)
    assert found.status == "requires_payment_method"
    assert (found.amount, found.currency, found.amount_received) == (1250, "eur", 0)
    assert found.metadata["bookingId"] == "b-1"
    assert str(found.client_secret).startswith(f"{intent.id}_secret_")
    assert types(fake) == ["payment_intent.created"]


def test_a_good_card_pays(
    client: stripe.StripeClient, intent: stripe.PaymentIntent, fake: StripeFake
) -> None:
    paid = pay(client, intent)
    assert (paid.status, paid.amount_received) == ("succeeded", 1250)
    charge = fake.charge(intent.id)
    assert (charge["id"], charge["paid"], charge["status"]) == (paid.latest_charge, True, "succeeded")
    assert types(fake)[1:] == PAID


@pytest.mark.parametrize(("name", "number", "code", "decline_code"), DECLINES)
def test_a_good_card_pays_after_a_declined_one(
    client: stripe.StripeClient,
    intent: stripe.PaymentIntent,
    fake: StripeFake,
    name: str,
    number: str,
    code: str,
    decline_code: str | None,
) -> None:
    with pytest.raises(stripe.CardError) as raised:
        pay(client, intent, name)
    error = raised.value.error
    assert error is not None
    assert (raised.value.http_status, error.code, error.decline_code) == (402, code, decline_code)
    assert error.payment_intent is not None
    assert error.payment_intent.id == intent.id
    with pytest.raises(ApiError) as by_number:
        fake.confirm(intent.id, number)
    assert by_number.value.error["code"] == code
    found = client.v1.payment_intents.retrieve(intent.id)
    assert (found.status, found.payment_method) == ("requires_payment_method", None)
    assert found.last_payment_error is not None
    assert found.last_payment_error.code == code
    pay(client, intent)
    found = client.v1.payment_intents.retrieve(intent.id)
    assert (found.status, found.last_payment_error) == ("succeeded", None)
    failed = ["charge.failed", "payment_intent.payment_failed"]
    assert types(fake)[1:] == [*failed, *failed, *PAID]


@pytest.mark.parametrize(
    ("number", "code"), [("4242424242424241", "incorrect_number"), ("4111111111111111", "card_declined")]
)
def test_other_card_numbers_are_refused(fake: StripeFake, number: str, code: str) -> None:
    with pytest.raises(ApiError) as raised:
        fake.confirm(fake.create(1250)["id"], number)
    assert (raised.value.status, raised.value.error["code"]) == (402, code)
    assert types(fake) == ["payment_intent.created"]


def test_an_unknown_payment_method_is_refused(
    client: stripe.StripeClient, intent: stripe.PaymentIntent
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as raised:
        pay(client, intent, "pm_card_none")
    assert raised.value.code == "resource_missing"


def test_passing_three_d_secure_pays(
    client: stripe.StripeClient, intent: stripe.PaymentIntent, fake: StripeFake
) -> None:
    asked = pay(client, intent, "pm_card_authenticationRequired")
    assert asked.status == "requires_action"
    assert asked.next_action is not None
    assert asked.next_action.redirect_to_url is not None
    assert str(asked.next_action.redirect_to_url.url).startswith(f"{fake.url}/three-d-secure/{intent.id}")
    fake.authenticate(intent.id)
    paid = client.v1.payment_intents.retrieve(intent.id)
    assert (paid.status, paid.next_action) == ("succeeded", None)
    assert types(fake)[1:3] == ["payment_intent.requires_action", "charge.succeeded"]


def test_failing_three_d_secure_does_not_pay(
    client: stripe.StripeClient, intent: stripe.PaymentIntent, fake: StripeFake
) -> None:
    pay(client, intent, "pm_card_authenticationRequired")
    fake.authenticate(intent.id, passed=False)
    found = client.v1.payment_intents.retrieve(intent.id)
    assert found.status == "requires_payment_method"
    assert found.last_payment_error is not None
    assert found.last_payment_error.code == "payment_intent_authentication_failure"
    assert types(fake)[-1] == "payment_intent.payment_failed"
    with pytest.raises(ApiError, match="requires_payment_method"):
        fake.authenticate(intent.id)


@pytest.mark.parametrize(
    ("name", "succeed", "status"),
    [
        ("pm_usBankAccount_success", None, "succeeded"),
        ("pm_usBankAccount_accountClosed", None, "requires_payment_method"),
        ("pm_usBankAccount_processing", True, "succeeded"),
        ("pm_usBankAccount_processing", False, "requires_payment_method"),
    ],
)
def test_a_bank_debit_is_processing_until_it_settles(
    client: stripe.StripeClient,
    intent: stripe.PaymentIntent,
    fake: StripeFake,
    name: str,
    succeed: bool | None,  # noqa: FBT001 - a column of the table
    status: str,
) -> None:
    started = pay(client, intent, name)
    assert (started.status, started.amount_received) == ("processing", 0)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.cancel(intent.id)
    assert fake.settle(intent.id, succeed=succeed)["status"] == status
    assert types(fake)[1:3] == ["payment_intent.processing", "charge.pending"]
    outcome = "succeeded" if status == "succeeded" else "payment_failed"
    assert types(fake)[-1] == f"payment_intent.{outcome}"


def test_unpaid_intents_can_be_canceled(
    client: stripe.StripeClient, intent: stripe.PaymentIntent, fake: StripeFake
) -> None:
    waiting = client.v1.payment_intents.create({"amount": 1250, "currency": "eur"})
    pay(client, waiting, "pm_card_authenticationRequired")
    for unpaid in (intent, waiting):
        canceled = client.v1.payment_intents.cancel(unpaid.id)
        assert canceled.status == "canceled"
        assert canceled.canceled_at is not None
        with pytest.raises(stripe.InvalidRequestError) as raised:
            pay(client, unpaid)
        assert raised.value.code == "payment_intent_unexpected_state"
    assert types(fake).count("payment_intent.canceled") == 2


def test_paid_and_canceled_intents_stay(
    client: stripe.StripeClient, intent: stripe.PaymentIntent, fake: StripeFake
) -> None:
    fake.confirm(intent.id)
    other = fake.create(1250)["id"]
    fake.cancel(other)
    for intent_id, status in ((intent.id, "succeeded"), (other, "canceled")):
        with pytest.raises(stripe.InvalidRequestError) as raised:
            client.v1.payment_intents.cancel(intent_id)
        error = raised.value.error
        assert error is not None
        assert error.code == "payment_intent_unexpected_state"
        assert error.payment_intent is not None
        assert error.payment_intent.status == status


def test_refunds_are_limited_to_the_paid_amount(
    client: stripe.StripeClient, intent: stripe.PaymentIntent, fake: StripeFake
) -> None:
    fake.confirm(intent.id)
    part = client.v1.refunds.create({"payment_intent": intent.id, "amount": 250, "metadata": {"a": "b"}})
    assert (part.status, part.amount) == ("succeeded", 250)
    assert part.metadata is not None
    assert part.metadata["a"] == "b"
    with pytest.raises(stripe.InvalidRequestError, match=r"12\.50 EUR.*10\.00 EUR"):
        client.v1.refunds.create({"payment_intent": intent.id, "amount": 1250})
    rest = client.v1.refunds.create({"payment_intent": intent.id})
    assert rest.amount == 1000
    with pytest.raises(stripe.InvalidRequestError) as raised:
        client.v1.refunds.create({"payment_intent": intent.id})
    assert raised.value.code == "charge_already_refunded"
    charge = fake.charge(intent.id)
    assert (charge["amount_refunded"], charge["refunded"]) == (1250, True)
    assert client.v1.refunds.retrieve(part.id) == part
    assert types(fake)[-4:] == ["refund.created", "charge.refunded"] * 2
    assert client.v1.payment_intents.retrieve(intent.id).status == "succeeded"


def test_refunds_are_listed_newest_first(
    client: stripe.StripeClient, intent: stripe.PaymentIntent, fake: StripeFake
) -> None:
    other = fake.create(1250)["id"]
    for paid in (intent.id, other):
        fake.confirm(paid)
    made = [fake.refund(intent.id, 100)["id"] for _ in range(3)]
    fake.refund(other)
    listed = client.v1.refunds.list({"payment_intent": intent.id})
    assert ([refund.id for refund in listed.data], listed.has_more) == (made[::-1], False)
    listed = client.v1.refunds.list({"payment_intent": intent.id, "limit": 2})
    assert ([refund.id for refund in listed.data], listed.has_more) == (made[:0:-1], True)
    assert len(client.v1.refunds.list().data) == 4
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.refunds.list({"limit": 101})


def test_an_unpaid_intent_is_not_refunded(client: stripe.StripeClient, intent: stripe.PaymentIntent) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="does not have a successful charge"):
        client.v1.refunds.create({"payment_intent": intent.id})


def test_a_refund_can_fail_after_it_succeeded(
    client: stripe.StripeClient, intent: stripe.PaymentIntent, fake: StripeFake
) -> None:
    fake.confirm(intent.id, "pm_card_refundFail")
    refund = client.v1.refunds.create({"payment_intent": intent.id})
    assert refund.status == "succeeded"
    fake.settle(refund.id)
    found = client.v1.refunds.retrieve(refund.id)
    assert (found.status, found.failure_reason) == ("failed", "expired_or_canceled_card")
    assert types(fake)[-4:] == [
        "refund.updated", "charge.refund.updated", "charge.updated", "refund.failed",
    ]  # fmt: skip
    assert fake.charge(intent.id)["amount_refunded"] == 0
    assert client.v1.refunds.create({"payment_intent": intent.id}).amount == 1250


def test_a_refund_can_be_pending_first(
    client: stripe.StripeClient, intent: stripe.PaymentIntent, fake: StripeFake
) -> None:
    fake.confirm(intent.id, "pm_card_pendingRefund")
    refund = client.v1.refunds.create({"payment_intent": intent.id})
    assert refund.status == "pending"
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.refunds.create({"payment_intent": intent.id})
    assert fake.settle(refund.id)["status"] == "succeeded"
    (updated,) = fake.events("refund.updated")
    assert updated["data"]["object"]["status"] == "succeeded"


@pytest.mark.parametrize("won", [True, False])
def test_only_a_won_dispute_allows_a_refund(
    client: stripe.StripeClient,
    fake: StripeFake,
    won: bool,  # noqa: FBT001 - a column of the table
) -> None:
    intent = fake.create(1250)["id"]
    fake.confirm(intent, "pm_card_createDispute")
    (opened,) = fake.disputes(intent)
    assert (opened["status"], opened["amount"]) == ("needs_response", 1250)
    with pytest.raises(stripe.InvalidRequestError) as raised:
        client.v1.refunds.create({"payment_intent": intent})
    assert raised.value.code == "charge_disputed"
    fake.settle_dispute(opened["id"], won=won)
    if won:
        assert client.v1.refunds.create({"payment_intent": intent}).status == "succeeded"
    else:
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.refunds.create({"payment_intent": intent})
    with pytest.raises(ApiError, match="already closed"):
        fake.settle_dispute(opened["id"], won=won)
    kinds = [kind.removeprefix("charge.dispute.") for kind in types(fake) if "dispute" in kind]
    assert kinds == ["created", "funds_withdrawn", "closed", *(["funds_reinstated"] if won else [])]


def test_a_charge_is_disputed_once(fake: StripeFake) -> None:
    intent = fake.create(1250)["id"]
    fake.confirm(intent)
    fake.dispute(intent)
    with pytest.raises(ApiError, match="already been disputed"):
        fake.dispute(intent)


def test_an_event_keeps_the_state_of_its_time(intent: stripe.PaymentIntent, fake: StripeFake) -> None:
    fake.confirm(intent.id)
    (created,) = fake.events("payment_intent.created")
    assert created["data"]["object"]["status"] == "requires_payment_method"
    (updated,) = fake.events("charge.updated")
    assert updated["data"]["object"]["balance_transaction"].startswith("txn_")
