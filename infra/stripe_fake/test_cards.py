"""Stripe's payment methods for tests, and how each behaves (docs.stripe.com/testing)."""

from dataclasses import dataclass
from typing import Literal

from infra.stripe_fake.errors import ApiError, invalid


@dataclass(frozen=True)
class Decline:
    """The reason for a failed payment."""

    code: str
    decline_code: str | None
    message: str


@dataclass(frozen=True)
class Method:
    """A test card or a test bank account."""

    name: str
    number: str
    description: str
    decline: Decline | None = None
    three_d_secure: bool = False
    disputed: bool = False
    refund: Literal["succeeded", "failed", "pending"] = "succeeded"
    """`failed`: the refund succeeds and fails later. `pending`: it is pending and succeeds later."""
    debit: Literal["paid", "failed", "manual"] | None = None
    """How a bank debit settles. `manual`: only by a call of `settle`. None for cards."""


BANK_DEBIT_FAILED = Decline(
    "payment_method_customer_decline", None, "The customer's bank account could not be debited."
)
NOT_AUTHENTICATED = Decline(
    "payment_intent_authentication_failure",
    None,
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new "
    "PaymentMethod to attempt to fulfill this PaymentIntent again.",
)
NO_REASON = Decline("card_declined", "generic_decline", "Your card was declined.")
NO_FUNDS = Decline("card_declined", "insufficient_funds", "Your card has insufficient funds.")
EXPIRED = Decline("expired_card", None, "Your card has expired.")
WRONG_CVC = Decline("incorrect_cvc", None, "Your card's security code is incorrect.")
PROCESSING_ERROR = Decline(
    "processing_error", None, "An error occurred while processing your card. Try again in a little bit."
)

# fmt: off
METHODS = (
    Method("pm_card_visa", "4242424242424242", "Pays"),
    Method("pm_card_authenticationRequired", "4000002760003184", "Asks for 3-D Secure", three_d_secure=True),
    Method("pm_card_chargeDeclined", "4000000000000002", "Declined", NO_REASON),
    Method("pm_card_chargeDeclinedInsufficientFunds", "4000000000009995", "Insufficient funds", NO_FUNDS),
    Method("pm_card_chargeDeclinedExpiredCard", "4000000000000069", "Expired card", EXPIRED),
    Method("pm_card_chargeDeclinedIncorrectCvc", "4000000000000127", "Wrong security code", WRONG_CVC),
    Method("pm_card_chargeDeclinedProcessingError", "4000000000000119", "Processing error", PROCESSING_ERROR),
    Method("pm_card_createDispute", "4000000000000259", "Pays, then disputes the charge", disputed=True),
    Method("pm_card_refundFail", "4000000000005126", "Pays; a refund succeeds, then fails", refund="failed"),
    Method("pm_card_pendingRefund", "4000000000007726", "Pays; a refund is pending first", refund="pending"),
    Method("pm_usBankAccount_success", "000123456789", "Bank debit, succeeds later", debit="paid"),
    Method("pm_usBankAccount_accountClosed", "000111111113", "Bank debit, fails later", debit="failed"),
    Method("pm_usBankAccount_processing", "000222222227", "Bank debit, until you settle it", debit="manual"),
)
# fmt: on
_BY_NAME = {method.name: method for method in METHODS}
_BY_NUMBER = {method.number: method for method in METHODS}


def find(name_or_number: str) -> Method:
    """Return a method by its name, or by its number with or without spaces. Raise ApiError."""
    if name_or_number.startswith("pm_"):
        if name_or_number in _BY_NAME:
            return _BY_NAME[name_or_number]
        raise invalid(f"No such PaymentMethod: '{name_or_number}'", "payment_method", "resource_missing")
    number = name_or_number.replace(" ", "")
    if number in _BY_NUMBER:
        return _BY_NUMBER[number]
    if not _is_card_number(number):
        text = "Your card number is incorrect."
        raise ApiError(402, text, kind="card_error", code="incorrect_number", param="number")
    raise ApiError(
        402,
        "Your card was declined. Your request was in test mode, but used a non test card. "
        "For a list of valid test cards, visit: https://docs.stripe.com/testing.",
        kind="card_error",
        code="card_declined",
        decline_code="test_mode_live_card",
    )


def _is_card_number(digits: str) -> bool:
    """Check the length (ISO 7812) and the Luhn check digit."""
    if not (digits.isascii() and digits.isdigit() and 12 <= len(digits) <= 19):  # noqa: PLR2004
        return False
    doubled = (sum(divmod(int(digit) * 2, 10)) for digit in digits[-2::-2])
    return (sum(doubled) + sum(map(int, digits[-1::-2]))) % 10 == 0
