"""Letters about money: what was paid, what goes back, and why."""

from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest

from chalicelib.notifications.mail_context import EventView
from tests.notifications.examples import (
    ADA,
    BODIES,
    BOOKING,
    JAZZ,
    PAID,
    calendar,
    domain_event,
    html,
    letter,
    text,
)

MONEY_MAY_FOLLOW = "If money is due back to you, another e-mail tells you of it."
OF_MONEY = [kind for kind, body in BODIES.items() if body.get("amount")]
NAMING_AMOUNTS = ["booking-confirmed", *(kind for kind in OF_MONEY if kind != "booking-expired")]
TO_THE_HOST = ("payment-disputed", "payment-dispute-closed")


def both(message: EmailMessage) -> tuple[str, str]:
    """The plain text and the HTML, in which lines break anywhere."""
    return text(message), " ".join(html(message).split())


def test_the_confirmation_of_a_paid_booking_is_its_receipt() -> None:
    message = letter(domain_event("booking-confirmed", **PAID))

    assert message["Subject"] == "You have a place: Jazz in the yard"
    assert (
        "This is the receipt for your payment:\n\n"
        "Paid: EUR 25.00\n"
        "On: Saturday, 1 May 2027, 10:00 (Europe/Berlin)\n"
        "To: Grace Hopper\n"
        "Payment pi_3PqRsT\n"
        f"Booking {BOOKING}\n"
    ) in text(message)
    for value in (
        *("EUR 25.00", "Saturday, 1 May 2027, 10:00 (Europe/Berlin)"),
        *("Grace Hopper", "pi_3PqRsT", BOOKING),
    ):
        assert f">{value}</dd>" in html(message)
    assert calendar(message).events[0]["SUMMARY"] == "Jazz in the yard"


def test_the_confirmation_of_a_free_booking_speaks_of_no_money() -> None:
    for body in both(letter(domain_event("booking-confirmed"))):
        assert "receipt" not in body
        assert "EUR" not in body
        assert f"Booking {BOOKING}" in body


def test_a_receipt_of_a_host_who_left_names_nobody() -> None:
    message = letter(domain_event("booking-confirmed", **PAID), event=replace(JAZZ, host_name=None))

    assert "To:" not in text(message)
    assert ">To<" not in html(message)


@pytest.mark.parametrize(
    ("currency", "says"), [("eur", "EUR 25.00"), ("jpy", "JPY 2,500"), ("kwd", "KWD 2.500")]
)
@pytest.mark.parametrize("kind", NAMING_AMOUNTS)
def test_an_amount_is_shown_as_its_currency_is_written(kind: str, currency: str, says: str) -> None:
    for body in both(letter(domain_event(kind, **{**PAID, "currency": currency}))):
        assert says in body


@pytest.mark.parametrize("kind", OF_MONEY)
def test_only_a_confirmation_has_a_calendar_entry(kind: str) -> None:
    assert list(letter(domain_event(kind)).iter_attachments()) == []


@pytest.mark.parametrize("kind", OF_MONEY)
def test_a_letter_about_money_names_the_booking(kind: str) -> None:
    for body in both(letter(domain_event(kind))):
        assert BOOKING in body


def test_a_hold_that_ran_out_was_not_charged_and_can_be_booked_again() -> None:
    for body in both(letter(domain_event("booking-expired"))):
        assert "The time to pay for your booking has run out" in body
        assert "You were not charged." in body
        assert "You can book again" in body


@pytest.mark.parametrize(
    "event",
    [replace(JAZZ, status="cancelled"), replace(JAZZ, ends_at=datetime(2027, 5, 1, 8, 0, tzinfo=UTC))],
    ids=["called off", "over"],
)
def test_of_an_event_that_is_not_on_any_more_nobody_is_asked_to_book_again(event: EventView) -> None:
    for body in both(letter(domain_event("booking-expired"), event=event)):
        assert "You were not charged." in body
        assert "book again" not in body


