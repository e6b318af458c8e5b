"""The shapes of queue messages, and the only place that tells them apart.

A subscription delivers bare domain events. The functions that notify people send two more shapes: a page to
continue with, and a batch of recipients.
"""

from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from chalicelib.platform.messaging.ports import DomainEvent


@dataclass(frozen=True, kw_only=True)
class FanOutPage:
    """Notify the recipients of a domain event, page by page, from the first one after `after`."""

    domain_event: DomainEvent
    after: UUID | None
    """The key of the last recipient of the previous page. None: the first page, a bare domain event."""

    def as_message(self) -> dict[str, Any]:
        domain_event = self.domain_event.as_message()
        return domain_event if self.after is None else {"domainEvent": domain_event, "after": str(self.after)}

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Self:
        """Read a domain event, or one with `after`.

        Raises:
            ValueError: It is malformed.
        """
        if "domainEvent" not in message:
            return cls(domain_event=DomainEvent.from_message(message), after=None)
        domain_event, after = _with(message, "after")
        return cls(domain_event=domain_event, after=_id(after))


@dataclass(frozen=True, kw_only=True)
class EmailBatch:
    """Send the e-mails about a domain event to some recipients."""

    domain_event: DomainEvent
    recipients: tuple[UUID, ...]
    """Users, or the booking of a customer without an account. Of a bare domain event: its subject, which is
    the user or stands for the address."""

    def as_message(self) -> dict[str, Any]:
        return {
            "domainEvent": self.domain_event.as_message(),
            "recipients": [str(user_id) for user_id in self.recipients],
        }

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Self:
        """Read a domain event, or one with `recipients`.

        Raises:
            ValueError: It is malformed.
        """
        if "domainEvent" not in message:
            domain_event = DomainEvent.from_message(message)
            return cls(domain_event=domain_event, recipients=(domain_event.subject,))
        domain_event, recipients = _with(message, "recipients")
        if not isinstance(recipients, list):
            raise ValueError("recipients is not a list")  # noqa: TRY004 (malformed, as any other message)
        return cls(domain_event=domain_event, recipients=tuple(map(_id, recipients)))


def domain_event_of(message: object) -> DomainEvent | None:
    """The domain event that a decoded message is about; None if it is about none."""
    if isinstance(message, FanOutPage | EmailBatch):
        return message.domain_event
    return message if isinstance(message, DomainEvent) else None


def _with(message: dict[str, Any], name: str) -> tuple[DomainEvent, Any]:
    if message.keys() != {"domainEvent", name} or not isinstance(message["domainEvent"], dict):
        raise ValueError(f"not a domain event with {name}")
    return DomainEvent.from_message(message["domainEvent"]), message[name]


def _id(value: object) -> UUID:
    if not isinstance(value, str):
        raise ValueError("not an id")  # noqa: TRY004 (malformed, as any other message)
    return UUID(value)
