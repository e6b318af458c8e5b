"""Processes killed between any two of their steps: schedules alone bring place and money together again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest
from sqlalchemy import event

from chalicelib.payments import hold_expiry, reconciliation
from chalicelib.payments.gateway import Charge, PaymentGateway, PaymentIntent, Refund
from chalicelib.wiring import Wiring, using
from infra.stripe_fake.fake import StripeFake
from tests.client import Account, Client
from tests.notifications.pipeline import PostOffice
from tests.rows import rows

PRICE = 2500

T = TypeVar("T")

pytestmark = pytest.mark.slow


class Killed(BaseException):
    """The process ends here: nothing catches this, and nothing is tidied up."""


@dataclass
class Fate:
    """Ends the process once, at a step."""

    at: int | None = None
    steps: list[str] = field(default_factory=list)
    _running: bool = False

    @contextmanager
    def process(self) -> Iterator[None]:
        """Run a block in a process that may be killed, which nobody but the process notices."""
        self._running = True
        try:
            with suppress(Killed):
                yield
        finally:
            self._running = False

    def step(self, what: str) -> None:
        if not self._running:
            return
        self.steps.append(what)
        if len(self.steps) == self.at:
            raise Killed

    def before_commit(self, *_: Any) -> None:
        self.step("commit")

    def after_begin(self, *_: Any) -> None:
        self.step("begin")


@dataclass
class Fateful:
    """Stripe, as a process reaches it that may be killed before and after each call."""

    gateway: PaymentGateway
    fate: Fate

    def create_payment_intent(self, charge: Charge, event_id: UUID, receipt_email: str) -> PaymentIntent:
        return self._call("open", lambda: self.gateway.create_payment_intent(charge, event_id, receipt_email))

    def get_payment_intent(self, intent_id: str) -> PaymentIntent:
        return self._call("look up", lambda: self.gateway.get_payment_intent(intent_id))

    def cancel_payment_intent(self, intent_id: str) -> PaymentIntent:
        return self._call("call off", lambda: self.gateway.cancel_payment_intent(intent_id))

    def create_refund(self, charge: Charge, intent_id: str) -> Refund:
        return self._call("refund", lambda: self.gateway.create_refund(charge, intent_id))

    def get_refund(self, refund_id: str) -> Refund:
        return self._call("look up refund", lambda: self.gateway.get_refund(refund_id))

    def _call(self, what: str, call: Callable[[], T]) -> T:
        self.fate.step(f"before {what}")
        answer = call()
        self.fate.step(f"after {what}")
        return answer


@contextmanager
def mortal(client: Client, fate: Fate) -> Iterator[Client]:
    """The app in a process that may be killed before and after each commit and each call of Stripe."""
    settings = client.wiring.settings
    with using(Wiring(settings, payments=Fateful(Wiring(settings).payments, fate))) as wiring:
        event.listen(wiring.database.engine, "begin", fate.after_begin)
        event.listen(wiring.database.engine, "commit", fate.before_commit)
        yield Client(wiring)


@dataclass
class Story:
    """What one attendee goes through. Each act is a process of its own, and may end in the middle."""

    client: Client
    fate: Fate
    stripe: StripeFake
    host: Account
    attendee: Account
    event_id: str

    def holds(self) -> None:
        with self.fate.process():
            self.client.book(self.attendee, self.event_id)

    def pays(self) -> None:
        """Pay what there is to be paid, as far as the attendee was given the secret of it."""
        for booking in self.client("GET", "/bookings", by=self.attendee).json:
            payment = booking.get("payment", {})
            if "clientSecret" in payment:
                self.stripe.confirm(payment["paymentIntentId"], "pm_card_visa")

    def pays_though_nobody_noted_what(self) -> None:
        """Pay what was made at Stripe, even where the process that made it died before it could say so."""
        for intent in self.stripe.intents():
            if intent["metadata"]["eventId"] == self.event_id and not intent["latest_charge"]:
                self.stripe.confirm(intent["id"], "pm_card_visa")

    def is_told(self) -> None:
        """Have webhooks come, each once: what is not taken is lost."""
        for told in self.stripe.waiting():
            with self.fate.process():
                self.stripe.deliver(told)
            self.stripe.drop(told)

    def is_surely_told(self) -> None:
        """Have webhooks come again until they are taken."""
        while self.stripe.waiting():
            with self.fate.process():
                self.stripe.deliver_all()

    def cancels(self) -> None:
        with self.fate.process():
            for booking in self.client("GET", "/bookings", by=self.attendee).json:
                self.client("DELETE", f"/bookings/{booking['bookingId']}", by=self.attendee)

    def is_called_off(self) -> None:
        with self.fate.process():
            self.client("POST", f"/events/{self.event_id}/cancel", by=self.host)

    def runs_out(self) -> None:
        rows(self.client, "UPDATE bookings SET expires_at = now() WHERE status = 'pending'")
        rows(
            self.client,
            "UPDATE payments SET open_until = now(), next_check_at = now() WHERE next_check_at > now()",
        )
        with self.fate.process():
            hold_expiry.expire_holds(
                self.client.wiring.database, lambda: self.client.wiring.payments, datetime.now(UTC)
            )

    def is_done(self) -> None:
        """Have the functions on queues do what is to be done."""
        with self.fate.process():
            PostOffice(self.client.wiring).run()


CONFIRMED = {"paid", "told before it was noted", "paid, and nobody tells", "paid at the last moment"}

Act = Callable[[Story], None]
STORIES: dict[str, list[Act]] = {
    "paid": [Story.holds, Story.pays, Story.is_told, Story.is_done],
    "told before it was noted": [Story.holds, Story.pays_though_nobody_noted_what, Story.is_surely_told],
    "paid, and nobody tells": [Story.holds, Story.pays, Story.is_done],
    "left alone": [Story.holds, Story.runs_out, Story.is_told],
    "paid and cancelled": [
        *(Story.holds, Story.pays, Story.is_told, Story.cancels),
        *(Story.is_done, Story.is_told),
    ],
    "cancelled, then paid": [Story.holds, Story.cancels, Story.pays, Story.is_told, Story.is_done],
    "paid at the last moment": [Story.holds, Story.pays, Story.runs_out, Story.is_told, Story.is_done],
    "paid and called off": [
        *(Story.holds, Story.pays, Story.is_told, Story.is_called_off),
        *(Story.is_done, Story.is_told),
    ],
}


def tell(client: Client, stripe: StripeFake, story: list[Act], fate: Fate) -> Story:
    """Go through a story in which a process is killed at a step, and let schedules do the rest."""
    host, attendee = client.host(), client.attendee()
    event_id = client.event(host, price=PRICE, capacity=1)["eventId"]
    with mortal(client, fate) as mortal_client:
        told = Story(mortal_client, fate, stripe, host, attendee, event_id)
        for act in story:
            act(told)
    for waiting in stripe.waiting():
        stripe.drop(waiting)
    recover(client)
    return Story(client, Fate(), stripe, host, attendee, event_id)


def recover(client: Client) -> None:
    """Run what runs by itself, on and on, as time passes."""
    database, ahead = client.wiring.database, timedelta(0)
    rows(client, "UPDATE leases SET held_until = now() - interval '1 second'")
    for _ in range(3):
        ahead += timedelta(minutes=20)
        hold_expiry.expire_holds(database, lambda: client.wiring.payments, datetime.now(UTC) + ahead)
        reconciliation.reconcile(database, lambda: client.wiring.payments, datetime.now(UTC) + ahead)
        office = PostOffice(client.wiring)
        office.ahead = ahead
        office.run()


def check(story: Story) -> str:
    """What became of the booking, after checking that all agree about it."""
    report = story.client("GET", f"/events/{story.event_id}/integrity", by=story.host).json
    assert report["differences"] == []
    assert report["bookings"]["pending"] == 0
    kept = sum(
        intent["amount_received"] - sum(refund["amount"] for refund in story.stripe.refunds(intent["id"]))
        for intent in story.stripe.intents()
        if intent["metadata"]["eventId"] == story.event_id
    )
    confirmed = report["bookings"]["confirmed"]
    assert kept == confirmed * PRICE == sum(one["kept"] for one in report["money"])
    assert report["places"]["taken"] == confirmed
    return "confirmed" if confirmed else "not"


@pytest.mark.parametrize("name", STORIES)
def test_a_kill_at_any_step_leaves_place_and_money_in_agreement(
    client: Client, stripe: StripeFake, name: str
) -> None:
    unharmed = Fate()
    expected = check(tell(client, stripe, STORIES[name], unharmed))
    assert expected == ("confirmed" if name in CONFIRMED else "not")

    for step in range(1, len(unharmed.steps) + 1):
        check(tell(client, stripe, STORIES[name], Fate(at=step)))
