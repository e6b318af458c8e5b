"""Changes within a few minutes are announced together."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.events import change_notices, sale_start
from chalicelib.events.change_notices import INTERVAL, QUIET
from tests.client import Account, Client, in_days
from tests.rows import rows

SECOND = timedelta(seconds=1)


class Planned:
    """An upcoming event with a host who changes it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.host: Account = client.host()
        self.event_id = str(client.event(self.host, title="Jazz", location="Hof")["eventId"])
        self.started = datetime.now(UTC)

    def change(self, **members: Any) -> None:
        assert self.client("PATCH", f"/events/{self.event_id}", members, by=self.host).status == 200

    def announce(self, after: timedelta) -> int:
        return change_notices.announce(self.client.wiring.database, self.started + after)

    def announced(self) -> list[Any]:
        query = "SELECT body FROM outbox WHERE type = 'event-changed' ORDER BY position"
        return [row.body["changed"] for row in rows(self.client, query)]


@pytest.fixture
def planned(client: Client) -> Planned:
    return Planned(client)


def test_many_changes_are_one_announcement_with_the_last_state(planned: Planned) -> None:
    for number in range(10):
        planned.change(location=f"Hall {number}")
    planned.change(title="Blues")

    assert planned.announce(timedelta()) == 0
    assert planned.announce(QUIET + 5 * SECOND) == 1
    assert planned.announce(INTERVAL * 3) == 0
    assert planned.announced() == [
        {"title": {"from": "Jazz", "to": "Blues"}, "location": {"from": "Hof", "to": "Hall 9"}}
    ]


def test_a_later_change_waits_for_the_interval(planned: Planned) -> None:
    planned.change(location="Hall 1")
    assert planned.announce(QUIET + 5 * SECOND) == 1
    planned.change(location="Hall 2")

    assert planned.announce(INTERVAL) == 0
    assert planned.announce(INTERVAL + QUIET + 10 * SECOND) == 1
    assert planned.announced()[1] == {"location": {"from": "Hall 1", "to": "Hall 2"}}


def test_changes_without_a_pause_are_announced_after_the_interval(planned: Planned) -> None:
    planned.change(location="Hall 1")
    rows(planned.client, "UPDATE event_notices SET changed_at = now() - interval '5 minutes'")
    planned.change(location="Hall 2")

    assert planned.announce(5 * SECOND) == 1


def test_a_change_that_is_taken_back_is_not_announced(planned: Planned) -> None:
    planned.change(location="Hall 1")
    planned.change(location="Hof")

    assert planned.announce(INTERVAL) == 0
    assert planned.announced() == []


@pytest.mark.parametrize("end", ["cancel", "delete", "over"])
def test_changes_of_an_event_that_is_off_are_not_announced(planned: Planned, end: str) -> None:
    planned.change(location="Hall 1")
    if end == "cancel":
        planned.client("POST", f"/events/{planned.event_id}/cancel", by=planned.host)
    elif end == "delete":
        planned.client("DELETE", f"/events/{planned.event_id}", by=planned.host)

    assert planned.announce(timedelta(days=365) if end == "over" else INTERVAL) == 0
    assert planned.announced() == []


def test_a_change_after_a_missed_announcement_is_announced(planned: Planned) -> None:
    planned.change(location="Hall 1")
    planned.change(location="Hof")
    planned.announce(INTERVAL)
    planned.change(location="Hall 2")

    assert planned.announce(INTERVAL) == 1


def test_a_sale_that_is_put_off_is_announced_again_after_the_interval(client: Client) -> None:
    host = client.host()
    event_id = client.event(host, saleStartsAt=timedelta(seconds=30))["eventId"]
    now, database = datetime.now(UTC), client.wiring.database
    minute = timedelta(minutes=1)

    assert sale_start.announce(database, now + minute) == 1
    soon = {"saleStartsAt": (now + minute).isoformat()}
    assert client("PATCH", f"/events/{event_id}", soon, by=host).status == 200
    assert sale_start.announce(database, now + 2 * minute) == 0
    assert sale_start.announce(database, now + 2 * minute + INTERVAL) == 1
    assert client("PATCH", f"/events/{event_id}", {"saleStartsAt": in_days(3)}, by=host).status == 200
