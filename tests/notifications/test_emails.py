"""Letters: what is said of each domain event, and to whom."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from chalicelib.notifications import emails
from chalicelib.platform.messaging.queues import DOMAIN_EVENTS_TOPIC, QUEUES
from tests.notifications.examples import (
    ABOUT_EVENTS,
    ADA,
    BODIES,
    BOOKING,
    HOST,
    JAZZ,
    TOKEN,
    domain_event,
    html,
    letter,
    text,
)


def test_every_fact_that_people_are_told_of_has_a_letter() -> None:
    told = {kind for queue in QUEUES if queue.topic == DOMAIN_EVENTS_TOPIC for kind in queue.domain_events}

    assert told <= set(BODIES)
    for kind in told:
        assert letter(domain_event(kind))["Subject"]


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("user-registered", "Welcome to Event booking"),
        ("email-verification-requested", "Verify your e-mail address"),
        ("password-reset-requested", "Set a new password"),
        ("event-published", "New event: Jazz in the yard"),
        ("sale-started", "The sale has started: Jazz in the yard"),
        ("booking-confirmed", "You have a place: Jazz in the yard"),
        ("booking-cancelled", "Booking cancelled: Jazz in the yard"),
        ("event-changed", "Changed: Jazz in the yard"),
        ("event-cancelled", "Called off: Jazz in the yard"),
        ("booking-expired", "Booking expired: Jazz in the yard"),
        ("payment-failed", "Payment failed: Jazz in the yard"),
        ("payment-refund-due", "Refund on its way: Jazz in the yard"),
        ("payment-disputed", "Payment disputed: Jazz in the yard"),
        ("payment-dispute-closed", "Dispute won: Jazz in the yard"),
    ],
)
def test_a_letter_says_in_its_subject_what_happened(kind: str, subject: str) -> None:
    message = letter(domain_event(kind))

    assert message["Subject"] == subject
    assert message["From"] == "Event booking <no-reply@mail.example.com>"
    assert message["To"].addresses[0].addr_spec == "ada@example.com"
    assert message["Date"].datetime == datetime(2027, 5, 1, 8, 0, tzinfo=UTC)
    assert message["Auto-Submitted"] == "auto-generated"
    assert not message.defects


@pytest.mark.parametrize("kind", ABOUT_EVENTS)
def test_a_letter_about_an_event_tells_what_when_where_and_whose_it_is(kind: str) -> None:
    message = letter(domain_event(kind))

    for body in (text(message), html(message)):
        assert "Jazz in the yard" in body
        assert "Saturday, 5 June 2027, 19:30 to 22:30 (Europe/Berlin)" in body
        assert "Kulturhof, Berlin" in body
        assert "Grace Hopper" in body
        assert "Ada Lovelace" in body


@pytest.mark.parametrize("kind", ABOUT_EVENTS)
def test_what_an_event_does_not_say_is_left_out(kind: str) -> None:
    bare = replace(JAZZ, location=None, description=None, host_name=None)

    message = letter(domain_event(kind), event=bare)

    for body in (text(message), html(message)):
        assert "Jazz in the yard" in body
        assert "None" not in body
        assert "Hosted by" not in body
        assert "Where" not in body


def test_the_same_fact_and_person_give_the_same_message_id_and_no_others_do() -> None:
    other = replace(ADA, user_id=HOST)
    told = domain_event("event-published")

    ids = [letter(told)["Message-ID"], letter(told)["Message-ID"], letter(told, other)["Message-ID"]]

    assert ids[0] == ids[1] != ids[2]
    assert ids[0].endswith("@mail.example.com>")


@pytest.mark.parametrize(
    ("kind", "page", "lifetime"),
    [
        ("email-verification-requested", "verify-email", "24 hours"),
        ("password-reset-requested", "reset-password", "1 hour"),
    ],
)
def test_a_letter_that_proves_an_address_carries_the_token(kind: str, page: str, lifetime: str) -> None:
    message = letter(domain_event(kind))

    for body in (text(message), html(message)):
        assert f"POST /auth/{page}" in body
        assert f"https://api.example.com/{page}?token={TOKEN}" in body
        assert body.count(TOKEN) == 2
        assert lifetime in body


@pytest.mark.parametrize("kind", ["email-verification-requested", "password-reset-requested"])
def test_without_a_public_address_there_is_the_token_and_no_link(kind: str) -> None:
    message = letter(domain_event(kind), public_url="")

    assert text(message).count(TOKEN) == html(message).count(TOKEN) == 1
    assert "href" not in html(message)


@pytest.mark.parametrize(
    ("role", "says"), [("host", "publish events"), ("attendee", "book places at events")]
)
def test_a_welcome_says_what_one_can_do(role: str, says: str) -> None:
    message = letter(domain_event("user-registered", role=role))

    assert says in text(message)
    assert says in html(message)


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("attendee", "You have cancelled your booking"),
        ("host", "The host has cancelled your booking"),
        ("refunded", "Your payment was returned to you, so your booking has ended"),
        ("dispute-lost", "Your bank has taken your payment back, so your booking has ended"),
        ("event-cancelled", "Your booking is cancelled"),
    ],
)
def test_a_cancelled_booking_says_who_or_what_ended_it(reason: str, says: str) -> None:
    message = letter(domain_event("booking-cancelled", reason=reason))

    for body in (text(message), html(message)):
        assert says in body
        assert BOOKING in body


def test_a_long_description_is_shown_in_part() -> None:
    message = letter(domain_event("event-published"), event=replace(JAZZ, description="word " * 2000))

    assert text(message).count("word") == emails.MAX_DESCRIPTION / len("word ")
    assert "word …\n" in text(message)


def test_without_a_link_to_unsubscribe_none_is_spoken_of() -> None:
    message = letter(domain_event("event-cancelled"))

    assert "List-Unsubscribe" not in message
    assert "No more e-mails" not in text(message)
    assert "No more e-mails" not in html(message)


@pytest.mark.parametrize(
    ("kind", "lacks"), [("email-verification-requested", "token"), ("event-published", "event")]
)
def test_a_letter_that_lacks_what_it_is_about_is_not_written(kind: str, lacks: str) -> None:
    with pytest.raises(ValueError, match=f"{kind} needs the {lacks}|{kind} needs a {lacks}"):
        emails.compose(
            domain_event(kind),
            ADA,
            event=None,
            sender="no-reply@example.com",
            public_url="",
            unsubscribe_url=None,
            token=None,
        )


def test_a_fact_that_nobody_is_told_of_has_no_letter() -> None:
    unknown = replace(domain_event("event-published"), type="weather-changed")

    with pytest.raises(ValueError, match="no letter for weather-changed"):
        letter(unknown)