def test_a_payment_that_failed_says_until_when_the_place_is_held_by_the_clocks_at_the_event() -> None:
    for body in both(letter(domain_event("payment-failed"))):
        assert "EUR 25.00 was not charged" in body
        assert "Your place is held until Saturday, 1 May 2027, 10:15 (Europe/Berlin)." in body
        assert "try again, best with another card" in body


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("card_declined", "The bank declined the payment"),
        ("generic_decline", "The bank declined the payment"),
        ("insufficient_funds", "There is not enough money"),
        ("expired_card", "The card has expired"),
        ("incorrect_cvc", "The security code of the card is not right"),
        ("processing_error", "Something went wrong while the card was read"),
        ("authentication_required", "Your bank wants you to confirm the payment yourself"),
        ("payment_intent_authentication_failure", "Your bank could not make sure that it was you"),
        ("stolen_card", "The payment was declined, or was not completed"),
        ("<script>new_code</script>", "The payment was declined, or was not completed"),
    ],
)
def test_a_payment_that_failed_says_why_in_plain_words(reason: str, says: str) -> None:
    for body in both(letter(domain_event("payment-failed", reason=reason))):
        assert says in body
        assert reason not in body
        assert "new_code" not in body


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("attendee", "You have cancelled your booking."),
        ("host", "The host has cancelled your booking."),
        ("event-cancelled", "The event was called off."),
        ("event-deleted", "The event was called off."),
        ("paid-twice", ""),
    ],
)
def test_a_refund_says_why_how_much_and_where_it_goes(reason: str, says: str) -> None:
    message = letter(domain_event("payment-refund-due", reason=reason))

    assert message["Subject"] == "Refund on its way: Jazz in the yard"
    for body in both(message):
        assert says in body
        assert "You get EUR 25.00 back." in body
        assert "It goes to the card or account that it came from, which usually takes 5 to 10 days." in body
        assert "paid-twice" not in body


def test_a_payment_that_came_too_late_is_all_paid_back() -> None:
    message = letter(domain_event("payment-refund-due", reason="late-payment"))

    assert message["Subject"] == "Your payment came too late: Jazz in the yard"
    assert ">Your payment came too late</h1>" in html(message)
    for body in both(message):
        assert "the time to pay had run out and no place was left" in body
        assert "You get all of it back: EUR 25.00." in body
        assert "Refund on its way" not in body


@pytest.mark.parametrize("reason", ["attendee", "host", "event-cancelled"])
def test_the_end_of_a_paid_booking_promises_no_refund(reason: str) -> None:
    for body in both(letter(domain_event("booking-cancelled", reason=reason, amount=2500))):
        assert MONEY_MAY_FOLLOW in body


@pytest.mark.parametrize(
    ("reason", "amount"), [("attendee", 0), ("host", 0), ("refunded", 2500), ("dispute-lost", 2500)]
)
def test_of_more_money_nothing_is_said_where_there_is_none(reason: str, amount: int) -> None:
    for body in both(letter(domain_event("booking-cancelled", reason=reason, amount=amount))):
        assert MONEY_MAY_FOLLOW not in body


def test_a_host_is_told_what_a_dispute_means() -> None:
    for body in both(letter(domain_event("payment-disputed"))):
        assert "The bank of an attendee disputes a payment of EUR 25.00 for your event." in body
        assert "The owner of the card says that they did not make the payment." in body
        assert "The money is withheld until this is decided" in body
        assert "If it is lost, the money goes back and the booking is cancelled." in body


def test_a_reason_of_a_dispute_that_is_not_known_is_left_out() -> None:
    for body in both(letter(domain_event("payment-disputed", reason="check_returned"))):
        assert "for your event." in body
        assert "check_returned" not in body


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        ("won", "The dispute is won: the money stays, and is not withheld any more."),
        ("lost", "The dispute is lost: the money has gone back, and the booking was cancelled."),
    ],
)
def test_a_host_is_told_how_a_dispute_ended(outcome: str, says: str) -> None:
    message = letter(domain_event("payment-dispute-closed", outcome=outcome))

    assert message["Subject"] == f"Dispute {outcome}: Jazz in the yard"
    for body in both(message):
        assert says in body


@pytest.mark.parametrize("kind", TO_THE_HOST)
def test_a_letter_to_the_host_says_nothing_of_who_paid_but_the_booking(kind: str) -> None:
    told = domain_event(kind)
    host = replace(ADA, name="Grace Hopper", email="grace@example.com")

    for body in both(letter(told, host)):
        assert told.body["userId"] not in body
        assert BOOKING in body
