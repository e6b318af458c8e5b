"""Ports: what the domain asks of the world outside the database, in its own words."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID


class OutOfReach(Exception):
    """A service outside did not do what it was asked; nothing is known to be lost, try again."""


class AddressRefused(Exception):
    """The mail service will not send to this address, now or later."""


class PaymentRefused(Exception):
    """The payment service has definitely not done what it was asked, and says why in its own words."""

    def __init__(self, code: str, member: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.member = member
        """What of the request it did not like."""


@dataclass(frozen=True, kw_only=True)
class Fact:
    """Something that happened."""

    fact_id: UUID
    type: str
    version: int
    subject: UUID
    """What it is about, and within which facts are told in their order: an event, or a user."""
    time: datetime
    body: dict[str, Any]

    def as_message(self) -> dict[str, Any]:
        """The fact as a stranger receives it."""
        return {
            "id": str(self.fact_id),
            "type": self.type,
            "version": self.version,
            "subject": str(self.subject),
            "time": self.time.isoformat().replace("+00:00", "Z"),
            "body": self.body,
        }

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> "Fact":
        return cls(
            fact_id=UUID(message["id"]),
            type=message["type"],
            version=message["version"],
            subject=UUID(message["subject"]),
            time=datetime.fromisoformat(message["time"]),
            body=message["body"],
        )


class Publisher(Protocol):
    def publish(self, facts: Sequence[Fact]) -> set[UUID]:
        """Publish facts in their order and return the ids of those that were not taken.

        Raises:
            OutOfReach: None, or it is not known which, was taken.
        """


class Queues(Protocol):
    def send(self, queue: str, messages: Sequence[dict[str, Any]]) -> None:
        """Put messages, as JSON, into a queue.

        Raises:
            OutOfReach: Some may not be in it.
        """


class Mailer(Protocol):
    def send(self, address: str, message: bytes) -> None:
        """Send a MIME message to one address.

        Raises:
            AddressRefused, OutOfReach
        """


@dataclass(frozen=True, kw_only=True)
class Due:
    """What is to be paid, or paid back, for a booking. Amounts are in minor units of ISO 4217."""

    booking_id: UUID
    amount: int
    currency: str
    attempt: int
    """The same due and attempt is the same request, however often it is made."""


@dataclass(frozen=True, kw_only=True)
class Intent:
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
    """Each call raises OutOfReach where it is not known whether it was done; it can then be made again."""

    def open(self, due: Due, event_id: UUID, receipt_email: str) -> Intent:
        """Make what the attendee's browser pays.

        Raises:
            PaymentRefused, OutOfReach
        """

    def look_up(self, intent_id: str) -> Intent:
        """Ask how far a payment is.

        Raises:
            PaymentRefused, OutOfReach
        """

    def call_off(self, intent_id: str) -> Intent:
        """Have a payment not be paid any more, and return it as it is then: paid, where it was too late.

        Raises:
            PaymentRefused, OutOfReach
        """

    def refund(self, due: Due, intent_id: str) -> Refund:
        """Pay back what was paid.

        Raises:
            PaymentRefused, OutOfReach
        """

    def look_up_refund(self, refund_id: str) -> Refund:
        """Ask how far a refund is.

        Raises:
            PaymentRefused, OutOfReach
        """
