"""Concurrent cancellations of tickets, bookings and events: each ticket is refunded once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import pytest
from sqlalchemy import Connection

from chalicelib.bookings.cancellation import cancel_ticket as cancel_locked_ticket
from chalicelib.payments import cancellation, refund_reports, refund_requests, refunds
from chalicelib.payments.gateway import Refund
from chalicelib.payments.locks import lock_places_then_booking
from chalicelib.platform.errors import Unreachable
from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.faults import Fault
from tests.client import Client
from tests.concurrency import run_concurrently, until_waiting
from tests.fakes import FakePayments
from tests.payments.orders import buy_order, cancel_ticket, counted, order, sale, ticket_rows
from tests.payments.purchases import (
    Hold,
    cancel,
    deliver_webhooks,
    differences,
    drop_webhooks,
    process_refund,
    refund_row,
    refund_rows,
    status,
)
from tests.rows import rows

Step = Callable[[Client, Hold], object]


def first_ticket(client: Client, held: Hold) -> None:
    cancel_ticket(client, held, 0)


def first_ticket_by_host(client: Client, held: Hold) -> None:
    cancel_ticket(client, held, 0, by=held.host)


def second_ticket(client: Client, held: Hold) -> None:
    cancel_ticket(client, held, 1)


def booking(client: Client, held: Hold) -> None:
    cancel(client, held)


def whole_event(client: Client, held: Hold) -> None:
    assert client("POST", f"/events/{held.event_id}/cancel", by=held.host).status == 200


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize(
    ("steps", "left"),
    [
        ((first_ticket, first_ticket_by_host), 1),
        ((first_ticket, second_ticket), 0),
        ((first_ticket, booking), 0),
        ((first_ticket, whole_event), 0),
        ((first_ticket, second_ticket, booking, whole_event), 0),
    ],
    ids=lambda value: "+".join(step.__name__ for step in value) if isinstance(value, tuple) else str(value),
)
def test_concurrent_cancellations_refund_each_ticket_once(
    client: Client, stripe: StripeFake, steps: tuple[Step, ...], left: int, number: int
) -> None:
    paid = buy_order(client, stripe, sale(client, 2500, 6000, title=f"Round {number}"), 1, 1)

    run_concurrently([partial(step, client, paid) for step in steps])

    returned = 8500 if left == 0 else 2500
    assert sum(refund.amount for refund in refund_rows(client, paid)) == returned
    process_refund(client, paid)
    deliver_webhooks(stripe)
    assert sum(refund["amount"] for refund in stripe.refunds(paid.intent_id)) == returned
    assert counted(client, paid)[0] == left
    assert status(client, paid) == (("cancelled", "refunded"), ("confirmed", "partly_refunded"))[left]
    assert differences(client, paid) == []


@pytest.mark.parametrize("with_lock", [True, False], ids=["with the lock", "without"])
def test_a_ticket_that_is_being_cancelled_is_not_cancelled_again(
    client: Client,
    stripe: StripeFake,
    with_lock: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    """The lock of the places, with the ticket read again after it, is the guard."""
    paid = buy_order(client, stripe, sale(client, 2500), 3)
    ticket_id, booking_id = ticket_rows(client, paid)[0].ticket_id, UUID(paid.booking_id)
    caller, now = client.wiring.tokens.read(paid.attendee.token), datetime.now(UTC)
    database = client.wiring.database

    def cancel_in(connection: Connection) -> None:
        if with_lock:
            cancellation.cancel_ticket(connection, caller, ticket_id, expected=None, now=now)
        else:
            cancel_locked_ticket(connection, booking_id, ticket_id, reason="attendee", now=now)

    def cancel_again() -> None:
        with database.transaction() as connection:
            cancel_in(connection)

    with ThreadPoolExecutor(1) as thread:
        with database.transaction() as connection:
            cancel_in(connection)
            second = thread.submit(cancel_again)
            until_waiting(client, 1, second)
        second.result()

    assert differences(client, paid) == ([] if with_lock else ["tickets-differ"])


@pytest.mark.parametrize("with_lock", [True, False], ids=["with the lock", "without"])
def test_concurrent_decisions_about_a_ticket_are_serialized(
    client: Client,
    stripe: StripeFake,
    with_lock: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    """The lock of the payment is the guard: late payments and cancelled events may decide concurrently."""
    paid = buy_order(client, stripe, sale(client, 2500), 2)
    rows(client, "UPDATE tickets SET status = 'cancelled', cancellation_reason = 'host'")
    database, statements = client.wiring.database, refund_requests.FOR_ONE
    values = {"this_booking": UUID(paid.booking_id)} | refund_requests.parameters("host", datetime.now(UTC))

    def decide() -> None:
        with database.transaction() as connection:
            if with_lock:
                connection.execute(statements.lock, values)
            connection.execute(statements.request, values)

    with ThreadPoolExecutor(1) as thread:
        with database.transaction() as connection:
            connection.execute(statements.lock, values)
            connection.execute(statements.request, values)
            second = thread.submit(decide)
            until_waiting(client, 1, second)
        second.result()

    amounts = [refund.amount for refund in refund_rows(client, paid)]
    assert amounts == ([5000] if with_lock else [5000, 5000])


class OutdatedList(FakePayments):
    """Lists the refunds at Stripe. Before the list arrives, a bank returns the last one."""

    def __init__(self, client: Client, stripe: StripeFake) -> None:
        super().__init__()
        self._gateway = client.wiring.payments
        self._stripe = stripe

    def list_refunds(self, intent_id: str) -> list[Refund]:
        listed = self._gateway.list_refunds(intent_id)
        self._stripe.settle(listed[0].stripe_refund_id, succeed=False)
        deliver_webhooks(self._stripe)
        return listed


@pytest.mark.parametrize("with_comparison", [True, False], ids=["with the comparison", "without"])
def test_an_outdated_list_of_refunds_is_not_applied(
    client: Client,
    stripe: StripeFake,
    with_comparison: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    """The comparison of the states before and after the call to Stripe is the guard."""
    held = order(client, sale(client, 2500), 2)
    stripe.confirm(held.intent_id, "pm_card_refundFail")
    deliver_webhooks(stripe)
    cancel_ticket(client, held)
    stripe.faults.calls = [Fault("reset", 2, after=True, route="POST /v1/refunds")]
    with pytest.raises(Unreachable):
        process_refund(client, held)
    drop_webhooks(stripe)
    database, gateway = client.wiring.database, OutdatedList(client, stripe)
    booking_id, now = UUID(held.booking_id), datetime.now(UTC)

    if with_comparison:
        refunds.check_refunds(database, gateway, booking_id, held.intent_id, now)
    else:
        listed = gateway.list_refunds(held.intent_id)
        with database.transaction() as connection:
            payment = lock_places_then_booking(connection, booking_id)
            refund_reports.apply_listed(connection, payment, listed, now)

    [made] = stripe.refunds(held.intent_id)
    assert made["status"] == "failed"
    assert refund_row(client, held).status == ("pending" if with_comparison else "refunded")
