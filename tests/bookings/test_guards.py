"""The guards of a booking, each in a pair: without it a race is lost, with it it is not.

Nothing here is left to chance: a test holds the lock that all bookings of an event come to, lets those who
race come that far, and then lets go.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import pytest
from sqlalchemy import Connection, text

from chalicelib.bookings import account_deletion, event_cancellation
from chalicelib.events import publishing as events
from chalicelib.users import authentication
from tests.bookings.procedure import ACCOUNT_STAYS, NO_SECOND, PLACES_LEFT, SAME_EVENT, attempt, take_out
from tests.client import Account, Client
from tests.races import until_waiting
from tests.rows import domain_events, rows, value

Change = Callable[[Connection, UUID, UUID, datetime], object]

DROP_CHECK = "ALTER TABLE places DROP CONSTRAINT ck_places_taken"
DROP_INDEX = "DROP INDEX uq_bookings_live"
DROP_KEY = "ALTER TABLE bookings DROP CONSTRAINT fk_bookings_user_id"


def live(client: Client, event_id: str) -> int:
    return int(
        value(
            client,
            "SELECT count(*) FROM bookings WHERE event_id = :id AND status IN ('pending', 'confirmed')",
            id=event_id,
        )
    )


def race(client: Client, event_id: str, attendees: list[Account]) -> list[str]:
    """Let all come to the event's counter, each having seen that there is room, and then go on."""
    with ThreadPoolExecutor(len(attendees)) as threads, client.wiring.database.transaction() as connection:
        connection.execute(text("SELECT 1 FROM places WHERE event_id = :id FOR UPDATE"), {"id": event_id})
        attempts = [threads.submit(attempt, client.wiring, who, event_id) for who in attendees]
        until_waiting(client, len(attendees))
    return sorted(outcome.result() for outcome in attempts)


@pytest.mark.parametrize(
    ("guards", "net", "outcomes"),
    [
        ([], None, ["booked", "sold-out"]),
        ([], DROP_CHECK, ["booked", "sold-out"]),
        ([PLACES_LEFT], None, ["booked", "ck_places_taken"]),
        ([PLACES_LEFT], DROP_CHECK, ["booked", "booked"]),
    ],
    ids=["all guards", "without the net", "by the net alone", "no guard at all"],
)
def test_the_last_place_is_sold_twice_only_without_the_guard_and_the_net_under_it(
    client: Client, guards: list[str], net: str | None, outcomes: list[str]
) -> None:
    event = client.event(client.host(), capacity=1)
    take_out(client.wiring.database, *guards)
    if net:
        rows(client, net)

    assert race(client, event["eventId"], client.attendees(2)) == outcomes

    sold = outcomes.count("booked")
    assert live(client, event["eventId"]) == sold
    assert value(client, "SELECT taken FROM places") == sold
    assert len(domain_events(client, event["eventId"], "booking-confirmed")) == sold


@pytest.mark.parametrize(
    ("guards", "net", "outcomes"),
    [
        ([], None, ["already-booked", "booked"]),
        ([NO_SECOND], None, ["booked", "uq_bookings_live"]),
        ([NO_SECOND], DROP_INDEX, ["booked", "booked"]),
    ],
    ids=["all guards", "by the index alone", "no guard at all"],
)
def test_one_attendee_gets_two_places_only_without_the_guard_and_the_index_under_it(
    client: Client, guards: list[str], net: str | None, outcomes: list[str]
) -> None:
    event, attendee = client.event(client.host()), client.attendee()
    take_out(client.wiring.database, *guards)
    if net:
        rows(client, net)

    assert race(client, event["eventId"], [attendee] * 2) == outcomes

    assert live(client, event["eventId"]) == outcomes.count("booked")
    assert value(client, "SELECT taken FROM places") == outcomes.count("booked")


def cancelled(connection: Connection, host_id: UUID, event_id: UUID, now: datetime) -> None:
    event_cancellation.cancel_event(connection, host_id, event_id, how="cancelled", expected=None, now=now)


def deleted(connection: Connection, host_id: UUID, event_id: UUID, now: datetime) -> None:
    event_cancellation.cancel_event(connection, host_id, event_id, how="deleted", expected=None, now=now)


def sale_closed(connection: Connection, host_id: UUID, event_id: UUID, now: datetime) -> None:
    changes = {"sale_ends_at": now - timedelta(minutes=1)}
    events.change(connection, host_id, event_id, changes=changes, expected=None, now=now)


