"""What happens when a card's holder disputes a charge."""

from infra.local.stripe import shapes
from infra.local.stripe.account import Account, Page
from infra.local.stripe.errors import Json, Refused

ENDED = ("won", "lost")


def open_one(account: Account, charge: Json, reason: str) -> Json:
    """Dispute a charge; the bank takes the money back at once. Raises Refused."""
    if charge["status"] != "succeeded" or charge["disputed"]:
        raise Refused(400, f"Charge {charge['id']} cannot be disputed.", began=True)
    charge["disputed"] = True
    account.save(charge)
    made = shapes.dispute(charge, reason)
    account.add(made, parent=charge["payment_intent"])
    account.tell("charge.dispute.created", made)
    account.tell("charge.dispute.funds_withdrawn", made)
    return made


def end(account: Account, dispute: Json, *, won: bool) -> Json:
    """Decide a dispute; a won one returns the money to us. Raises Refused."""
    if dispute["status"] in ENDED:
        raise Refused(400, "This dispute is already closed", code="dispute_already_closed", began=True)
    dispute.update(status="won" if won else "lost", is_charge_refundable=won)
    account.save(dispute)
    account.tell("charge.dispute.closed", dispute)
    if won:
        account.tell("charge.dispute.funds_reinstated", dispute)
    return dispute


def forbids_refund(account: Account, charge: Json) -> bool:
    """Say whether the bank has the money of a charge, or may have."""
    found, _ = account.all("dispute", Page(parent=charge["payment_intent"]))
    return any(dispute["charge"] == charge["id"] and dispute["status"] != "won" for dispute in found)
