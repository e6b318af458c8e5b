"""The payment methods that Stripe has for tests, and what each does (docs.stripe.com/testing)."""

from dataclasses import dataclass
from typing import Literal

from infra.local.stripe.errors import Refused, card_error


@dataclass(frozen=True)
class Decline:
    """Why a bank says no."""

    code: str
    decline_code: str | None
    message: str


@dataclass(frozen=True)
class Method:
    """What a person, or a test, pays with."""

    name: str
    number: str
    """Of the card, or of the bank account."""
    does: str
    brand: str = "visa"
    decline: Decline | None = None
    authenticates: bool = False
    disputed: bool = False
    refund: Literal["succeeded", "failed", "pending"] = "succeeded"
    """How a refund ends; one that fails looks done at first, one that is pending succeeds later."""
    settles: Literal["at once", "paid", "failed", "by hand"] = "at once"
    """How a bank debit ends, which is `processing` until then."""

    @property
    def is_card(self) -> bool:
        return self.settles == "at once"


def _declined(reason: str, message: str) -> Decline:
    return Decline("card_declined", reason, message)


BANK_SAYS_NO = Decline(
    "payment_method_customer_decline", None, "The customer's bank account could not be debited."
)
NOT_AUTHENTICATED = Decline(
    "payment_intent_authentication_failure",
    None,
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new "
    "PaymentMethod to attempt to fulfill this PaymentIntent again.",
)

METHODS = (
    Method("pm_card_visa", "4242424242424242", "Pays."),
    Method("pm_card_mastercard", "5555555555554444", "Pays, by Mastercard.", brand="mastercard"),
    Method(
        "pm_card_authenticationRequired",
        "4000002760003184",
        "Asks for 3-D Secure at each payment.",
        authenticates=True,
    ),
    Method(
        "pm_card_authenticationRequiredOnSetup",
        "4000002500003155",
        "Asks for 3-D Secure, as the card was not set up.",
        authenticates=True,
    ),
    Method(
        "pm_card_chargeDeclined",
        "4000000000000002",
        "Is declined, without a reason.",
        decline=_declined("generic_decline", "Your card was declined."),
    ),
    Method(
        "pm_card_chargeDeclinedInsufficientFunds",
        "4000000000009995",
        "Is declined: not enough money.",
        decline=_declined("insufficient_funds", "Your card has insufficient funds."),
    ),
    Method(
        "pm_card_chargeDeclinedExpiredCard",
        "4000000000000069",
        "Is declined: expired.",
        decline=Decline("expired_card", None, "Your card has expired."),
    ),
    Method(
        "pm_card_chargeDeclinedIncorrectCvc",
        "4000000000000127",
        "Is declined: wrong security code.",
        decline=Decline("incorrect_cvc", None, "Your card's security code is incorrect."),
    ),
    Method(
        "pm_card_chargeDeclinedProcessingError",
        "4000000000000119",
        "Is declined: an error on the way.",
        decline=Decline(
            "processing_error",
            None,
            "An error occurred while processing your card. Try again in a little bit.",
        ),
    ),
    Method("pm_card_createDispute", "4000000000000259", "Pays, then disputes the charge.", disputed=True),
    Method(
        "pm_card_refundFail",
        "4000000000005126",
        "Pays; a refund looks done, then fails.",
        refund="failed",
    ),
    Method(
        "pm_card_pendingRefund",
        "4000000000007726",
        "Pays; a refund is pending, then done.",
        refund="pending",
    ),
    Method("pm_usBankAccount_success", "000123456789", "Bank debit, paid a moment later.", settles="paid"),
    Method(
        "pm_usBankAccount_accountClosed",
        "000111111113",
        "Bank debit, refused a moment later.",
        settles="failed",
    ),
    Method(
        "pm_usBankAccount_processing",
        "000222222227",
        "Bank debit, under way until it is settled on the list of payments.",
        settles="by hand",
    ),
)
_BY_NAME = {method.name: method for method in METHODS}
_BY_NUMBER = {method.number: method for method in METHODS}


def named(name: str) -> Method:
    """Return the test method of this name. Raises Refused."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise Refused(
            400, f"No such PaymentMethod: '{name}'", code="resource_missing", param="payment_method"
        ) from None


def numbered(number: str) -> Method:
    """Return the method with this card number, which may have spaces or dashes. Raises Refused."""
    digits = number.replace(" ", "").replace("-", "")
    if digits in _BY_NUMBER:
        return _BY_NUMBER[digits]
    if not _is_card_number(digits):
        raise card_error("Your card number is incorrect.", {"code": "incorrect_number", "param": "number"})
    raise card_error(
        "Your card was declined. Your request was in test mode, but used a non test card. "
        "For a list of valid test cards, visit: https://docs.stripe.com/testing.",
        {"code": "card_declined", "decline_code": "test_mode_live_card"},
    )


def _is_card_number(digits: str) -> bool:
    """Say whether the last digit is the check digit of the others (Luhn's)."""
    if not (digits.isascii() and digits.isdigit() and 12 <= len(digits) <= 19):  # noqa: PLR2004 - ISO 7812
        return False
    doubled = (sum(divmod(int(digit) * 2, 10)) for digit in digits[-2::-2])
    return (sum(doubled) + sum(map(int, digits[-1::-2]))) % 10 == 0
