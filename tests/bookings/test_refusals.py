"""A refused booking changes nothing."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from chalicelib.bookings import booking
from chalicelib.bookings.booking import Order
from chalicelib.bookings.codes import Code
from chalicelib.platform.database.engine import Database, sqlstate
from tests.bookings.orders import add_code, sell, ticket_type
from tests.bookings.procedure import attempt
from tests.client import LIMITS, Account, Client, in_days
from tests.rows import alter, domain_events, taken, value

Case = Callable[[Client], tuple[Account, str] | tuple[Account, str, dict[str, Any]]]
"""Makes a case, and returns the arguments of `attempt`."""


def sold_out(client: Client) -> tuple[Account, str]:
    event = client.event(client.host(), capacity=1)
    client.book(client.attendee(), event["eventId"])
    return client.attendee(), event["eventId"]


def already_booked(client: Client) -> tuple[Account, str]:
    event, attendee = client.event(client.host(), capacity=1), client.attendee()
    client.book(attendee, event["eventId"])
    return attendee, event["eventId"]


def sale_not_started(client: Client) -> tuple[Account, str]:
    return client.attendee(), client.event(client.host(), saleStartsAt=in_days(1))["eventId"]


def sale_ended(client: Client) -> tuple[Account, str]:
    return client.attendee(), client.event(client.host(), saleEndsAt=in_days(-1))["eventId"]


def event_cancelled(client: Client) -> tuple[Account, str]:
    host = client.host()
    event_id = client.event(host)["eventId"]
    client("POST", f"/events/{event_id}/cancel", by=host)
    return client.attendee(), event_id


def no_such_event(client: Client) -> tuple[Account, str]:
    return client.attendee(), str(uuid4())


def invalid_token(client: Client) -> tuple[Account, str]:
    _, event_id = sold_out(client)  # an invalid token is refused before the event is looked at
    attendee = client.attendee()
    client("DELETE", "/users/me", by=attendee)
    return attendee, event_id


def email_not_verified(client: Client) -> tuple[Account, str]:
    return client.attendee(), client.event(client.host(), verifiedAttendeesOnly=True)["eventId"]


def too_many_holds(client: Client) -> tuple[Account, str]:
    attendee, host = client.attendee(), client.host()
    for _ in range(LIMITS.max_open_holds or 0):
        client.book(attendee, client.event(host, price=2500)["eventId"])
    return attendee, client.event(host, price=2500)["eventId"]


def type_sold_out(client: Client) -> tuple[Account, str, dict[str, Any]]:
    sale = sell(client, client.host(), ticket_type(), ticket_type("Seated", capacity=1))
    return client.attendee(), sale.event_id, {"items": sale.items(1, 2)}


def limit_reached(client: Client) -> tuple[Account, str, dict[str, Any]]:
    sale, attendee = sell(client, client.host(), ticket_type(), max_per_attendee=3), client.attendee()
    attempt(client.wiring, attendee, sale.event_id, quantity=2)
    return attendee, sale.event_id, {"quantity": 2}


def unknown_code(client: Client) -> tuple[Account, str, dict[str, Any]]:
    return client.attendee(), sell(client, client.host(), ticket_type()).event_id, {"code": Code("NONE")}


def used_up_code(client: Client) -> tuple[Account, str, dict[str, Any]]:
    sale, order = sell(client, client.host(), ticket_type()), {"code": Code("CLUB")}
    add_code(client, sale, "CLUB", max_uses=1)
    attempt(client.wiring, client.attendee(), sale.event_id, **order)
    return client.attendee(), sale.event_id, order


def code_required(client: Client) -> tuple[Account, str, dict[str, Any]]:
    return client.attendee(), sell(client, client.host(), ticket_type(code_required=True)).event_id, {}


OUTCOMES: dict[Case, str] = {
    type_sold_out: "sold-out",
    unknown_code: "code-invalid",
    used_up_code: "code-invalid",
    code_required: "invalid-input",
}
"""The outcome of each case that is not named like it."""

CASES = [
    sold_out,
    already_booked,
    sale_not_started,
    sale_ended,
    event_cancelled,
    no_such_event,
    invalid_token,
    email_not_verified,
    too_many_holds,
    limit_reached,
    *OUTCOMES,
]


LOCKED = ("places", "pools", "events", "ticket_types", "codes", "credentials", "bookings", "tickets")


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_neither_writes_nor_locks(client: Client, case: Case) -> None:
    attendee, event_id, *more = case(client)
    order = more[0] if more else {}
    outcome = OUTCOMES.get(case, case.__name__.replace("_", "-"))
    used = []

    with client.wiring.database.transaction() as connection:
        # This lock admits reads. A statement that changes or locks a row would wait for it and give up.
        connection.execute(text(f"LOCK TABLE {', '.join(LOCKED)} IN EXCLUSIVE MODE"))
        for _ in range(3):
            before = next_transaction(client)
            assert attempt(client.wiring, attendee, event_id, **order) == outcome
            used.append(next_transaction(client) - before)

    # A booking that writes or locks always uses a transaction number. PostgreSQL's housekeeping rarely does.
    assert min(used) == 0


def next_transaction(client: Client) -> int:
    """Return the number of the server's next transaction that writes or locks a row."""
    return int(value(client, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"))


def test_a_booking_uses_a_transaction_number(client: Client) -> None:
    attendee, event = client.attendee(), client.event(client.host())
    before = next_transaction(client)

    assert attempt(client.wiring, attendee, event["eventId"]) == "booked"
    assert next_transaction(client) > before


class InTransactions(Database):
    """Makes each call inside a transaction block."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def call(self, sql: str) -> Sequence[Any]:
        with self._database.transaction() as connection:
            return connection.exec_driver_sql(sql).one()


def test_the_procedure_fails_inside_a_transaction_block(client: Client) -> None:
    attendee, event = client.attendee(), client.event(client.host())
    caller, order = client.wiring.tokens.read(attendee.token), Order(UUID(event["eventId"]))
    database = InTransactions(client.wiring.database)

    with pytest.raises(DBAPIError) as failure:
        booking.book(database, caller, order, key=None, limits=LIMITS, now=datetime.now(UTC))

    assert sqlstate(failure.value) == "2D000"  # invalid transaction termination
    assert taken(client, event["eventId"]) == 0


def test_a_booking_that_keeps_losing_the_race_is_unavailable(client: Client) -> None:
    event = client.event(client.host())
    alter(client, "CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    alter(client, "CREATE TRIGGER skip BEFORE UPDATE ON places FOR EACH ROW EXECUTE FUNCTION skip()")

    reply = client.book(client.attendee(), event["eventId"], **{"Idempotency-Key": "a key"})

    assert (reply.status, reply.problem, reply.headers["retry-after"]) == (503, "unavailable", "1")
    assert taken(client, event["eventId"]) == 0
    assert domain_events(client, event["eventId"], "booking-confirmed") == []
    assert value(client, "SELECT count(*) FROM idempotency_keys") == 0


def test_a_booking_that_waits_too_long_for_a_lock_is_unavailable(client: Client) -> None:
    event, attendee = client.event(client.host()), client.attendee()
    database = client.wiring.database
    alter(client, f"ALTER DATABASE {database.engine.url.database} SET lock_timeout = '20ms'")
    database.engine.dispose()  # new connections have the new timeout

    with database.transaction() as connection:
        connection.execute(text("SELECT 1 FROM places FOR UPDATE"))
        refused = client.book(attendee, event["eventId"])
    booked = client.book(attendee, event["eventId"])

    assert (refused.status, refused.problem, refused.headers["retry-after"]) == (503, "unavailable", "1")
    assert booked.status == 201
    assert taken(client, event["eventId"]) == 1
