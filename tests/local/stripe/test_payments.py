"""The promises of payments, refunds and disputes, through Stripe's own package."""

from typing import Any

import pytest
import stripe
from stripe.params import PaymentIntentConfirmParams

from infra.local.stripe.stand_in import StandIn

DECLINES = [
    ("pm_card_chargeDeclined", "4000000000000002", "card_declined", "generic_decline"),
    ("pm_card_chargeDeclinedInsufficientFunds", "4000000000009995", "card_declined", "insufficient_funds"),
    ("pm_card_chargeDeclinedExpiredCard", "4000000000000069", "expired_card", None),
    ("pm_card_chargeDeclinedIncorrectCvc", "4000000000000127", "incorrect_cvc", None),
    ("pm_card_chargeDeclinedProcessingError", "4000000000000119", "processing_error", None),
]


def by_number(number: str) -> PaymentIntentConfirmParams:
    """Pay with a card's number, which the package's types leave to browsers."""
    card: Any = {"type": "card", "card": {"number": number}}
    return {"payment_method_data": card}


def types(stand_in: StandIn) -> list[str]:
    return [event["type"] for event in stand_in.events()]


def test_a_new_intent_waits_for_a_payment_method(
    client: stripe.StripeClient, intent: stripe.PaymentIntent, stand_in: StandIn
) -> None:
    found = client.v1.payment_intents.retrieve(intent.id)
    assert found.status == "requires_payment_method"
    assert (found.amount, found.currency, found.amount_received) == (1250, "eur", 0)
    assert found.metadata["bookingId"] == "b-1"
    assert str(found.client_secret).startswith(f"{intent.id}_secret_")
    assert types(stand_in) == ["payment_intent.created"]


@pytest.mark.parametrize("name", ["pm_card_visa", "pm_card_mastercard"])
def test_a_good_card_pays(
    client: stripe.StripeClient, intent: stripe.PaymentIntent, stand_in: StandIn, name: str
) -> None:
    paid = client.v1.payment_intents.confirm(
        intent.id, {"payment_method": name, "expand": ["latest_charge", "payment_method"]}
    )
    assert (paid.status, paid.amount_received) == ("succeeded", 1250)
    charge, method = paid.latest_charge, paid.payment_method
    assert isinstance(charge, stripe.Charge)
    assert (charge.paid, charge.status, charge.payment_intent) == (True, "succeeded", intent.id)
    assert client.v1.charges.retrieve(charge.id) == charge
    assert isinstance(method, stripe.PaymentMethod)
    assert types(stand_in)[1:] == ["charge.succeeded", "payment_intent.succeeded", "charge.updated"]


@pytest.mark.parametrize(("name", "number", "code", "decline_code"), DECLINES)
def test_a_declined_card_says_why_and_a_good_one_pays_the_same_intent(
    client: stripe.StripeClient,
    intent: stripe.PaymentIntent,
    stand_in: StandIn,
    name: str,
    number: str,
    code: str,
    decline_code: str | None,
) -> None:
    by_name: PaymentIntentConfirmParams = {"payment_method": name}
    for how in (by_name, by_number(number)):
        with pytest.raises(stripe.CardError) as raised:
            client.v1.payment_intents.confirm(intent.id, how)
        assert raised.value.http_status == 402
        assert raised.value.code == code
        error = raised.value.error
        assert error is not None
        assert error.decline_code == decline_code
        assert error.payment_intent is not None
        assert error.payment_intent.id == intent.id
    found = client.v1.payment_intents.retrieve(intent.id)
    assert (found.status, found.payment_method) == ("requires_payment_method", None)
    assert found.last_payment_error is not None
    assert found.last_payment_error.code == code
    client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    found = client.v1.payment_intents.retrieve(intent.id)
    assert (found.status, found.last_payment_error) == ("succeeded", None)
    failed = ["charge.failed", "payment_intent.payment_failed"]
    paid = ["charge.succeeded", "payment_intent.succeeded", "charge.updated"]
    assert types(stand_in)[1:] == [*failed, *failed, *paid]


