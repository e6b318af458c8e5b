"""Query plans of payments with large tables: every statement uses an index."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event as listening

from chalicelib.events import sale_start
from chalicelib.payments import hold_expiry, reconciliation, stripe_events
from chalicelib.platform.database.engine import Database
from chalicelib.platform.settings import Settings
from chalicelib.wiring import Wiring, using
from infra.local.postgres import Postgres
from tests.client import Client
from tests.conftest import LINK_SECRET, SECRET, TICKET_SECRET, WEBHOOK_SECRET
from tests.fakes import FakePayments
from tests.payments.orders import cancel_ticket, order, sale
from tests.payments.purchases import (
    Hold,
    cancel,
    get_booking,
    hold,
    integrity,
    process_refund,
    request_payment,
)
from tests.payments.webhook_delivery import event, intent_of, send
from tests.rows import app_url, rows
from tests.test_query_plans import FILL, filled, nodes

# A payment for each booking, of which a few are due for a check, and 60,000 events of Stripe.
FILL_PAYMENTS = """
INSERT INTO payments (booking_id, amount, currency, status, intent_id, open_until, next_check_at, created_at,
                      updated_at)
SELECT booking_id, 2500, 'eur', CASE n % 4 WHEN 0 THEN 'refunded' WHEN 1 THEN 'failed' ELSE 'paid' END,
       'pi_' || n, now(), CASE WHEN n % 2000 = 0 THEN now() + interval '1 day' END, now(), now()
FROM (SELECT booking_id, row_number() OVER () AS n FROM bookings) numbered;

UPDATE payments SET status = 'requires_payment' WHERE next_check_at IS NOT NULL;

INSERT INTO refunds (refund_id, booking_id, amount, reason, status, stripe_refund_id, refunded_at, created_at,
                     updated_at)
SELECT uuidv7(), booking_id, 2500, 'host', 'refunded', 're_' || intent_id, now(), now(), now()
FROM payments WHERE status = 'refunded';

INSERT INTO stripe_events (stripe_event_id, type, outcome, received_at)
SELECT 'evt_' || n, 'payment_intent.succeeded', 'confirmed', now() - make_interval(secs => n * 100)
FROM generate_series(1, 60000) n;

