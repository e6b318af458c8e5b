"""The daily digest: an e-mail to each host with news, once a day."""

import email
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import default
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from chalicelib.notifications import booking_activity, delivery, digest, emails, preferences
from chalicelib.notifications.deliveries import CLAIM_LEASE
from chalicelib.platform.errors import Unreachable
from chalicelib.platform.messaging.messages import EmailBatch
from chalicelib.platform.messaging.queues import BOOKING_NOTIFICATIONS, EMAIL
from tests.client import Account, Client
from tests.notifications.examples import ACTIVITY, SETTINGS, both, compose, domain_event, text
from tests.notifications.pipeline import PostOffice, inbox, mails, quiet
from tests.rows import rows, value

BOOKED_AT = datetime(2030, 5, 1, 12, tzinfo=UTC)
"""When the bookings of the tests are counted."""
DUE_AT = datetime(2030, 5, 2, 6, 5, tzinfo=UTC)
SUBJECT = "Bookings at your events"


@pytest.fixture
def host(client: Client) -> Account:
    return client.host("Kulturhof")


@pytest.fixture
def event_id(client: Client, post_office: PostOffice, host: Account) -> str:
    """An event with two bookings."""
    event_id: str = client.event(host, title="Jazz", capacity=10)["eventId"]
    book(client, post_office, event_id, times=2)
    return event_id


def book(client: Client, post_office: PostOffice, event_id: str, times: int = 1) -> None:
    for attendee in client.attendees(times):
        assert client.book(attendee, event_id).status == 201
    count(client, post_office)


def count(client: Client, post_office: PostOffice, at: datetime = BOOKED_AT) -> None:
    quiet(post_office)
    booking_activity.combine(client.wiring.database, at)


def announce(client: Client, at: datetime = DUE_AT) -> bool:
    return digest.announce(client.wiring.database, at)


def sent(post_office: PostOffice) -> list[EmailMessage]:
    return [email.message_from_bytes(raw, EmailMessage, policy=default) for _, raw in post_office.mailer.sent]


def test_a_host_gets_the_bookings_of_the_day(
    client: Client, post_office: PostOffice, host: Account, event_id: str
) -> None:
    cancelled = client.book(client.attendee(), event_id).json["bookingId"]
    assert client("DELETE", f"/bookings/{cancelled}", by=host).status == 204
    count(client, post_office)

    assert announce(client)
    post_office.run()

    [message] = sent(post_office)
    assert (message["To"], message["Subject"]) == (f"Kulturhof <{host.email}>", SUBJECT)
    assert "from Wednesday, 1 May 2030, 06:00 (UTC) to Thursday, 2 May 2030, 06:00 (UTC)" in text(message)
    lines = text(message).splitlines()
    assert "Jazz" in lines
    for line in ("Tickets booked: 3", "Tickets cancelled: 1", "Places left: 8"):
        assert line in lines
    assert "Revenue" not in text(message)
    assert "daily-digest-due" not in inbox(client, host)


def test_the_digest_is_due_once_a_day(client: Client) -> None:
    assert announce(client)
    assert not announce(client, DUE_AT + timedelta(hours=23, minutes=59))
    assert announce(client, DUE_AT + timedelta(days=1))


def test_a_digest_begins_where_the_last_one_ended(client: Client) -> None:
    for at in (DUE_AT, DUE_AT + timedelta(days=1), DUE_AT + timedelta(days=4)):
        announce(client, at)

    assert [
        (row.since, row.until)
        for row in rows(
            client,
            "SELECT body->>'since' AS since, body->>'until' AS until FROM outbox"
            " WHERE type = 'daily-digest-due' ORDER BY position",
        )
    ] == [
        ("2030-05-01T06:00:00.000Z", "2030-05-02T06:00:00.000Z"),
        ("2030-05-02T06:00:00.000Z", "2030-05-03T06:00:00.000Z"),
        ("2030-05-03T06:00:00.000Z", "2030-05-06T06:00:00.000Z"),
    ]
    assert value(client, "SELECT count(*) FROM digests") == 1


