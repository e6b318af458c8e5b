"""Fan-out: each recipient is notified in the app and by e-mail, once."""

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib.notifications import fan_out
from chalicelib.notifications.subscriptions import types_of
from chalicelib.platform.errors import Unreachable
from chalicelib.platform.messaging.queues import BOOKING_NOTIFICATIONS, EMAIL, FOLLOW_NOTIFICATIONS
from tests.client import PASSWORD, Account, Client, in_days
from tests.events.announcements import announce_changes
from tests.notifications.examples import domain_event
from tests.notifications.pipeline import PostOffice, inbox, mails, quiet, subjects
from tests.users.verification_emails import verify_pending


def follow(client: Client, host: Account, fans: Iterable[Account]) -> None:
    for fan in fans:
        client("PUT", f"/users/{host.user_id}/follow", by=fan)


@pytest.fixture
def host(client: Client, post_office: PostOffice) -> Account:
    host = client.host()
    post_office.run()
    post_office.mailer.sent.clear()
    return host


def test_each_follower_is_notified_once(client: Client, post_office: PostOffice, host: Account) -> None:
    fans, stranger = client.attendees(3), client.attendee()
    follow(client, host, fans)
    quiet(post_office)

    client.event(host)
    post_office.run()

    assert mails(post_office, *fans, stranger) == [1, 1, 1, 0]
    assert [inbox(client, fan) for fan in fans] == [["event-published"]] * 3


def test_a_redelivery_notifies_nobody_twice(client: Client, post_office: PostOffice, host: Account) -> None:
    fans = client.attendees(2)
    follow(client, host, fans)
    quiet(post_office)
    client.event(host)
    post_office.relay()
    message = post_office.published("event-published")[0].as_message()

    for _ in range(2):
        post_office.deliver(FOLLOW_NOTIFICATIONS, message)
    batches = list(post_office.queues.waiting[EMAIL.name])
    for batch in batches * 2:
        post_office.deliver(EMAIL, batch)

    assert len(batches) == 2
    assert mails(post_office, *fans) == [1, 1]
    assert [len(inbox(client, fan)) for fan in fans] == [1, 1]


def test_many_recipients_are_notified_page_by_page(
    client: Client, post_office: PostOffice, host: Account
) -> None:
    fans = client.attendees(5)
    follow(client, host, fans)
    quiet(post_office)
    client.event(host)
    post_office.relay()
    message = post_office.published("event-published")[0].as_message()

    own_queue = post_office.queues.waiting.setdefault(FOLLOW_NOTIFICATIONS.name, deque())
    own_queue.append(message)
    while own_queue:
        post_office.notify(FOLLOW_NOTIFICATIONS, own_queue.popleft(), page_size=2)

    batches = [batch["recipients"] for batch in post_office.queues.waiting[EMAIL.name]]
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert sorted(user_id for batch in batches for user_id in batch) == sorted(fan.user_id for fan in fans)


def test_a_queue_that_fails_midway_loses_nobody(
    client: Client, post_office: PostOffice, host: Account
) -> None:
    fans = client.attendees(fan_out.EMAIL_BATCH_SIZE + 1)
    follow(client, host, fans)
    quiet(post_office)
    client.event(host)
    post_office.relay()
    message = post_office.published("event-published")[0].as_message()

    post_office.queues.cut_after = 1
    with pytest.raises(Unreachable):
        post_office.deliver(FOLLOW_NOTIFICATIONS, message)
    post_office.queues.cut_after = None
    post_office.deliver(FOLLOW_NOTIFICATIONS, message)
    post_office.run()

    assert mails(post_office, *fans) == [1] * len(fans)


def test_a_former_follower_is_not_notified(client: Client, post_office: PostOffice, host: Account) -> None:
    stays, leaves, goes = client.attendees(3)
    follow(client, host, [stays, leaves, goes])
    quiet(post_office)
    client.event(host)

    client("DELETE", f"/users/{host.user_id}/follow", by=leaves)
    client("DELETE", "/users/me", by=goes)
    post_office.run()

    assert mails(post_office, stays, leaves) == [1, 0]
    assert subjects(post_office, goes) == ["Your account was deleted"]


def test_an_account_deleted_before_the_e_mail_gets_none(
    client: Client, post_office: PostOffice, host: Account
) -> None:
    fan = client.attendee()
    follow(client, host, [fan])
    quiet(post_office)
    client.event(host)
    post_office.relay()
    post_office.deliver(FOLLOW_NOTIFICATIONS, post_office.published("event-published")[0].as_message())

    client("DELETE", "/users/me", by=fan)
    post_office.run()

    assert subjects(post_office, fan) == ["Your account was deleted"]


def test_a_changed_address_gets_the_e_mail(client: Client, post_office: PostOffice, host: Account) -> None:
    fan = client.attendee()
    follow(client, host, [fan])
    quiet(post_office)
    client.event(host)
    change = {"email": "new@example.com", "currentPassword": PASSWORD}
    assert client("PATCH", "/users/me", change, by=fan).status == 200
    verify_pending(client, fan, "new@example.com")
    post_office.run()

    assert subjects(post_office, fan) == [
        "Your e-mail address is to be changed",
        "Your e-mail address was changed",
    ]
    assert "new@example.com" in post_office.mailer.addresses()


