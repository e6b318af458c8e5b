"""The port to the payment service."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID


class PaymentRefused(Exception):
    """The payment service has rejected a call, which had no effect."""

    def __init__(self, code: str, member: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        """The error code of the payment service."""
        self.member = member
        """The parameter that was rejected, if the payment service names one."""


@dataclass(frozen=True, kw_only=True)
class Charge:
    """The amount to pay for a booking, in ISO 4217 minor units."""

    booking_id: UUID
    amount: int
    currency: str
    attempt: int
    """Part of the idempotency key: calls with the same booking and attempt are one request."""


@dataclass(frozen=True, kw_only=True)
class PaymentIntent:
    """A payment as the payment service reports it."""

    intent_id: str
    status: Literal["open", "processing", "succeeded", "canceled"]
    amount: int
    received: int
    currency: str
    client_secret: str | None
    booking_id: UUID | None
    """None if the payment was not created by this system."""
    attempt: int
    failure: str | None
    """The payment service's code for the failure of the last try to pay."""


@dataclass(frozen=True, kw_only=True)
class DueRefund:
    """A refund to make, in ISO 4217 minor units."""

    refund_id: UUID
    booking_id: UUID
    intent_id: str
    amount: int
    currency: str
    attempt: int
    """Part of the idempotency key, as for `Charge`."""


@dataclass(frozen=True, kw_only=True)
class Refund:
    """A refund as the payment service reports it."""

    stripe_refund_id: str
    intent_id: str | None
    status: Literal["pending", "succeeded", "failed"]
    amount: int
    currency: str
    refund_id: UUID | None
    """None if the refund was not created by this system."""
    attempt: int


class PaymentGateway(Protocol):
    """Each method raises Unreachable if the outcome of the call is unknown. The call can then be repeated."""

    def create_payment_intent(self, charge: Charge, event_id: UUID) -> PaymentIntent:
        """Create the payment that the attendee's browser completes.

        Raises:
            PaymentRefused, Unreachable
        """

    def get_payment_intent(self, intent_id: str) -> PaymentIntent:
        """Return the present state of a payment.

        Raises:
            PaymentRefused, Unreachable
        """

    def cancel_payment_intent(self, intent_id: str) -> PaymentIntent:
        """Cancel a payment and return its state. If it is too late to cancel, return the payment unchanged.

        Raises:
            PaymentRefused, Unreachable
        """

    def create_refund(self, due: DueRefund) -> Refund:
        """Refund a payment or a part of it.

        Raises:
            PaymentRefused, Unreachable
        """

    def get_refund(self, stripe_refund_id: str) -> Refund:
        """Return the present state of a refund.

        Raises:
            PaymentRefused, Unreachable
        """

    def list_refunds(self, intent_id: str) -> list[Refund]:
        """Return all refunds of a payment, also those made in the payment service's dashboard.

        Raises:
            PaymentRefused, Unreachable
        """

    def list_events(
        self, types: Collection[str], since: datetime, until: datetime
    ) -> Iterator[Sequence[Mapping[str, Any]]]:
        """Return the service's own events of these types, created from `since` to `until`, by pages.

        The service keeps events for a limited time. Times are in whole seconds.

        Raises:
            PaymentRefused, Unreachable
        """

    def get_event(self, event_id: str) -> Mapping[str, Any]:
        """Return one of the service's own events.

        Raises:
            PaymentRefused, Unreachable
        """
