"""Functions killed between any two steps: the redelivery ends in the same state."""

from dataclasses import dataclass, field
from itertools import count

import pytest

from chalicelib.notifications.deliveries import CLAIM_LEASE
from tests.client import Account, Client
from tests.notifications.pipeline import PostOffice, mails
from tests.rows import rows

FANS = 3


class Killed(BaseException):
    """The process dies: nothing catches this, and nothing cleans up."""


@dataclass
class Killer:
    """Kills the process once, at a step: just before or after a call to the outside."""

    at: int | None = None
    steps: list[str] = field(default_factory=list)

    def step(self, what: str) -> None:
        self.steps.append(what)
        if len(self.steps) == self.at:
            raise Killed


def notify(client: Client, killer: Killer) -> tuple[PostOffice, list[Account]]:
    """Publish an event to some followers, and handle everything with functions that may be killed.

    An unfinished message is delivered again, after the leases of killed functions have expired.
    """
    host, fans = client.host(), client.attendees(FANS)
    for fan in fans:
        client("PUT", f"/users/{host.user_id}/follow", by=fan)
    PostOffice(client.wiring).run()
    client.event(host)
    office = PostOffice(client.wiring)
    office.publisher.at_step = lambda: killer.step("publish")
    office.queues.at_step = lambda: killer.step("queue")
    office.mailer.at_step = lambda: killer.step("mail")
    done = False
    while not done:
        try:
            office.run()
            done = True
        except Killed:
            rows(client, "UPDATE leases SET held_until = now() - interval '1 second'")
            office.ahead += CLAIM_LEASE * 2
    return office, fans


def test_a_kill_repeats_at_most_one_e_mail_and_loses_none(client: Client) -> None:
    unharmed = Killer()
    notify(client, unharmed)
    assert set(unharmed.steps) == {"publish", "queue", "mail"}

    for step, what in enumerate(unharmed.steps, start=1):
        office, fans = notify(client, Killer(at=step))

        sent = [office.mailer.addresses().count(fan.email) for fan in fans]
        inboxes = [client("GET", "/notifications", by=fan).json for fan in fans]
        assert [len(inbox) for inbox in inboxes] == [1] * FANS, (step, what)
        assert min(sent) == 1, (step, what)
        assert sum(sent) <= FANS + (what == "mail"), (step, what)


def test_no_number_of_kills_sends_an_e_mail_three_times(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Every delivery is killed as soon as SES has accepted an e-mail."""
    host, fans = client.host(), client.attendees(FANS)
    for fan in fans:
        client("PUT", f"/users/{host.user_id}/follow", by=fan)
    PostOffice(client.wiring).run()
    client.event(host)
    office, calls = PostOffice(client.wiring), count()

    def die_after_sending() -> None:
        if next(calls) % 2:
            raise Killed

    office.mailer.at_step = die_after_sending
    kills = 0
    while True:
        try:
            office.run()
            break
        except Killed:
            kills += 1
            rows(client, "UPDATE leases SET held_until = now() - interval '1 second'")
            office.ahead += CLAIM_LEASE * 2

    assert mails(office, *fans) == [2] * FANS
    assert kills == 2 * FANS
    assert caplog.messages.count("e-mail given up") >= FANS
