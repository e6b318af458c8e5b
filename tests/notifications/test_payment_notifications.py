"""Telling people of money: whoever pays or is paid, whatever they opted out of, while it is true."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from chalicelib.notifications import preferences
from chalicelib.notifications.models import TOPICS, Topic
from chalicelib.platform.messaging import outbox
from chalicelib.platform.messaging.queues import BOOKING_NOTIFICATIONS, EMAIL
from tests.client import Account, Client
from tests.notifications.examples import BODIES, PAID
from tests.notifications.pipeline import PostOffice, inbox, mails, quiet
from tests.rows import rows

TO_THE_ATTENDEE = {
    "booking-expired": "expired",
    "payment-failed": "pending",
    "payment-refund-due": "cancelled",
}
"""Domain events, and the status of their booking."""
TO_THE_HOST = ("payment-disputed", "payment-dispute-closed")
NOT_SO_ANY_MORE = [
    ("payment-failed", "pending", "confirmed"),
    ("payment-failed", "pending", "expired"),
    ("payment-failed", "pending", "cancelled"),
    ("booking-expired", "expired", "confirmed"),
]
"""A domain event, the status of its booking, and what the booking becomes before it is told or sent."""


class Sale:
    """A booking of an event with a price, as far as telling people needs it."""

    def __init__(self, client: Client, post_office: PostOffice) -> None:
        self.client = client
        self.post_office = post_office
        self.host, self.attendee, self.stranger = client.host(), client.attendee(), client.attendee()
        self.event_id = str(client.event(self.host, price=2500)["eventId"])
        self.booking_id = str(client.book(self.attendee, self.event_id).json["bookingId"])
        quiet(post_office)
        self.seen_before = len(inbox(client, self.attendee))

    def becomes(self, status: str, reason: str | None = None) -> None:
        rows(
            self.client,
            "UPDATE bookings SET status = :status, cancellation_reason = :reason WHERE booking_id = :booking_id",
            status=status,
            reason=reason,
            booking_id=self.booking_id,
        )

    def happens(self, kind: str, **more: Any) -> None:
        """Write the domain event of something that happened to the booking."""
        ours = {
            "bookingId": self.booking_id,
            "eventId": self.event_id,
            "userId": self.attendee.user_id,
            "hostId": self.host.user_id,
        }
        body = {**BODIES[kind], **more}
        body.update({name: value for name, value in ours.items() if name in body})
        with self.client.wiring.database.transaction() as connection:
            outbox.record(connection, kind, UUID(self.event_id), body, datetime.now(UTC))

    def told_but_not_sent(self, kind: str) -> dict[str, Any]:
        """Tell of a domain event in the inbox; the message that its e-mail waits in."""
        self.happens(kind)
        self.post_office.relay()
        domain_event = self.post_office.published(kind)[0]
        self.post_office.deliver(BOOKING_NOTIFICATIONS, domain_event.as_message())
        return self.post_office.queues.waiting[EMAIL.name].popleft()

    def opt_out(self, user: Account, *topics: Topic) -> None:
        with self.client.wiring.database.transaction() as connection:
            preferences.opt_out(connection, UUID(user.user_id), topics)

    def mails(self) -> list[int]:
        """E-mails to the attendee, the host and somebody else."""
        return mails(self.post_office, self.attendee, self.host, self.stranger)

    def told(self) -> list[str]:
        """What has come into the attendee's inbox since."""
        items = inbox(self.client, self.attendee)
        return items[: len(items) - self.seen_before]


@pytest.fixture
def sale(client: Client, post_office: PostOffice) -> Sale:
    return Sale(client, post_office)


@pytest.mark.parametrize(("kind", "status"), TO_THE_ATTENDEE.items())
def test_the_attendee_is_told_of_money_and_nobody_else_whatever_they_opted_out_of(
    sale: Sale, kind: str, status: str
) -> None:
    sale.opt_out(sale.attendee, *TOPICS)
    sale.becomes(status)
    sale.happens(kind)

    sale.post_office.run()

    assert sale.told() == [kind]
    assert inbox(sale.client, sale.host) == inbox(sale.client, sale.stranger) == []
    assert sale.mails() == [1, 0, 0]


@pytest.mark.parametrize("kind", TO_THE_HOST)
def test_the_host_is_told_of_a_dispute_and_nobody_else_whatever_they_opted_out_of(
    sale: Sale, kind: str
) -> None:
    sale.opt_out(sale.host, *TOPICS)
    sale.happens(kind)

    sale.post_office.run()

    assert inbox(sale.client, sale.host) == [kind]
    assert sale.told() == inbox(sale.client, sale.stranger) == []
    assert sale.mails() == [0, 1, 0]


