"""What an e-mail says for each type of domain event."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from chalicelib.notifications import emails
from tests.notifications.examples import (
    ABOUT_EVENTS,
    ADA,
    BODIES,
    BOOKING,
    HOST,
    JAZZ,
    TOKEN,
    both,
    compose,
    domain_event,
    html,
    text,
)

UUID_PATTERN = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("user-registered", "Welcome to Event booking"),
        ("email-verification-requested", "Verify your e-mail address"),
        ("password-reset-requested", "Reset your password"),
        ("event-published", "New event: Jazz in the yard"),
        ("sale-started", "Booking is now open: Jazz in the yard"),
        ("booking-confirmed", "Your booking is confirmed: Jazz in the yard"),
        ("booking-cancelled", "Your booking is cancelled: Jazz in the yard"),
        ("event-changed", "Event changed: Jazz in the yard"),
        ("event-cancelled", "Event cancelled: Jazz in the yard"),
        ("booking-expired", "Your booking has expired: Jazz in the yard"),
        ("payment-failed", "Your payment failed: Jazz in the yard"),
        ("payment-refund-due", "Your refund is on its way: Jazz in the yard"),
        ("payment-disputed", "A payment is disputed: Jazz in the yard"),
        ("payment-dispute-closed", "Dispute won: Jazz in the yard"),
    ],
)
def test_headers_say_what_happened_and_to_whom(kind: str, subject: str) -> None:
    message = compose(domain_event(kind))

    assert message["Subject"] == subject
    assert message["From"] == "Event booking <no-reply@mail.example.com>"
    assert message["To"].addresses[0].addr_spec == "ada@example.com"
    assert message["Date"].datetime == datetime(2027, 5, 1, 8, 0, tzinfo=UTC)
    assert message["Auto-Submitted"] == "auto-generated"
    assert not message.defects
    assert f">{subject.partition(': ')[0]}</h1>" in html(message)


@pytest.mark.parametrize("kind", ABOUT_EVENTS)
def test_an_e_mail_about_an_event_shows_the_event(kind: str) -> None:
    for body in both(compose(domain_event(kind))):
        assert "Jazz in the yard" in body
        assert "Saturday, 5 June 2027, 19:30 to 22:30 (Europe/Berlin)" in body
        assert "Kulturhof, Berlin" in body
        assert "Grace Hopper" in body
        assert "Ada Lovelace" in body


@pytest.mark.parametrize("kind", ABOUT_EVENTS)
def test_missing_details_are_left_out(kind: str) -> None:
    bare = replace(JAZZ, location=None, description=None, host_name=None)

    for body in both(compose(domain_event(kind), event=bare)):
        assert "Jazz in the yard" in body
        assert "None" not in body
        assert "Host:" not in body
        assert ">Host<" not in body
        assert "Venue" not in body


@pytest.mark.parametrize("kind", BODIES)
def test_the_only_id_shown_is_the_booking_reference(kind: str) -> None:
    message = compose(domain_event(kind))

    shown = set(re.findall(UUID_PATTERN, text(message) + html(message)))
    assert shown == ({BOOKING} if "bookingId" in BODIES[kind] else set())


@pytest.mark.parametrize("kind", BODIES)
def test_each_e_mail_says_why_it_was_sent(kind: str) -> None:
    for body in both(compose(domain_event(kind))):
        assert "You get this e-mail because" in body or "If you did not ask for this" in body


def test_message_ids_are_unique_per_domain_event_and_recipient() -> None:
    published, other = domain_event("event-published"), replace(ADA, user_id=HOST)

    again = [compose(published)["Message-ID"] for _ in range(2)]

    assert again[0] == again[1] != compose(published, other)["Message-ID"]
    assert again[0].endswith("@mail.example.com>")


@pytest.mark.parametrize(
    ("kind", "page", "lifetime"),
    [
        ("email-verification-requested", "verify-email", "24 hours"),
        ("password-reset-requested", "reset-password", "1 hour"),
    ],
)
def test_a_token_comes_as_a_link_and_as_a_code(kind: str, page: str, lifetime: str) -> None:
    message = compose(domain_event(kind))

    assert f"\nhttps://api.example.com/{page}?token={TOKEN}\n" in text(message)
    assert f'<a href="https://api.example.com/{page}?token={TOKEN}"' in html(message)
    for body in both(message):
        assert body.count(TOKEN) == 2
        assert f"It works once and expires in {lifetime}. Never share it." in body


@pytest.mark.parametrize("kind", ["email-verification-requested", "password-reset-requested"])
def test_without_a_public_url_there_is_only_the_code(kind: str) -> None:
    message = compose(domain_event(kind), public_url="")

    assert text(message).count(TOKEN) == html(message).count(TOKEN) == 1
    assert "href" not in html(message)


@pytest.mark.parametrize(
    ("role", "says"), [("host", "publish events"), ("attendee", "book places at events")]
)
def test_a_welcome_says_what_the_account_can_do(role: str, says: str) -> None:
    for body in both(compose(domain_event("user-registered", role=role))):
        assert says in body


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("attendee", "You cancelled your booking."),
        ("host", "The host cancelled your booking."),
        ("refunded", "Your payment was refunded, so your booking was cancelled."),
        ("dispute-lost", "Your bank took your payment back, so your booking was cancelled."),
        ("event-cancelled", "Your booking was cancelled."),
    ],
)
def test_a_cancelled_booking_says_why(reason: str, says: str) -> None:
    for body in both(compose(domain_event("booking-cancelled", reason=reason))):
        assert says in body


def test_a_long_description_is_cut() -> None:
    message = compose(domain_event("event-published"), event=replace(JAZZ, description="word " * 2000))

    assert text(message).count("word") == emails.MAX_DESCRIPTION_LENGTH / len("word ")
    assert "word …\n" in text(message)


def test_a_verified_recipient_reads_why_the_event_is_cancelled() -> None:
    message = compose(domain_event("event-cancelled", reason="Rain & <storm>.\nSorry!"))

    assert "The host says:\n\nRain & <storm>.\nSorry!\n" in text(message)
    assert "Rain &amp; &lt;storm&gt;. Sorry!</p>" in both(message)[1]


def test_an_unverified_address_gets_no_words_of_the_host() -> None:
    unverified = replace(ADA, verified=False)
    message = compose(domain_event("event-cancelled", reason="Buy pills"), recipient=unverified)

    for body in both(message):
        assert "pills" not in body
        assert "host says" not in body


def test_without_an_unsubscribe_link_none_is_mentioned() -> None:
    message = compose(domain_event("event-cancelled"))

    assert "List-Unsubscribe" not in message
    for body in both(message):
        assert "nsubscribe" not in body


@pytest.mark.parametrize(
    ("kind", "missing"), [("email-verification-requested", "a token"), ("event-published", "an event")]
)
def test_an_e_mail_without_its_event_or_token_is_refused(kind: str, missing: str) -> None:
    with pytest.raises(ValueError, match=f"{kind} needs {missing}"):
        emails.compose(
            domain_event(kind),
            ADA,
            event=None,
            sender="no-reply@example.com",
            public_url="",
            unsubscribe_url=None,
            token=None,
        )


def test_a_domain_event_without_a_notification_is_refused() -> None:
    unknown = replace(domain_event("event-published"), type="weather-changed")

    with pytest.raises(ValueError, match="no notification for weather-changed"):
        emails.compose(
            unknown,
            ADA,
            event=JAZZ,
            sender="no-reply@example.com",
            public_url="",
            unsubscribe_url=None,
            token=None,
        )
