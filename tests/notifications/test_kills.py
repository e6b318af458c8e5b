"""Functions killed between any two steps: the redelivery ends in the same state."""

from dataclasses import dataclass, field

from chalicelib.notifications.deliveries import CLAIM_LEASE
from tests.client import Account, Client
from tests.notifications.pipeline import PostOffice
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