@pytest.mark.parametrize("kind", [*TO_THE_ATTENDEE, *TO_THE_HOST])
def test_what_is_delivered_twice_is_told_once(sale: Sale, kind: str) -> None:
    sale.becomes(TO_THE_ATTENDEE.get(kind, "confirmed"))
    sale.happens(kind)
    sale.post_office.relay()
    message = sale.post_office.published(kind)[0].as_message()

    for _ in range(2):
        sale.post_office.deliver(BOOKING_NOTIFICATIONS, message)
    sale.post_office.run()

    assert sum(sale.mails()) == 1
    assert [*sale.told(), *inbox(sale.client, sale.host)] == [kind]


@pytest.mark.parametrize("kind", [*TO_THE_ATTENDEE, *TO_THE_HOST])
def test_an_account_that_is_gone_is_told_nothing(sale: Sale, kind: str) -> None:
    gone = sale.host if kind in TO_THE_HOST else sale.attendee
    sale.client("DELETE", "/users/me", by=gone)
    sale.post_office.run()
    sale.post_office.mailer.sent.clear()
    sale.becomes(TO_THE_ATTENDEE.get(kind, "confirmed"))
    sale.happens(kind)

    sale.post_office.run()

    assert sale.mails() == [0, 0, 0]


@pytest.mark.parametrize(("kind", "status", "meanwhile"), NOT_SO_ANY_MORE)
def test_what_is_not_so_any_more_is_not_told(sale: Sale, kind: str, status: str, meanwhile: str) -> None:
    sale.becomes(status)
    sale.happens(kind)
    sale.becomes(meanwhile)

    sale.post_office.run()

    assert sale.told() == []
    assert sale.mails() == [0, 0, 0]


@pytest.mark.parametrize(("kind", "status", "meanwhile"), NOT_SO_ANY_MORE)
def test_what_was_so_when_it_was_told_but_is_not_when_it_is_sent_is_left_out(
    sale: Sale, kind: str, status: str, meanwhile: str
) -> None:
    sale.becomes(status)
    email = sale.told_but_not_sent(kind)

    sale.becomes(meanwhile)
    sale.post_office.deliver(EMAIL, email)

    assert sale.told() == [kind]
    assert sale.mails() == [0, 0, 0]


def test_of_a_payment_that_failed_nothing_is_sent_when_the_event_is_called_off(sale: Sale) -> None:
    sale.becomes("pending")
    email = sale.told_but_not_sent("payment-failed")

    sale.client("POST", f"/events/{sale.event_id}/cancel", by=sale.host)
    sale.post_office.deliver(EMAIL, email)

    assert sale.mails() == [0, 0, 0]


def test_a_refund_is_told_of_though_the_event_is_called_off(sale: Sale) -> None:
    sale.client("POST", f"/events/{sale.event_id}/cancel", by=sale.host)
    sale.happens("payment-refund-due", reason="event-cancelled")

    sale.post_office.run()

    assert sale.told() == ["payment-refund-due", "event-cancelled"]
    assert sale.mails() == [2, 0, 0]


@pytest.mark.parametrize("reason", ["attendee", "host", "refunded", "dispute-lost"])
def test_the_attendee_is_told_that_a_booking_ended_whatever_ended_it(sale: Sale, reason: str) -> None:
    sale.becomes("cancelled", reason)
    sale.happens("booking-cancelled", reason=reason)

    sale.post_office.run()

    assert sale.told() == ["booking-cancelled"]
    assert sale.mails() == [1, 0, 0]


@pytest.mark.parametrize("reason", ["refunded", "dispute-lost"])
def test_that_a_booking_ended_can_be_opted_out_of(sale: Sale, reason: str) -> None:
    sale.opt_out(sale.attendee, "bookingCancelled")
    sale.becomes("cancelled", reason)
    sale.happens("booking-cancelled", reason=reason)

    sale.post_office.run()

    assert sale.told() == ["booking-cancelled"]
    assert sale.mails() == [0, 0, 0]


@pytest.mark.parametrize(("paid", "e_mails"), [({}, 0), (PAID, 1)], ids=["free", "paid"])
def test_a_receipt_is_sent_even_to_who_wants_no_confirmations(
    sale: Sale, paid: dict[str, Any], e_mails: int
) -> None:
    sale.opt_out(sale.attendee, "bookingConfirmed")
    sale.happens("booking-confirmed", **paid)

    sale.post_office.run()

    assert sale.told() == ["booking-confirmed"]
    assert sale.mails() == [e_mails, 0, 0]
