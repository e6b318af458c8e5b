"""Copy: what e-mails say about the reason of a domain event.

A reason itself is never shown: it may be any code, of a bank or of a later release.
"""

from collections.abc import Mapping

OTHER = "other"
"""The key of the sentence for every reason that has none of its own."""

CANCELLATION_REASONS = {
    "attendee": "You cancelled your booking.",
    "host": "The host cancelled your booking.",
    "refunded": "Your payment was refunded, so your booking was cancelled.",
    "dispute-lost": "Your bank took your payment back, so your booking was cancelled.",
    "event-cancelled": "The event was cancelled.",
    "event-deleted": "The event was cancelled.",
    OTHER: "Your booking was cancelled.",
}

TICKET_CANCELLATION_REASONS = {
    "attendee": "You cancelled some of your tickets.",
    "host": "The host cancelled some of your tickets.",
    OTHER: "Some of your tickets were cancelled.",
}

HOLDER_CANCELLATION_REASONS = {
    "attendee": "The person who booked your ticket cancelled it.",
    "host": "The host cancelled your ticket.",
    "event-cancelled": "The event was cancelled, and your ticket with it.",
    "event-deleted": "The event was cancelled, and your ticket with it.",
    OTHER: "Your ticket was cancelled.",
}

REFUND_REASONS = {
    "attendee": "You cancelled the tickets below.",
    "host": "The host cancelled the tickets below.",
    "event-cancelled": "The event was cancelled.",
    "event-deleted": "The event was cancelled.",
    "late-payment": (
        "Your payment arrived too late to book a place: the event was full, the booking had been cancelled, "
        "or you already had another booking."
    ),
}

_NOT_CONFIRMED = "Your bank asked you to confirm the payment, and it was not confirmed."
_WRONG_NUMBER = "The card number is wrong."
_WRONG_CODE = "The security code of the card is wrong."
_WRONG_DATE = "The expiry date of the card is wrong."
_OVER_LIMIT = "The card has reached its limit."
_DECLINED = "Your bank declined the payment without giving a reason."

PAYMENT_FAILURES = {
    # Stripe's codes (docs.stripe.com/declines/codes). Stripe advises not to say that a card was reported lost
    # or stolen: the reader may not be its owner.
    "card_declined": _DECLINED,
    "generic_decline": _DECLINED,
    "do_not_honor": _DECLINED,
    "insufficient_funds": "There is not enough money in the account.",
    "expired_card": "The card has expired.",
    "incorrect_cvc": _WRONG_CODE,
    "invalid_cvc": _WRONG_CODE,
    "incorrect_number": _WRONG_NUMBER,
    "invalid_number": _WRONG_NUMBER,
    "invalid_expiry_month": _WRONG_DATE,
    "invalid_expiry_year": _WRONG_DATE,
    "incorrect_zip": "The postal code does not match the card.",
    "card_not_supported": "The card cannot be used for payments like this one.",
    "currency_not_supported": "The card cannot be used for payments in this currency.",
    "card_velocity_exceeded": _OVER_LIMIT,
    "withdrawal_count_limit_exceeded": _OVER_LIMIT,
    "processing_error": "Something went wrong while the card was processed.",
    "authentication_required": _NOT_CONFIRMED,
    "authentication_not_handled": _NOT_CONFIRMED,
    "payment_intent_authentication_failure": "Your bank could not confirm that it was you who paid.",
    OTHER: "The payment was declined or not completed.",
}

DISPUTE_REASONS = {
    # Stripe's codes (docs.stripe.com/disputes/categories).
    "fraudulent": "The cardholder says that they did not make this payment.",
    "unrecognized": "The cardholder does not recognise this payment.",
    "duplicate": "The cardholder says that they paid twice.",
    "product_not_received": "The attendee says that they did not receive what they paid for.",
    "product_unacceptable": "The attendee says that it was not as described.",
    "credit_not_processed": "The attendee says that they did not receive a refund that they were due.",
}


def sentence(sentences: Mapping[str, str], reason: str | None) -> str | None:
    """What to say about a reason; None if there is nothing to say."""
    return sentences.get(reason or OTHER, sentences.get(OTHER))