ANALYZE payments, refunds, stripe_events
"""
LARGE = {
    "users", "events", "places", "ticket_types", "bookings", "tickets", "payments", "refunds", "stripe_events"
}  # fmt: skip
EXPLAINED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


@pytest.fixture(scope="module")
def full(server: Postgres) -> Iterator[Client]:
    """A client of an app with large tables."""
    with filled(server, "payments", f"{FILL};{FILL_PAYMENTS}"):
        settings = Settings(
            database_url=app_url(server, "payments"),
            jwt_secret=SECRET,
            link_secret=LINK_SECRET,
            ticket_secret=TICKET_SECRET,
            database_pool_size=4,
            stripe_api_key="sk_test_1",
            stripe_webhook_secrets=(WEBHOOK_SECRET,),
        )
        with using(Wiring(settings, payments=FakePayments())) as wiring:
            yield Client(wiring)


Statement = tuple[str, Any]


def recorded_statements(database: Database, action: Callable[[], object]) -> list[Statement]:
    """Run an action, and return its statements with their values."""
    run: list[Statement] = []

    def record(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        run.append((statement, values))

    listening.listen(database.engine, "before_cursor_execute", record)
    try:
        action()
    finally:
        listening.remove(database.engine, "before_cursor_execute", record)
    return [(statement, values) for statement, values in run if statement.startswith(EXPLAINED)]


def plan(database: Database, statement: Statement) -> list[dict[str, Any]]:
    text, values = statement
    with database.transaction() as connection:
        [whole] = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {text}", values).scalar_one()
    return list(nodes(whole["Plan"]))


def scanned_tables(database: Database, statement: Statement) -> set[str]:
    """Return the large tables that a statement scans sequentially."""
    steps = plan(database, statement)
    return LARGE & {step["Relation Name"] for step in steps if step["Node Type"] == "Seq Scan"}


def webhook(kind: str, **more: Any) -> Callable[[Client, Hold], object]:
    def deliver(client: Client, held: Hold) -> None:
        subject = intent_of(client, held, payment_intent=held.intent_id, **more)
        assert send(client, event(kind, subject)).status == 200

    return deliver


def refund_webhook(status: str) -> Callable[[Client, Hold], object]:
    return webhook("refund.updated", id="re_new", amount=2500, status=status)


def paid_and(action: Callable[[Client, Hold], object]) -> Callable[[Client, Hold], object]:
    def pay_first(client: Client, held: Hold) -> None:
        webhook("payment_intent.succeeded")(client, held)
        action(client, held)

    return pay_first


def expire(client: Client, held: Hold) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=16)
    assert hold_expiry.expire_holds(client.wiring.database, lambda: client.wiring.payments, soon) >= 1
    assert get_booking(client, held)["status"] == "expired"


def reconcile(client: Client, _: Hold) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=6)
    assert reconciliation.reconcile(client.wiring.database, lambda: client.wiring.payments, soon) >= 1


def show(client: Client, held: Hold) -> None:
    assert client("GET", f"/bookings/{held.booking_id}", by=held.host).status == 200
    assert client.book(held.attendee, held.event_id).status == 200


def request_missing_payment(client: Client, held: Hold) -> None:
    rows(client, "UPDATE payments SET intent_id = NULL WHERE booking_id = :id", id=UUID(held.booking_id))
    request_payment(client, held)


def purge(client: Client, _: Hold) -> None:
    stripe_events.purge(client.wiring.database, datetime.now(UTC))


def ask_what_is_due(client: Client, _: Hold) -> None:
    now = datetime.now(UTC)
    assert hold_expiry.next_due(client.wiring.database, now) is None
    assert sale_start.next_due(client.wiring.database, now) is None


def cancel_event(client: Client, held: Hold) -> None:
    assert client("POST", f"/events/{held.event_id}/cancel", by=held.host).status == 200


def delete_account(client: Client, held: Hold) -> None:
    assert client("DELETE", "/users/me", by=held.attendee).status == 204


def cancel_and_refund(client: Client, held: Hold) -> None:
    cancel(client, held)
    process_refund(client, held)


def cancel_tickets(client: Client, _: Hold) -> None:
    """Cancel two tickets of an order, and check the refunds at Stripe meanwhile."""
    held = order(client, sale(client, 2500, 6000), 2, 1)
    webhook("payment_intent.succeeded")(client, held)
    cancel_ticket(client, held, 0)
    webhook("charge.refunded", amount_refunded=1000)(client, held)
    reconcile(client, held)
    cancel_ticket(client, held, 2)
    process_refund(client, held)


ACTIONS = {
    "payment": webhook("payment_intent.succeeded"),
    "foreign payment": webhook("payment_intent.succeeded", id="pi_foreign"),
    "failure": webhook("payment_intent.payment_failed", status="requires_payment_method"),
    "canceled payment": webhook("payment_intent.canceled", status="canceled"),
    "refunded charge": paid_and(webhook("charge.refunded", amount_refunded=2500)),
    "refund": paid_and(refund_webhook("succeeded")),
    "dispute": paid_and(webhook("charge.dispute.created", status="needs_response")),
    "lost dispute": paid_and(webhook("charge.dispute.closed", status="lost")),
    "expiry": expire,
    "reconciliation": reconcile,
    "booking": show,
    "missing payment": request_missing_payment,
    "cancellation": paid_and(cancel),
    "cancellation and refund": paid_and(cancel_and_refund),
    "cancelled tickets": cancel_tickets,
    "cancelled event": paid_and(cancel_event),
    "deleted account": paid_and(delete_account),
    "integrity report": integrity,
    "purge": purge,
    "polling": ask_what_is_due,
}


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_no_statement_scans_a_large_table(full: Client, action: Callable[[Client, Hold], object]) -> None:
    held = hold(full)
    database = full.wiring.database

    statements = recorded_statements(database, lambda: action(full, held))

    assert statements
    assert {
        text: tables for text, values in statements if (tables := scanned_tables(database, (text, values)))
    } == {}


@pytest.mark.parametrize("schedule", [hold_expiry.expire_holds, reconciliation.reconcile])
def test_due_payments_are_found_by_their_index(full: Client, schedule: Callable[..., int]) -> None:
    database = full.wiring.database
    run = recorded_statements(
        database, lambda: schedule(database, lambda: full.wiring.payments, datetime.now(UTC))
    )

    indexes = {step.get("Index Name") for step in plan(database, run[0])}

    assert "ix_payments_next_check_at" in indexes
