"""The port to the payment service."""

from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID


class PaymentRefused(Exception):
    """The payment service has definitely not done what it was asked, and says why in its own words."""

    def __init__(self, code: str, member: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.member = member
        """What of the request it did not like."""


@dataclass(frozen=True, kw_only=True)
class Charge:
    """What is to be paid, or paid back, for a booking. Amounts are in minor units of ISO 4217."""

    booking_id: UUID
    amount: int
    currency: str
    attempt: int
    """The same due and attempt is the same request, however often it is made."""


@dataclass(frozen=True, kw_only=True)
class PaymentIntent:
    """A payment as the payment service has it."""

    intent_id: str
    status: Literal["open", "processing", "succeeded", "canceled"]
    amount: int
    received: int
    currency: str
    client_secret: str | None
    booking_id: UUID | None
    """Ours; None where the payment is for something else."""
    attempt: int
    failure: str | None
    """Why the last try to pay it failed, in the payment service's own word."""


@dataclass(frozen=True, kw_only=True)
class Refund:
    """Money on its way back, as the payment service has it."""

    refund_id: str
    intent_id: str | None
    status: Literal["pending", "succeeded", "failed"]
    amount: int
    booking_id: UUID | None
    """Of one that was asked for here; None where somebody asked elsewhere."""
    attempt: int


class PaymentGateway(Protocol):
    """Each call raises Unreachable where it is not known whether it was done; it can then be made again."""

    def open(self, due: Charge, event_id: UUID, receipt_email: str) -> PaymentIntent:
        """Make what the attendee's browser pays.

        Raises:
            PaymentRefused, Unreachable
        """

    def get_payment_intent(self, intent_id: str) -> PaymentIntent:
        """Ask how far a payment is.

        Raises:
            PaymentRefused, Unreachable
        """

    def cancel_payment_intent(self, intent_id: str) -> PaymentIntent:
        """Have a payment not be paid any more, and return it as it is then: paid, where it was too late.

        Raises:
            PaymentRefused, Unreachable
        """

    def refund(self, due: Charge, intent_id: str) -> Refund:
        """Pay back what was paid.

        Raises:
            PaymentRefused, Unreachable
        """

    def get_refund(self, refund_id: str) -> Refund:
        """Ask how far a refund is.

        Raises:
            PaymentRefused, Unreachable
        """