@pytest.mark.parametrize(
    ("number", "code"), [("4242424242424241", "incorrect_number"), ("4111111111111111", "card_declined")]
)
def test_a_number_that_is_no_test_card_is_refused_and_nothing_happens(
    client: stripe.StripeClient, intent: stripe.PaymentIntent, stand_in: StandIn, number: str, code: str
) -> None:
    data = by_number(number)
    with pytest.raises(stripe.CardError) as raised:
        client.v1.payment_intents.confirm(intent.id, data)
    assert raised.value.code == code
    assert types(stand_in) == ["payment_intent.created"]


@pytest.mark.parametrize("name", ["pm_card_authenticationRequired", "pm_card_authenticationRequiredOnSetup"])
def test_three_d_secure_that_is_passed_pays(
    client: stripe.StripeClient, intent: stripe.PaymentIntent, stand_in: StandIn, name: str
) -> None:
    asked = client.v1.payment_intents.confirm(
        intent.id, {"payment_method": name, "return_url": "https://shop.example/"}
    )
    assert asked.status == "requires_action"
    assert asked.next_action is not None
    assert asked.next_action.redirect_to_url is not None
    assert str(asked.next_action.redirect_to_url.url).startswith(f"{stand_in.url}/three-d-secure/{intent.id}")
    assert asked.next_action.redirect_to_url.return_url == "https://shop.example/"
    stand_in.authenticate(intent.id)
    paid = client.v1.payment_intents.retrieve(intent.id)
    assert (paid.status, paid.next_action) == ("succeeded", None)
    assert types(stand_in)[1:3] == ["payment_intent.requires_action", "charge.succeeded"]


def test_three_d_secure_that_is_failed_does_not(
    client: stripe.StripeClient, intent: stripe.PaymentIntent, stand_in: StandIn
) -> None:
    client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_authenticationRequired"})
    stand_in.authenticate(intent.id, passed=False)
    found = client.v1.payment_intents.retrieve(intent.id)
    assert found.status == "requires_payment_method"
    assert found.last_payment_error is not None
    assert found.last_payment_error.code == "payment_intent_authentication_failure"
    assert types(stand_in)[-1] == "payment_intent.payment_failed"
    with pytest.raises(Exception, match="requires_payment_method"):
        stand_in.authenticate(intent.id)


@pytest.mark.parametrize(
    ("name", "well", "status"),
    [
        ("pm_usBankAccount_success", None, "succeeded"),
        ("pm_usBankAccount_accountClosed", None, "requires_payment_method"),
        ("pm_usBankAccount_processing", True, "succeeded"),
        ("pm_usBankAccount_processing", False, "requires_payment_method"),
    ],
)
def test_a_bank_debit_is_under_way_until_it_settles(
    client: stripe.StripeClient,
    intent: stripe.PaymentIntent,
    stand_in: StandIn,
    name: str,
    well: bool | None,  # noqa: FBT001 - a row of the table
    status: str,
) -> None:
    started = client.v1.payment_intents.confirm(intent.id, {"payment_method": name})
    assert (started.status, started.amount_received) == ("processing", 0)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.payment_intents.cancel(intent.id)
    assert stand_in.settle(intent.id, well=well)["status"] == status
    assert types(stand_in)[1:3] == ["payment_intent.processing", "charge.pending"]
    ended = "succeeded" if status == "succeeded" else "payment_failed"
    assert types(stand_in)[-1] == f"payment_intent.{ended}"


def test_a_method_can_be_attached_first_or_used_at_once(client: stripe.StripeClient) -> None:
    attached = client.v1.payment_intents.create(
        {"amount": 1250, "currency": "eur", "payment_method": "pm_card_visa"}
    )
    assert attached.status == "requires_confirmation"
    assert client.v1.payment_intents.confirm(attached.id).status == "succeeded"
    at_once = client.v1.payment_intents.create(
        {"amount": 1250, "currency": "eur", "payment_method": "pm_card_visa", "confirm": True}
    )
    assert at_once.status == "succeeded"


def test_metadata_is_merged_and_the_amount_changes_only_before_payment(
    client: stripe.StripeClient, intent: stripe.PaymentIntent
) -> None:
    update = client.v1.payment_intents.update
    changed = update(intent.id, {"amount": 900, "metadata": {"seat": "4", "bookingId": ""}})
    assert (changed.amount, changed.metadata.to_dict()) == (900, {"seat": "4"})
    assert update(intent.id, {"metadata": ""}).metadata.to_dict() == {}
    client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert update(intent.id, {"description": "Late"}).description == "Late"
    with pytest.raises(stripe.InvalidRequestError) as raised:
        update(intent.id, {"amount": 800})
    assert raised.value.code == "payment_intent_unexpected_state"


