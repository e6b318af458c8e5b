"""Reasons: why a booking ended, a payment failed or is disputed, in plain words."""

from chalicelib.platform.messaging.ports import DomainEvent

_ANOTHER = "another"
"""Stands for every reason that is not known here."""

_BANK_WANTS_PROOF = "Your bank wants you to confirm the payment yourself, and that was not done."
_WRONG_NUMBER = "The number of the card is not right."
_WRONG_CODE = "The security code of the card is not right."
_WRONG_DATE = "The expiry date of the card is not right."
_OVER_LIMIT = "The card has reached its limit."
_DECLINED = "The bank declined the payment and did not say why."
_CALLED_OFF = "The event was called off."
_CANCELLED = {
    "attendee": "You have cancelled your booking.",
    "host": "The host has cancelled your booking.",
}

_SENTENCES: dict[str, dict[str, str]] = {
    "booking-cancelled": {
        **_CANCELLED,
        "attendee": "You have cancelled your booking, and your place is free for somebody else.",
        "refunded": "Your payment was returned to you, so your booking has ended.",
        "dispute-lost": "Your bank has taken your payment back, so your booking has ended.",
        _ANOTHER: "Your booking is cancelled.",
    },
    # Stripe's codes. Cards that were reported lost or stolen are left out: Stripe advises to tell of them as
    # of any other decline, since who reads it may not be their owner.
    "payment-failed": {
        "card_declined": _DECLINED,
        "generic_decline": _DECLINED,
        "do_not_honor": _DECLINED,
        "insufficient_funds": "There is not enough money in the account of the card.",
        "expired_card": "The card has expired.",
        "incorrect_cvc": _WRONG_CODE,
        "invalid_cvc": _WRONG_CODE,
        "incorrect_number": _WRONG_NUMBER,
        "invalid_number": _WRONG_NUMBER,
        "invalid_expiry_month": _WRONG_DATE,
        "invalid_expiry_year": _WRONG_DATE,
        "incorrect_zip": "The postal code is not that of the card.",
        "card_not_supported": "The card does not serve for payments such as this.",
        "currency_not_supported": "The card does not serve for payments in this currency.",
        "card_velocity_exceeded": _OVER_LIMIT,
        "withdrawal_count_limit_exceeded": _OVER_LIMIT,
        "processing_error": "Something went wrong while the card was read.",
        "authentication_required": _BANK_WANTS_PROOF,
        "authentication_not_handled": _BANK_WANTS_PROOF,
        "payment_intent_authentication_failure": "Your bank could not make sure that it was you who paid.",
        _ANOTHER: "The payment was declined, or was not completed.",
    },
    "payment-refund-due": {
        **_CANCELLED,
        "event-cancelled": _CALLED_OFF,
        "event-deleted": _CALLED_OFF,
        "late-payment": "It could not get you a place any more: the time to pay had run out and no place was "
        "left, or the booking had been cancelled, or you have another one.",
    },
    # Stripe's words again.
    "payment-disputed": {
        "fraudulent": "The owner of the card says that they did not make the payment.",
        "unrecognized": "The owner of the card does not recognise the payment.",
        "duplicate": "The owner of the card says that they paid twice.",
        "product_not_received": "The attendee says that they did not get what they paid for.",
        "product_unacceptable": "The attendee says that it was not as described.",
        "credit_not_processed": "The attendee says that they were to get their money back, and did not.",
    },
}


def sentence(domain_event: DomainEvent) -> str | None:
    """What a letter says of the reason that a domain event gives; None where nothing is said of it.

    A reason is never shown as it stands: it may be any code, of a bank or of a later version.
    """
    said = _SENTENCES.get(domain_event.type, {})
    return said.get(domain_event.body.get("reason", _ANOTHER), said.get(_ANOTHER))
