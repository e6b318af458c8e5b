"""Notifications about orders: one e-mail per person, whatever the number of bookings and tickets."""

import email
from collections import Counter, deque
from email.message import EmailMessage
from email.policy import default
from uuid import UUID

import pytest

from chalicelib.notifications import mail_context
from chalicelib.notifications.kinds import kind_of
from chalicelib.notifications.models import TOPICS
from chalicelib.notifications.preferences import opt_out
from chalicelib.platform.messaging.queues import BOOKING_NOTIFICATIONS, EMAIL
from tests.client import Account, Client
from tests.events.announcements import announce_changes
from tests.notifications.examples import text
from tests.notifications.orders import cancel_ticket, event_with_types, order
from tests.notifications.pipeline import PostOffice, inbox, mails, quiet, subjects


@pytest.fixture
def host(client: Client) -> Account:
    return client.host()


def last(post_office: PostOffice) -> EmailMessage:
    _, raw = post_office.mailer.sent[-1]
    return email.message_from_bytes(raw, EmailMessage, policy=default)


def uids(message: EmailMessage) -> list[str]:
    """The ids of the bookings whose calendar entries an e-mail changes."""
    return [line[4:40] for line in calendar_lines(message) if line.startswith("UID:")]


def calendar_lines(message: EmailMessage) -> list[str]:
    parts = [part for part in message.iter_attachments() if part.get_content_type() == "text/calendar"]
    return [line for part in parts for line in str(part.get_content()).splitlines()]


def test_a_confirmation_lists_the_order(client: Client, post_office: PostOffice, host: Account) -> None:
    ada = client.attendee()
    event_id, [day, weekend] = event_with_types(client, host)
    quiet(post_office)

    booking_id = order(client, ada, event_id, {weekend: 2, day: 1})
    post_office.run()

    assert mails(post_office, ada) == [1]
    assert "\n1 x Day ticket\n2 x Weekend ticket\n" in text(last(post_office))
    assert "3 places" in "".join(calendar_lines(last(post_office)))
    assert uids(last(post_office)) == [booking_id]


def test_cancelled_tickets_are_notified(client: Client, post_office: PostOffice, host: Account) -> None:
    ada, bob = client.attendees(2)
    event_id, [day, weekend] = event_with_types(client, host)
    booking_id = order(client, ada, event_id, {weekend: 2, day: 1})
    order(client, bob, event_id, {day: 1})
    quiet(post_office)

    cancel_ticket(client, booking_id, "host")
    post_office.run()

    assert subjects(post_office, ada) == ["Some of your tickets are cancelled: Jazz in the yard"]
    assert mails(post_office, bob, host) == [0, 0]
    assert inbox(client, ada)[0] == "tickets-cancelled"
    assert "The host cancelled some of your tickets." in text(last(post_office))
    assert uids(last(post_office)) == [booking_id]


def test_e_mails_of_cancelled_tickets_can_be_opted_out_of(
    client: Client, post_office: PostOffice, host: Account
) -> None:
    ada = client.attendee()
    event_id, [day, _] = event_with_types(client, host)
    booking_id = order(client, ada, event_id, {day: 2})
    quiet(post_office)
    with client.wiring.database.transaction() as connection:
        opt_out(connection, UUID(ada.user_id), set(TOPICS) & {"bookingCancelled"})

    cancel_ticket(client, booking_id)
    post_office.run()

    assert mails(post_office, ada) == [0]
    assert inbox(client, ada)[0] == "tickets-cancelled"


def test_a_cancelled_booking_lists_the_tickets_that_it_still_had(
    client: Client, post_office: PostOffice, host: Account
) -> None:
    ada = client.attendee()
    event_id, [day, weekend] = event_with_types(client, host)
    booking_id = order(client, ada, event_id, {weekend: 1, day: 2})
    cancel_ticket(client, booking_id)
    quiet(post_office)

    client("DELETE", f"/bookings/{booking_id}", by=ada)
    post_office.run()

    assert "\nCancelled tickets:\n\n1 x Day ticket\n1 x Weekend ticket\n" in text(last(post_office))


