"""Stand-ins for the world outside: they work, in memory, and can be told to fail."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from chalicelib.ports import AddressRefused, Fact, OutOfReach


def nothing() -> None:
    """What happens at a step by default."""


class FakePublisher:
    """Keeps what was published. Each stand-in calls `at_step` before and after it does something."""

    def __init__(self) -> None:
        self.published: list[Fact] = []
        self.reachable = True
        self.refused_once: set[UUID] = set()
        self.at_step: Callable[[], None] = nothing

    def publish(self, facts: Sequence[Fact]) -> set[UUID]:
        if not self.reachable:
            raise OutOfReach("SNS is down")
        self.at_step()
        refused = self.refused_once & {fact.fact_id for fact in facts}
        self.refused_once -= refused
        self.published += [fact for fact in facts if fact.fact_id not in refused]
        self.at_step()
        return refused


class FakeQueues:
    """Keeps messages by queue, first in, first out."""

    def __init__(self) -> None:
        self.waiting: dict[str, deque[dict[str, Any]]] = {}
        self.reachable = True
        self.cut_after: int | None = None
        """Messages to take before failing in the middle of a call."""
        self.at_step: Callable[[], None] = nothing

    def put(self, queue: str, message: dict[str, Any]) -> None:
        self.waiting.setdefault(queue, deque()).append(message)

    def send(self, queue: str, messages: Sequence[dict[str, Any]]) -> None:
        if not self.reachable:
            raise OutOfReach("SQS is down")
        self.at_step()
        for message in messages:
            if self.cut_after == 0:
                raise OutOfReach("SQS took some of the messages")
            if self.cut_after is not None:
                self.cut_after -= 1
            self.put(queue, message)
        self.at_step()


class FakeMailer:
    """Keeps what was sent, by address."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.reachable = True
        self.cut_after: int | None = None
        self.refused: set[str] = set()
        self.at_step: Callable[[], None] = nothing

    def send(self, address: str, message: bytes) -> None:
        if address in self.refused:
            raise AddressRefused(address)
        if not self.reachable or self.cut_after == 0:
            raise OutOfReach("SES is down")
        if self.cut_after is not None:
            self.cut_after -= 1
        self.at_step()
        self.sent.append((address, message))
        self.at_step()

    def addresses(self) -> list[str]:
        return sorted(address for address, _ in self.sent)
