"""Functions killed between any two of their steps: delivered again, they end in the same state."""

from dataclasses import dataclass, field

from chalicelib.notifications.deliveries import CLAIM_LEASE
from tests.client import Account, Client
from tests.notifications.pipeline import PostOffice
from tests.rows import rows

FANS = 3


class Killed(BaseException):
    """The process ends here: nothing catches this, and nothing is tidied up."""


@dataclass
class Fate:
    """Ends the process once, at a step: the moment before or after something outside is done."""

    at: int | None = None
    steps: list[str] = field(default_factory=list)

    def of(self, what: str) -> None:
        self.steps.append(what)
        if len(self.steps) == self.at:
            raise Killed


def tell(client: Client, fate: Fate) -> tuple[PostOffice, list[Account]]:
    """Publish an event to some followers, and have everything done by functions that may be killed.

    A message that was not done to its end is delivered again, once the leases of the dead have run out.
    """
    host, fans = client.host(), client.attendees(FANS)
    for fan in fans:
        client("PUT", f"/users/{host.user_id}/follow", by=fan)
    PostOffice(client.wiring).run()
    client.event(host)
    office = PostOffice(client.wiring)
    office.publisher.at_step = lambda: fate.of("publish")
    office.queues.at_step = lambda: fate.of("queue")
    office.mailer.at_step = lambda: fate.of("mail")
    done = False
    while not done:
        try:
            office.run()
            done = True
        except Killed:
            rows(client, "UPDATE leases SET held_until = now() - interval '1 second'")
            office.ahead += CLAIM_LEASE * 2
    return office, fans


def test_a_kill_at_any_step_leaves_everybody_told_and_one_e_mail_twice_at_most(client: Client) -> None:
    unharmed = Fate()
    tell(client, unharmed)
    assert set(unharmed.steps) == {"publish", "queue", "mail"}

    for step, what in enumerate(unharmed.steps, start=1):
        office, fans = tell(client, Fate(at=step))

        sent = [office.mailer.addresses().count(fan.email) for fan in fans]
        inboxes = [client("GET", "/notifications", by=fan).json for fan in fans]
        assert [len(inbox) for inbox in inboxes] == [1] * FANS, (step, what)
        assert min(sent) == 1, (step, what)
        assert sum(sent) <= FANS + (what == "mail"), (step, what)
