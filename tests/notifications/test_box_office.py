"""E-mails to customers of the box office, who have no account."""

import email
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest

from chalicelib.notifications import booking_activity
from chalicelib.platform.messaging.queues import BOOKING_NOTIFICATIONS, EMAIL
from tests.client import Account, Client
from tests.notifications.examples import text
from tests.notifications.pipeline import PostOffice, quiet
from tests.notifications.test_booking_activity import NOON, news
from tests.rows import rows

ADA = "ada@example.com"


@pytest.fixture
def host(client: Client) -> Account:
    return client.host("Kulturhof")


def sell(client: Client, host: Account, event_id: str, **members: Any) -> dict[str, Any]:
    body = {"name": "Ada Lovelace", "email": ADA, "paidBy": "cash", "quantity": 2} | members
    body = {name: value for name, value in body.items() if value is not None}
    reply = client("POST", f"/events/{event_id}/box-office", body, by=host)
    assert reply.status == 201, reply.text
    made: dict[str, Any] = reply.json
    return made


def test_a_customer_gets_the_tickets_by_email(client: Client, post_office: PostOffice, host: Account) -> None:
    event = client.event(host, price=2500, title="Jazz", description="Bring a chair.")
    made = sell(client, host, event["eventId"])
    post_office.run()

    [(address, raw)] = post_office.mailer.sent
    message = email.message_from_bytes(raw, EmailMessage, policy=default)
    assert address == ADA
    assert message["Subject"] == "Your booking is confirmed: Jazz"
    assert all(words in text(message) for words in ("Ada Lovelace", made["reference"], "Kulturhof", "50.00"))
    assert "entered your address" in text(message)
    assert "Bring a chair" not in text(message)
    assert "See your booking" not in text(message)
    assert any(part.get_content_type() == "text/calendar" for part in message.walk())


def test_without_an_address_nobody_is_emailed(client: Client, post_office: PostOffice, host: Account) -> None:
    sell(client, host, client.event(host)["eventId"], email=None)
    post_office.run()

    assert post_office.mailer.sent == []
    assert rows(client, "SELECT * FROM notifications") == []


def test_a_redelivered_sale_is_emailed_once(client: Client, post_office: PostOffice, host: Account) -> None:
    sell(client, host, client.event(host)["eventId"])
    post_office.relay()
    [confirmed] = post_office.published("booking-confirmed")
    for _ in range(2):
        post_office.deliver(BOOKING_NOTIFICATIONS, confirmed.as_message())
    first, second = post_office.queues.waiting[EMAIL.name]
    for message in (first, second, first):
        post_office.deliver(EMAIL, message)

    assert post_office.mailer.addresses() == [ADA]


def test_a_suppressed_address_gets_nothing(client: Client, post_office: PostOffice, host: Account) -> None:
    rows(client, "INSERT INTO suppressed_addresses VALUES ('ada@example.com', 'bounce', now())")
    sell(client, host, client.event(host)["eventId"], email="Ada@Example.com")
    post_office.run()

    assert post_office.mailer.sent == []


@pytest.mark.parametrize(
    ("method", "path", "subject", "words"),
    [
        ("DELETE", "/bookings/{bookingId}", "Your booking is cancelled", "The host cancelled your booking."),
        ("POST", "/events/{eventId}/cancel", "Your booking is cancelled", "The event was cancelled."),
        ("DELETE", "/events/{eventId}", "Your booking is cancelled", "The event was cancelled."),
        (
            "DELETE",
            "/tickets/{ticketId}",
            "Some of your tickets are cancelled",
            "The others are still valid.",
        ),
    ],
)
def test_a_customer_is_told_of_a_cancellation(
    client: Client,
    post_office: PostOffice,
    host: Account,
    method: str,
    path: str,
    subject: str,
    words: str,
) -> None:
    made = sell(client, host, client.event(host, title="Jazz", price=2500)["eventId"])
    quiet(post_office)
    ticket = client("GET", f"/bookings/{made['bookingId']}/tickets", by=host).json[0]
    assert client(method, path.format(**made, ticketId=ticket["ticketId"]), by=host).status < 300
    post_office.run()

    [(address, raw)] = post_office.mailer.sent
    message = email.message_from_bytes(raw, EmailMessage, policy=default)
    assert (address, message["Subject"]) == (ADA, f"{subject}: Jazz")
    assert words in text(message)
    assert "the host will give you your money back" in text(message)


def test_hosts_are_notified_of_sales_with_their_money(
    client: Client, post_office: PostOffice, host: Account
) -> None:
    event_id = client.event(host, title="Jazz", price=2500)["eventId"]
    made = sell(client, host, event_id)
    sell(client, host, event_id, paidBy="free", email=None)
    client("DELETE", f"/bookings/{made['bookingId']}", by=host)
    post_office.run()

    assert booking_activity.combine(client.wiring.database, NOON) == 3
    assert news(client, host) == [("Jazz", 4)]
    counted = rows(client, "SELECT booked, cancelled, revenue FROM booking_activity ORDER BY 1, 2, 3")
    assert [tuple(row) for row in counted] == [(0, 2, -5000), (2, 0, 0), (2, 0, 5000)]
