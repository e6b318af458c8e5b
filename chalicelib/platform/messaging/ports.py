"""The ports to topics and queues, and the envelope of a domain event."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID


@dataclass(frozen=True, kw_only=True)
class DomainEvent:
    """Something that happened."""

    domain_event_id: UUID
    type: str
    version: int
    subject: UUID
    """What it is about, and within which domain events are told in their order: an event, or a user."""
    time: datetime
    request_id: str | None = None
    """The request that it goes back to."""
    body: dict[str, Any]

    def as_message(self) -> dict[str, Any]:
        """The domain event as a stranger receives it."""
        return {
            "id": str(self.domain_event_id),
            "type": self.type,
            "version": self.version,
            "subject": str(self.subject),
            "time": self.time.isoformat().replace("+00:00", "Z"),
            "requestId": self.request_id,
            "body": self.body,
        }

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> "DomainEvent":
        return cls(
            domain_event_id=UUID(message["id"]),
            type=message["type"],
            version=message["version"],
            subject=UUID(message["subject"]),
            time=datetime.fromisoformat(message["time"]),
            request_id=message.get("requestId"),
            body=message["body"],
        )


class Publisher(Protocol):
    def publish(self, domain_events: Sequence[DomainEvent]) -> set[UUID]:
        """Publish domain events in their order and return the ids of those that were not taken.

        Raises:
            Unreachable: None, or it is not known which, was taken.
        """


class QueueSender(Protocol):
    def send(self, queue: str, messages: Sequence[dict[str, Any]]) -> None:
        """Put messages, as JSON, into a queue.

        Raises:
            Unreachable: Some may not be in it.
        """
