"""The ports to topics and queues, and the envelope of a domain event."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, Self
from uuid import UUID

from chalicelib.platform.messaging.queues import Queue
from chalicelib.platform.times import rfc3339


@dataclass(frozen=True, kw_only=True)
class DomainEvent:
    """The envelope of a domain event. `domain_events.parse` reads its body."""

    domain_event_id: UUID
    """The same whenever the domain event is delivered again."""
    type: str
    version: int
    """The version of the body."""
    subject: UUID
    """What the domain event is about: an event, a user or an e-mail address. Order is kept per subject."""
    time: datetime
    request_id: str | None = None
    """The id of the request that caused it."""
    body: dict[str, Any]

    @property
    def ids(self) -> dict[str, Any]:
        """The ids that log lines about it have."""
        return {
            "type": self.type,
            "domainEventId": self.domain_event_id,
            "bookingId": self.body.get("bookingId"),
            "eventId": self.body.get("eventId"),
        }

    def as_message(self) -> dict[str, Any]:
        """The JSON object that subscribers receive."""
        return {
            "id": str(self.domain_event_id),
            "type": self.type,
            "version": self.version,
            "subject": str(self.subject),
            "time": rfc3339(self.time),
            "requestId": self.request_id,
            "body": self.body,
        }

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Self:
        """Read the JSON object that subscribers receive. Unknown members are ignored.

        Raises:
            ValueError: It is malformed.
        """
        match message:
            case {
                "id": str(domain_event_id),
                "type": str(name),
                "version": int(version),
                "subject": str(subject),
                "time": str(time),
                "requestId": (str() | None) as request_id,
                "body": dict(body),
            }:
                return cls(
                    domain_event_id=UUID(domain_event_id),
                    type=name,
                    version=version,
                    subject=UUID(subject),
                    time=datetime.fromisoformat(time),
                    request_id=request_id,
                    body=body,
                )
        raise ValueError("not a domain event")


class Publisher(Protocol):
    def publish(self, domain_events: Sequence[DomainEvent]) -> set[UUID]:
        """Publish domain events in their order. Return the ids of those that were refused.

        Raises:
            Unreachable: All, some or none were published.
        """


TIMES_PUT_BACK = "timesPutBack"
"""The message attribute that counts."""


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """A message that has failed too often."""

    message_id: str
    sent_at: datetime
    body: str


class QueueSender(Protocol):
    def send(self, queue: str, messages: Sequence[dict[str, Any]]) -> None:
        """Send messages, as JSON, to a queue.

        Raises:
            Unreachable: All, some or none were sent.
        """

    def put_back(self, queue: str, body: str, *, times: int, delay: int) -> None:
        """Send a message again that could not be handled, as a new one without attempts.

        `times` says how often it has been put back, `delay` is in seconds.

        Raises:
            Unreachable: It may or may not have been sent.
        """

    def dead_letters(self, queue: Queue) -> tuple[int, list[DeadLetter]]:
        """Return how many dead letters a queue has, and some of them.

        Raises:
            Unreachable
        """

    def redrive(self, queue: Queue, *, keep_going: Callable[[], bool]) -> int:
        """Move the present dead letters of a queue back while `keep_going` returns True. Return how many.

        Crash-safe: a message may be delivered twice, and none is lost.

        Raises:
            Unreachable: Some may have been moved.
        """
