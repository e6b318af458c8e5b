"""The revenue in a host's daily digest: money that came in, less money that goes back."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from chalicelib.domain_events import DailyDigestDue
from chalicelib.notifications import booking_activity, digest
from infra.stripe_fake.fake import StripeFake
from tests.client import Client
from tests.notifications.pipeline import PostOffice
from tests.payments.purchases import Hold, buy, cancel, deliver_webhooks, domain_event_types, hold, pay

COUNTED_AT = datetime(2030, 5, 1, 12, tzinfo=UTC)
DAY = DailyDigestDue(since=COUNTED_AT, until=COUNTED_AT + timedelta(days=1))


def activity(client: Client, post_office: PostOffice, held: Hold) -> list[tuple[int, int, dict[str, int]]]:
    """The numbers of bookings and cancellations, and the revenue, per event of the host."""
    post_office.run()
    booking_activity.combine(client.wiring.database, COUNTED_AT)
    host_id = UUID(held.host.user_id)
    with client.wiring.database.transaction() as connection:
        found = digest.read(connection, [host_id], DAY, COUNTED_AT)
    return [(event.booked, event.cancelled, event.revenue) for event in found.get(host_id, [])]


def test_a_paid_booking_is_revenue(client: Client, stripe: StripeFake, post_office: PostOffice) -> None:
    held = buy(client, stripe)
    buy(client, stripe, host=held.host, event_id=held.event_id)

    assert activity(client, post_office, held) == [(2, 0, {"eur": 5000})]


def test_an_unpaid_hold_is_no_news(client: Client, post_office: PostOffice) -> None:
    held = hold(client)
    assert activity(client, post_office, held) == []

    cancel(client, held)

    assert activity(client, post_office, held) == []


def test_a_refund_lowers_the_revenue(client: Client, stripe: StripeFake, post_office: PostOffice) -> None:
    held = buy(client, stripe)
    cancel(client, held)

    assert activity(client, post_office, held) == [(1, 1, {"eur": 0})]


def test_a_late_cancellation_keeps_the_revenue(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    held = buy(client, stripe, refundUntil=timedelta(days=-1))
    cancel(client, held)

    assert activity(client, post_office, held) == [(1, 1, {"eur": 2500})]


def test_a_payment_after_the_cancellation_is_no_news(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    held = hold(client)
    pay(stripe, held, deliver=False)
    cancel(client, held)
    deliver_webhooks(stripe)
    assert "payment-refund-due" in domain_event_types(client, held)

    assert activity(client, post_office, held) == []


def test_a_refund_made_at_stripe_lowers_the_revenue(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    held = buy(client, stripe)
    stripe.refund(held.intent_id)
    deliver_webhooks(stripe)

    assert activity(client, post_office, held) == [(1, 1, {"eur": 0})]
