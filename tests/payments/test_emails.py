"""E-mails and inbox items about payments: one for each result, with the amount."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest

from infra.stripe_fake.fake import StripeFake
from tests.client import Account, Client, in_days
from tests.notifications.pipeline import PostOffice, inbox, mails, quiet
from tests.payments.purchases import buy, cancel, deliver_webhooks, expire, hold, pay, status
from tests.rows import rows


def emails(post_office: PostOffice, user: Account) -> list[str]:
    """Return the e-mails sent to a user, and clear all sent e-mails."""
    texts = []
    for address, raw in post_office.mailer.sent:
        if address == user.email:
            message = message_from_bytes(raw, policy=default)
            assert isinstance(message, EmailMessage)
            body = message.get_body(("plain",))
            assert body is not None
            texts.append(f"{message['subject']}\n{body.get_content()}")
    post_office.mailer.sent.clear()
    return texts


def test_a_hold_sends_no_email_until_it_is_paid(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    held = hold(client)
    quiet(post_office)
    assert inbox(client, held.attendee) == []

    pay(stripe, held)
    deliver_webhooks(stripe)
    post_office.run()

    assert mails(post_office, held.attendee, held.host) == [1, 0]
    [email] = emails(post_office, held.attendee)
    assert "EUR 25.00" in email
    assert held.intent_id in email
    assert inbox(client, held.attendee) == ["booking-confirmed"]


def test_a_failed_payment_sends_an_email_while_it_can_be_retried(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    held = hold(client)
    quiet(post_office)

    pay(stripe, held, "pm_card_chargeDeclinedInsufficientFunds")
    post_office.run()

    [email] = emails(post_office, held.attendee)
    assert "EUR 25.00" in email
    assert inbox(client, held.attendee) == ["payment-failed"]


def test_a_failure_before_a_success_sends_no_email(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    held = hold(client)
    quiet(post_office)
    pay(stripe, held, "pm_card_chargeDeclined")
    pay(stripe, held)

    post_office.run()

    assert mails(post_office, held.attendee) == [1]
    assert inbox(client, held.attendee) == ["booking-confirmed"]


def test_an_expired_hold_sends_an_email(client: Client, post_office: PostOffice) -> None:
    held = hold(client)
    quiet(post_office)

    expire(client)
    post_office.run()

    assert status(client, held) == ("expired", "failed")
    assert mails(post_office, held.attendee, held.host) == [1, 0]
    assert inbox(client, held.attendee) == ["booking-expired"]


def test_a_refund_is_made_and_sends_an_email(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    paid = buy(client, stripe)
    quiet(post_office)

    cancel(client, paid)
    post_office.run()
    deliver_webhooks(stripe)
    post_office.run()

    assert status(client, paid) == ("cancelled", "refunded")
    assert [text for text in emails(post_office, paid.attendee) if "EUR 25.00" in text]
    assert sorted(inbox(client, paid.attendee)[:2]) == ["booking-cancelled", "payment-refund-due"]
    assert len(stripe.refunds(paid.intent_id)) == 1


def test_a_late_cancellation_announces_no_refund(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    paid = buy(client, stripe, refundUntil=in_days(-1))
    quiet(post_office)

    cancel(client, paid)
    post_office.run()

    assert inbox(client, paid.attendee) == ["booking-cancelled", "booking-confirmed"]


def test_a_cancelled_event_refunds_and_notifies_all_payers(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    first = buy(client, stripe)
    others = [buy(client, stripe, host=first.host, event_id=first.event_id) for _ in range(2)]
    held = hold(client, host=first.host, event_id=first.event_id)
    quiet(post_office)

    client("POST", f"/events/{first.event_id}/cancel", by=first.host)
    post_office.run()

    for paid in (first, *others):
        assert status(client, paid) == ("cancelled", "refunded")
        assert {"event-cancelled", "payment-refund-due"} <= set(inbox(client, paid.attendee))
    assert "payment-refund-due" not in inbox(client, held.attendee)


def test_a_refund_from_the_dashboard_sends_a_cancellation(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    paid = buy(client, stripe)
    quiet(post_office)

    stripe.refund(paid.intent_id)
    deliver_webhooks(stripe)
    post_office.run()

    assert mails(post_office, paid.attendee, paid.host) == [1, 0]
    assert inbox(client, paid.attendee)[0] == "booking-cancelled"


@pytest.mark.parametrize("won", [True, False])
def test_a_dispute_and_its_outcome_are_sent_to_the_host(
    client: Client,
    stripe: StripeFake,
    post_office: PostOffice,
    won: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    paid = buy(client, stripe)
    quiet(post_office)

    disputed = stripe.dispute(paid.intent_id)
    deliver_webhooks(stripe)
    post_office.run()
    assert mails(post_office, paid.attendee, paid.host) == [0, 1]
    assert "EUR 25.00" in emails(post_office, paid.host)[0]
    stripe.settle_dispute(disputed["id"], won=won)
    deliver_webhooks(stripe)
    post_office.run()

    assert mails(post_office, paid.attendee, paid.host) == [0 if won else 1, 1]
    assert inbox(client, paid.host)[:2] == ["payment-dispute-closed", "payment-disputed"]


def test_the_refund_of_a_late_payment_is_announced(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    held = hold(client)
    cancel(client, held)
    quiet(post_office)

    pay(stripe, held)
    post_office.run()

    assert status(client, held) == ("cancelled", "refunded")
    assert "payment-refund-due" in inbox(client, held.attendee)
    assert len(stripe.refunds(held.intent_id)) == 1


def test_a_flagged_payment_sends_no_expiry_email(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    held = hold(client)
    rows(client, "UPDATE payments SET amount = 2600")  # as if it had been changed at Stripe
    pay(stripe, held)
    quiet(post_office)

    expire(client)
    post_office.run()

    assert status(client, held) == ("expired", "failed")
    assert emails(post_office, held.attendee) == []
    assert inbox(client, held.attendee) == []
