"""The life cycle of PaymentIntents and their charges."""

from typing import Any

from infra.stripe_fake import disputes, objects, test_cards
from infra.stripe_fake.currencies import check_charge
from infra.stripe_fake.errors import ApiError, Json, unexpected_state
from infra.stripe_fake.store import Store
from infra.stripe_fake.test_cards import BANK_DEBIT_FAILED, NOT_AUTHENTICATED, Decline, Method

CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
CANCELABLE = ("requires_payment_method", "requires_capture", "requires_confirmation", "requires_action")


def create(store: Store, amount: int, currency: str, **members: Any) -> Json:
    check_charge(amount, currency)
    intent = objects.payment_intent(amount, currency) | members
    store.add(intent, "payment_intent.created")
    return intent


def confirm(store: Store, intent: Json, method: Method) -> Json:
    """Try to pay. Raise ApiError also if the card is declined."""
    _check_status(intent, CONFIRMABLE, "confirm", "confirmed")
    payment_method = objects.payment_method(method)
    store.add(payment_method)
    intent.update(payment_method=payment_method["id"], last_payment_error=None, next_action=None)
    if method.three_d_secure:
        redirect = objects.redirect(f"{store.base_url}{page_path('three-d-secure', intent)}")
        store.update(intent, "payment_intent.requires_action", status="requires_action", next_action=redirect)
    elif method.debit:
        charge = _charge(store, intent, method)
        store.update(intent, "payment_intent.processing", status="processing")
        store.record_event("charge.pending", charge)
        if method.debit != "manual":
            store.settle_later(intent["id"])
    elif method.decline:
        raise _decline(store, intent, _charge(store, intent, method), method.decline)
    else:
        _pay(store, intent, method)
    return intent


def authenticate(store: Store, intent: Json, *, passed: bool) -> Json:
    """End 3-D Secure. Raise ApiError if the payment does not wait for it."""
    _check_status(intent, ("requires_action",), "authenticate", "authenticated")
    intent["next_action"] = None
    if passed:
        _pay(store, intent, method_of(store, intent))
    else:
        _fail(store, intent, NOT_AUTHENTICATED, charge_id=None)
    return intent


def settle(store: Store, intent: Json, *, succeed: bool) -> Json:
    """Settle a bank debit. Raise ApiError if it is not processing."""
    _check_status(intent, ("processing",), "settle", "settled")
    charge = store.get("charge", intent["latest_charge"])
    if succeed:
        store.update(
            charge,
            "charge.succeeded",
            amount_captured=charge["amount"],
            balance_transaction=objects.new_id("txn"),
            paid=True,
            status="succeeded",
        )
        _succeed(store, intent)
    else:
        _decline(store, intent, charge, BANK_DEBIT_FAILED)
    return intent


def cancel(store: Store, intent: Json) -> Json:
    """Cancel an intent. Raise ApiError if it is paid, processing or canceled."""
    _check_status(intent, CANCELABLE, "cancel", "canceled")
    store.update(
        intent, "payment_intent.canceled", status="canceled", canceled_at=objects.now(), next_action=None
    )
    return intent


def method_of(store: Store, paid: Json) -> Method:
    """Return the test method of an intent or a charge."""
    stored = store.get("payment_method", paid["payment_method"])
    return test_cards.find(stored["metadata"]["name"])


def page_path(page: str, intent: Json) -> str:
    return f"/{page}/{intent['id']}?client_secret={intent['client_secret']}"


def _check_status(intent: Json, allowed: tuple[str, ...], verb: str, participle: str) -> None:
    if intent["status"] not in allowed:
        raise unexpected_state(
            f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}. Only a "
            f"PaymentIntent with one of the following statuses may be {participle}: {', '.join(allowed)}.",
            intent,
        )


def _charge(store: Store, intent: Json, method: Method) -> Json:
    charge = objects.charge(intent, method, f"{store.base_url}{page_path('pay', intent)}")
    store.add(charge)
    intent["latest_charge"] = charge["id"]
    return charge


def _pay(store: Store, intent: Json, method: Method) -> None:
    charge = _charge(store, intent, method)
    store.record_event("charge.succeeded", charge)
    _succeed(store, intent)
    # Stripe books the balance transaction after the payment.
    store.update(charge, "charge.updated", balance_transaction=objects.new_id("txn"))
    if method.disputed:
        disputes.create(store, charge, "fraudulent")


def _succeed(store: Store, intent: Json) -> None:
    store.update(intent, "payment_intent.succeeded", status="succeeded", amount_received=intent["amount"])


def _decline(store: Store, intent: Json, charge: Json, decline: Decline) -> ApiError:
    store.update(charge, "charge.failed", **objects.failed_charge(decline))
    return _fail(store, intent, decline, charge["id"])


def _fail(store: Store, intent: Json, decline: Decline, charge_id: str | None) -> ApiError:
    """Record a failed attempt to pay, and return it as an error."""
    error = ApiError(
        402,
        decline.message,
        kind="card_error" if charge_id else "invalid_request_error",
        code=decline.code,
        decline_code=decline.decline_code,
        charge=charge_id,
        payment_method=store.get("payment_method", intent["payment_method"]),
    )
    store.update(
        intent,
        "payment_intent.payment_failed",
        status="requires_payment_method",
        last_payment_error=dict(error.error),
        payment_method=None,
    )
    error.error["payment_intent"] = dict(intent)
    return error
