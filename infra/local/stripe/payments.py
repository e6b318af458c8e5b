"""What happens to PaymentIntents and their charges."""

from infra.local.stripe import disputes, shapes
from infra.local.stripe.account import Account
from infra.local.stripe.errors import Json, Refused, card_error, doc_url, unexpected_state
from infra.local.stripe.methods import BANK_SAYS_NO, NOT_AUTHENTICATED, Decline, Method, named

CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
CANCELABLE = ("requires_payment_method", "requires_capture", "requires_confirmation", "requires_action")


def create(account: Account, intent: Json) -> Json:
    account.add(intent)
    account.tell("payment_intent.created", intent)
    return intent


def update(account: Account, intent: Json, changes: Json) -> Json:
    """Change an intent; the amount only as long as nothing was paid. Raises Refused."""
    if changes.keys() & {"amount", "currency"} and intent["status"] not in CONFIRMABLE:
        raise unexpected_state(
            "This PaymentIntent's amount could not be updated because it has a status of "
            f"{intent['status']}. You may only update the amount of a PaymentIntent with one of "
            f"the following statuses: {', '.join(CONFIRMABLE)}.",
            intent,
        )
    intent.update(changes)
    account.save(intent)
    return intent


def attach(account: Account, intent: Json, method: Method) -> None:
    """Give an intent what it is to be paid with, to be confirmed later."""
    intent.update(payment_method=_keep(account, method), status="requires_confirmation")
    account.save(intent)


def confirm(account: Account, intent: Json, method: Method | None, return_url: str | None = None) -> Json:
    """Try to pay, with the method given or the one attached. Raises Refused, also when it is declined."""
    if intent["status"] not in CONFIRMABLE:
        raise unexpected_state(
            f"You cannot confirm this PaymentIntent because it has a status of {intent['status']}. Only a "
            f"PaymentIntent with one of the following statuses may be confirmed: {', '.join(CONFIRMABLE)}.",
            intent,
        )
    if method is not None:
        intent["payment_method"] = _keep(account, method)
    elif intent["payment_method"] is None:
        raise unexpected_state(
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can either "
            "update the PaymentIntent with a payment method and then confirm it again, or confirm it again "
            "directly with a payment method or ConfirmationToken.",
            intent,
        )
    else:
        method = _method_of(account, intent)
    intent.update(last_payment_error=None, next_action=None)
    if method.authenticates:
        url = f"{account.base}/three-d-secure/{intent['id']}?client_secret={intent['client_secret']}"
        intent.update(status="requires_action", next_action=shapes.redirect(url, return_url))
        account.save(intent)
        account.tell("payment_intent.requires_action", intent)
    elif not method.is_card:
        _debit(account, intent, method)
    elif method.decline is not None:
        _decline(account, intent, _charge(account, intent, method), method.decline)
        raise _refusal(intent)
    else:
        _pay(account, intent, _charge(account, intent, method), method)
    return intent


def authenticate(account: Account, intent: Json, *, passed: bool) -> Json:
    """End 3-D Secure as the person did. Raises Refused."""
    if intent["status"] != "requires_action":
        raise unexpected_state(f"This PaymentIntent has a status of {intent['status']}.", intent)
    intent["next_action"] = None
    method = _method_of(account, intent)
    if passed:
        _pay(account, intent, _charge(account, intent, method), method)
    else:
        _fail(account, intent, NOT_AUTHENTICATED, charge_id=None)
    return intent


def settle(account: Account, intent: Json, *, paid: bool) -> Json:
    """End a bank debit that is under way. Raises Refused."""
    if intent["status"] != "processing":
        raise unexpected_state(f"This PaymentIntent has a status of {intent['status']}.", intent)
    charge = account.get("charge", intent["latest_charge"])
    if paid:
        charge.update(
            amount_captured=charge["amount"],
            balance_transaction=shapes.new_id("txn"),
            paid=True,
            status="succeeded",
            outcome={**charge["outcome"], "type": "authorized"},
        )
        account.save(charge)
        account.tell("charge.succeeded", charge)
        _succeed(account, intent)
    else:
        _decline(account, intent, charge, BANK_SAYS_NO)
    return intent


def cancel(account: Account, intent: Json, reason: str | None) -> Json:
    """Cancel an intent that was not paid. Raises Refused."""
    if intent["status"] not in CANCELABLE:
        raise unexpected_state(
            f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}. Only a "
            f"PaymentIntent with one of the following statuses may be canceled: {', '.join(CANCELABLE)}.",
            intent,
        )
    intent.update(status="canceled", canceled_at=shapes.now(), cancellation_reason=reason, next_action=None)
    account.save(intent)
    account.tell("payment_intent.canceled", intent)
    return intent


def _keep(account: Account, method: Method) -> str:
    kept = shapes.payment_method(method)
    account.add(kept, tag=method.name)
    identity: str = kept["id"]
    return identity


def _method_of(account: Account, intent: Json) -> Method:
    return named(account.tag(intent["payment_method"]))


def _charge(account: Account, intent: Json, method: Method) -> Json:
    page = f"{account.base}/pay/{intent['id']}?client_secret={intent['client_secret']}"
    made = shapes.charge(intent, intent["payment_method"], method, page)
    account.add(made, parent=intent["id"])
    intent["latest_charge"] = made["id"]
    return made


def _pay(account: Account, intent: Json, charge: Json, method: Method) -> None:
    account.tell("charge.succeeded", charge)
    _succeed(account, intent)
    # Stripe books the money behind the payment, and says so.
    account.change(charge, {"balance_transaction": shapes.new_id("txn")}, "charge.updated")
    if method.disputed:
        disputes.open_one(account, charge, "fraudulent")


def _succeed(account: Account, intent: Json) -> None:
    intent.update(status="succeeded", amount_received=intent["amount"], processing=None)
    account.save(intent)
    account.tell("payment_intent.succeeded", intent)


def _debit(account: Account, intent: Json, method: Method) -> None:
    charge = _charge(account, intent, method)
    intent["status"] = "processing"
    account.save(intent)
    account.tell("payment_intent.processing", intent)
    account.tell("charge.pending", charge)
    if method.settles != "by hand":
        account.end_later(intent["id"])


def _decline(account: Account, intent: Json, charge: Json, why: Decline) -> None:
    charge.update(shapes.declined(charge, why.code, why.decline_code, why.message))
    account.save(charge)
    account.tell("charge.failed", charge)
    _fail(account, intent, why, charge["id"])


def _fail(account: Account, intent: Json, why: Decline, charge_id: str | None) -> None:
    error = {
        "charge": charge_id,
        "code": why.code,
        "decline_code": why.decline_code,
        "doc_url": doc_url(why.code),
        "message": why.message,
        "payment_method": account.find(intent["payment_method"]),
        "type": "card_error" if charge_id else "invalid_request_error",
    }
    intent.update(
        last_payment_error={name: value for name, value in error.items() if value is not None},
        payment_method=None,
        processing=None,
        status="requires_payment_method",
    )
    account.save(intent)
    account.tell("payment_intent.payment_failed", intent)


def _refusal(intent: Json) -> Refused:
    members = dict(intent["last_payment_error"])
    for known in ("type", "doc_url"):
        members.pop(known)
    return card_error(members.pop("message"), {**members, "payment_intent": intent})