def test_a_cancelled_event_lists_the_tickets_that_were_left(
    client: Client, post_office: PostOffice, host: Account
) -> None:
    ada = client.attendee()
    event_id, [day, weekend] = event_with_types(client, host)
    booking_id = order(client, ada, event_id, {weekend: 1, day: 2})
    ended = order(client, ada, event_id, {weekend: 1})
    cancel_ticket(client, booking_id)
    client("DELETE", f"/bookings/{ended}", by=ada)
    quiet(post_office)

    client("POST", f"/events/{event_id}/cancel", by=host)
    post_office.run()

    assert subjects(post_office, ada) == ["Event cancelled: Jazz in the yard"]
    assert "\nCancelled tickets:\n\n1 x Day ticket\n1 x Weekend ticket\n" in text(last(post_office))
    assert uids(last(post_office)) == [booking_id]


def test_a_refund_shows_its_tickets_only(client: Client, host: Account) -> None:
    ada = client.attendee()
    event_id, [day, weekend] = event_with_types(client, host)
    booking_id = order(client, ada, event_id, {weekend: 2, day: 1})
    tickets = client("GET", f"/bookings/{booking_id}/tickets", by=ada).json
    refunded = [UUID(ticket["ticketId"]) for ticket in tickets[:2]]
    cancel_ticket(client, booking_id)

    with client.wiring.database.transaction() as connection:
        views = mail_context.booking_views(
            connection,
            UUID(event_id),
            [UUID(ada.user_id)],
            kind=kind_of("payment-refund-due"),
            booking_id=UUID(booking_id),
            ticket_ids=refunded,
        )

    [view] = views[UUID(ada.user_id)]
    assert [(item.quantity, item.name) for item in view.items] == [(1, "Day ticket"), (1, "Weekend ticket")]


@pytest.mark.parametrize(
    ("method", "path", "body", "kind"),
    [
        ("PATCH", "", {"title": "Blues"}, "event-changed"),
        ("POST", "/cancel", None, "event-cancelled"),
        ("DELETE", "", None, "event-cancelled"),
    ],
)
def test_several_bookings_get_one_e_mail_with_all_entries(
    client: Client,
    post_office: PostOffice,
    host: Account,
    method: str,
    path: str,
    body: dict[str, str] | None,
    kind: str,
) -> None:
    ada, bob = client.attendees(2)
    event_id, [day, weekend] = event_with_types(client, host)
    booked = [order(client, ada, event_id, {weekend: 1, day: number}) for number in range(3)]
    order(client, bob, event_id, {day: 1})
    quiet(post_office)

    assert client(method, f"/events/{event_id}{path}", body, by=host).status < 300
    post_office.run()

    assert mails(post_office, ada, bob) == [1, 1]
    assert inbox(client, ada).count(kind) == inbox(client, bob).count(kind) == 1
    [to_ada] = [raw for address, raw in post_office.mailer.sent if address == ada.email]
    assert uids(email.message_from_bytes(to_ada, EmailMessage, policy=default)) == booked


@pytest.mark.parametrize("page_size", [1, 2, 3])
@pytest.mark.parametrize(("method", "path"), [("PATCH", ""), ("POST", "/cancel")])
def test_each_person_is_on_one_page(
    client: Client, post_office: PostOffice, host: Account, method: str, path: str, page_size: int
) -> None:
    people = client.attendees(3)
    event_id, [day, _] = event_with_types(client, host)
    for _ in range(3):
        for person in people:
            order(client, person, event_id, {day: 1})
    quiet(post_office)

    client(method, f"/events/{event_id}{path}", {"title": "Blues"} if method == "PATCH" else None, by=host)
    announce_changes(client.wiring.database)
    post_office.relay()
    kind = "event-changed" if method == "PATCH" else "event-cancelled"
    waiting = deque(one.as_message() for one in post_office.published(kind))
    post_office.queues.waiting[BOOKING_NOTIFICATIONS.name] = waiting
    while waiting:
        post_office.notify(BOOKING_NOTIFICATIONS, waiting.popleft(), page_size)

    batches = post_office.queues.waiting[EMAIL.name]
    recipients = Counter(user_id for batch in batches for user_id in batch["recipients"])
    assert recipients == Counter(person.user_id for person in people)