def test_what_is_not_paid_can_be_cancelled(
    client: stripe.StripeClient, intent: stripe.PaymentIntent, stand_in: StandIn
) -> None:
    asked = client.v1.payment_intents.create({"amount": 1250, "currency": "eur"})
    stand_in.confirm(asked.id, "pm_card_authenticationRequired")
    for one in (intent.id, asked.id):
        cancelled = client.v1.payment_intents.cancel(one, {"cancellation_reason": "abandoned"})
        assert (cancelled.status, cancelled.cancellation_reason) == ("canceled", "abandoned")
        assert cancelled.canceled_at is not None
        with pytest.raises(stripe.InvalidRequestError) as raised:
            client.v1.payment_intents.confirm(one, {"payment_method": "pm_card_visa"})
        assert raised.value.code == "payment_intent_unexpected_state"
    assert types(stand_in).count("payment_intent.canceled") == 2


def test_what_is_paid_or_cancelled_cannot_be_cancelled(
    client: stripe.StripeClient, intent: stripe.PaymentIntent, stand_in: StandIn
) -> None:
    stand_in.confirm(intent.id)
    other = stand_in.create(1250)["id"]
    stand_in.cancel(other)
    for one, status in ((intent.id, "succeeded"), (other, "canceled")):
        with pytest.raises(stripe.InvalidRequestError) as raised:
            client.v1.payment_intents.cancel(one)
        error = raised.value.error
        assert error is not None
        assert error.code == "payment_intent_unexpected_state"
        assert error.payment_intent is not None
        assert error.payment_intent.status == status


def test_money_is_given_back_in_parts_and_never_more_than_there_is(
    client: stripe.StripeClient, intent: stripe.PaymentIntent, stand_in: StandIn
) -> None:
    stand_in.confirm(intent.id)
    part = client.v1.refunds.create(
        {
            "payment_intent": intent.id,
            "amount": 250,
            "reason": "requested_by_customer",
            "metadata": {"a": "b"},
        }
    )
    assert (part.status, part.amount, part.reason) == ("succeeded", 250, "requested_by_customer")
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount") as raised:
        client.v1.refunds.create({"payment_intent": intent.id, "amount": 1001})
    assert raised.value.param == "amount"
    rest = client.v1.refunds.create({"payment_intent": intent.id})
    assert rest.amount == 1000
    with pytest.raises(stripe.InvalidRequestError) as raised:
        client.v1.refunds.create({"payment_intent": intent.id})
    assert raised.value.code == "charge_already_refunded"
    charge = stand_in.charge(intent.id)
    assert (charge["amount_refunded"], charge["refunded"]) == (1250, True)
    listed = client.v1.refunds.list({"payment_intent": intent.id})
    assert [refund.id for refund in listed.data] == [rest.id, part.id]
    assert client.v1.refunds.retrieve(part.id) == part
    assert types(stand_in)[-4:] == ["refund.created", "charge.refunded"] * 2
    assert client.v1.payment_intents.retrieve(intent.id).status == "succeeded"


def test_nothing_is_given_back_of_what_was_not_paid(
    client: stripe.StripeClient, intent: stripe.PaymentIntent
) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="does not have a successful charge"):
        client.v1.refunds.create({"payment_intent": intent.id})


def test_a_refund_can_look_done_and_fail_later(
    client: stripe.StripeClient, intent: stripe.PaymentIntent, stand_in: StandIn
) -> None:
    stand_in.confirm(intent.id, "pm_card_refundFail")
    refund = client.v1.refunds.create({"payment_intent": intent.id})
    assert refund.status == "succeeded"
    stand_in.settle(refund.id)
    found = client.v1.refunds.retrieve(refund.id)
    assert (found.status, found.failure_reason) == ("failed", "expired_or_canceled_card")
    assert types(stand_in)[-4:] == [
        "refund.updated", "charge.refund.updated", "charge.updated", "refund.failed",
    ]  # fmt: skip
    assert stand_in.charge(intent.id)["amount_refunded"] == 0
    assert client.v1.refunds.create({"payment_intent": intent.id}).amount == 1250


