"""Fakes of the external services. They work in memory, and tests can make them fail.

Each fake calls `at_step` before and after it does something.
"""

import json
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from chalicelib.notifications.mailer import AddressRefused, EmailRefused
from chalicelib.payments.gateway import Charge, DueRefund, PaymentIntent, PaymentRefused, Refund
from chalicelib.platform.errors import Unreachable
from chalicelib.platform.messaging.ports import DeadLetter, DomainEvent
from chalicelib.platform.messaging.queues import Queue

SQS_MAX_DELAY = 900


def do_nothing() -> None:
    """Do nothing at a step, by default."""


class FakePublisher:
    """Keeps published domain events."""

    def __init__(self) -> None:
        self.published: list[DomainEvent] = []
        self.reachable = True
        self.refused_once: set[UUID] = set()
        self.at_step: Callable[[], None] = do_nothing

    def publish(self, domain_events: Sequence[DomainEvent]) -> set[UUID]:
        if not self.reachable:
            raise Unreachable("SNS is down")
        self.at_step()
        refused = self.refused_once & {domain_event.domain_event_id for domain_event in domain_events}
        self.refused_once -= refused
        self.published += [
            domain_event for domain_event in domain_events if domain_event.domain_event_id not in refused
        ]
        self.at_step()
        return refused


class FakeQueues:
    """Keeps messages by queue, first in, first out."""

    def __init__(self) -> None:
        self.waiting: dict[str, deque[dict[str, Any]]] = {}
        self.reachable = True
        self.cut_after: int | None = None
        """The number of messages to accept before a call fails halfway."""
        self.at_step: Callable[[], None] = do_nothing

    def put(self, queue: str, message: dict[str, Any]) -> None:
        self.waiting.setdefault(queue, deque()).append(message)

    def send(self, queue: str, messages: Sequence[dict[str, Any]]) -> None:
        if not self.reachable:
            raise Unreachable("SQS is down")
        self.at_step()
        for message in messages:
            if self.cut_after == 0:
                raise Unreachable("SQS accepted some of the messages")
            if self.cut_after is not None:
                self.cut_after -= 1
            self.put(queue, message)
        self.at_step()

    def put_back(self, queue: str, body: str, *, times: int, delay: int) -> None:
        """Put the message at the end of the queue, without a delay."""
        if not self.reachable:
            raise Unreachable("SQS is down")
        assert times > 0
        assert 0 < delay <= SQS_MAX_DELAY
        self.put(queue, json.loads(body))

    def dead_letters(self, queue: Queue) -> tuple[int, list[DeadLetter]]:
        if not self.reachable:
            raise Unreachable("SQS is down")
        waiting = self.waiting.get(queue.dead_letters, deque())
        now = datetime.now(UTC)
        listed = [DeadLetter(message_id="1", sent_at=now, body=json.dumps(message)) for message in waiting]
        return len(waiting), listed

    def redrive(self, queue: Queue, *, keep_going: Callable[[], bool]) -> int:
        moved = self.waiting.pop(queue.dead_letters, deque()) if keep_going() else deque()
        for message in moved:
            self.put(queue.name, message)
        return len(moved)


class FakeMailer:
    """Keeps sent e-mails with their addresses."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.reachable = True
        self.cut_after: int | None = None
        self.refused: set[str] = set()
        self.refused_once: set[str] = set()
        """Addresses whose next e-mail is refused, as such."""
        self.at_step: Callable[[], None] = do_nothing

    def send(self, address: str, message: bytes) -> None:
        if address in self.refused:
            raise AddressRefused(address)
        if address in self.refused_once:
            self.refused_once.remove(address)
            raise EmailRefused("MessageRejected")
        if not self.reachable or self.cut_after == 0:
            raise Unreachable("SES is down")
        if self.cut_after is not None:
            self.cut_after -= 1
        self.at_step()
        self.sent.append((address, message))
        self.at_step()

    def addresses(self) -> list[str]:
        return sorted(address for address, _ in self.sent)


class FakePayments:
    """Keeps payments and refunds. `pay` makes a payment succeed. The real adapter has its own tests."""

    def __init__(self) -> None:
        self.intents: dict[str, PaymentIntent] = {}
        self.refunds: dict[str, Refund] = {}
        self.reachable = True
        self.at_step: Callable[[], None] = do_nothing

    def _call(self) -> None:
        if not self.reachable:
            raise Unreachable("Stripe is down")
        self.at_step()

    def create_payment_intent(self, charge: Charge, event_id: UUID) -> PaymentIntent:
        assert charge.booking_id != event_id
        self._call()
        same = (
            one
            for one in list(self.intents.values())  # a copy, because other threads add to it
            if (one.booking_id, one.attempt) == (charge.booking_id, charge.attempt)
        )
        intent_id = f"pi_{uuid4().hex}"
        made = next(same, None) or PaymentIntent(
            intent_id=intent_id,
            status="open",
            amount=charge.amount,
            received=0,
            currency=charge.currency,
            client_secret=f"{intent_id}_secret_{uuid4().hex}",
            booking_id=charge.booking_id,
            attempt=charge.attempt,
            failure=None,
        )
        self.intents[made.intent_id] = made
        self.at_step()
        return made

    def get_payment_intent(self, intent_id: str) -> PaymentIntent:
        self._call()
        return self.intents[intent_id]

    def cancel_payment_intent(self, intent_id: str) -> PaymentIntent:
        self._call()
        if self.intents[intent_id].status == "open":
            self.intents[intent_id] = replace(self.intents[intent_id], status="canceled")
        self.at_step()
        return self.intents[intent_id]

    def create_refund(self, due: DueRefund) -> Refund:
        self._call()
        if self.intents[due.intent_id].status != "succeeded":
            raise PaymentRefused("payment_intent_unexpected_state")
        same = (
            one
            for one in list(self.refunds.values())
            if (one.refund_id, one.attempt) == (due.refund_id, due.attempt)
        )
        made = next(same, None) or Refund(
            stripe_refund_id=f"re_{uuid4().hex}",
            intent_id=due.intent_id,
            status="succeeded",
            amount=due.amount,
            currency=due.currency,
            refund_id=due.refund_id,
            attempt=due.attempt,
        )
        self.refunds[made.stripe_refund_id] = made
        self.at_step()
        return made

    def get_refund(self, stripe_refund_id: str) -> Refund:
        self._call()
        return self.refunds[stripe_refund_id]

    def list_refunds(self, intent_id: str) -> list[Refund]:
        self._call()
        return [refund for refund in self.refunds.values() if refund.intent_id == intent_id]

    def list_events(
        self, types: Collection[str], since: datetime, until: datetime
    ) -> Iterator[Sequence[Mapping[str, Any]]]:
        assert types
        assert since < until
        self._call()
        return iter(())

    def get_event(self, event_id: str) -> Mapping[str, Any]:
        self._call()
        raise PaymentRefused("resource_missing", event_id)

    def pay(self, intent_id: str) -> PaymentIntent:
        """Pay, as the attendee's browser does."""
        intent = self.intents[intent_id]
        assert intent.status == "open"
        self.intents[intent_id] = replace(intent, status="succeeded", received=intent.amount)
        return self.intents[intent_id]
