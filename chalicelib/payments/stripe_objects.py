"""Stripe's objects in our words: read alike from answers of its API and from its webhooks.

Each reader raises a LookupError, TypeError or AttributeError where it is given something else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from chalicelib.payments.gateway import PaymentIntent, Refund

_IN_HUNDREDTHS = frozenset({"isk", "ugx"})
"""Without minor units in ISO 4217, but counted in hundredths by Stripe (docs.stripe.com/currencies)."""

LONGEST = 255
"""Characters of an id (docs.stripe.com/upgrades)."""

_INTENT_STATUS: dict[str, Literal["open", "processing", "succeeded", "canceled"]] = {
    "requires_payment_method": "open",
    "requires_confirmation": "open",
    "requires_action": "open",
    "requires_capture": "open",
    "processing": "processing",
    "succeeded": "succeeded",
    "canceled": "canceled",
}
_REFUND_STATUS: dict[str, Literal["pending", "succeeded", "failed"]] = {
    "pending": "pending",
    "requires_action": "pending",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "failed",
}
_DISPUTE_ENDS: dict[str, Literal["won", "lost"]] = {
    "lost": "lost",
    "won": "won",
    "warning_closed": "won",
    "prevented": "won",
}


DisputeState = Literal["open", "won", "lost"]


@dataclass(frozen=True, kw_only=True)
class Refunded:
    """How much of a payment has gone back, by whosoever's wish."""

    intent_id: str | None
    amount: int


@dataclass(frozen=True, kw_only=True)
class Dispute:
    """A bank's demand for the money of a payment."""

    intent_id: str | None
    state: DisputeState
    reason: str


def to_stripe(amount: int, currency: str) -> int:
    return amount * 100 if currency in _IN_HUNDREDTHS else amount


def _from_stripe(amount: Any, currency: str) -> int:
    """An amount in ISO 4217's minor units; one that has none there comes out as nothing is ever owed."""
    if not isinstance(amount, int):
        raise TypeError(amount)
    if currency not in _IN_HUNDREDTHS:
        return amount
    return amount // 100 if amount % 100 == 0 else -1


def intent(of: Mapping[str, Any]) -> PaymentIntent:
    """Read a PaymentIntent."""
    currency = _text(of["currency"])
    booking_id, attempt = _ours(of)
    error = of.get("last_payment_error") or {}
    failure = error.get("decline_code") or error.get("code")
    secret = of.get("client_secret")
    return PaymentIntent(
        intent_id=_text(of["id"]),
        status=_INTENT_STATUS[of["status"]],
        amount=_from_stripe(of["amount"], currency),
        received=_from_stripe(of.get("amount_received") or 0, currency),
        currency=currency,
        client_secret=_text(secret) if secret is not None else None,
        booking_id=booking_id,
        attempt=attempt,
        failure=_text(failure) if failure is not None else None,
    )


def refund(of: Mapping[str, Any]) -> Refund:
    """Read a Refund."""
    booking_id, attempt = _ours(of)
    return Refund(
        refund_id=_text(of["id"]),
        intent_id=_intent_id(of),
        status=_REFUND_STATUS[of["status"]],
        amount=_from_stripe(of["amount"], _text(of["currency"])),
        booking_id=booking_id,
        attempt=attempt,
    )


def refunded(of: Mapping[str, Any]) -> Refunded:
    """Read of a Charge what has gone back of it."""
    amount = _from_stripe(of["amount_refunded"], _text(of["currency"]))
    return Refunded(intent_id=_intent_id(of), amount=amount)


def dispute(of: Mapping[str, Any]) -> Dispute:
    """Read a Dispute."""
    status = _text(of["status"])
    state: DisputeState = _DISPUTE_ENDS.get(status, "open")
    return Dispute(intent_id=_intent_id(of), state=state, reason=_text(of.get("reason") or "general"))


def is_text(value: object) -> bool:
    """Whether this is one of Stripe's ids or words, all of which are short and plain."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST and value.isascii() and value.isprintable()


def _text(value: Any) -> str:
    if not is_text(value):
        raise TypeError(value)
    return str(value)


def _intent_id(of: Mapping[str, Any]) -> str | None:
    """The payment that an object is about; charges made in other ways have none."""
    value = of.get("payment_intent")
    return _text(value) if value is not None else None


def _ours(of: Mapping[str, Any]) -> tuple[UUID | None, int]:
    """The booking and the attempt that an object was made for here; others may have metadata of their own."""
    metadata = of.get("metadata") or {}
    try:
        return UUID(metadata["bookingId"]), int(metadata["attempt"])
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError):
        return None, 0
