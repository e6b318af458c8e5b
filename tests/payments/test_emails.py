"""From money to people: each is told once of what happened to theirs, with the amount."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest

from infra.stripe_fake.fake import StripeFake
from tests.client import Account, Client, in_days
from tests.notifications.pipeline import PostOffice, inbox, mails, quiet
from tests.payments.purchases import bought, cancel, expire, hold, pay, status, tell
from tests.rows import rows


def letters(post_office: PostOffice, user: Account) -> list[str]:
    """The texts that a person was sent since the last look."""
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


def test_who_holds_a_place_is_told_nothing_until_it_is_paid(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    held = hold(client)
    quiet(post_office)
    assert inbox(client, held.attendee) == []

    pay(stripe, held)
    tell(stripe)
    post_office.run()

    assert mails(post_office, held.attendee, held.host) == [1, 0]
    [letter] = letters(post_office, held.attendee)
    assert "EUR 25.00" in letter
    assert held.intent_id in letter
    assert inbox(client, held.attendee) == ["booking-confirmed"]


def test_a_payment_that_fails_is_told_while_another_try_is_possible(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    held = hold(client)
    quiet(post_office)

    pay(stripe, held, "pm_card_chargeDeclinedInsufficientFunds")
    post_office.run()

    [letter] = letters(post_office, held.attendee)
    assert "EUR 25.00" in letter
    assert inbox(client, held.attendee) == ["payment-failed"]


def test_a_failure_that_has_been_made_good_meanwhile_is_not_told(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    held = hold(client)
    quiet(post_office)
    pay(stripe, held, "pm_card_chargeDeclined")
    pay(stripe, held)

    post_office.run()

    assert mails(post_office, held.attendee) == [1]
    assert inbox(client, held.attendee) == ["booking-confirmed"]


def test_a_hold_that_runs_out_is_told(client: Client, post_office: PostOffice) -> None:
    held = hold(client)
    quiet(post_office)

    expire(client)
    post_office.run()

    assert status(client, held) == ("expired", "failed")
    assert mails(post_office, held.attendee, held.host) == [1, 0]
    assert inbox(client, held.attendee) == ["booking-expired"]


def test_the_money_that_goes_back_is_told_and_goes_back(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    paid = bought(client, stripe)
    quiet(post_office)

    cancel(client, paid)
    post_office.run()
    tell(stripe)
    post_office.run()

    assert status(client, paid) == ("cancelled", "refunded")
    assert [text for text in letters(post_office, paid.attendee) if "EUR 25.00" in text]
    assert sorted(inbox(client, paid.attendee)[:2]) == ["booking-cancelled", "payment-refund-due"]
    assert len(stripe.refunds(paid.intent_id)) == 1


def test_who_cancels_too_late_is_told_of_the_end_and_of_no_refund(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    paid = bought(client, stripe, refundUntil=in_days(-1))
    quiet(post_office)

    cancel(client, paid)
    post_office.run()

    assert inbox(client, paid.attendee) == ["booking-cancelled", "booking-confirmed"]


def test_an_event_that_is_called_off_pays_everybody_back_and_tells_them(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    first = bought(client, stripe)
    others = [bought(client, stripe, host=first.host, event_id=first.event_id) for _ in range(2)]
    held = hold(client, host=first.host, event_id=first.event_id)
    quiet(post_office)

    client("POST", f"/events/{first.event_id}/cancel", by=first.host)
    post_office.run()

    for paid in (first, *others):
        assert status(client, paid) == ("cancelled", "refunded")
        assert {"event-cancelled", "payment-refund-due"} <= set(inbox(client, paid.attendee))
    assert "payment-refund-due" not in inbox(client, held.attendee)


def test_a_refund_from_the_dashboard_is_told_as_the_end_of_the_booking(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    paid = bought(client, stripe)
    quiet(post_office)

    stripe.refund(paid.intent_id)
    tell(stripe)
    post_office.run()

    assert mails(post_office, paid.attendee, paid.host) == [1, 0]
    assert inbox(client, paid.attendee)[0] == "booking-cancelled"


@pytest.mark.parametrize("won", [True, False])
def test_a_dispute_and_its_end_are_told_to_the_host(
    client: Client,
    stripe: StripeFake,
    post_office: PostOffice,
    won: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    paid = bought(client, stripe)
    quiet(post_office)

    disputed = stripe.dispute(paid.intent_id)
    tell(stripe)
    post_office.run()
    assert mails(post_office, paid.attendee, paid.host) == [0, 1]
    assert "EUR 25.00" in letters(post_office, paid.host)[0]
    stripe.settle_dispute(disputed["id"], won=won)
    tell(stripe)
    post_office.run()

    assert mails(post_office, paid.attendee, paid.host) == [0 if won else 1, 1]
    assert inbox(client, paid.host)[:2] == ["payment-dispute-closed", "payment-disputed"]


def test_money_that_is_late_is_told_of_when_it_goes_back(
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


def test_who_paid_another_amount_is_not_told_that_nothing_was_charged(
    client: Client, stripe: StripeFake, post_office: PostOffice
) -> None:
    held = hold(client)
    rows(client, "UPDATE payments SET amount = 2600")  # as if it had been changed at Stripe
    pay(stripe, held)
    quiet(post_office)

    expire(client)
    post_office.run()

    assert status(client, held) == ("expired", "failed")
    assert letters(post_office, held.attendee) == []
    assert inbox(client, held.attendee) == []
