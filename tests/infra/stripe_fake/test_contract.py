"""Compares the fake with the types of Stripe's own package: objects, values, parameters, event types."""

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

from infra.stripe_fake import objects
from infra.stripe_fake.errors import ApiError
from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.routes import ROUTES, Route
from infra.stripe_fake.test_cards import METHODS, Method

PARAMETERS = {
    "POST /v1/payment_intents": "PaymentIntentCreateParams",
    "GET /v1/payment_intents/<id>": "PaymentIntentRetrieveParams",
    "POST /v1/payment_intents/<id>/confirm": "PaymentIntentConfirmParams",
    "POST /v1/payment_intents/<id>/cancel": "PaymentIntentCancelParams",
    "POST /v1/refunds": "RefundCreateParams",
    "GET /v1/refunds": "RefundListParams",
    "GET /v1/refunds/<id>": "RefundRetrieveParams",
    "GET /v1/events": "EventListParams",
    "GET /v1/events/<id>": "EventRetrieveParams",
}
COMPLETE = (stripe.PaymentIntent, stripe.Charge, stripe.Refund, stripe.Dispute, stripe.Event)
"""These objects must have every member, null where it does not apply."""
BY_NAME = {kind.OBJECT_NAME: kind for kind in (*COMPLETE, stripe.PaymentMethod)}


def differences(value: Any, hint: Any, where: str) -> Iterator[str]:
    """Describe how a value differs from an annotation of the package."""
    kind = get_origin(hint) or hint
    if kind in {typing.Union, types.UnionType}:
        yield from of_nearest_branch(value, get_args(hint), where)
    elif kind is Literal:
        if value not in get_args(hint):
            yield f"{where}: {value!r} is not in {get_args(hint)}"
    elif issubclass(kind, stripe.StripeObject):
        yield from of_object(value, kind, where)
    elif type(value) is not kind:
        yield f"{where}: {value!r} is not a {hint}"
    elif kind is list:
        for number, item in enumerate(value):
            yield from differences(item, get_args(hint)[0], f"{where}[{number}]")


def of_nearest_branch(value: Any, branches: tuple[Any, ...], where: str) -> Iterator[str]:
    if str in branches and any(get_origin(branch) is Literal for branch in branches):
        branches = tuple(branch for branch in branches if branch is not str)  # an enumeration
    found = [list(differences(value, branch, where)) for branch in branches]
    if all(found):
        yield from min(found, key=len)


class Names(dict[str, Any]):
    """Resolves names in annotations of the package."""

    def __missing__(self, name: str) -> Any:
        try:
            return getattr(stripe, {"CardResource": "Card"}.get(name, name))
        except AttributeError:
            raise KeyError(name) from None


@functools.cache
def own_hints(kind: type) -> dict[str, Any]:
    """Return the annotations of a class. The package imports the classes that they name only on demand."""
    own = type("Own", (), {"__annotations__": kind.__annotations__})
    hints = typing.get_type_hints(own, vars(sys.modules[kind.__module__]), Names())
    return {name: hint for name, hint in hints.items() if name != "OBJECT_NAME"}


def of_object(value: Any, kind: type, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: {value!r} is not an object"
        return
    if kind.__name__ == "UntypedStripeObject":
        return
    hints = own_hints(kind)
    for name in value.keys() - hints.keys():
        yield f"{where}.{name} does not exist in the package"
    for name, hint in hints.items():
        if name in value:
            yield from differences(value[name], hint, f"{where}.{name}")
        elif kind in COMPLETE or type(None) not in get_args(hint):
            yield f"{where}.{name} is missing"


def try_to_pay(fake: StripeFake, intent: str, method: str) -> dict[str, Any]:
    """Return the error, or a minimal error object if the payment succeeds."""
    try:
        fake.confirm(intent, method)
    except ApiError as error:
        return error.error
    return {"type": "none"}


@pytest.fixture
def used(fake: StripeFake) -> StripeFake:
    """A fake in which each payment method did everything that it can do."""
    for method in METHODS:
        intent = fake.create(1250, metadata={"bookingId": "b"})["id"]
        try_to_pay(fake, intent, method.name)
        status = fake.intent(intent)["status"]
        if status == "requires_action":
            fake.authenticate(intent, passed=False)
            try_to_pay(fake, intent, method.name)
            fake.authenticate(intent)
        if status == "processing":
            fake.settle(intent)
        if fake.intent(intent)["status"] != "succeeded":
            continue
        if not fake.disputes(intent):
            refund = fake.refund(intent, 500)
            if method.refund != "succeeded":
                fake.settle(refund["id"])
            fake.dispute(intent)
        fake.settle_dispute(fake.disputes(intent)[0]["id"], won=method.number.endswith("4242"))
    fake.cancel(fake.create(1250)["id"])
    return fake


def test_events_and_their_objects_match_the_types(used: StripeFake) -> None:
    events = used.events()
    assert len(events) > 50
    for event in events:
        assert list(differences(event, stripe.Event, event["type"])) == []
        subject = event["data"]["object"]
        assert list(differences(subject, BY_NAME[subject["object"]], event["type"])) == []


def test_each_event_type_occurs(used: StripeFake) -> None:
    assert {event["type"] for event in used.events()} == {
        "payment_intent.created", "payment_intent.requires_action", "payment_intent.processing",
        "payment_intent.succeeded", "payment_intent.payment_failed", "payment_intent.canceled",
        "charge.pending", "charge.succeeded", "charge.failed", "charge.updated", "charge.refunded",
        "charge.refund.updated", "refund.created", "refund.updated", "refund.failed",
        "charge.dispute.created", "charge.dispute.closed", "charge.dispute.funds_withdrawn",
        "charge.dispute.funds_reinstated",
    }  # fmt: skip


def test_stored_objects_match_the_types(used: StripeFake) -> None:
    for intent in used.intents():
        assert list(differences(intent, stripe.PaymentIntent, "intent")) == []
        for refund in used.refunds(intent["id"]):
            assert list(differences(refund, stripe.Refund, "refund")) == []
        for dispute in used.disputes(intent["id"]):
            assert list(differences(dispute, stripe.Dispute, "dispute")) == []


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_errors_match_the_types(fake: StripeFake, method: Method) -> None:
    intent = fake.create(1250)["id"]
    codes = own_hints(stripe.PaymentIntent.LastPaymentError)["code"]
    for _ in range(2):  # a second payment of the same intent is an error too
        error = try_to_pay(fake, intent, method.name)
        assert list(of_object(error, stripe.ErrorObject, "error")) == []
        assert list(differences(error.get("code", "card_declined"), codes, "code")) == []


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_payment_methods_match_the_types(method: Method) -> None:
    made = objects.payment_method(method)
    assert list(differences(made, stripe.PaymentMethod, "payment_method")) == []


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_parameters_exist_in_the_package(route: Route) -> None:
    known = getattr(stripe.params, PARAMETERS[f"{route.method} {route.path}"])
    assert set(route.parameters.split()) <= known.__annotations__.keys()


def test_the_api_version_is_that_of_the_package() -> None:
    assert stripe.api_version == objects.API_VERSION
    assert re.fullmatch(r"16\.\d+\.\d+", stripe.VERSION)
