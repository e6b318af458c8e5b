"""The guards of a booking, tested in pairs: with the guard the race is safe, without it the race is lost.

No race depends on timing. A test locks the event's row in `places`, waits until all racing bookings wait for
that lock, and then releases it.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, text

from chalicelib.bookings.booking import BoxOfficeSale
from chalicelib.bookings.codes import Code
from chalicelib.events import publishing as events
from chalicelib.payments import cancellation
from chalicelib.users import authentication
from tests.bookings.orders import add_code, sell, ticket_type
from tests.bookings.procedure import BOOK, attempt, replace_procedure, without_guard
from tests.client import LIMITS, Account, Client
from tests.concurrency import until_waiting
from tests.rows import alter, domain_events, rows, value

Change = Callable[[Connection, UUID, UUID, datetime], object]

SALE = BoxOfficeSale(paid_by="cash", name="Ada")

MAX_HOLDS = LIMITS.max_open_holds or 0

DROP_CHECK = "ALTER TABLE places DROP CONSTRAINT ck_places_taken"
DROP_CHECK_OF_POOLS = "ALTER TABLE pools DROP CONSTRAINT ck_pools_taken"
DROP_INDEX = "DROP INDEX uq_bookings_live"
ARCHIVE_ALL = text(
    "WITH archived AS (UPDATE ticket_types SET archived_at = now()) UPDATE places SET revision = revision + 1"
)
DROP_KEY = "ALTER TABLE bookings DROP CONSTRAINT fk_bookings_user_id"


def test_every_guard_has_a_pair_test() -> None:
    BOOK.check(Path(__file__).parent)


def test_an_unknown_guard_cannot_be_removed() -> None:
    with pytest.raises(AssertionError, match="no guard places-gone"):
        without_guard("places-left", "places-gone")


def live(client: Client, event_id: str) -> int:
    return int(
        value(
            client,
            "SELECT count(*) FROM bookings WHERE event_id = :id AND status IN ('pending', 'confirmed')",
            id=event_id,
        )
    )


def race(client: Client, event_id: str, attendees: list[Account], **order: Any) -> list[str]:
    """Let all attendees book at the same time, after each has read that a place is left."""
    with ThreadPoolExecutor(len(attendees)) as threads, client.wiring.database.transaction() as connection:
        connection.execute(text("SELECT 1 FROM places WHERE event_id = :id FOR UPDATE"), {"id": event_id})
        attempts = [
            threads.submit(attempt, client.wiring, attendee, event_id, **order) for attendee in attendees
        ]
        until_waiting(client, len(attendees))
    return sorted(outcome.result() for outcome in attempts)


@pytest.mark.parametrize(
    ("removed", "drop", "outcomes"),
    [
        ([], None, ["booked", "sold-out"]),
        ([], DROP_CHECK, ["booked", "sold-out"]),
        (["places-left"], None, ["booked", "ck_places_taken"]),
        (["places-left"], DROP_CHECK, ["booked", "booked"]),
    ],
    ids=["guard and check", "guard alone", "check alone", "neither"],
)
def test_the_last_place_is_sold_once(
    client: Client, removed: list[str], drop: str | None, outcomes: list[str]
) -> None:
    event = client.event(client.host(), capacity=1)
    replace_procedure(client, without_guard(*removed))
    if drop:
        alter(client, drop)

    assert race(client, event["eventId"], client.attendees(2)) == outcomes

    sold = outcomes.count("booked")
    assert live(client, event["eventId"]) == sold
    assert value(client, "SELECT taken FROM places") == sold
    assert len(domain_events(client, event["eventId"], "booking-confirmed")) == sold


@pytest.mark.parametrize(
    ("removed", "drop", "outcomes"),
    [
        ([], DROP_CHECK, ["booked", "sold-out"]),
        (["places-left"], None, ["booked", "ck_places_taken"]),
        (["places-left"], DROP_CHECK, ["booked", "booked"]),
    ],
    ids=["guard alone", "check alone", "neither"],
)
def test_the_last_place_is_sold_once_at_the_box_office(
    client: Client, removed: list[str], drop: str | None, outcomes: list[str]
) -> None:
    host = client.host()
    event_id = client.event(host, capacity=1)["eventId"]
    replace_procedure(client, without_guard(*removed))
    if drop:
        alter(client, drop)

    with ThreadPoolExecutor(2) as threads, client.wiring.database.transaction() as connection:
        connection.execute(text("SELECT 1 FROM places FOR UPDATE"))
        attempts = [
            threads.submit(attempt, client.wiring, host, event_id, sale=SALE),
            threads.submit(attempt, client.wiring, client.attendee(), event_id),
        ]
        until_waiting(client, 2)

    assert sorted(outcome.result() for outcome in attempts) == outcomes
    assert live(client, event_id) == value(client, "SELECT taken FROM places") == outcomes.count("booked")


@pytest.mark.parametrize(
    ("removed", "outcome"), [([], "event-cancelled"), (["event-unchanged", "account-exists"], "booked")]
)
def test_the_deletion_of_a_host_refuses_a_sale_in_progress(
    client: Client, removed: list[str], outcome: str
) -> None:
    host = client.host()
    event_id = client.event(host)["eventId"]
    replace_procedure(client, without_guard(*removed))
    caller = client.wiring.tokens.read(host.token)

    with ThreadPoolExecutor(1) as thread, client.wiring.database.transaction() as connection:
        authentication.require_account(connection, caller, "update")
        connection.execute(text("SELECT 1 FROM places FOR UPDATE"))
        sale = thread.submit(attempt, client.wiring, host, event_id, sale=SALE)
        until_waiting(client, 1)
        cancellation.delete_account(connection, caller, expected=None, now=datetime.now(UTC))

    assert sale.result() in {outcome, "invalid-token"} - ({"invalid-token"} if removed else set())
    assert live(client, event_id) == len(removed[:1])


@pytest.mark.parametrize(
    ("removed", "drop", "outcomes"),
    [
        ([], None, ["already-booked", "booked"]),
        (["already-booked"], None, ["booked", "uq_bookings_live"]),
        (["already-booked"], DROP_INDEX, ["booked", "booked"]),
    ],
    ids=["guard and index", "index alone", "neither"],
)
def test_an_attendee_books_an_event_once(
    client: Client, removed: list[str], drop: str | None, outcomes: list[str]
) -> None:
    event, attendee = client.event(client.host()), client.attendee()
    replace_procedure(client, without_guard(*removed))
    if drop:
        alter(client, drop)

    assert race(client, event["eventId"], [attendee] * 2) == outcomes

    assert live(client, event["eventId"]) == outcomes.count("booked")
    assert value(client, "SELECT taken FROM places") == outcomes.count("booked")


@pytest.mark.parametrize(
    ("removed", "drop", "outcomes"),
    [
        ([], None, ["booked", "sold-out"]),
        ([], DROP_CHECK_OF_POOLS, ["booked", "sold-out"]),
        (["places-of-type-left"], None, ["booked", "ck_pools_taken"]),
        (["places-of-type-left"], DROP_CHECK_OF_POOLS, ["booked", "booked"]),
    ],
    ids=["guard and check", "guard alone", "check alone", "neither"],
)
def test_the_last_places_of_a_type_are_sold_once(
    client: Client, removed: list[str], drop: str | None, outcomes: list[str]
) -> None:
    sale = sell(client, client.host(), ticket_type(), ticket_type("Seated", capacity=3))
    replace_procedure(client, without_guard(*removed))
    if drop:
        alter(client, drop)

    assert race(client, sale.event_id, client.attendees(2), items=sale.items(1, 2)) == outcomes

    sold = outcomes.count("booked")
    assert live(client, sale.event_id) == sold
    taken = rows(client, "SELECT taken FROM pools ORDER BY pool_id")
    assert [row.taken for row in taken] == [sold, 2 * sold]
    assert value(client, "SELECT taken FROM places") == 3 * sold


@pytest.mark.parametrize(
    ("removed", "drop", "outcomes"),
    [
        ([], None, ["booked", "code-invalid"]),
        ([], DROP_CHECK_OF_POOLS, ["booked", "code-invalid"]),
        (["code-uses-left"], None, ["booked", "ck_pools_taken"]),
        (["code-uses-left"], DROP_CHECK_OF_POOLS, ["booked", "booked"]),
    ],
    ids=["guard and check", "guard alone", "check alone", "neither"],
)
def test_the_last_use_of_a_code_is_given_once(
    client: Client, removed: list[str], drop: str | None, outcomes: list[str]
) -> None:
    sale = sell(client, client.host(), ticket_type())
    code_id = add_code(client, sale, "CLUB", max_uses=1)
    replace_procedure(client, without_guard(*removed))
    if drop:
        alter(client, drop)

    assert race(client, sale.event_id, client.attendees(2), code=Code("CLUB"), quantity=3) == outcomes

    sold = outcomes.count("booked")
    assert live(client, sale.event_id) == sold
    assert value(client, "SELECT taken FROM pools WHERE pool_id = :id", id=code_id) == sold
    assert value(client, "SELECT taken FROM places") == 3 * sold


@pytest.mark.parametrize(
    ("removed", "outcomes"),
    [([], ["booked", "limit-reached"]), (["one-booking-at-a-time"], ["booked", "booked"])],
    ids=["guarded", "unguarded"],
)
def test_an_attendee_gets_no_more_tickets_than_the_limit(
    client: Client, removed: list[str], outcomes: list[str]
) -> None:
    sale, attendee = sell(client, client.host(), ticket_type(), max_per_attendee=3), client.attendee()
    replace_procedure(client, without_guard(*removed))

    assert race(client, sale.event_id, [attendee] * 2, quantity=2) == outcomes

    assert live(client, sale.event_id) == outcomes.count("booked")
    assert value(client, "SELECT taken FROM places") == 2 * outcomes.count("booked")


@pytest.mark.parametrize(
    ("removed", "outcomes"),
    [([], ["booked", "code-invalid"]), (["one-booking-at-a-time"], ["booked", "booked"])],
    ids=["guarded", "unguarded"],
)
def test_an_attendee_uses_a_code_no_more_often_than_its_limit(
    client: Client, removed: list[str], outcomes: list[str]
) -> None:
    sale, attendee = sell(client, client.host(), ticket_type()), client.attendee()
    add_code(client, sale, "CLUB", max_per_attendee=1)
    replace_procedure(client, without_guard(*removed))

    with ThreadPoolExecutor(2) as threads, client.wiring.database.transaction() as connection:
        # The code's own row would make the second booking wait until it sees the first.
        connection.execute(text("LOCK TABLE outbox IN EXCLUSIVE MODE"))
        attempts = [
            threads.submit(attempt, client.wiring, attendee, sale.event_id, code=Code("CLUB"))
            for _ in range(2)
        ]
        until_waiting(client, 2)

    assert sorted(outcome.result() for outcome in attempts) == outcomes
    assert live(client, sale.event_id) == outcomes.count("booked")


def cancelled(connection: Connection, host_id: UUID, event_id: UUID, now: datetime) -> None:
    cancellation.cancel_event(connection, host_id, event_id, reason=None, expected=None, now=now)


def deleted(connection: Connection, host_id: UUID, event_id: UUID, now: datetime) -> None:
    cancellation.delete_event(connection, host_id, event_id, expected=None, now=now)


def sale_closed(connection: Connection, host_id: UUID, event_id: UUID, now: datetime) -> None:
    changes = {"sale_ends_at": now - timedelta(minutes=1)}
    events.change(
        connection, host_id, event_id, changes=changes, expected=None, now=now, may_publish=True, charges=True
    )


@pytest.mark.parametrize(
    ("change", "refused"),
    [(cancelled, "event-cancelled"), (deleted, "no-such-event"), (sale_closed, "sale-ended")],
)
@pytest.mark.parametrize("removed", [[], ["event-unchanged"]], ids=["guarded", "unguarded"])
def test_an_event_changed_during_a_booking_is_not_booked(
    client: Client, removed: list[str], change: Change, refused: str
) -> None:
    host, attendee = client.host(), client.attendee()
    event = client.event(host)
    replace_procedure(client, without_guard(*removed))

    with ThreadPoolExecutor(1) as thread, client.wiring.database.transaction() as connection:
        connection.execute(text("SELECT 1 FROM places FOR UPDATE"))
        booking = thread.submit(attempt, client.wiring, attendee, event["eventId"])
        until_waiting(client, 1)  # the booking has read the event as it was
        change(connection, UUID(host.user_id), UUID(event["eventId"]), datetime.now(UTC))

    assert booking.result() == ("booked" if removed else refused)
    assert live(client, event["eventId"]) == len(removed)


@pytest.mark.parametrize("removed", [[], ["event-unchanged"]], ids=["guarded", "unguarded"])
def test_a_type_archived_during_a_booking_is_not_booked(client: Client, removed: list[str]) -> None:
    sale = sell(client, client.host(), ticket_type(), ticket_type("Seated"))
    replace_procedure(client, without_guard(*removed))

    with ThreadPoolExecutor(1) as thread, client.wiring.database.transaction() as connection:
        connection.execute(text("SELECT 1 FROM places FOR UPDATE"))
        items = sale.items(1, 1)
        booking = thread.submit(attempt, client.wiring, client.attendee(), sale.event_id, items=items)
        until_waiting(client, 1)  # the booking has read the types as they were
        connection.execute(ARCHIVE_ALL)

    assert booking.result() == ("booked" if removed else "invalid-input")
    assert live(client, sale.event_id) == len(removed)


@pytest.mark.parametrize("prices", [(2500, 0), (0, 2500)], ids=["free now", "priced now"])
def test_a_price_changed_during_a_booking_is_respected(client: Client, prices: tuple[int, int]) -> None:
    host, attendee = client.host(), client.attendee()
    before, after = prices
    event = client.event(host, price=before)

    with ThreadPoolExecutor(1) as thread, client.wiring.database.transaction() as connection:
        connection.execute(text("SELECT 1 FROM places FOR UPDATE"))
        booking = thread.submit(client.book, attendee, event["eventId"])
        until_waiting(client, 1)
        events.change(
            connection,
            UUID(host.user_id),
            UUID(event["eventId"]),
            changes={"price": after},
            expected=None,
            now=datetime.now(UTC),
            may_publish=True,
            charges=True,
        )

    reply = booking.result()
    assert reply.status == 201
    assert (reply.json["amount"], reply.json["status"]) == (after, "pending" if after else "confirmed")
    [row] = rows(client, "SELECT status, amount, expires_at FROM bookings")
    assert (row.status, row.amount, row.expires_at is None) == (reply.json["status"], after, not after)


def test_a_booking_respects_a_capacity_lowered_during_it(client: Client) -> None:
    host = client.host()
    event = client.event(host, capacity=2)
    client.book(client.attendee(), event["eventId"])
    alter(client, DROP_CHECK)
    lower = partial(
        events.change,
        changes={"capacity": 1},
        expected=None,
        now=datetime.now(UTC),
        may_publish=True,
        charges=True,
    )

    with ThreadPoolExecutor(1) as thread, client.wiring.database.transaction() as connection:
        connection.execute(text("SELECT 1 FROM places FOR UPDATE"))
        booking = thread.submit(attempt, client.wiring, client.attendee(), event["eventId"])
        until_waiting(client, 1)
        lower(connection, UUID(host.user_id), UUID(event["eventId"]))

    assert booking.result() == "sold-out"
    assert live(client, event["eventId"]) == 1


def test_capacity_is_not_lowered_below_a_concurrent_booking(client: Client) -> None:
    host = client.host()
    event = client.event(host, capacity=2)
    client.book(client.attendee(), event["eventId"])
    alter(client, DROP_CHECK)

    with ThreadPoolExecutor(1) as thread, client.wiring.database.transaction() as connection:
        connection.execute(text("UPDATE places SET taken = 2"))  # the last statement of a booking
        path = f"/events/{event['eventId']}"
        lowering = thread.submit(client, "PATCH", path, {"capacity": 1}, by=host)
        until_waiting(client, 1, lowering)

    assert lowering.result().problem == "capacity-below-taken"
    assert value(client, "SELECT capacity FROM places") == 2


@pytest.mark.parametrize(
    ("removed", "outcomes"),
    [([], ["booked", "too-many-holds"]), (["one-booking-at-a-time"], ["booked", "booked"])],
    ids=["guarded", "unguarded"],
)
def test_the_last_open_hold_is_given_once(client: Client, removed: list[str], outcomes: list[str]) -> None:
    host, attendee = client.host(), client.attendee()
    event_ids = [client.event(host, price=2500)["eventId"] for _ in range(MAX_HOLDS + 1)]
    held, racing = event_ids[:-2], event_ids[-2:]
    for event_id in held:
        client.book(attendee, event_id)
    replace_procedure(client, without_guard(*removed))

    with ThreadPoolExecutor(2) as threads, client.wiring.database.transaction() as connection:
        connection.execute(text("SELECT 1 FROM places FOR UPDATE"))
        attempts = [threads.submit(attempt, client.wiring, attendee, event_id) for event_id in racing]
        until_waiting(client, 2)

    assert sorted(outcome.result() for outcome in attempts) == outcomes
    assert sum(live(client, event_id) for event_id in event_ids) == MAX_HOLDS + len(removed)


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "unguarded"])
def test_account_deletion_cancels_a_booking_in_progress(client: Client, *, guarded: bool) -> None:
    event, attendee = client.event(client.host()), client.attendee()
    if not guarded:
        alter(client, DROP_KEY)

    with ThreadPoolExecutor(2) as threads, client.wiring.database.transaction() as connection:
        connection.execute(text("SELECT 1 FROM places FOR UPDATE"))
        booking = threads.submit(attempt, client.wiring, attendee, event["eventId"])
        until_waiting(client, 1)
        deletion = threads.submit(client, "DELETE", "/users/me", by=attendee)
        until_waiting(client, 2, deletion)  # with the foreign key, the deletion waits for the booking

    assert (booking.result(), deletion.result().status) == ("booked", 204)
    assert live(client, event["eventId"]) == (0 if guarded else 1)
    assert value(client, "SELECT taken FROM places") == (0 if guarded else 1)


@pytest.mark.parametrize(
    ("removed", "outcome"),
    [([], "invalid-token"), (["account-exists"], "booked")],
    ids=["guarded", "unguarded"],
)
def test_account_deletion_in_progress_refuses_a_booking(
    client: Client, removed: list[str], outcome: str
) -> None:
    event, attendee = client.event(client.host()), client.attendee()
    caller = client.wiring.tokens.read(attendee.token)
    replace_procedure(client, without_guard(*removed))

    with ThreadPoolExecutor(1) as thread, client.wiring.database.transaction() as connection:
        authentication.require_account(connection, caller, "update")
        cancellation.delete_account(connection, caller, expected=None, now=datetime.now(UTC))
        booking: Future[str] = thread.submit(attempt, client.wiring, attendee, event["eventId"])
        until_waiting(client, 1, booking)

    assert booking.result() == outcome
    assert live(client, event["eventId"]) == len(removed)