def test_of_concurrent_runs_one_announces_the_digest(client: Client) -> None:
    with ThreadPoolExecutor(8) as threads:
        runs = [threads.submit(announce, client) for _ in range(8)]
        assert [run.result(timeout=20) for run in runs].count(True) == 1


def test_before_the_hour_the_last_digest_is_that_of_the_day_before(client: Client) -> None:
    """What is counted until then, by a run that has not committed, must be in the digest."""
    announce(client, DUE_AT - timedelta(seconds=1))

    assert value(client, "SELECT until FROM digests") == datetime(2030, 5, 1, 6, tzinfo=UTC)


@pytest.mark.usefixtures("event_id")
def test_without_news_there_is_no_e_mail(client: Client, post_office: PostOffice) -> None:
    announce(client)
    quiet(post_office)

    announce(client, DUE_AT + timedelta(days=1))
    post_office.run()

    assert post_office.mailer.sent == []


def test_each_booking_is_in_one_digest(client: Client, post_office: PostOffice, event_id: str) -> None:
    announce(client)
    post_office.run()
    for attendee in client.attendees(3):
        client.book(attendee, event_id)
    count(client, post_office, datetime(2030, 5, 2, 6, tzinfo=UTC))

    announce(client, DUE_AT + timedelta(days=1))
    post_office.run()

    [message] = sent(post_office)
    assert "Tickets booked: 3" in text(message).splitlines()


@pytest.mark.usefixtures("event_id")
def test_each_host_gets_own_events_only(client: Client, post_office: PostOffice) -> None:
    other = client.host()
    for title in ("Blues", "Soul"):
        book(client, post_office, client.event(other, title=title)["eventId"])

    announce(client)
    post_office.run()

    parts = {message["To"]: text(message) for message in sent(post_office)}
    assert len(parts) == 2
    for to, part in parts.items():
        assert ("Jazz" in part) == ("Kulturhof" in to)
        assert ("Blues" in part) == ("Soul" in part) == ("Kulturhof" not in to)


@pytest.mark.usefixtures("event_id")
def test_a_redelivered_digest_is_sent_once(client: Client, post_office: PostOffice, host: Account) -> None:
    announce(client)
    post_office.relay()
    [due] = post_office.published("daily-digest-due")
    for _ in range(2):
        post_office.deliver(BOOKING_NOTIFICATIONS, due.as_message())
    batches = list(post_office.queues.waiting[EMAIL.name])

    for batch in batches * 2:
        post_office.deliver(EMAIL, batch)

    assert len(batches) == 2
    assert mails(post_office, host) == [1]


@pytest.mark.usefixtures("event_id")
def test_a_digest_that_fails_halfway_reaches_each_host_once(client: Client, post_office: PostOffice) -> None:
    hosts = [client.host() for _ in range(3)]
    for host in hosts:
        book(client, post_office, client.event(host)["eventId"])
    announce(client)
    post_office.mailer.cut_after = 2
    with pytest.raises(Unreachable):
        post_office.run()

    post_office.mailer.cut_after = None
    post_office.ahead = CLAIM_LEASE * 2
    post_office.run()

    assert len(post_office.mailer.sent) == 4
    assert mails(post_office, *hosts) == [1, 1, 1]


@pytest.mark.usefixtures("event_id")
def test_many_hosts_are_read_page_by_page(client: Client, post_office: PostOffice) -> None:
    for _ in range(4):
        book(client, post_office, client.event(client.host())["eventId"], times=2)
    announce(client)
    post_office.relay()
    own_queue = post_office.queues.waiting.setdefault(BOOKING_NOTIFICATIONS.name, deque())
    own_queue.append(post_office.published("daily-digest-due")[0].as_message())

    while own_queue:
        post_office.notify(BOOKING_NOTIFICATIONS, own_queue.popleft(), page_size=2)

    assert [len(batch["recipients"]) for batch in post_office.queues.waiting[EMAIL.name]] == [2, 2, 1]


@pytest.mark.usefixtures("event_id")
def test_an_unverified_address_gets_no_digest(client: Client, post_office: PostOffice, host: Account) -> None:
    rows(client, "UPDATE users SET email_verified_at = NULL WHERE user_id = :id", id=host.user_id)

    announce(client)
    post_office.run()

    assert mails(post_office, host) == [0]


