"""Disputes of charges by card holders."""

from infra.stripe_fake import objects
from infra.stripe_fake.errors import ApiError, Json
from infra.stripe_fake.store import Store


def create(store: Store, charge: Json, reason: str, amount: int | None = None) -> Json:
    """Dispute an amount of a charge, or the whole if None; the bank withdraws the money.

    Raise ApiError if it was disputed before.
    """
    if charge["disputed"]:
        raise ApiError(400, f"Charge {charge['id']} has already been disputed.")
    store.update(charge, None, disputed=True)
    dispute = objects.dispute(charge, reason, charge["amount"] if amount is None else amount)
    store.add(dispute, "charge.dispute.created")
    store.record_event("charge.dispute.funds_withdrawn", dispute)
    return dispute


def close(store: Store, dispute: Json, *, won: bool) -> Json:
    """Decide a dispute; winning it returns the money. Raise ApiError if it is closed."""
    if dispute["status"] in {"won", "lost"}:
        raise ApiError(400, "This dispute is already closed", code="dispute_already_closed")
    status = "won" if won else "lost"
    store.update(dispute, "charge.dispute.closed", status=status, is_charge_refundable=won)
    if won:
        store.record_event("charge.dispute.funds_reinstated", dispute)
    return dispute


def blocks_refund(store: Store, charge: Json) -> bool:
    """Say whether a dispute of the charge is open, or lost for the whole amount."""
    found = store.find("dispute", payment_intent=charge["payment_intent"])
    is_open = any(dispute["status"] not in {"won", "lost"} for dispute in found)
    return is_open or lost_amount(store, charge) >= charge["amount_captured"]


def lost_amount(store: Store, charge: Json) -> int:
    """Return the amount of the charge that lost disputes have taken."""
    found = store.find("dispute", payment_intent=charge["payment_intent"])
    return sum(dispute["amount"] for dispute in found if dispute["status"] == "lost")