@pytest.mark.parametrize(
    ("change", "refused"),
    [(cancelled, "event-cancelled"), (deleted, "no-such-event"), (sale_closed, "sale-ended")],
)
@pytest.mark.parametrize("guards", [[], [SAME_EVENT]], ids=["guarded", "unguarded"])
def test_a_booking_lands_on_an_event_changed_meanwhile_only_without_the_revision(
    client: Client, guards: list[str], change: Change, refused: str
) -> None:
    host, attendee = client.host(), client.attendee()
    event = client.event(host)
    take_out(client.wiring.database, *guards)

    with ThreadPoolExecutor(1) as thread, client.wiring.database.transaction() as connection:
        connection.execute(text("SELECT 1 FROM places FOR UPDATE"))
        booking = thread.submit(attempt, client.wiring, attendee, event["eventId"])
        until_waiting(client, 1)  # it has looked at the event as it was
        change(connection, UUID(host.user_id), UUID(event["eventId"]), datetime.now(UTC))

    assert booking.result() == ("booked" if guards else refused)
    assert live(client, event["eventId"]) == len(guards)


def test_a_booking_does_not_land_beyond_a_capacity_lowered_meanwhile(client: Client) -> None:
    host = client.host()
    event = client.event(host, capacity=2)
    client.book(client.attendee(), event["eventId"])
    rows(client, DROP_CHECK)
    lower = partial(events.change, changes={"capacity": 1}, expected=None, now=datetime.now(UTC))

    with ThreadPoolExecutor(1) as thread, client.wiring.database.transaction() as connection:
        connection.execute(text("SELECT 1 FROM places FOR UPDATE"))
        booking = thread.submit(attempt, client.wiring, client.attendee(), event["eventId"])
        until_waiting(client, 1)
        lower(connection, UUID(host.user_id), UUID(event["eventId"]))

    assert booking.result() == "sold-out"
    assert live(client, event["eventId"]) == 1


def test_a_capacity_is_not_lowered_below_what_is_taken_meanwhile(client: Client) -> None:
    host = client.host()
    event = client.event(host, capacity=2)
    client.book(client.attendee(), event["eventId"])
    rows(client, DROP_CHECK)

    with ThreadPoolExecutor(1) as thread, client.wiring.database.transaction() as connection:
        connection.execute(text("UPDATE places SET taken = 2"))  # as a booking does, last
        path = f"/events/{event['eventId']}"
        lowering = thread.submit(client, "PATCH", path, {"capacity": 1}, by=host)
        until_waiting(client, 1, lowering)

    assert lowering.result().problem == "capacity-below-taken"
    assert value(client, "SELECT capacity FROM places") == 2


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "unguarded"])
def test_an_account_deleted_during_its_booking_leaves_it_only_without_the_guard(
    client: Client, *, guarded: bool
) -> None:
    event, attendee = client.event(client.host()), client.attendee()
    if not guarded:
        rows(client, DROP_KEY)

    with ThreadPoolExecutor(2) as threads, client.wiring.database.transaction() as connection:
        connection.execute(text("SELECT 1 FROM places FOR UPDATE"))
        booking = threads.submit(attempt, client.wiring, attendee, event["eventId"])
        until_waiting(client, 1)
        deletion = threads.submit(client, "DELETE", "/users/me", by=attendee)
        until_waiting(client, 2, deletion)  # guarded, it waits for the booking

    assert (booking.result(), deletion.result().status) == ("booked", 204)
    assert live(client, event["eventId"]) == (0 if guarded else 1)
    assert value(client, "SELECT taken FROM places") == (0 if guarded else 1)


@pytest.mark.parametrize(
    ("guards", "outcome"), [([], "invalid-token"), ([ACCOUNT_STAYS], "booked")], ids=["guarded", "unguarded"]
)
def test_a_booking_during_the_deletion_of_its_account_is_made_only_without_the_guard(
    client: Client, guards: list[str], outcome: str
) -> None:
    event, attendee = client.event(client.host()), client.attendee()
    caller = client.wiring.tokens.read(attendee.token)
    take_out(client.wiring.database, *guards)

    with ThreadPoolExecutor(1) as thread, client.wiring.database.transaction() as connection:
        authentication.require_account(connection, caller, "update")
        account_deletion.delete_account(connection, caller, expected=None, now=datetime.now(UTC))
        booking: Future[str] = thread.submit(attempt, client.wiring, attendee, event["eventId"])
        until_waiting(client, 1, booking)

    assert booking.result() == outcome
    assert live(client, event["eventId"]) == len(guards)