def test_a_refund_can_be_pending_first(
    client: stripe.StripeClient, intent: stripe.PaymentIntent, stand_in: StandIn
) -> None:
    stand_in.confirm(intent.id, "pm_card_pendingRefund")
    refund = client.v1.refunds.create({"payment_intent": intent.id})
    assert refund.status == "pending"
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.refunds.create({"payment_intent": intent.id})
    assert stand_in.settle(refund.id)["status"] == "succeeded"
    (updated,) = stand_in.events("refund.updated")
    assert updated["data"]["previous_attributes"] == {"status": "pending", "pending_reason": "processing"}


def test_a_disputed_charge_is_not_refunded_unless_the_dispute_is_won(
    client: stripe.StripeClient, stand_in: StandIn
) -> None:
    for won in (True, False):
        intent = stand_in.create(1250)["id"]
        stand_in.confirm(intent, "pm_card_createDispute")
        (opened,) = client.v1.disputes.list({"payment_intent": intent}).data
        assert (opened.status, opened.amount) == ("needs_response", 1250)
        with pytest.raises(stripe.InvalidRequestError) as raised:
            client.v1.refunds.create({"payment_intent": intent})
        assert raised.value.code == "charge_disputed"
        if won:
            stand_in.settle_dispute(opened.id, won=True)
            assert client.v1.refunds.create({"payment_intent": intent}).status == "succeeded"
        else:
            assert client.v1.disputes.close(opened.id).status == "lost"
            with pytest.raises(stripe.InvalidRequestError):
                client.v1.refunds.create({"payment_intent": intent})
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.disputes.close(opened.id)
    told = [kind.removeprefix("charge.dispute.") for kind in types(stand_in) if "dispute" in kind]
    assert told == [
        "created", "funds_withdrawn", "closed", "funds_reinstated", "created", "funds_withdrawn", "closed",
    ]  # fmt: skip


def test_the_dashboard_refunds_cancels_and_disputes_too(
    client: stripe.StripeClient, intent: stripe.PaymentIntent, stand_in: StandIn
) -> None:
    stand_in.confirm(intent.id)
    stand_in.refund(intent.id, 50)
    assert client.v1.refunds.retrieve(stand_in.refunds(intent.id)[0]["id"]).amount == 50
    stand_in.dispute(intent.id)
    assert stand_in.events()[-1]["request"] == {"id": None, "idempotency_key": None}


def test_events_are_listed_newest_first_by_page_type_and_time(
    client: stripe.StripeClient, stand_in: StandIn
) -> None:
    made = [stand_in.create(100 + number)["id"] for number in range(25)]
    stand_in.confirm(made[0])
    events = client.v1.events
    every = list(events.list({"limit": 7}).auto_paging_iter())
    assert [event.id for event in every] == [event["id"] for event in stand_in.events()[::-1]]
    assert every[0].type == "charge.updated"
    created = list(events.list({"type": "payment_intent.created", "limit": 10}).auto_paging_iter())
    assert [event.data.object["id"] for event in created] == made[::-1]
    two = events.list({"types": ["charge.succeeded", "payment_intent.succeeded"]})
    assert [event.type for event in two.data] == ["payment_intent.succeeded", "charge.succeeded"]
    assert events.list({"created": {"gte": every[-1].created}}).data
    assert not events.list({"created": {"gt": every[0].created}}).data
    assert events.retrieve(every[3].id) == every[3]
    intents = client.v1.payment_intents.list({"limit": 100, "created": {"gte": every[-1].created}})
    assert [intent.id for intent in intents.data] == made[::-1]
    assert intents.has_more is False


def test_an_event_holds_what_was_so_when_it_happened(intent: stripe.PaymentIntent, stand_in: StandIn) -> None:
    stand_in.confirm(intent.id)
    created, *_ = stand_in.events("payment_intent.created")
    assert created["data"]["object"]["status"] == "requires_payment_method"
    (updated,) = stand_in.events("charge.updated")
    assert updated["data"]["previous_attributes"] == {"balance_transaction": None}
    assert updated["data"]["object"]["balance_transaction"].startswith("txn_")
