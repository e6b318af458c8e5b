"""What the functions that poll cost while little happens, and that they are on time when something does."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

import app
from chalicelib.platform.messaging import outbox
from chalicelib.platform.messaging.bodies import DomainEventBody
from chalicelib.wiring import Wiring, using
from infra.aws.function_table import TABLE
from infra.local.triggers import POLLING
from tests.client import HOLD, Client, in_days
from tests.fakes import FakePublisher
from tests.rows import rows
from tests.simulated_time import SimulatedTime

OFFSETS = {"relay_outbox": 7, "start_sales": 31, "expire_holds": 49}
"""Seconds of the minute at which EventBridge calls each function: the worst case is none at the same time."""
TIMEOUTS = {function.name: function.timeout for function in TABLE}
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SOON = timedelta(seconds=2)
GAP = timedelta(seconds=100.3)
"""Between two bookings of a sale."""


@dataclass(frozen=True, kw_only=True)
class Booked(DomainEventBody, name="booked"):
    pass


class Published(FakePublisher):
    """Records when each type was published about a subject."""

    def __init__(self, simulated: SimulatedTime) -> None:
        super().__init__()
        self.times: dict[tuple[str, UUID], datetime] = {}
        self._simulated = simulated

    def publish(self, domain_events: Any) -> set[UUID]:
        refused = super().publish(domain_events)
        self.times |= {(event.type, event.subject): self._simulated.now for event in domain_events}
        return refused


class Schedules:
    """Calls the functions that poll once a minute, and adds up how long they run."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.simulated = SimulatedTime(datetime.now(UTC))
        self.published = Published(self.simulated)
        self.seconds = 0.0
        """Billed: simulated waits, and the time that the work itself takes on this machine."""

    def run(self, duration: timedelta) -> None:
        """Let simulated time pass. Functions that run at its end are lost, as if killed."""
        end = self.simulated.now + duration
        for name, offset in OFFSETS.items():
            tick = self.simulated.now + timedelta(seconds=offset)
            while tick < end:
                self.simulated.at(tick, partial(self._call, name))
                tick += MINUTE
        wiring = self.client.wiring
        simulated = Wiring(
            wiring.settings,
            publisher=self.published,
            payments=wiring.payments,
            clock=self.simulated.clock,
        )
        with using(simulated):
            self.simulated.run_until(end)

    def book(self, at: datetime) -> UUID:
        """Have a domain event recorded at a time, and return its subject."""
        subject = uuid4()

        def record() -> None:
            with self.client.wiring.database.transaction() as connection:
                outbox.record(connection, Booked(), subject=subject, now=at)

        self.simulated.at(at, record)
        return subject

    def _call(self, name: str) -> None:
        started, began = self.simulated.now, time.perf_counter()
        context = _Context(self.simulated, name)
        event = {"detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}
        event |= {"version": "0", "id": "", "account": "", "time": "", "region": "", "resources": []}
        getattr(app, name)(event, context)
        self.seconds += (self.simulated.now - started).total_seconds() + time.perf_counter() - began


class _Context:
    def __init__(self, simulated: SimulatedTime, name: str) -> None:
        self._simulated = simulated
        self._until = simulated.now + timedelta(seconds=TIMEOUTS[name])

    def get_remaining_time_in_millis(self) -> int:
        return int((self._until - self._simulated.now) / timedelta(milliseconds=1))


@pytest.fixture
def schedules(client: Client) -> Schedules:
    assert set(OFFSETS) == POLLING
    return Schedules(client)


def test_idle_functions_run_for_less_than_a_hundredth_of_the_time(schedules: Schedules) -> None:
    client = schedules.client
    client.book(client.attendee(), client.event(client.host(), saleStartsAt=in_days(-1))["eventId"])
    rows(client, "DELETE FROM outbox RETURNING 1")

    schedules.run(2 * HOUR)

    assert schedules.seconds < 0.01 * len(POLLING) * 2 * HOUR.total_seconds()


def test_a_booking_after_a_quiet_hour_is_published_within_a_minute(schedules: Schedules) -> None:
    at = schedules.simulated.now + HOUR + timedelta(seconds=8)
    booked = schedules.book(at)

    schedules.run(HOUR + 5 * MINUTE)

    assert schedules.published.times["booked", booked] - at <= MINUTE
    assert schedules.seconds < (outbox.IDLE_AFTER + MINUTE).total_seconds()


def test_bookings_of_a_sale_are_published_within_two_seconds(schedules: Schedules) -> None:
    start = schedules.simulated.now + timedelta(minutes=10)
    booked = {at: schedules.book(at) for at in (start + number * GAP for number in range(30))}

    schedules.run(HOUR)

    first, *others = (schedules.published.times["booked", subject] - at for at, subject in booked.items())
    assert first <= MINUTE
    assert max(others) <= SOON


@pytest.mark.parametrize("second", range(0, 60, 12))
def test_a_sale_start_is_published_on_time(schedules: Schedules, second: int) -> None:
    client = schedules.client
    starts_at = (schedules.simulated.now + timedelta(minutes=10, seconds=second)).replace(microsecond=0)
    event = client.event(client.host(), saleStartsAt=starts_at.isoformat())

    schedules.run(timedelta(minutes=12))

    published = schedules.published.times["sale-started", UUID(event["eventId"])]
    assert timedelta(0) <= published - starts_at <= SOON


@pytest.mark.parametrize("second", range(0, 60, 12))
def test_an_unpaid_hold_ends_on_time(schedules: Schedules, second: int) -> None:
    client = schedules.client
    event = client.event(client.host(), price=2500)
    ends_at = datetime.fromisoformat(client.book(client.attendee(), event["eventId"]).json["expiresAt"])
    schedules.simulated.now -= timedelta(seconds=second)

    schedules.run(HOLD + 2 * MINUTE)

    [booking] = rows(client, "SELECT status, updated_at FROM bookings")
    assert booking.status == "expired"
    assert timedelta(0) <= booking.updated_at - ends_at <= SOON
    assert schedules.published.times["booking-expired", UUID(event["eventId"])] - ends_at <= SOON


def test_a_change_is_published_within_a_minute_of_its_quiet_time(schedules: Schedules) -> None:
    client, host = schedules.client, schedules.client.host()
    event = client.event(host)
    assert client("PATCH", f"/events/{event['eventId']}", {"location": "Elsewhere"}, by=host).status == 200
    [notice] = rows(client, "SELECT due_at FROM event_notices")

    schedules.run(3 * MINUTE)

    published = schedules.published.times["event-changed", UUID(event["eventId"])]
    assert timedelta(0) <= published - notice.due_at <= MINUTE


def test_in_an_outage_the_functions_poll_until_it_is_over(schedules: Schedules) -> None:
    schedules.published.reachable = False
    at = schedules.simulated.now + timedelta(seconds=70)
    booked = schedules.book(at)
    schedules.simulated.at(at + 3 * MINUTE, lambda: setattr(schedules.published, "reachable", True))

    schedules.run(6 * MINUTE)

    assert schedules.published.times["booked", booked] <= at + 3 * MINUTE + SOON
