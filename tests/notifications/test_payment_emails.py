"""E-mails about money: what was paid, what is refunded, and why."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from chalicelib.bookings.references import reference_of
from chalicelib.notifications.mail_context import EventView
from tests.notifications.examples import (
    ADA,
    BODIES,
    BOOKING,
    JAZZ,
    PAID,
    PRICED,
    both,
    calendar,
    compose,
    domain_event,
    html,
    text,
)

REFERENCE = reference_of(UUID(BOOKING))
REFUND_MAY_FOLLOW = "If you are due a refund, we will send you another e-mail about it."
WITH_AMOUNT = [kind for kind, body in BODIES.items() if body.get("amount")]
SHOWING_AMOUNT = ["booking-confirmed", *(kind for kind in WITH_AMOUNT if kind != "booking-expired")]
TO_THE_HOST = ("payment-disputed", "payment-dispute-closed")


def test_the_confirmation_of_a_paid_booking_is_its_receipt() -> None:
    message = compose(domain_event("booking-confirmed", **PAID))

    assert message["Subject"] == "Your booking is confirmed: Jazz in the yard"
    assert f"\nBooking reference: {REFERENCE}\n" in text(message)
    assert (
        "This is the receipt for your payment:\n\n"
        "Weekend ticket\n"
        "  2 x EUR 10.00 = EUR 20.00\n"
        "Day ticket\n"
        "  1 x EUR 8.00 = EUR 8.00\n"
        "Discount: -EUR 3.00\n"
        "Total: EUR 25.00\n"
        "Paid on: Saturday, 1 May 2027, 10:00 (Europe/Berlin)\n"
        "Paid to: Grace Hopper\n"
        "Payment reference: pi_3PqRsT\n"
    ) in text(message)
    cells = re.findall(r"<t[dh].*?>(.+?)</t[dh]>", html(message))
    assert cells[3:] == [
        *("2 x <bdi>Weekend ticket</bdi>", "EUR 10.00", "EUR 20.00"),
        *("1 x <bdi>Day ticket</bdi>", "EUR 8.00", "EUR 8.00"),
        *("Discount", "-EUR 3.00"),
        *("Total", "EUR 25.00"),
    ]
    for value in ("Saturday, 1 May 2027, 10:00 (Europe/Berlin)", "Grace Hopper", "pi_3PqRsT", REFERENCE):
        assert f">{value}</dd>" in html(message)
    assert calendar(message).events[0]["SUMMARY"] == "Jazz in the yard"


def test_a_receipt_without_a_discount_mentions_none() -> None:
    items = PAID["items"][:1]

    for body in both(compose(domain_event("booking-confirmed", amount=2000, items=items))):
        assert "Discount" not in body
        assert "Total" in body


def test_a_discount_to_zero_is_shown_without_a_payment() -> None:
    free = domain_event("booking-confirmed", items=PAID["items"], discount=2800)

    for body in both(compose(free)):
        assert "-EUR 28.00" in body
        assert "EUR 0.00" in body
        assert "Weekend ticket" in body
        assert "receipt" not in body
        assert "Paid" not in body
        assert "Payment reference" not in body


def test_the_confirmation_of_a_free_booking_mentions_no_money() -> None:
    message = compose(domain_event("booking-confirmed"))

    for body in both(message):
        assert "receipt" not in body
        assert "EUR" not in body
    assert f"Booking reference: {REFERENCE}" in text(message)


def test_a_receipt_of_a_deleted_host_has_no_name() -> None:
    message = compose(domain_event("booking-confirmed", **PAID), event=replace(JAZZ, host_name=None))

    for body in both(message):
        assert "Paid to" not in body


@pytest.mark.parametrize(
    ("currency", "says"), [("eur", "EUR 25.00"), ("jpy", "JPY 2,500"), ("kwd", "KWD 2.500")]
)
@pytest.mark.parametrize("kind", SHOWING_AMOUNT)
def test_amounts_are_formatted_by_currency(kind: str, currency: str, says: str) -> None:
    for body in both(compose(domain_event(kind, **{**PAID, "currency": currency}))):
        assert says in body


@pytest.mark.parametrize("kind", WITH_AMOUNT)
def test_an_e_mail_about_money_has_the_booking_reference(kind: str) -> None:
    for body in both(compose(domain_event(kind))):
        assert "Booking reference" in body
        assert REFERENCE in body


def test_an_expired_booking_was_not_charged_and_can_be_repeated() -> None:
    for body in both(compose(domain_event("booking-expired"))):
        assert "You did not pay in time, so we could not keep your 3 places." in body
        assert "You were not charged." in body
        assert "You can book again" in body


@pytest.mark.parametrize(
    "event",
    [replace(JAZZ, status="cancelled"), replace(JAZZ, ends_at=datetime(2027, 5, 1, 8, 0, tzinfo=UTC))],
    ids=["cancelled", "over"],
)
def test_an_event_that_is_off_cannot_be_booked_again(event: EventView) -> None:
    for body in both(compose(domain_event("booking-expired"), event=event)):
        assert "You were not charged." in body
        assert "book again" not in body


def test_a_failed_payment_says_until_when_the_place_is_held() -> None:
    for body in both(compose(domain_event("payment-failed"))):
        assert "Your payment of EUR 25.00 did not go through." in body
        assert "You were not charged." in body
        assert "Your 3 places are held until Saturday, 1 May 2027, 10:15 (Europe/Berlin)." in body
        assert "you can try again, for example with another card" in body


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("card_declined", "Your bank declined the payment"),
        ("generic_decline", "Your bank declined the payment"),
        ("insufficient_funds", "There is not enough money"),
        ("expired_card", "The card has expired"),
        ("incorrect_cvc", "The security code of the card is wrong"),
        ("processing_error", "Something went wrong while the card was processed"),
        ("authentication_required", "Your bank asked you to confirm the payment"),
        ("payment_intent_authentication_failure", "Your bank could not confirm that it was you"),
        ("stolen_card", "The payment was declined or not completed"),
        ("<script>new_code</script>", "The payment was declined or not completed"),
    ],
)
def test_a_failed_payment_says_why(reason: str, says: str) -> None:
    for body in both(compose(domain_event("payment-failed", reason=reason))):
        assert says in body
        assert reason not in body
        assert "new_code" not in body


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("attendee", "You cancelled the tickets below."),
        ("host", "The host cancelled the tickets below."),
        ("event-cancelled", "The event was cancelled."),
        ("event-deleted", "The event was cancelled."),
        ("paid-twice", ""),
    ],
)
def test_a_refund_says_why_how_much_and_where_to(reason: str, says: str) -> None:
    message = compose(domain_event("payment-refund-due", reason=reason))

    assert message["Subject"] == "Your refund is on its way: Jazz in the yard"
    for body in both(message):
        assert says in body
        assert "We are refunding EUR 25.00." in body
        assert "The money goes to the card or account that you paid with" in body
        assert "5 to 10 days" in body
        assert "paid-twice" not in body


def test_a_late_payment_is_refunded_in_full() -> None:
    message = compose(domain_event("payment-refund-due", reason="late-payment"))

    assert message["Subject"] == "Your payment arrived too late: Jazz in the yard"
    assert ">Your payment arrived too late</h1>" in html(message)
    for body in both(message):
        assert "Your payment arrived too late to book a place" in body
        assert "We are refunding EUR 25.00." in body
        assert "Your refund is on its way" not in body


@pytest.mark.parametrize("kind", ["booking-cancelled", "tickets-cancelled"])
@pytest.mark.parametrize("reason", ["attendee", "host", "event-cancelled"])
def test_a_cancelled_paid_booking_promises_no_refund(kind: str, reason: str) -> None:
    for body in both(compose(domain_event(kind, reason=reason, **PRICED))):
        assert REFUND_MAY_FOLLOW in body


FREE_TICKETS_OF_PAID = {"amount": 2500}
ALL_TAKEN_OFF = {**PRICED, "amount": 0, "discount": 2800}


@pytest.mark.parametrize("kind", ["booking-cancelled", "tickets-cancelled"])
@pytest.mark.parametrize(
    ("reason", "more"),
    [
        ("attendee", {}),
        ("host", {}),
        ("host", FREE_TICKETS_OF_PAID),
        ("host", ALL_TAKEN_OFF),
        ("refunded", PRICED),
        ("dispute-lost", PRICED),
    ],
)
def test_no_refund_is_mentioned_where_none_can_follow(kind: str, reason: str, more: dict[str, Any]) -> None:
    for body in both(compose(domain_event(kind, reason=reason, **more))):
        assert REFUND_MAY_FOLLOW not in body


def test_a_host_learns_what_a_dispute_means() -> None:
    for body in both(compose(domain_event("payment-disputed"))):
        assert "The bank of an attendee disputes a payment of EUR 25.00 for your event." in body
        assert "The cardholder says that they did not make this payment." in body
        assert "withholds the money until the dispute is decided" in body
        assert "If it is lost, the money goes back to the attendee and the booking is cancelled." in body


def test_a_host_learns_that_only_a_part_is_disputed() -> None:
    for body in both(compose(domain_event("payment-disputed", disputedAmount=1000))):
        assert "EUR 10.00 goes back to the attendee and the booking stays." in " ".join(body.split())
    lost = domain_event("payment-dispute-closed", outcome="lost", disputedAmount=1000)
    for body in both(compose(lost)):
        words = " ".join(body.split())
        assert "The dispute is lost. EUR 10.00 of the payment has gone back to the attendee." in words
        assert "the booking is cancelled" not in words


def test_an_unknown_reason_of_a_dispute_is_left_out() -> None:
    for body in both(compose(domain_event("payment-disputed", reason="check_returned"))):
        assert "for your event." in body
        assert "check_returned" not in body


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        ("won", "The dispute is won. You keep the money."),
        (
            "lost",
            "The dispute is lost. The money has gone back to the attendee, and the booking is cancelled.",
        ),
    ],
)
def test_a_host_learns_how_a_dispute_ended(outcome: str, says: str) -> None:
    message = compose(domain_event("payment-dispute-closed", outcome=outcome))

    assert message["Subject"] == f"Dispute {outcome}: Jazz in the yard"
    for body in both(message):
        assert says in body


@pytest.mark.parametrize("kind", TO_THE_HOST)
def test_a_host_learns_nothing_about_who_paid(kind: str) -> None:
    disputed = domain_event(kind)
    host = replace(ADA, name="Grace Hopper", email="grace@example.com")

    for body in both(compose(disputed, host)):
        assert disputed.body["userId"] not in body
        assert REFERENCE in body
