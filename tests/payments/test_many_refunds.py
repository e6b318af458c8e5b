"""A sold-out event is cancelled: each ticket is refunded once, although functions are killed meanwhile."""

import random
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from chalicelib.notifications.subscriptions import types_of
from chalicelib.payments import refunds
from chalicelib.payments.gateway import Charge, DueRefund, PaymentGateway, PaymentIntent, Refund
from chalicelib.payments.refund_requests import FIRST_CHECK_AFTER
from chalicelib.platform.errors import Unreachable
from chalicelib.platform.messaging.ports import DomainEvent
from chalicelib.platform.messaging.queues import REFUNDS
from chalicelib.wiring import Wiring
from infra.stripe_fake.fake import StripeFake
from tests.client import Account, Client
from tests.notifications.pipeline import PostOffice
from tests.payments.orders import order, sale
from tests.payments.purchases import reconcile
from tests.rows import rows

BOOKINGS = 150
PRICE = 2500


class Killed(BaseException):
    """The function is killed. The app does not catch this."""


class KillingGateway:
    """A gateway that sometimes kills the function, before or after it makes a refund."""

    def __init__(self, gateway: PaymentGateway, seed: int) -> None:
        self._gateway = gateway
        self._random = random.Random(seed)  # noqa: S311 (not a secret)
        self.kills = 0

    def create_refund(self, due: DueRefund) -> Refund:
        chance = self._random.random()
        if chance < 0.1:
            self._kill()
        refund = self._gateway.create_refund(due)
        if chance > 0.9:
            self._kill()
        return refund

    def _kill(self) -> None:
        self.kills += 1
        raise Killed

    def create_payment_intent(self, charge: Charge, event_id: UUID) -> PaymentIntent:
        return self._gateway.create_payment_intent(charge, event_id)

    def get_payment_intent(self, intent_id: str) -> PaymentIntent:
        return self._gateway.get_payment_intent(intent_id)

    def cancel_payment_intent(self, intent_id: str) -> PaymentIntent:
        return self._gateway.cancel_payment_intent(intent_id)

    def list_refunds(self, intent_id: str) -> list[Refund]:
        return self._gateway.list_refunds(intent_id)

    def get_event(self, event_id: str) -> Mapping[str, Any]:
        return self._gateway.get_event(event_id)

    def list_events(
        self, types: Collection[str], since: datetime, until: datetime
    ) -> Iterator[Sequence[Mapping[str, Any]]]:
        return self._gateway.list_events(types, since, until)

    def get_refund(self, stripe_refund_id: str) -> Refund:
        return self._gateway.get_refund(stripe_refund_id)


def sell_out(client: Client, stripe: StripeFake, count: int) -> tuple[Account, str]:
    """Publish an event, and sell all of its places in bookings of two tickets."""
    on_sale = sale(client, PRICE, capacity=2 * count)
    for attendee in client.attendees(count):
        stripe.confirm(order(client, on_sale, 2, attendee=attendee).intent_id)
    stripe.deliver_all()
    return on_sale.host, on_sale.event_id


def cancel_some_tickets(client: Client, host: Account) -> int:
    """Cancel one ticket of every third booking. Return the number of these tickets."""
    firsts = rows(client, "SELECT min(ticket_id::text) AS ticket_id FROM tickets GROUP BY booking_id")
    for ticket in firsts[::3]:
        assert client("DELETE", f"/tickets/{ticket.ticket_id}", by=host).status == 204
    return len(firsts[::3])


def run_functions(
    wiring: Wiring, domain_events: list[DomainEvent], gateway: PaymentGateway
) -> list[DomainEvent]:
    """Handle domain events in concurrent functions. Return the events whose function was killed."""

    def run(domain_event: DomainEvent) -> bool:
        with suppress(Killed, Unreachable):
            refunds.handle_refund_due(wiring.database, gateway, domain_event, datetime.now(UTC))
            return True
        return False

    with ThreadPoolExecutor(4) as functions:
        done = list(functions.map(run, domain_events))
    return [domain_event for domain_event, ok in zip(domain_events, done, strict=True) if not ok]


def refund_all(client: Client, stripe: StripeFake, count: int) -> int:
    """Sell out and cancel an event, and check its refunds. Return how often a function was killed."""
    host, event_id = sell_out(client, stripe, count)
    cancelled = cancel_some_tickets(client, host)
    assert client("POST", f"/events/{event_id}/cancel", by=host).status == 200
    office = PostOffice(client.wiring)
    while office.relay(rounds=1):
        pass
    domain_events = [
        domain_event for domain_event in office.publisher.published if domain_event.type in types_of(REFUNDS)
    ]
    assert len(domain_events) == count + cancelled
    gateway = KillingGateway(client.wiring.payments, seed=count)
    for _ in range(2):  # then the messages are dead letters, and the schedule makes the other refunds
        domain_events = run_functions(client.wiring, domain_events, gateway)
    stripe.deliver_all("shuffled")
    reconcile(client, FIRST_CHECK_AFTER)

    made = [stripe.refunds(intent["id"]) for intent in stripe.intents()]
    amounts = Counter(tuple(refund["amount"] for refund in refunds) for refunds in made)
    assert amounts == {(2 * PRICE,): count - cancelled, (PRICE, PRICE): cancelled}
    statuses = rows(client, "SELECT DISTINCT status FROM payments")
    assert [row.status for row in statuses] == ["refunded"]
    report = client("GET", f"/events/{event_id}/integrity", by=host).json
    assert report["differences"] == []
    assert report["money"][0]["refunded"] == report["money"][0]["received"] == 2 * count * PRICE
    return gateway.kills


@pytest.mark.slow
def test_each_ticket_is_refunded_once_despite_kills(client: Client, stripe: StripeFake) -> None:
    assert refund_all(client, stripe, BOOKINGS) > BOOKINGS / 10
