"""What reaches an address that nobody has verified: no words of others, and only what the account needs."""

import pytest

from tests.client import Account, Client
from tests.notifications.examples import PAID
from tests.notifications.pipeline import PostOffice, inbox, mails, quiet
from tests.notifications.test_payment_notifications import Sale
from tests.rows import rows

SPAM = "Win a prize at evil.example"


@pytest.fixture
def stranger(client: Client) -> Account:
    """The owner of an address that somebody else registered."""
    client.verified = False
    account = client.attendee(SPAM)
    client.verified = True
    return account


def test_a_registration_sends_one_e_mail_without_the_name(post_office: PostOffice, stranger: Account) -> None:
    post_office.run()

    assert mails(post_office, stranger) == [1]
    assert b"evil.example" not in post_office.mailer.sent[0][1]


def test_follow_interest_and_free_bookings_reach_the_inbox_only(
    client: Client, post_office: PostOffice, stranger: Account
) -> None:
    host = client.host(SPAM)
    client("PUT", f"/users/{host.user_id}/follow", by=stranger)
    quiet(post_office)
    event = client.event(host, title=SPAM, description=SPAM, location=SPAM)
    assert client.book(stranger, event["eventId"]).status == 201
    post_office.run()
    client("PATCH", f"/events/{event['eventId']}", {"location": "evil.example"}, by=host)
    post_office.run()
    client("POST", f"/events/{event['eventId']}/cancel", by=host)

    post_office.run()

    assert mails(post_office, stranger) == [0]
    assert set(inbox(client, stranger)) >= {"event-published", "booking-confirmed", "event-cancelled"}


def test_a_verified_address_gets_what_it_missed_from_then_on(
    client: Client, post_office: PostOffice, stranger: Account
) -> None:
    host = client.host()
    client("PUT", f"/users/{host.user_id}/follow", by=stranger)
    quiet(post_office)
    rows(client, "UPDATE users SET email_verified_at = now() WHERE user_id = :id", id=stranger.user_id)
    client.event(host)

    post_office.run()

    assert mails(post_office, stranger) == [1]


@pytest.mark.parametrize(
    ("kind", "more", "sent"),
    [
        ("booking-confirmed", PAID, 1),
        ("payment-refund-due", {}, 1),
        ("booking-expired", {}, 0),
        ("payment-failed", {}, 0),
    ],
)
def test_a_payer_gets_receipts_in_our_own_words(
    client: Client, post_office: PostOffice, kind: str, more: dict[str, object], sent: int
) -> None:
    sale = Sale(client, post_office)
    rows(client, "UPDATE events SET title = :title", title=SPAM)
    rows(client, "UPDATE users SET email_verified_at = NULL, name = :name", name=SPAM)
    rows(client, "UPDATE payments SET status = 'paid'")
    status = {"booking-confirmed": "confirmed", "booking-expired": "expired"}.get(kind, "pending")
    sale.set_status(status)
    sale.record(kind, **more)

    post_office.run()

    assert mails(post_office, sale.attendee) == [sent]
    assert all(b"evil.example" not in message for _, message in post_office.mailer.sent)


def test_an_unpaid_hold_sends_nothing(client: Client, post_office: PostOffice) -> None:
    sale = Sale(client, post_office)
    rows(client, "UPDATE users SET email_verified_at = NULL")
    assert client("DELETE", f"/bookings/{sale.booking_id}", by=sale.attendee).status == 204

    post_office.run()

    assert mails(post_office, sale.attendee) == [0]
