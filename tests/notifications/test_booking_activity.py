"""Hosts are notified of bookings: one growing notification per event and day."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.notifications import booking_activity, digest
from chalicelib.notifications.deliveries import RETENTION
from chalicelib.platform.messaging.queues import BOOKING_NOTIFICATIONS
from tests.client import Account, Client
from tests.notifications.pipeline import PostOffice
from tests.rows import executed_statements, rows

NOON = datetime(2030, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def host(client: Client) -> Account:
    return client.host()


def book(client: Client, post_office: PostOffice, event_id: str, times: int = 1) -> list[str]:
    booked = [client.book(attendee, event_id).json["bookingId"] for attendee in client.attendees(times)]
    post_office.run()
    return booked


def combine(client: Client, at: datetime = NOON) -> int:
    return booking_activity.combine(client.wiring.database, at)


def news(client: Client, host: Account) -> list[tuple[str, int]]:
    """The titles and counts of the combined notifications, newest first."""
    listed = client("GET", "/notifications", by=host).json
    assert {item["type"] for item in listed} <= {"new-bookings"}
    return [(item["title"], item["count"]) for item in listed]


def read_all(client: Client, host: Account) -> None:
    for item in client("GET", "/notifications?unread=true", by=host).json:
        assert client("POST", f"/notifications/{item['notificationId']}/read", by=host).status == 204


def test_a_host_gets_one_notification_for_many_bookings(
    client: Client, post_office: PostOffice, host: Account
) -> None:
    jazz, blues = (client.event(host, title=title)["eventId"] for title in ("Jazz", "Blues"))
    book(client, post_office, jazz, times=3)
    book(client, post_office, blues)

    assert combine(client) == 4

    assert sorted(news(client, host)) == [("Blues", 1), ("Jazz", 3)]


def test_an_unread_notification_grows(client: Client, post_office: PostOffice, host: Account) -> None:
    event_id = client.event(host, title="Jazz")["eventId"]
    for _ in range(2):
        book(client, post_office, event_id, times=2)
        combine(client)

    assert news(client, host) == [("Jazz", 4)]


def test_after_reading_a_new_notification_begins(
    client: Client, post_office: PostOffice, host: Account
) -> None:
    event_id = client.event(host, title="Jazz")["eventId"]
    book(client, post_office, event_id, times=2)
    combine(client)
    read_all(client, host)

    book(client, post_office, event_id)
    combine(client)

    assert news(client, host) == [("Jazz", 1), ("Jazz", 2)]


def test_a_new_day_begins_a_new_notification(client: Client, post_office: PostOffice, host: Account) -> None:
    event_id = client.event(host, title="Jazz")["eventId"]
    book(client, post_office, event_id, times=2)
    combine(client)
    book(client, post_office, event_id)

    combine(client, NOON + timedelta(days=1))

    assert news(client, host) == [("Jazz", 1), ("Jazz", 2)]


def test_a_redelivered_message_is_counted_once(
    client: Client, post_office: PostOffice, host: Account
) -> None:
    client.book(client.attendee(), client.event(host, title="Jazz")["eventId"])
    post_office.relay()
    [confirmed] = post_office.published("booking-confirmed")

    for _ in range(2):
        post_office.deliver(BOOKING_NOTIFICATIONS, confirmed.as_message())
        combine(client)

    assert news(client, host) == [("Jazz", 1)]


def test_a_rush_updates_one_row_once_per_batch(
    client: Client, post_office: PostOffice, host: Account
) -> None:
    book(client, post_office, client.event(host, title="Jazz")["eventId"], times=7)

    with executed_statements(client) as executed:
        assert booking_activity.combine(client.wiring.database, NOON, batch_size=3) == 7

    assert sum("INSERT INTO notifications" in statement for statement in executed) == 3
    assert news(client, host) == [("Jazz", 7)]


def test_concurrent_runs_count_each_booking_once(
    client: Client, post_office: PostOffice, host: Account
) -> None:
    events = [client.event(host, title=title)["eventId"] for title in ("Jazz", "Blues")]
    for event_id in events:
        book(client, post_office, event_id, times=10)

    with ThreadPoolExecutor(4) as threads:
        runs = [
            threads.submit(booking_activity.combine, client.wiring.database, NOON, batch_size=3)
            for _ in range(4)
        ]
        assert sum(run.result(timeout=20) for run in runs) == 20

    assert sorted(news(client, host)) == [("Blues", 10), ("Jazz", 10)]


def test_cancellations_are_no_news_in_the_inbox(
    client: Client, post_office: PostOffice, host: Account
) -> None:
    event_id = client.event(host, title="Jazz")["eventId"]
    [booking_id] = book(client, post_office, event_id)
    client("DELETE", f"/bookings/{booking_id}", by=host)
    post_office.run()

    combine(client)

    assert news(client, host) == [("Jazz", 1)]


def test_a_deleted_host_gets_nothing(client: Client, post_office: PostOffice, host: Account) -> None:
    book(client, post_office, client.event(host)["eventId"])
    assert client("DELETE", "/users/me", by=host).status == 204

    assert combine(client) >= 1

    assert rows(client, "SELECT FROM notifications WHERE type = 'new-bookings'") == []
    assert combine(client) == 0


def test_old_activity_is_purged(client: Client, post_office: PostOffice, host: Account) -> None:
    book(client, post_office, client.event(host)["eventId"])
    combine(client)

    assert digest.purge(client.wiring.database, NOON + RETENTION - timedelta(seconds=1)) == 0
    assert digest.purge(client.wiring.database, NOON + RETENTION) == 1
