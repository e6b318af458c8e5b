"""Holds the stand-in to the stripe package: objects, values, parameters and names of events."""

import functools
import re
import sys
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pytest
import stripe
import stripe.params

from infra.local.stripe import shapes
from infra.local.stripe.errors import Refused
from infra.local.stripe.methods import METHODS
from infra.local.stripe.routes import ROUTES, Route
from infra.local.stripe.stand_in import StandIn

PARAMETERS = {
    "POST /v1/payment_intents": "PaymentIntentCreateParams",
    "GET /v1/payment_intents": "PaymentIntentListParams",
    "GET /v1/payment_intents/{id}": "PaymentIntentRetrieveParams",
    "POST /v1/payment_intents/{id}": "PaymentIntentUpdateParams",
    "POST /v1/payment_intents/{id}/confirm": "PaymentIntentConfirmParams",
    "POST /v1/payment_intents/{id}/cancel": "PaymentIntentCancelParams",
    "POST /v1/refunds": "RefundCreateParams",
    "GET /v1/refunds": "RefundListParams",
    "GET /v1/refunds/{id}": "RefundRetrieveParams",
    "GET /v1/charges": "ChargeListParams",
    "GET /v1/charges/{id}": "ChargeRetrieveParams",
    "GET /v1/disputes": "DisputeListParams",
    "GET /v1/disputes/{id}": "DisputeRetrieveParams",
    "POST /v1/disputes/{id}/close": "DisputeCloseParams",
    "GET /v1/events": "EventListParams",
    "GET /v1/events/{id}": "EventRetrieveParams",
}
WHOLE = (stripe.PaymentIntent, stripe.Charge, stripe.Refund, stripe.Dispute, stripe.Event)
"""Of these every member is there, null where it does not apply."""
BY_NAME = {kind.OBJECT_NAME: kind for kind in (*WHOLE, stripe.PaymentMethod)}


def differences(value: Any, hint: Any, where: str) -> Iterator[str]:
    """Say how a value differs from what the package's annotation lets expect."""
    kind = get_origin(hint) or hint
    if kind in {typing.Union, types.UnionType}:
        yield from of_the_nearest(value, get_args(hint), where)
    elif kind is Literal:
        if value not in get_args(hint):
            yield f"{where}: {value!r} is none of {get_args(hint)}"
    elif issubclass(kind, stripe.StripeObject):
        yield from of_object(value, kind, where)
    elif type(value) is not kind:
        yield f"{where}: {value!r} is no {hint}"
    elif kind is list:
        for number, one in enumerate(value):
            yield from differences(one, get_args(hint)[0], f"{where}[{number}]")


def of_the_nearest(value: Any, branches: tuple[Any, ...], where: str) -> Iterator[str]:
    if str in branches and any(get_origin(branch) is Literal for branch in branches):
        branches = tuple(branch for branch in branches if branch is not str)  # an enumeration
    found = [list(differences(value, branch, where)) for branch in branches]
    if all(found):
        yield from min(found, key=len)


class Names(dict[str, Any]):
    """What the package's annotations mean by a name."""

    def __missing__(self, name: str) -> Any:
        try:
            return getattr(stripe, {"CardResource": "Card"}.get(name, name))
        except AttributeError:
            raise KeyError(name) from None


@functools.cache
def own_hints(kind: type) -> dict[str, Any]:
    """Return the annotations of a class of the package, which imports what they name only when asked."""
    own = type("Own", (), {"__annotations__": kind.__annotations__})
    hints = typing.get_type_hints(own, vars(sys.modules[kind.__module__]), Names())
    return {name: hint for name, hint in hints.items() if name != "OBJECT_NAME"}


