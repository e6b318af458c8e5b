"""Parse Stripe's objects, from responses of its API and from its webhooks.

Each parser raises a LookupError, TypeError or AttributeError for malformed input.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from chalicelib.events.prices import stripe_units
from chalicelib.payments.gateway import PaymentIntent, Refund
from chalicelib.payments.models import DisputeStatus

MAX_TEXT_LENGTH = 255
"""Characters in an id (docs.stripe.com/upgrades)."""

MAX_AMOUNT = 10**12 - 1
"""In Stripe's units: no amount has more than 12 digits (docs.stripe.com/currencies)."""

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
_CLOSED_DISPUTE_STATUS: dict[str, DisputeStatus] = {
    "lost": "lost",
    "won": "won",
    "warning_closed": "won",
    "prevented": "won",
}


@dataclass(frozen=True, kw_only=True)
class RefundedTotal:
    """The refunded amount of a payment, including refunds that were made in Stripe's dashboard."""

    intent_id: str | None
    amount: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class Dispute:
    """A claim by the attendee's bank for the money of a payment, or for a part of it."""

    dispute_id: str | None
    intent_id: str | None
    amount: int
    """In minor units of `currency`; negative if unknown. It may differ from the payment's amount."""
    currency: str | None
    state: DisputeStatus
    reason: str


def to_stripe_amount(amount: int, currency: str) -> int:
    """Convert from ISO 4217 minor units."""
    return amount * stripe_units(currency)


def _from_stripe_amount(amount: Any, currency: str) -> int:
    """Convert to ISO 4217 minor units.

    A fraction becomes -1, which never equals an amount due, and so does an amount with too many digits.
    """
    if not isinstance(amount, int) or isinstance(amount, bool):
        raise TypeError(amount)
    if abs(amount) > MAX_AMOUNT:
        return -1
    whole, fraction = divmod(amount, stripe_units(currency))
    return whole if fraction == 0 else -1


def parse_payment_intent(stripe_object: Mapping[str, Any]) -> PaymentIntent:
    """Parse a PaymentIntent."""
    currency = _text(stripe_object["currency"])
    booking_id, attempt = _own_metadata(stripe_object, "bookingId")
    error = stripe_object.get("last_payment_error") or {}
    failure = error.get("decline_code") or error.get("code")
    secret = stripe_object.get("client_secret")
    return PaymentIntent(
        intent_id=_text(stripe_object["id"]),
        status=_INTENT_STATUS[stripe_object["status"]],
        amount=_from_stripe_amount(stripe_object["amount"], currency),
        received=_from_stripe_amount(stripe_object.get("amount_received") or 0, currency),
        currency=currency,
        client_secret=_text(secret) if secret is not None else None,
        booking_id=booking_id,
        attempt=attempt,
        failure=_text(failure) if failure is not None else None,
    )


def parse_refund(stripe_object: Mapping[str, Any]) -> Refund:
    """Parse a Refund."""
    refund_id, attempt = _own_metadata(stripe_object, "refundId")
    return Refund(
        stripe_refund_id=_text(stripe_object["id"]),
        intent_id=_intent_id(stripe_object),
        status=_REFUND_STATUS[stripe_object["status"]],
        amount=_from_stripe_amount(stripe_object["amount"], _text(stripe_object["currency"])),
        currency=_text(stripe_object["currency"]),
        refund_id=refund_id,
        attempt=attempt,
    )


def parse_refunded_total(stripe_object: Mapping[str, Any]) -> RefundedTotal:
    """Parse the refunded amount of a Charge."""
    currency = _text(stripe_object["currency"])
    amount = _from_stripe_amount(stripe_object["amount_refunded"], currency)
    return RefundedTotal(intent_id=_intent_id(stripe_object), amount=amount, currency=currency)


def parse_dispute(stripe_object: Mapping[str, Any]) -> Dispute:
    """Parse a Dispute."""
    dispute_id, currency = stripe_object.get("id"), stripe_object.get("currency")
    return Dispute(
        dispute_id=_text(dispute_id) if dispute_id is not None else None,
        intent_id=_intent_id(stripe_object),
        amount=-1
        if currency is None
        else _from_stripe_amount(stripe_object.get("amount", -1), _text(currency)),
        currency=_text(currency) if currency is not None else None,
        state=_CLOSED_DISPUTE_STATUS.get(_text(stripe_object["status"]), "open"),
        reason=_text(stripe_object.get("reason") or "general"),
    )


def is_short_text(value: object) -> bool:
    """Whether this is short printable ASCII text, as all ids and codes of Stripe are."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= MAX_TEXT_LENGTH
        and value.isascii()
        and value.isprintable()
    )


def _text(value: Any) -> str:
    if not is_short_text(value):
        raise TypeError(value)
    return str(value)


def _intent_id(stripe_object: Mapping[str, Any]) -> str | None:
    """Return the id of the object's PaymentIntent, or None: other kinds of payments have none."""
    value = stripe_object.get("payment_intent")
    return _text(value) if value is not None else None


def _own_metadata(stripe_object: Mapping[str, Any], name: str) -> tuple[UUID | None, int]:
    """Return the id with this name and the attempt that this system has stored in an object.

    Objects of other systems may have any metadata, or none.
    """
    metadata = stripe_object.get("metadata") or {}
    try:
        return UUID(metadata[name]), int(metadata["attempt"])
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError):
        return None, 0
