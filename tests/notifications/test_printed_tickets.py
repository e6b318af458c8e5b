"""The tickets in e-mails: QR codes that the HTML shows, and a PDF."""

import email
import re
from dataclasses import replace
from email.message import EmailMessage
from email.policy import default

import pytest

from chalicelib.notifications import emails
from chalicelib.notifications.emails import MAX_QR_CODES
from chalicelib.notifications.mail_context import Recipient
from tests.client import Account, Client
from tests.documents.examples import codes, pages, printed, scan
from tests.notifications.examples import (
    ADA,
    JAZZ,
    NOW,
    PAID,
    SETTINGS,
    booking_view,
    domain_event,
    html,
    text,
)
from tests.notifications.orders import event_with_types, order
from tests.notifications.pipeline import PostOffice, quiet
from tests.rows import rows

SES_LIMIT = 10 * 1024 * 1024
"""Bytes of a message (Amazon SES, "Service quotas")."""

SPAM = "Win at evil.example"


def compose(quantity: int, recipient: Recipient = ADA, kind: str = "booking-confirmed") -> bytes:
    more = PAID if kind == "booking-confirmed" else {}
    return emails.compose(
        domain_event(kind, **more),
        recipient,
        settings=SETTINGS,
        now=NOW,
        event=JAZZ,
        bookings=[booking_view()],
        documents=[
            printed(number=number, quantity=quantity, title=SPAM, venue=SPAM, holder=SPAM, ticket_type=SPAM)
            for number in range(1, quantity + 1)
        ],
    )


def read(raw: bytes) -> EmailMessage:
    return email.message_from_bytes(raw, EmailMessage, policy=default)


def pdf_of(message: EmailMessage) -> bytes:
    [part] = [part for part in message.iter_attachments() if part.get_content_type() == "application/pdf"]
    assert part.get_filename() == "tickets.pdf"
    return bytes(part.get_content())


def shown_codes(message: EmailMessage) -> list[str]:
    """What the QR codes say that the HTML shows, in its order."""
    images = {
        part["Content-ID"].strip("<>"): part.get_content()
        for part in message.walk()
        if part.get_content_type() == "image/png"
    }
    shown = re.findall(r'src="cid:([^"]+)"', html(message))
    assert set(shown) == set(images)
    return [code for content_id in shown for code in scan(images[content_id])]


def test_a_confirmation_carries_each_ticket_twice() -> None:
    message = read(compose(2))

    pdf = pdf_of(message)
    assert len(pages(pdf)) == 2
    assert len(set(codes(pdf))) == 2
    assert shown_codes(message) == codes(pdf)
    assert "tickets.pdf" in text(message)
    assert "ticket 2 of 2" in html(message)


def test_other_kinds_carry_no_tickets() -> None:
    message = read(compose(2, kind="booking-cancelled"))

    assert {part.get_content_type() for part in message.walk()}.isdisjoint({"application/pdf", "image/png"})
    assert "tickets.pdf" not in text(message)


def test_an_e_mail_with_100_tickets_shows_some_codes_and_fits() -> None:
    raw = compose(100)

    message = read(raw)
    assert len(shown_codes(message)) == MAX_QR_CODES
    assert len(pages(pdf_of(message))) == 100
    assert len(raw) < SES_LIMIT / 10


def test_tickets_for_an_unverified_address_have_no_words() -> None:
    raw = compose(2, replace(ADA, verified=False))

    message = read(raw)
    assert len(shown_codes(message)) == 2
    assert "evil.example" not in html(message) + text(message)
    for page in pages(pdf_of(message)):
        assert "Your ticket" in page
        assert "7KMPQR23" in page
        assert "evil.example" not in page


@pytest.fixture
def host(client: Client) -> Account:
    return client.host()


def last(post_office: PostOffice) -> EmailMessage:
    return read(post_office.mailer.sent[-1][1])


def test_booked_tickets_are_sent_with_codes(client: Client, post_office: PostOffice, host: Account) -> None:
    ada = client.attendee("Ada Lovelace")
    event_id, [day, weekend] = event_with_types(client, host)
    quiet(post_office)

    booking_id = order(client, ada, event_id, {weekend: 2, day: 1})
    post_office.run()

    listed = client("GET", f"/bookings/{booking_id}/tickets", by=ada).json
    assert shown_codes(last(post_office)) == [ticket["code"] for ticket in listed]
    assert codes(pdf_of(last(post_office))) == [ticket["code"] for ticket in listed]
    assert "Ada Lovelace" in pages(pdf_of(last(post_office)))[0]


def test_a_ticket_that_is_transferred_or_cancelled_meanwhile_is_not_sent(
    client: Client, post_office: PostOffice, host: Account
) -> None:
    ada = client.attendee()
    event_id, [day, weekend] = event_with_types(client, host)
    quiet(post_office)
    booking_id = order(client, ada, event_id, {weekend: 2, day: 1})
    listed = client("GET", f"/bookings/{booking_id}/tickets", by=ada).json
    rows(
        client,
        "UPDATE tickets SET transferred_at = now(), holder_email = 'bob@example.com' WHERE ticket_id = :id",
        id=listed[0]["ticketId"],
    )
    assert client("DELETE", f"/tickets/{listed[1]['ticketId']}", by=ada).status == 204

    post_office.run()

    confirmed = read(post_office.mailer.sent[0][1])
    assert confirmed["Subject"].startswith("Your booking is confirmed")
    assert codes(pdf_of(confirmed)) == [listed[2]["code"]]