@pytest.mark.usefixtures("event_id")
def test_a_host_who_opted_out_gets_no_digest(client: Client, post_office: PostOffice, host: Account) -> None:
    with client.wiring.database.transaction() as connection:
        preferences.opt_out(connection, UUID(host.user_id), ["dailyDigest"])

    announce(client)
    post_office.run()

    assert mails(post_office, host) == [0]
    assert "new-bookings" in inbox(client, host)


@pytest.mark.usefixtures("event_id")
def test_the_digest_can_be_unsubscribed_from(client: Client, post_office: PostOffice, host: Account) -> None:
    announce(client)
    post_office.relay()
    post_office.fan_out()
    post_office.deliver(
        BOOKING_NOTIFICATIONS, post_office.queues.waiting[BOOKING_NOTIFICATIONS.name].popleft()
    )
    batch = EmailBatch.from_message(post_office.queues.waiting[EMAIL.name].popleft())
    settings = replace(client.wiring.settings, public_url="https://api.example.com")
    delivery.send(replace(post_office.mail_context, settings=settings), batch, DUE_AT)

    [message] = sent(post_office)
    link = urlsplit(message["List-Unsubscribe"].strip("<>"))
    assert client("POST", f"{link.path}?{link.query}").status == 200

    assert client("GET", "/users/me/preferences", by=host).json["email"]["dailyDigest"] is False


@pytest.mark.usefixtures("event_id")
def test_a_host_deleted_meanwhile_gets_no_digest(
    client: Client, post_office: PostOffice, host: Account
) -> None:
    announce(client)
    assert client("DELETE", "/users/me", by=host).status == 204
    post_office.run()

    assert SUBJECT not in [message["Subject"] for message in sent(post_office)]


@pytest.mark.usefixtures("event_id")
def test_a_digest_after_its_retention_is_not_sent(
    client: Client, post_office: PostOffice, host: Account
) -> None:
    announce(client)
    post_office.relay()
    [due] = post_office.published("daily-digest-due")
    post_office.deliver(BOOKING_NOTIFICATIONS, due.as_message())
    rows(client, "DELETE FROM booking_activity")

    post_office.deliver(EMAIL, post_office.queues.waiting[EMAIL.name].popleft())

    assert mails(post_office, host) == [0]


def test_each_detail_is_shown_only_if_there_is_something() -> None:
    quiet_event = replace(
        ACTIVITY, booked=0, cancelled=2, places_left=None, revenue={"eur": 0}, is_cancelled=True
    )

    for body in both(compose(domain_event("daily-digest-due"), activity=[quiet_event])):
        assert "Jazz in the yard (cancelled)" in body
        assert "Tickets cancelled" in body
        for word in ("Tickets booked", "Places left", "Revenue"):
            assert word not in body


def test_revenue_is_shown_per_currency() -> None:
    mixed = replace(ACTIVITY, revenue={"eur": -2550, "jpy": 1200, "usd": 0})

    for body in both(compose(domain_event("daily-digest-due"), activity=[mixed])):
        assert "-EUR 25.50, JPY 1,200" in body
        assert "USD" not in body


def test_a_long_digest_says_how_many_events_are_left_out() -> None:
    for more, words in ((0, None), (1, "1 more event."), (2, "2 more events.")):
        activity = [ACTIVITY] * (emails.MAX_DIGEST_EVENTS + more)
        for body in both(compose(domain_event("daily-digest-due"), activity=activity)):
            assert body.count("Jazz in the yard") == emails.MAX_DIGEST_EVENTS
            assert (words or "news of") in body if more else "news of" not in body


def test_each_event_of_a_digest_links_to_its_page() -> None:
    settings = replace(SETTINGS, event_page_url="https://tickets.example/e/{eventId}")

    for body in both(compose(domain_event("daily-digest-due"), settings=settings)):
        assert f"https://tickets.example/e/{ACTIVITY.event_id}" in body


def test_a_digest_needs_activity() -> None:
    with pytest.raises(ValueError, match="needs activity"):
        compose(domain_event("daily-digest-due"), activity=[])
