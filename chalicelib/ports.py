"""Ports: what the domain asks of the world outside the database, in its own words."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID


class OutOfReach(Exception):
    """A service outside did not do what it was asked; nothing is known to be lost, try again."""


class AddressRefused(Exception):
    """The mail service will not send to this address, now or later."""


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
