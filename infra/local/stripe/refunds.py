"""What happens to money that is given back."""

from infra.local.stripe import disputes, shapes
from infra.local.stripe.account import Account
from infra.local.stripe.errors import Json, Refused, unexpected_state
from infra.local.stripe.methods import named
from infra.local.stripe.money import shown


def charge_of(account: Account, intent: Json) -> Json:
    """Return the charge that paid an intent. Raises Refused."""
    if intent["status"] != "succeeded":
        raise unexpected_state(
            f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.", intent
        )
    return account.get("charge", intent["latest_charge"])


def create(
    account: Account, charge: Json, amount: int | None, reason: str | None, metadata: dict[str, str]
) -> Json:
    """Give back an amount, or all that is left. Raises Refused."""
    left = charge["amount_captured"] - charge["amount_refunded"]
    if charge["status"] != "succeeded":
        raise Refused(400, f"Charge {charge['id']} was not paid.", began=True)
    if disputes.forbids_refund(account, charge):
        text = f"Charge {charge['id']} has been charged back; cannot issue a refund."
        raise Refused(400, text, code="charge_disputed", began=True)
    if left == 0:
        text = f"Charge {charge['id']} has already been refunded."
        raise Refused(400, text, code="charge_already_refunded", began=True)
    wanted = left if amount is None else amount
    if wanted < 1:
        raise Refused(400, "Invalid positive integer", code="parameter_invalid_integer", param="amount")
    if wanted > left:
        raise Refused(
            400,
            f"Refund amount ({shown(wanted, charge['currency'])}) is greater than unrefunded amount on "
            f"charge ({shown(left, charge['currency'])})",
            param="amount",
            began=True,
        )
    ends = named(account.tag(charge["payment_method"])).refund
    made = shapes.refund(charge, wanted, reason, metadata, "pending" if ends == "pending" else "succeeded")
    account.add(made, parent=charge["payment_intent"])
    account.tell("refund.created", made)
    _count(account, charge, wanted, "charge.refunded")
    if ends != "succeeded":
        account.end_later(made["id"])
    return made


def settle(account: Account, refund: Json, *, done: bool) -> Json:
    """End a refund that is under way, or that only looked done. Raises Refused."""
    if refund["status"] == "failed" or (done and refund["status"] != "pending"):
        raise Refused(400, f"This refund has a status of {refund['status']}.", began=True)
    changes = {"status": "succeeded" if done else "failed", "pending_reason": None}
    if not done:
        changes |= {
            "failure_balance_transaction": shapes.new_id("txn"),
            "failure_reason": "expired_or_canceled_card",
        }
    account.change(
        refund, {name: new for name, new in changes.items() if refund[name] != new}, "refund.updated"
    )
    account.tell("charge.refund.updated", refund)
    if not done:
        charge = account.get("charge", refund["charge"])
        _count(account, charge, -refund["amount"], "charge.updated")
        account.tell("refund.failed", refund)
    return refund


def _count(account: Account, charge: Json, amount: int, kind: str) -> None:
    refunded = charge["amount_refunded"] + amount
    changes = {"amount_refunded": refunded, "refunded": refunded == charge["amount_captured"]}
    account.change(charge, {name: new for name, new in changes.items() if charge[name] != new}, kind)
