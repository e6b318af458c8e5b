"""How PostgreSQL answers what money asks when its tables are large: by an index, each time."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event as listening

from chalicelib.payments import hold_expiry, reconciliation, stripe_events
from chalicelib.platform.database.engine import Database
from chalicelib.platform.settings import Settings
from chalicelib.wiring import Wiring, using
from infra.local.postgres import Postgres
from tests.client import Client
from tests.conftest import SECRET, WEBHOOK_SECRET
from tests.fakes import FakePayments
from tests.payments.purchases import Hold, booking, cancel, hold, integrity, pay_back, payment
from tests.payments.webhook_delivery import event, intent_of, send
from tests.rows import rows
from tests.test_query_plans import FILL, filled, nodes

# Of each booking a row in the ledger, a few of them due to be asked about, and three events of Stripe.
MONEY = """
INSERT INTO payments (booking_id, amount, currency, status, intent_id, refund_id, open_until, next_check_at,
                      created_at, updated_at)
SELECT booking_id, 2500, 'eur', CASE n % 4 WHEN 0 THEN 'refunded' WHEN 1 THEN 'failed' ELSE 'paid' END,
       'pi_' || n, 're_' || n, now(), CASE WHEN n % 2000 = 0 THEN now() + interval '1 day' END, now(), now()
FROM (SELECT booking_id, row_number() OVER () AS n FROM bookings) numbered;

UPDATE payments SET status = 'requires_payment' WHERE next_check_at IS NOT NULL;

INSERT INTO stripe_events (stripe_event_id, type, outcome, received_at)
SELECT 'evt_' || n, 'payment_intent.succeeded', 'confirmed', now() - make_interval(secs => n * 100)
FROM generate_series(1, 60000) n;

ANALYZE payments, stripe_events
"""
LARGE = {"users", "events", "places", "ticket_types", "bookings", "payments", "stripe_events"}
EXPLAINED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


@pytest.fixture(scope="module")
def wealth(server: Postgres) -> Iterator[Client]:
    """A client of an app with some thousand payments."""
    with filled(server, "rich", f"{FILL};{MONEY}") as database:
        settings = Settings(
            database_url=database.engine.url.render_as_string(hide_password=False),
            jwt_secret=SECRET,
            database_pool_size=4,
            stripe_api_key="sk_test_of_the_tests",
            stripe_webhook_secrets=(WEBHOOK_SECRET,),
        )
        with using(Wiring(settings, payments=FakePayments())) as wiring:
            yield Client(wiring)


Statement = tuple[str, Any]


def listened_to(database: Database, deed: Callable[[], object]) -> list[Statement]:
    """The statements that are run meanwhile, with their values."""
    run: list[Statement] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        run.append((statement, values))

    listening.listen(database.engine, "before_cursor_execute", note)
    try:
        deed()
    finally:
        listening.remove(database.engine, "before_cursor_execute", note)
    return [(statement, values) for statement, values in run if statement.startswith(EXPLAINED)]


def plan(database: Database, statement: Statement) -> list[dict[str, Any]]:
    text, values = statement
    with database.transaction() as connection:
        [whole] = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {text}", values).scalar_one()
    return list(nodes(whole["Plan"]))


def read_whole(database: Database, statement: Statement) -> set[str]:
    """Large tables of which every row is read."""
    steps = plan(database, statement)
    return LARGE & {step["Relation Name"] for step in steps if step["Node Type"] == "Seq Scan"}


def told(kind: str, **more: Any) -> Callable[[Client, Hold], object]:
    def tell(client: Client, held: Hold) -> None:
        of = intent_of(client, held, payment_intent=held.intent_id, **more)
        assert send(client, event(kind, of)).status == 200

    return tell


def refund_of(status: str) -> Callable[[Client, Hold], object]:
    return told("refund.updated", id="re_new", amount=2500, status=status)


def paid_and(deed: Callable[[Client, Hold], object]) -> Callable[[Client, Hold], object]:
    def pay_first(client: Client, held: Hold) -> None:
        told("payment_intent.succeeded")(client, held)
        deed(client, held)

    return pay_first


def expired(client: Client, held: Hold) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=16)
    assert hold_expiry.expire_holds(client.wiring.database, lambda: client.wiring.payments, soon) >= 1
    assert booking(client, held)["status"] == "expired"


def reconciled(client: Client, _: Hold) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=6)
    assert reconciliation.reconcile(client.wiring.database, lambda: client.wiring.payments, soon) >= 1


def shown(client: Client, held: Hold) -> None:
    assert client("GET", f"/bookings/{held.booking_id}", by=held.host).status == 200
    assert client.book(held.attendee, held.event_id).status == 200


def unpaid_asked_for(client: Client, held: Hold) -> None:
    rows(client, "UPDATE payments SET intent_id = NULL WHERE booking_id = :id", id=UUID(held.booking_id))
    payment(client, held)


def forgotten(client: Client, _: Hold) -> None:
    stripe_events.purge(client.wiring.database, datetime.now(UTC))


def called_off(client: Client, held: Hold) -> None:
    assert client("POST", f"/events/{held.event_id}/cancel", by=held.host).status == 200


def left(client: Client, held: Hold) -> None:
    assert client("DELETE", "/users/me", by=held.attendee).status == 204


def cancelled_and_paid_back(client: Client, held: Hold) -> None:
    cancel(client, held)
    pay_back(client, held)


DEEDS = {
    "a payment": told("payment_intent.succeeded"),
    "a payment that is not known": told("payment_intent.succeeded", id="pi_of_somebody_else"),
    "a failure": told("payment_intent.payment_failed", status="requires_payment_method"),
    "an end": told("payment_intent.canceled", status="canceled"),
    "money that is back": paid_and(told("charge.refunded", amount_refunded=2500)),
    "a refund": paid_and(refund_of("succeeded")),
    "a dispute": paid_and(told("charge.dispute.created", status="needs_response")),
    "a dispute that is lost": paid_and(told("charge.dispute.closed", status="lost")),
    "expiry": expired,
    "reconciliation": reconciled,
    "a booking": shown,
    "its payment": unpaid_asked_for,
    "a booking cancelled": paid_and(cancel),
    "money paid back": paid_and(cancelled_and_paid_back),
    "an event called off": paid_and(called_off),
    "somebody who leaves": paid_and(left),
    "counting again": integrity,
    "forgetting": forgotten,
}


@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS)
def test_nothing_that_money_asks_reads_a_large_table_whole(
    wealth: Client, deed: Callable[[Client, Hold], object]
) -> None:
    held = hold(wealth)
    database = wealth.wiring.database

    statements = listened_to(database, lambda: deed(wealth, held))

    assert statements
    assert {
        text: whole for text, values in statements if (whole := read_whole(database, (text, values)))
    } == {}


@pytest.mark.parametrize("schedule", [hold_expiry.expire_holds, reconciliation.reconcile])
def test_what_is_due_is_found_by_the_index_of_what_is_due(
    wealth: Client, schedule: Callable[..., int]
) -> None:
    database = wealth.wiring.database
    run = listened_to(database, lambda: schedule(database, lambda: wealth.wiring.payments, datetime.now(UTC)))

    indexes = {step.get("Index Name") for step in plan(database, run[0])}

    assert "ix_payments_next_check_at" in indexes
