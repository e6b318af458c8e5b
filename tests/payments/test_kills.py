"""Processes killed between any two steps: the schedules alone make places and money agree again."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest
from sqlalchemy import event

from chalicelib.payments import hold_expiry, reconciliation
from chalicelib.payments.gateway import Charge, DueRefund, PaymentGateway, PaymentIntent, Refund
from chalicelib.wiring import Wiring, using
from infra.stripe_fake.fake import StripeFake
from tests.client import Account, Client
from tests.notifications.pipeline import PostOffice
from tests.payments.orders import sale
from tests.rows import rows

PRICE = 2500
TICKETS = 3
"""Of the booking: as many as there are places."""

T = TypeVar("T")

pytestmark = pytest.mark.slow


class Killed(BaseException):
    """The process is killed. The app does not catch this."""


@dataclass
class Killer:
    """Kills the process once, at the given step."""

    at: int | None = None
    steps: list[str] = field(default_factory=list)
    _running: bool = False

    @contextmanager
    def process(self) -> Iterator[None]:
        """Run a block as a process that may be killed. The caller goes on after it."""
        self._running = True
        try:
            with suppress(Killed):
                yield
        finally:
            self._running = False

    def step(self, name: str) -> None:
        if not self._running:
            return
        self.steps.append(name)
        if len(self.steps) == self.at:
            raise Killed

    def before_commit(self, *_: Any) -> None:
        self.step("commit")

    def after_begin(self, *_: Any) -> None:
        self.step("begin")


@dataclass
class KillingGateway:
    """A gateway that may kill the process before and after each call."""

    gateway: PaymentGateway
    killer: Killer

    def create_payment_intent(self, charge: Charge, event_id: UUID) -> PaymentIntent:
        return self._call("open", lambda: self.gateway.create_payment_intent(charge, event_id))

    def get_payment_intent(self, intent_id: str) -> PaymentIntent:
        return self._call("get", lambda: self.gateway.get_payment_intent(intent_id))

    def cancel_payment_intent(self, intent_id: str) -> PaymentIntent:
        return self._call("cancel", lambda: self.gateway.cancel_payment_intent(intent_id))

    def create_refund(self, due: DueRefund) -> Refund:
        return self._call("refund", lambda: self.gateway.create_refund(due))

    def get_refund(self, stripe_refund_id: str) -> Refund:
        return self._call("get refund", lambda: self.gateway.get_refund(stripe_refund_id))

    def list_refunds(self, intent_id: str) -> list[Refund]:
        return self._call("list refunds", lambda: self.gateway.list_refunds(intent_id))

    def get_event(self, event_id: str) -> Mapping[str, Any]:
        return self._call("get event", lambda: self.gateway.get_event(event_id))

    def list_events(
        self, types: Collection[str], since: datetime, until: datetime
    ) -> Iterator[Sequence[Mapping[str, Any]]]:
        return self._call("list events", lambda: self.gateway.list_events(types, since, until))

    def _call(self, name: str, call: Callable[[], T]) -> T:
        self.killer.step(f"before {name}")
        result = call()
        self.killer.step(f"after {name}")
        return result


@contextmanager
def killable(client: Client, killer: Killer) -> Iterator[Client]:
    """The app in a process that may be killed at each commit and each call of Stripe."""
    settings = client.wiring.settings
    with using(Wiring(settings, payments=KillingGateway(Wiring(settings).payments, killer))) as wiring:
        event.listen(wiring.database.engine, "begin", killer.after_begin)
        event.listen(wiring.database.engine, "commit", killer.before_commit)
        yield Client(wiring)


@dataclass
class Scenario:
    """Steps around one booking. Each step of the app is a process that may be killed."""

    client: Client
    killer: Killer
    stripe: StripeFake
    host: Account
    attendee: Account
    event_id: str

    def hold(self) -> None:
        with self.killer.process():
            body = {"eventId": self.event_id, "quantity": TICKETS}
            self.client("POST", "/bookings", body, by=self.attendee)

    def pay(self) -> None:
        """Pay the holds whose client secret the attendee received."""
        for booking in self.client("GET", "/bookings", by=self.attendee).json:
            payment = booking.get("payment", {})
            if "clientSecret" in payment:
                self.stripe.confirm(payment["paymentIntentId"], "pm_card_visa")

    def pay_unrecorded(self) -> None:
        """Pay the PaymentIntents at Stripe, even if the app was killed before it recorded them."""
        for intent in self.stripe.intents():
            if intent["metadata"]["eventId"] == self.event_id and not intent["latest_charge"]:
                self.stripe.confirm(intent["id"], "pm_card_visa")

    def deliver_once(self) -> None:
        """Deliver each webhook once; rejected ones are lost."""
        for waiting in self.stripe.waiting():
            with self.killer.process():
                self.stripe.deliver(waiting)
            self.stripe.drop(waiting)

    def deliver_all(self) -> None:
        """Deliver webhooks again until all are accepted."""
        while self.stripe.waiting():
            with self.killer.process():
                self.stripe.deliver_all()

    def cancel(self) -> None:
        with self.killer.process():
            for booking in self.client("GET", "/bookings", by=self.attendee).json:
                self.client("DELETE", f"/bookings/{booking['bookingId']}", by=self.attendee)

    def cancel_ticket(self) -> None:
        """Cancel a live ticket."""
        for ticket in rows(self.client, "SELECT ticket_id FROM tickets WHERE status = 'valid' LIMIT 1"):
            with self.killer.process():
                self.client("DELETE", f"/tickets/{ticket.ticket_id}", by=self.attendee)

    def cancel_event(self) -> None:
        with self.killer.process():
            self.client("POST", f"/events/{self.event_id}/cancel", by=self.host)

    def expire(self) -> None:
        rows(self.client, "UPDATE bookings SET expires_at = now() WHERE status = 'pending'")
        rows(
            self.client,
            "UPDATE payments SET open_until = now(), next_check_at = now() WHERE next_check_at > now()",
        )
        with self.killer.process():
            hold_expiry.expire_holds(
                self.client.wiring.database, lambda: self.client.wiring.payments, datetime.now(UTC)
            )

    def process_queues(self) -> None:
        """Run the relay and the functions on queues."""
        with self.killer.process():
            PostOffice(self.client.wiring).run()


CONFIRMED = {
    "paid": 3,
    "webhook before the recording": 3,
    "paid without webhooks": 3,
    "paid at expiry": 3,
    "a ticket cancelled": 2,
    "two tickets cancelled": 1,
}
"""The live tickets after the scenarios in which some are left."""

Step = Callable[[Scenario], None]
SCENARIOS: dict[str, list[Step]] = {
    "paid": [Scenario.hold, Scenario.pay, Scenario.deliver_once, Scenario.process_queues],
    "webhook before the recording": [Scenario.hold, Scenario.pay_unrecorded, Scenario.deliver_all],
    "paid without webhooks": [Scenario.hold, Scenario.pay, Scenario.process_queues],
    "unpaid": [Scenario.hold, Scenario.expire, Scenario.deliver_once],
    "paid, then cancelled": [
        *(Scenario.hold, Scenario.pay, Scenario.deliver_once, Scenario.cancel),
        *(Scenario.process_queues, Scenario.deliver_once),
    ],
    "cancelled, then paid": [
        *(Scenario.hold, Scenario.cancel, Scenario.pay),
        *(Scenario.deliver_once, Scenario.process_queues),
    ],
    "paid at expiry": [
        *(Scenario.hold, Scenario.pay, Scenario.expire),
        *(Scenario.deliver_once, Scenario.process_queues),
    ],
    "a ticket cancelled": [
        *(Scenario.hold, Scenario.pay, Scenario.deliver_once, Scenario.cancel_ticket),
        *(Scenario.process_queues, Scenario.deliver_once),
    ],
    "two tickets cancelled": [
        *(Scenario.hold, Scenario.pay, Scenario.deliver_once, Scenario.cancel_ticket),
        *(Scenario.cancel_ticket, Scenario.process_queues, Scenario.deliver_once),
    ],
    "a ticket, then the booking cancelled": [
        *(Scenario.hold, Scenario.pay, Scenario.deliver_once, Scenario.cancel_ticket),
        *(Scenario.process_queues, Scenario.cancel, Scenario.process_queues, Scenario.deliver_once),
    ],
    "paid, then event cancelled": [
        *(Scenario.hold, Scenario.pay, Scenario.deliver_once, Scenario.cancel_event),
        *(Scenario.process_queues, Scenario.deliver_once),
    ],
}


def run(client: Client, stripe: StripeFake, steps: list[Step], killer: Killer) -> Scenario:
    """Run a scenario with a kill at one step, and let the schedules recover."""
    host, attendee = client.host(), client.attendee()
    event_id = sale(client, PRICE, host=host, capacity=TICKETS).event_id
    with killable(client, killer) as killable_client:
        scenario = Scenario(killable_client, killer, stripe, host, attendee, event_id)
        for step in steps:
            step(scenario)
    for waiting in stripe.waiting():
        stripe.drop(waiting)
    recover(client)
    return Scenario(client, Killer(), stripe, host, attendee, event_id)


def recover(client: Client) -> None:
    """Run the schedules and functions several times, with time passing between the rounds."""
    database, ahead = client.wiring.database, timedelta(0)
    rows(client, "UPDATE leases SET held_until = now() - interval '1 second'")
    for _ in range(3):
        ahead += timedelta(minutes=20)
        hold_expiry.expire_holds(database, lambda: client.wiring.payments, datetime.now(UTC) + ahead)
        reconciliation.reconcile(database, lambda: client.wiring.payments, datetime.now(UTC) + ahead)
        office = PostOffice(client.wiring)
        office.ahead = ahead
        office.run()


def check(scenario: Scenario) -> int:
    """Check that tickets, places and Stripe agree. Return the number of live tickets."""
    report = scenario.client("GET", f"/events/{scenario.event_id}/integrity", by=scenario.host).json
    assert report["differences"] == []
    assert report["bookings"]["pending"] == 0
    kept = sum(
        intent["amount_received"] - sum(refund["amount"] for refund in scenario.stripe.refunds(intent["id"]))
        for intent in scenario.stripe.intents()
        if intent["metadata"]["eventId"] == scenario.event_id
    )
    live: int = report["places"]["taken"]
    assert kept == live * PRICE == sum(sums["kept"] for sums in report["money"])
    assert report["places"]["counted"] == live
    return live


@pytest.mark.parametrize("name", SCENARIOS)
def test_places_and_money_agree_after_a_kill_at_any_step(
    client: Client, stripe: StripeFake, name: str
) -> None:
    harmless = Killer()
    assert check(run(client, stripe, SCENARIOS[name], harmless)) == CONFIRMED.get(name, 0)

    for step in range(1, len(harmless.steps) + 1):
        check(run(client, stripe, SCENARIOS[name], Killer(at=step)))