def test_a_cancelled_event_is_not_e_mailed_as_new(
    client: Client, post_office: PostOffice, host: Account
) -> None:
    fans = client.attendees(2)
    follow(client, host, fans)
    quiet(post_office)
    event_id = client.event(host)["eventId"]
    post_office.relay()
    post_office.deliver(FOLLOW_NOTIFICATIONS, post_office.published("event-published")[0].as_message())

    client("POST", f"/events/{event_id}/cancel", by=host)
    post_office.run()

    assert mails(post_office, *fans) == [0, 0]


def test_withdrawn_interest_is_not_notified(client: Client, post_office: PostOffice, host: Account) -> None:
    keen, cool = client.attendees(2)
    event_id = client.event(host, saleStartsAt=in_days(0.01))["eventId"]
    for user in (keen, cool):
        client("PUT", f"/events/{event_id}/interest", by=user)
    client("DELETE", f"/events/{event_id}/interest", by=cool)
    quiet(post_office)

    started = post_office.start_sales(after=timedelta(days=0.02))
    post_office.run()

    assert started == 1
    assert mails(post_office, keen, cool) == [1, 0]


def test_an_attendee_is_notified_of_booking_and_cancellation(
    client: Client, post_office: PostOffice, host: Account
) -> None:
    attendee = client.attendee()
    quiet(post_office)
    event_id = client.event(host)["eventId"]
    booking_id = client.book(attendee, event_id).json["bookingId"]
    post_office.run()
    assert inbox(client, attendee) == ["booking-confirmed"]

    client("DELETE", f"/bookings/{booking_id}", by=host)
    post_office.run()

    assert inbox(client, attendee) == ["booking-cancelled", "booking-confirmed"]
    assert mails(post_office, attendee) == [2]


def test_a_late_confirmation_is_left_out(client: Client, post_office: PostOffice, host: Account) -> None:
    attendee = client.attendee()
    event_id = client.event(host)["eventId"]
    booking_id = client.book(attendee, event_id).json["bookingId"]
    client("DELETE", f"/bookings/{booking_id}", by=attendee)
    post_office.run()

    assert inbox(client, attendee) == ["booking-cancelled"]


def test_a_late_e_mail_does_not_confirm(client: Client, post_office: PostOffice, host: Account) -> None:
    attendee = client.attendee()
    quiet(post_office)
    booking_id = client.book(attendee, client.event(host)["eventId"]).json["bookingId"]
    post_office.relay()
    post_office.deliver(BOOKING_NOTIFICATIONS, post_office.published("booking-confirmed")[0].as_message())

    client("DELETE", f"/bookings/{booking_id}", by=attendee)
    post_office.deliver(EMAIL, post_office.queues.waiting[EMAIL.name].popleft())

    assert mails(post_office, attendee) == [0]


def test_attendees_are_notified_of_a_new_time(client: Client, post_office: PostOffice, host: Account) -> None:
    attendee, former = client.attendee(), client.attendee()
    event_id = client.event(host)["eventId"]
    client.book(attendee, event_id)
    booking_id = client.book(former, event_id).json["bookingId"]
    client("DELETE", f"/bookings/{booking_id}", by=former)
    quiet(post_office)

    client("PATCH", f"/events/{event_id}", {"startDateTime": in_days(29)}, by=host)
    post_office.run()

    assert mails(post_office, attendee, former) == [1, 0]
    assert inbox(client, attendee)[0] == "event-changed"


@pytest.mark.parametrize("how", ["cancel", "delete"])
def test_attendees_are_notified_of_a_cancelled_event_once(
    client: Client, post_office: PostOffice, host: Account, how: str
) -> None:
    attendee, former = client.attendee(), client.attendee()
    event_id = client.event(host)["eventId"]
    client.book(attendee, event_id)
    booking_id = client.book(former, event_id).json["bookingId"]
    client("DELETE", f"/bookings/{booking_id}", by=former)
    quiet(post_office)

    if how == "cancel":
        client("POST", f"/events/{event_id}/cancel", by=host)
    else:
        client("DELETE", f"/events/{event_id}", by=host)
    post_office.run()

    assert mails(post_office, attendee, former) == [1, 0]
    assert inbox(client, attendee)[0] == "event-cancelled"
    assert "booking-cancelled" not in inbox(client, attendee)


def test_domain_events_in_any_order_leave_the_same_inboxes(
    client: Client, post_office: PostOffice, host: Account
) -> None:
    attendee = client.attendee()
    quiet(post_office)
    event_id = client.event(host)["eventId"]
    client.book(attendee, event_id)
    client("PATCH", f"/events/{event_id}", {"title": "Another title"}, by=host)
    announce_changes(client.wiring.database)
    post_office.relay()
    domain_events = [
        domain_event.as_message()
        for domain_event in post_office.publisher.published
        if domain_event.type in types_of(BOOKING_NOTIFICATIONS)
    ]

    for message in [*reversed(domain_events), *domain_events]:
        post_office.deliver(BOOKING_NOTIFICATIONS, message)

    assert sorted(inbox(client, attendee)) == ["booking-confirmed", "event-changed"]


@pytest.mark.parametrize("kind", ["user-registered", "weather-changed"])
def test_a_domain_event_without_recipients_is_refused(post_office: PostOffice, kind: str) -> None:
    message = replace(domain_event("event-published"), type=kind).as_message()

    with pytest.raises(ValueError, match=f"no recipients for {kind}"):
        post_office.deliver(BOOKING_NOTIFICATIONS, message)