def of_object(value: Any, kind: type, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: {value!r} is no object"
        return
    if kind.__name__ == "UntypedStripeObject":
        return
    hints = own_hints(kind)
    for name in value.keys() - hints.keys():
        yield f"{where}.{name} is unknown to the package"
    for name, hint in hints.items():
        if name in value:
            yield from differences(value[name], hint, f"{where}.{name}")
        elif kind in WHOLE or type(None) not in get_args(hint):
            yield f"{where}.{name} is missing"


def refusal(stand_in: StandIn, intent: str, method: str) -> dict[str, Any]:
    """Try to pay and return the error, one of no members but the required if there is none."""
    try:
        stand_in.confirm(intent, method)
    except Refused as refused:
        return refused.error
    return {"type": "none"}


def everything_happens(stand_in: StandIn) -> None:
    """Have each payment method do all that it can."""
    for method in METHODS:
        intent = stand_in.create(1250, metadata={"bookingId": "b"})["id"]
        refusal(stand_in, intent, method.name)
        status = stand_in.intent(intent)["status"]
        if status == "requires_action":
            stand_in.authenticate(intent, passed=method.number.endswith("3184"))
        if status == "processing":
            stand_in.settle(intent)
        if stand_in.intent(intent)["status"] != "succeeded":
            continue
        if not stand_in.disputes(intent):
            refund = stand_in.refund(intent, 500)
            if method.refund != "succeeded":
                stand_in.settle(refund["id"])
            stand_in.dispute(intent)
        stand_in.settle_dispute(stand_in.disputes(intent)[0]["id"], won=method.number.endswith("4242"))
    stand_in.cancel(stand_in.create(1250)["id"])


@pytest.fixture
def after_everything(stand_in: StandIn) -> StandIn:
    everything_happens(stand_in)
    return stand_in


def test_each_event_and_the_object_in_it_is_as_the_package_knows_it(after_everything: StandIn) -> None:
    events = after_everything.events()
    assert len(events) > 50
    for event in events:
        assert list(differences(event, stripe.Event, event["type"])) == []
        told = event["data"]["object"]
        assert list(differences(told, BY_NAME[told["object"]], event["type"])) == []
        assert event["data"].get("previous_attributes", {}).keys() <= told.keys()


def test_all_that_can_be_told_of_was_told(after_everything: StandIn) -> None:
    assert {event["type"] for event in after_everything.events()} == {
        "payment_intent.created", "payment_intent.requires_action", "payment_intent.processing",
        "payment_intent.succeeded", "payment_intent.payment_failed", "payment_intent.canceled",
        "charge.pending", "charge.succeeded", "charge.failed", "charge.updated", "charge.refunded",
        "charge.refund.updated", "refund.created", "refund.updated", "refund.failed",
        "charge.dispute.created", "charge.dispute.closed", "charge.dispute.funds_withdrawn",
        "charge.dispute.funds_reinstated",
    }  # fmt: skip


def test_the_state_of_each_object_is_as_the_package_knows_it(after_everything: StandIn) -> None:
    for intent in after_everything.intents():
        assert list(differences(intent, stripe.PaymentIntent, "intent")) == []
        for refund in after_everything.refunds(intent["id"]):
            assert list(differences(refund, stripe.Refund, "refund")) == []
        for dispute in after_everything.disputes(intent["id"]):
            assert list(differences(dispute, stripe.Dispute, "dispute")) == []


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_errors_are_as_the_package_knows_them(stand_in: StandIn, method: Any) -> None:
    intent = stand_in.create(1250)["id"]
    codes = own_hints(stripe.PaymentIntent.LastPaymentError)["code"]
    for _ in range(2):  # what is paid cannot be paid again
        error = refusal(stand_in, intent, method.name)
        assert list(of_object(error, stripe.ErrorObject, "error")) == []
        assert list(differences(error.get("code", "card_declined"), codes, "code")) == []


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_payment_methods_are_as_the_package_knows_them(method: Any) -> None:
    made = shapes.payment_method(method)
    assert list(differences(made, stripe.PaymentMethod, "payment_method")) == []


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_the_package_has_each_parameter_that_is_taken(route: Route) -> None:
    known = getattr(stripe.params, PARAMETERS[f"{route.method} {route.path}"])
    assert route.known <= known.__annotations__.keys()


def test_the_version_is_the_one_that_the_package_is_made_for() -> None:
    assert stripe.api_version == shapes.API_VERSION
    assert re.fullmatch(r"16\.\d+\.\d+", stripe.VERSION)
