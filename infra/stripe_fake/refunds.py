"""The life cycle of refunds."""

from infra.stripe_fake import disputes, objects
from infra.stripe_fake.currencies import format_amount
from infra.stripe_fake.errors import ApiError, Json, invalid, unexpected_state
from infra.stripe_fake.payment_intents import method_of
from infra.stripe_fake.store import Store


def charge_of(store: Store, intent: Json) -> Json:
    """Return the charge that paid an intent. Raise ApiError if it is not paid."""
    if intent["status"] != "succeeded":
        text = f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund."
        raise unexpected_state(text, intent)
    return store.get("charge", intent["latest_charge"])


def create(store: Store, intent: Json, amount: int | None, metadata: dict[str, str]) -> Json:
    """Refund an amount, or the rest if None. Raise ApiError."""
    charge = charge_of(store, intent)
    left = max(0, charge["amount_captured"] - charge["amount_refunded"] - disputes.lost_amount(store, charge))
    if disputes.blocks_refund(store, charge):
        text = f"Charge {charge['id']} has been charged back; cannot issue a refund."
        raise ApiError(400, text, code="charge_disputed")
    if left == 0:
        text = f"Charge {charge['id']} has already been refunded."
        raise ApiError(400, text, code="charge_already_refunded")
    amount = left if amount is None else amount
    if amount < 1:
        raise invalid("Invalid positive integer", "amount", "parameter_invalid_integer")
    if amount > left:
        currency = charge["currency"]
        text = (
            f"Refund amount ({format_amount(amount, currency)}) is greater than unrefunded amount on charge "
            f"({format_amount(left, currency)})"
        )
        raise ApiError(400, text, param="amount")
    outcome = method_of(store, charge).refund
    status = "pending" if outcome == "pending" else "succeeded"
    refund = objects.refund(charge, amount, metadata, status)
    store.add(refund, "refund.created")
    _add_to_charge(store, charge, amount, "charge.refunded")
    if outcome != "succeeded":
        store.settle_later(refund["id"])
    return refund


def settle(store: Store, refund: Json, *, succeed: bool) -> Json:
    """Settle a pending refund, or fail one that had succeeded. Raise ApiError."""
    if refund["status"] == "failed" or (succeed and refund["status"] != "pending"):
        raise ApiError(400, f"This refund has a status of {refund['status']}.")
    changes = {"status": "succeeded" if succeed else "failed", "pending_reason": None}
    if not succeed:
        changes["failure_balance_transaction"] = objects.new_id("txn")
        changes["failure_reason"] = "expired_or_canceled_card"
    store.update(refund, "refund.updated", **changes)
    store.record_event("charge.refund.updated", refund)
    if not succeed:
        _add_to_charge(store, store.get("charge", refund["charge"]), -refund["amount"], "charge.updated")
        store.record_event("refund.failed", refund)
    return refund


def _add_to_charge(store: Store, charge: Json, amount: int, event: str) -> None:
    refunded = charge["amount_refunded"] + amount
    store.update(charge, event, amount_refunded=refunded, refunded=refunded == charge["amount_captured"])
