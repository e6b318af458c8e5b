"""A sold-out event is called off: everybody gets the money back once, though functions die on the way."""

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from chalicelib.bookings.endings import REFUND_PATIENCE
from chalicelib.payments import refunding
from chalicelib.ports import Due, Intent, OutOfReach, PaymentGateway, Refund
from chalicelib.topology import REFUNDS
from chalicelib.wiring import Wiring
from infra.local.stripe.stand_in import StandIn
from tests.client import Account, Client
from tests.notifications.post_office import PostOffice
from tests.payments.buying import reconcile
from tests.rows import rows

MANY = 150
PRICE = 2500


class Killed(BaseException):
    """The function ends here."""


class Deadly:
    """Stripe, as functions reach it that die now and then, before or after a refund is made."""

    def __init__(self, gateway: PaymentGateway, seed: int) -> None:
        self._gateway = gateway
        self._chance = random.Random(seed)  # noqa: S311 (chance, not secrecy)
        self.kills = 0

    def refund(self, due: Due, intent_id: str) -> Refund:
        fate = self._chance.random()
        if fate < 0.1:
            self._die()
        made = self._gateway.refund(due, intent_id)
        if fate > 0.9:
            self._die()
        return made

    def _die(self) -> None:
        self.kills += 1
        raise Killed

    def open(self, due: Due, event_id: UUID, receipt_email: str) -> Intent:
        return self._gateway.open(due, event_id, receipt_email)

    def look_up(self, intent_id: str) -> Intent:
        return self._gateway.look_up(intent_id)

    def call_off(self, intent_id: str) -> Intent:
        return self._gateway.call_off(intent_id)

    def look_up_refund(self, refund_id: str) -> Refund:
        return self._gateway.look_up_refund(refund_id)


def sell_out(client: Client, stripe: StandIn, many: int) -> tuple[Account, str]:
    """An event with so many paid bookings."""
    host = client.host()
    event_id = str(client.event(host, capacity=many, price=PRICE)["eventId"])
    for attendee in client.attendees(many):
        booking = client.book(attendee, event_id).json
        stripe.confirm(booking["payment"]["paymentIntentId"])
    stripe.deliver_all()
    return host, event_id


def run_functions(
    wiring: Wiring, facts: list[dict[str, Any]], gateway: PaymentGateway
) -> list[dict[str, Any]]:
    """Hand facts to functions, several at a time; those whose function died come again."""

    def run(fact: dict[str, Any]) -> bool:
        with suppress(Killed, OutOfReach):
            refunding.take(wiring.database, gateway, fact, datetime.now(UTC))
            return True
        return False

    with ThreadPoolExecutor(4) as functions:
        done = list(functions.map(run, facts))
    return [fact for fact, well in zip(facts, done, strict=True) if not well]


def refund_all(client: Client, stripe: StandIn, many: int) -> int:
    """Sell an event out, call it off, pay everybody back, and say how often a function died."""
    host, event_id = sell_out(client, stripe, many)
    assert client("POST", f"/events/{event_id}/cancel", by=host).status == 200
    office = PostOffice(client.wiring)
    while office.relay(rounds=1):
        pass
    facts = [fact.as_message() for fact in office.publisher.published if fact.type in REFUNDS.facts]
    assert len(facts) == many
    deadly = Deadly(client.wiring.payments, seed=many)
    for _ in range(2):  # then the messages are dead letters, and the schedule has the rest
        facts = run_functions(client.wiring, facts, deadly)
    stripe.deliver_all("shuffled")
    reconcile(client, REFUND_PATIENCE)

    made = [stripe.refunds(intent["id"]) for intent in stripe.intents()]
    assert [[refund["amount"] for refund in refunds] for refunds in made] == [[PRICE]] * many
    statuses = rows(client, "SELECT DISTINCT status FROM payments")
    assert [row.status for row in statuses] == ["refunded"]
    report = client("GET", f"/events/{event_id}/integrity", by=host).json
    assert report["differences"] == []
    assert report["money"][0]["refunded"] == report["money"][0]["received"] == many * PRICE
    return deadly.kills


def test_everybody_is_paid_back_once_though_functions_die_again_and_again(
    client: Client, stripe: StandIn
) -> None:
    assert refund_all(client, stripe, MANY) > MANY / 10
