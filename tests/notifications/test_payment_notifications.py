"""Notifications about money: to whom they go, despite opt-outs, and only while they are true."""

import email
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from typing import Any
from uuid import UUID

import pytest

from chalicelib import domain_events
from chalicelib.notifications import preferences
from chalicelib.notifications.models import TOPICS, Topic
from chalicelib.platform.messaging import outbox
from chalicelib.platform.messaging.queues import BOOKING_NOTIFICATIONS, EMAIL
from tests.client import Account, Client
from tests.notifications.examples import BODIES, PAID, text
from tests.notifications.pipeline import PostOffice, inbox, mails, quiet
from tests.rows import rows

TO_THE_ATTENDEE = {
    "booking-expired": "expired",
    "payment-failed": "pending",
    "payment-refund-due": "cancelled",
}
"""Domain events, with the status of their booking."""
TO_THE_HOST = ("payment-disputed", "payment-dispute-closed")
STALE = [
    ("payment-failed", "pending", "confirmed"),
    ("payment-failed", "pending", "expired"),
    ("payment-failed", "pending", "cancelled"),
    ("booking-expired", "expired", "confirmed"),
]
"""A domain event, the status of its booking, and the status that makes it stale."""


class Sale:
    """A booking of an event with a price."""

    def __init__(self, client: Client, post_office: PostOffice) -> None:
        self.client = client
        self.post_office = post_office
        self.host, self.attendee, self.stranger = client.host(), client.attendee(), client.attendee()
        self.event_id = str(client.event(self.host, price=2500)["eventId"])
        self.booking_id = str(client.book(self.attendee, self.event_id).json["bookingId"])
        quiet(post_office)
        self.seen_before = len(inbox(client, self.attendee))

    def set_status(self, status: str, reason: str | None = None) -> None:
        of_ticket = {"pending": "held", "confirmed": "valid"}.get(status, "cancelled")
        ended = of_ticket == "cancelled"
        rows(
            self.client,
            "WITH t AS (UPDATE tickets SET status = :of_ticket, cancellation_reason = :reason"
            " WHERE booking_id = :booking_id)"
            " UPDATE bookings SET status = :status, cancellation_reason = :reason, quantity = :quantity"
            " WHERE booking_id = :booking_id",
            status=status,
            of_ticket=of_ticket,
            reason=(reason or "unpaid") if ended else None,
            quantity=0 if ended else 1,
            booking_id=self.booking_id,
        )

    def record(self, kind: str, **more: Any) -> None:
        """Record a domain event about the booking."""
        ids = {
            "bookingId": self.booking_id,
            "eventId": self.event_id,
            "userId": self.attendee.user_id,
            "hostId": self.host.user_id,
        }
        body = {**BODIES[kind], **more}
        body.update({name: value for name, value in ids.items() if name in body})
        if "tickets" in body:
            of_booking = "SELECT ticket_id, ticket_type_id FROM tickets WHERE booking_id = :id"
            body["tickets"] = [
                {"ticketId": str(row.ticket_id), "ticketTypeId": str(row.ticket_type_id)}
                for row in rows(self.client, of_booking, id=self.booking_id)
            ]
        with self.client.wiring.database.transaction() as connection:
            event = domain_events.BY_TYPE[kind].from_json(body)
            outbox.record(connection, event, subject=UUID(self.event_id), now=datetime.now(UTC))

    def notified_but_not_sent(self, kind: str) -> dict[str, Any]:
        """Notify of a domain event in the inbox. Return the message that waits in the e-mail queue."""
        self.record(kind)
        self.post_office.relay()
        domain_event = self.post_office.published(kind)[0]
        self.post_office.deliver(BOOKING_NOTIFICATIONS, domain_event.as_message())
        return self.post_office.queues.waiting[EMAIL.name].popleft()

    def opt_out(self, user: Account, *topics: Topic) -> None:
        with self.client.wiring.database.transaction() as connection:
            preferences.opt_out(connection, UUID(user.user_id), topics)

    def mails(self) -> list[int]:
        """Numbers of e-mails to the attendee, the host and a stranger."""
        return mails(self.post_office, self.attendee, self.host, self.stranger)

    def notified(self) -> list[str]:
        """The types that the attendee's inbox has gained."""
        items = inbox(self.client, self.attendee)
        return items[: len(items) - self.seen_before]


@pytest.fixture
def sale(client: Client, post_office: PostOffice) -> Sale:
    return Sale(client, post_office)


@pytest.mark.parametrize(("kind", "status"), TO_THE_ATTENDEE.items())
def test_only_the_attendee_is_notified_despite_opt_outs(sale: Sale, kind: str, status: str) -> None:
    sale.opt_out(sale.attendee, *TOPICS)
    sale.set_status(status)
    sale.record(kind)

    sale.post_office.run()

    assert sale.notified() == [kind]
    assert inbox(sale.client, sale.host) == inbox(sale.client, sale.stranger) == []
    assert sale.mails() == [1, 0, 0]


