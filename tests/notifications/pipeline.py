"""Carry domain events from the outbox to inboxes and e-mails, with fakes of SNS, SQS and SES."""

import email
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import default
from typing import Any

from chalicelib.events import sale_start
from chalicelib.notifications import delivery, fan_out
from chalicelib.notifications.subscriptions import types_of
from chalicelib.payments import refunds
from chalicelib.platform.messaging import outbox
from chalicelib.platform.messaging.messages import EmailBatch, FanOutPage
from chalicelib.platform.messaging.ports import DomainEvent
from chalicelib.platform.messaging.queues import ACCOUNT_EMAIL, EMAIL, QUEUES, REFUNDS, Queue
from chalicelib.wiring import Wiring
from tests.client import Account, Client
from tests.events.announcements import announce_changes
from tests.fakes import FakeMailer, FakePublisher, FakeQueues


@dataclass
class PostOffice:
    """What AWS and the functions do, step by step, so that a test can stop between any two steps."""

    wiring: Wiring
    publisher: FakePublisher = field(default_factory=FakePublisher)
    queues: FakeQueues = field(default_factory=FakeQueues)
    mailer: FakeMailer = field(default_factory=FakeMailer)
    delivered: list[DomainEvent] = field(default_factory=list)
    """The domain events that have gone to the queues."""
    ahead: timedelta = timedelta(0)
    """How far the functions' clock is ahead of ours."""

    def relay(self, rounds: int = 3) -> int:
        """Run some rounds of the relay."""
        left = iter(range(rounds))
        return outbox.relay(
            self.wiring.database, self.publisher, go_on=lambda: next(left, None) is not None, pause=0
        )

    def start_sales(self, after: timedelta) -> int:
        """Record the domain events of the sales that have started by then."""
        self.ahead = max(self.ahead, after)
        return sale_start.announce(self.wiring.database, datetime.now(UTC) + after)

    def published(self, kind: str) -> list[DomainEvent]:
        return [domain_event for domain_event in self.publisher.published if domain_event.type == kind]

    def deliver(self, queue: Queue, message: dict[str, Any]) -> None:
        """Run the queue's function for one message."""
        now = datetime.now(UTC) + self.ahead
        if queue in {EMAIL, ACCOUNT_EMAIL}:
            delivery.send(self.mail_context, EmailBatch.from_message(message), now)
        elif queue is REFUNDS:
            due = DomainEvent.from_message(message)
            refunds.handle_refund_due(self.wiring.database, self.wiring.payments, due, now)
        else:
            self.notify(queue, message)

    def notify(self, queue: Queue, message: dict[str, Any], page_size: int = fan_out.PAGE_SIZE) -> None:
        """Run a function that notifies people for one message."""
        page, now = FanOutPage.from_message(message), datetime.now(UTC) + self.ahead
        fan_out.fan_out(self.wiring.database, self.queues, queue.name, page, now, page_size)

    @property
    def mail_context(self) -> delivery.MailContext:
        return delivery.MailContext(
            database=self.wiring.database, mailer=self.mailer, settings=self.wiring.settings
        )

    def fan_out(self) -> None:
        """Put what was published into the queues that subscribe to it."""
        for domain_event in self.publisher.published:
            for queue in QUEUES:
                if queue.topic and domain_event.type in types_of(queue):
                    self.queues.put(queue.name, domain_event.as_message())
        self.delivered += self.publisher.published
        self.publisher.published.clear()

    def redeliver(self, kind: str) -> None:
        """Handle the domain events of a type, which were published before, once more."""
        for domain_event in [one for one in self.delivered if one.type == kind]:
            for queue in QUEUES:
                if queue.topic and kind in types_of(queue):
                    self.queues.put(queue.name, domain_event.as_message())
        self.run()

    def run(self) -> None:
        """Publish and handle everything, until the outbox and all queues are empty."""
        announce_changes(self.wiring.database)
        self.fan_out()
        while self.relay(rounds=1):
            self.fan_out()
        by_name = {queue.name: queue for queue in QUEUES}
        while any(self.queues.waiting.values()):
            for name, waiting in list(self.queues.waiting.items()):
                while waiting:
                    self.deliver(by_name[name], waiting[0])
                    waiting.popleft()


def quiet(post_office: PostOffice) -> None:
    """Handle everything so far, and clear the sent e-mails."""
    post_office.run()
    post_office.mailer.sent.clear()


def mails(post_office: PostOffice, *users: Account) -> list[int]:
    """How many e-mails each user was sent."""
    return [post_office.mailer.addresses().count(user.email) for user in users]


def subjects(post_office: PostOffice, user: Account) -> list[str]:
    """The subjects of the e-mails that a user was sent, in order."""
    return [
        str(email.message_from_bytes(raw, EmailMessage, policy=default)["Subject"])
        for address, raw in post_office.mailer.sent
        if address == user.email
    ]


def inbox(client: Client, user: Account) -> list[str]:
    """The types in a user's inbox, newest first."""
    return [item["type"] for item in client("GET", "/notifications", by=user).json]