@pytest.mark.parametrize(
    ("kind", "status", "heading"),
    [("payment-failed", "pending", "Your tickets"), ("payment-refund-due", "cancelled", "Tickets")],
)
def test_an_e_mail_about_a_payment_names_the_tickets(
    sale: Sale, kind: str, status: str, heading: str
) -> None:
    sale.set_status(status)
    sale.record(kind)

    sale.post_office.run()

    [(_, raw)] = sale.post_office.mailer.sent
    message = email.message_from_bytes(raw, EmailMessage, policy=default)
    assert f"\n{heading}:\n\n1 x General admission\n" in text(message)


@pytest.mark.parametrize("kind", TO_THE_HOST)
def test_only_the_host_is_notified_of_a_dispute_despite_opt_outs(sale: Sale, kind: str) -> None:
    sale.opt_out(sale.host, *TOPICS)
    sale.record(kind)

    sale.post_office.run()

    assert inbox(sale.client, sale.host) == [kind]
    assert sale.notified() == inbox(sale.client, sale.stranger) == []
    assert sale.mails() == [0, 1, 0]


@pytest.mark.parametrize("kind", [*TO_THE_ATTENDEE, *TO_THE_HOST])
def test_a_redelivery_notifies_once(sale: Sale, kind: str) -> None:
    sale.set_status(TO_THE_ATTENDEE.get(kind, "confirmed"))
    sale.record(kind)
    sale.post_office.relay()
    message = sale.post_office.published(kind)[0].as_message()

    for _ in range(2):
        sale.post_office.deliver(BOOKING_NOTIFICATIONS, message)
    sale.post_office.run()

    assert sum(sale.mails()) == 1
    assert [*sale.notified(), *inbox(sale.client, sale.host)] == [kind]


@pytest.mark.parametrize("kind", [*TO_THE_ATTENDEE, *TO_THE_HOST])
def test_a_deleted_account_is_not_notified(sale: Sale, kind: str) -> None:
    gone = sale.host if kind in TO_THE_HOST else sale.attendee
    sale.client("DELETE", "/users/me", by=gone)
    sale.post_office.run()
    sale.post_office.mailer.sent.clear()
    sale.set_status(TO_THE_ATTENDEE.get(kind, "confirmed"))
    sale.record(kind)

    sale.post_office.run()

    assert sale.mails() == [0, 0, 0]


@pytest.mark.parametrize(("kind", "status", "meanwhile"), STALE)
def test_stale_domain_events_are_not_notified(sale: Sale, kind: str, status: str, meanwhile: str) -> None:
    sale.set_status(status)
    sale.record(kind)
    sale.set_status(meanwhile)

    sale.post_office.run()

    assert sale.notified() == []
    assert sale.mails() == [0, 0, 0]


@pytest.mark.parametrize(("kind", "status", "meanwhile"), STALE)
def test_stale_notifications_are_not_emailed(sale: Sale, kind: str, status: str, meanwhile: str) -> None:
    sale.set_status(status)
    email = sale.notified_but_not_sent(kind)

    sale.set_status(meanwhile)
    sale.post_office.deliver(EMAIL, email)

    assert sale.notified() == [kind]
    assert sale.mails() == [0, 0, 0]


def test_a_failed_payment_of_a_cancelled_event_is_not_emailed(sale: Sale) -> None:
    sale.set_status("pending")
    email = sale.notified_but_not_sent("payment-failed")

    sale.client("POST", f"/events/{sale.event_id}/cancel", by=sale.host)
    sale.post_office.deliver(EMAIL, email)

    assert sale.mails() == [0, 0, 0]


def test_a_refund_of_a_cancelled_event_is_notified(sale: Sale) -> None:
    sale.client("POST", f"/events/{sale.event_id}/cancel", by=sale.host)
    sale.record("payment-refund-due", reason="event-cancelled")

    sale.post_office.run()

    assert sale.notified() == ["payment-refund-due", "event-cancelled"]
    assert sale.mails() == [2, 0, 0]


@pytest.mark.parametrize("reason", ["attendee", "host", "refunded", "dispute-lost"])
def test_a_cancelled_booking_is_notified_whatever_the_reason(sale: Sale, reason: str) -> None:
    sale.set_status("cancelled", reason)
    sale.record("booking-cancelled", reason=reason)

    sale.post_office.run()

    assert sale.notified() == ["booking-cancelled"]
    assert sale.mails() == [1, 0, 0]


@pytest.mark.parametrize("reason", ["refunded", "dispute-lost"])
def test_e_mails_of_cancelled_bookings_can_be_opted_out_of(sale: Sale, reason: str) -> None:
    sale.opt_out(sale.attendee, "bookingCancelled")
    sale.set_status("cancelled", reason)
    sale.record("booking-cancelled", reason=reason)

    sale.post_office.run()

    assert sale.notified() == ["booking-cancelled"]
    assert sale.mails() == [0, 0, 0]


@pytest.mark.parametrize(("paid", "expected"), [({}, 0), (PAID, 1)], ids=["free", "paid"])
def test_a_receipt_is_sent_despite_an_opt_out(sale: Sale, paid: dict[str, Any], expected: int) -> None:
    sale.opt_out(sale.attendee, "bookingConfirmed")
    sale.record("booking-confirmed", **paid)

    sale.post_office.run()

    assert sale.notified() == ["booking-confirmed"]
    assert sale.mails() == [expected, 0, 0]
