"""What an e-mail says for each type of domain event."""

import re
from dataclasses import replace
from uuid import UUID

import pytest

from chalicelib.bookings.references import reference_of
from chalicelib.notifications import emails
from chalicelib.notifications.kinds import kind_of
from chalicelib.platform.settings import Settings
from tests.notifications.examples import (
    ABOUT_EVENTS,
    ADA,
    BODIES,
    BOOKED_ITEMS,
    BOOKING,
    HOST,
    JAZZ,
    NOW,
    SETTINGS,
    TOKEN,
    booking_view,
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
        ("email-verification-requested", "Verify your e-mail address"),
        ("password-reset-requested", "Reset your password"),
        ("event-published", "New event: Jazz in the yard"),
        ("sale-started", "Booking is now open: Jazz in the yard"),
        ("booking-confirmed", "Your booking is confirmed: Jazz in the yard"),
        ("booking-cancelled", "Your booking is cancelled: Jazz in the yard"),
        ("tickets-cancelled", "Some of your tickets are cancelled: Jazz in the yard"),
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
    assert message["Date"].datetime == NOW
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
        assert "Organised by" not in body
        assert "Venue" not in body


@pytest.mark.parametrize("kind", BODIES)
def test_no_id_is_shown_but_a_booking_reference(kind: str) -> None:
    for body in both(compose(domain_event(kind))):
        assert re.findall(UUID_PATTERN, body) == []
        shown = "bookingId" in BODIES[kind] and "ticketId" not in BODIES[kind]
        assert ("Booking reference" in body) == shown
        assert (reference_of(UUID(BOOKING)) in body) == shown


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
def test_a_token_comes_as_a_link(kind: str, page: str, lifetime: str) -> None:
    message = compose(domain_event(kind))

    assert f"\nhttps://api.example.com/{page}?token={TOKEN}\n" in text(message)
    assert f'<a href="https://api.example.com/{page}?token={TOKEN}"' in html(message)
    for body in both(message):
        assert body.count(TOKEN) == 1
        assert f"It works once and expires in {lifetime}. Never share it." in body


@pytest.mark.parametrize("kind", ["email-verification-requested", "password-reset-requested"])
def test_without_a_public_url_there_is_only_the_code(kind: str) -> None:
    message = compose(domain_event(kind), settings=replace(SETTINGS, public_url=""))

    assert text(message).count(TOKEN) == html(message).count(TOKEN) == 1
    assert "href" not in html(message)


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("attendee", "You cancelled your booking."),
        ("host", "The host cancelled your booking."),
        ("refunded", "Your payment was refunded, so your booking was cancelled."),
        ("dispute-lost", "Your bank took your payment back, so your booking was cancelled."),
        ("event-cancelled", "The event was cancelled."),
        ("of a later release", "Your booking was cancelled."),
    ],
)
def test_a_cancelled_booking_says_why(reason: str, says: str) -> None:
    for body in both(compose(domain_event("booking-cancelled", reason=reason))):
        assert says in body


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("attendee", "You cancelled some of your tickets."),
        ("host", "The host cancelled some of your tickets."),
        ("earthquake", "Some of your tickets were cancelled."),
    ],
)
def test_cancelled_tickets_say_why_and_what_is_left(reason: str, says: str) -> None:
    left = booking_view(items=BOOKED_ITEMS[:1])

    message = compose(domain_event("tickets-cancelled", reason=reason), bookings=[left])

    for body in both(message):
        assert f"{says} The others are still valid." in body
    assert "\nCancelled tickets:\n\n1 x Day ticket\n\nYour tickets now:\n\n2 x Weekend ticket\n" in text(
        message
    )
    assert re.findall(r"<li>(.+?)</li>", html(message)) == [
        "1 x <bdi>Day ticket</bdi>",
        "2 x <bdi>Weekend ticket</bdi>",
    ]


def test_cancelled_tickets_of_a_booking_that_has_ended_since_leave_none() -> None:
    for body in both(compose(domain_event("tickets-cancelled"), bookings=[])):
        assert "still valid" not in body
        assert "Your tickets now" not in body
        assert "Cancelled tickets:" in body


@pytest.mark.parametrize(
    ("kind", "heading"),
    [
        ("booking-confirmed", "Your tickets"),
        ("booking-cancelled", "Cancelled tickets"),
        ("event-cancelled", "Cancelled tickets"),
        ("booking-expired", "Expired tickets"),
        ("payment-failed", "Your tickets"),
        ("payment-refund-due", "Tickets"),
    ],
)
def test_an_e_mail_lists_the_tickets(kind: str, heading: str) -> None:
    message = compose(domain_event(kind))

    assert f"\n\n{heading}:\n\n2 x Weekend ticket\n1 x Day ticket\n\n-- \n" in text(message)
    assert f">{heading}:</p>" in html(message)
    assert re.findall(r"<li>(.+?)</li>", html(message)) == [
        "2 x <bdi>Weekend ticket</bdi>",
        "1 x <bdi>Day ticket</bdi>",
    ]


def test_tickets_of_several_bookings_are_listed_by_type() -> None:
    bookings = [booking_view(), booking_view(items=BOOKED_ITEMS[:1])]

    message = compose(domain_event("event-cancelled"), bookings=bookings)

    assert "\n4 x Weekend ticket\n1 x Day ticket\n" in text(message)
    for body in both(message):
        assert "Your bookings are cancelled too." in body
    for body in both(compose(domain_event("event-changed"), bookings=bookings)):
        assert "Your bookings are still valid." in body


@pytest.mark.parametrize(
    ("kind", "of_one", "of_several"),
    [
        ("booking-confirmed", "Your place is booked.", "Your 3 places are booked."),
        ("booking-expired", "could not keep your place.", "could not keep your 3 places."),
        ("payment-failed", "Your place is held until", "Your 3 places are held until"),
    ],
)
def test_an_e_mail_says_how_many_places(kind: str, of_one: str, of_several: str) -> None:
    day = BODIES["tickets-cancelled"]["items"]
    one = domain_event(kind, items=day) if "items" in BODIES[kind] else domain_event(kind)

    for body in both(compose(one, bookings=[booking_view(items=BOOKED_ITEMS[1:])])):
        assert of_one in body
    for body in both(compose(domain_event(kind))):
        assert of_several in body


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
            settings=SETTINGS,
            now=NOW,
        )


def test_a_domain_event_without_a_notification_is_refused() -> None:
    unknown = replace(domain_event("event-published"), type="weather-changed")

    with pytest.raises(ValueError, match="no notification for weather-changed"):
        emails.compose(
            unknown,
            ADA,
            settings=SETTINGS,
            now=NOW,
            event=JAZZ,
        )


def test_replies_go_to_the_address_in_the_settings() -> None:
    settings = replace(SETTINGS, mail_reply_to='"Help, please" <help@example.com>')

    message = compose(domain_event("booking-confirmed"), settings=settings)

    assert message["Reply-To"].addresses[0].addr_spec == "help@example.com"
    assert message["Reply-To"].addresses[0].display_name == "Help, please"
    assert "Reply-To" not in compose(domain_event("booking-confirmed"))


FRONT_END = replace(
    SETTINGS,
    event_page_url="https://tickets.example/e/{eventId}",
    booking_page_url="https://tickets.example/b/{bookingId}?event={eventId}",
    payment_page_url="https://tickets.example/pay/{bookingId}",
)
EVENT_LINK = f"https://tickets.example/e/{JAZZ.event_id}"
BOOKING_LINK = f"https://tickets.example/b/{BOOKING}?event={JAZZ.event_id}"


@pytest.mark.parametrize(
    ("kind", "link"),
    [
        ("event-published", EVENT_LINK),
        ("sale-started", EVENT_LINK),
        ("booking-expired", EVENT_LINK),
        ("payment-disputed", EVENT_LINK),
        ("booking-confirmed", BOOKING_LINK),
        ("booking-cancelled", BOOKING_LINK),
        ("event-changed", BOOKING_LINK),
        ("event-cancelled", BOOKING_LINK),
        ("payment-refund-due", BOOKING_LINK),
        ("payment-failed", f"https://tickets.example/pay/{BOOKING}"),
    ],
)
def test_an_e_mail_leads_to_the_page_that_it_is_about(kind: str, link: str) -> None:
    message = compose(domain_event(kind), settings=FRONT_END)

    assert f": {link}\n" in text(message)
    assert f'<a href="{link}"' in html(message)


@pytest.mark.parametrize("kind", ABOUT_EVENTS)
def test_without_a_front_end_there_are_no_links(kind: str) -> None:
    links = re.findall("href=", html(compose(domain_event(kind))))

    assert len(links) == (kind_of(kind).purpose is not None)


def test_without_a_payment_page_the_booking_page_is_linked() -> None:
    settings = replace(FRONT_END, payment_page_url="")

    assert BOOKING_LINK in text(compose(domain_event("payment-failed"), settings=settings))


@pytest.mark.parametrize("name", ["Kulturhof, Berlin", "Bühne", 'The "Hof" <x>', "a@b.example"])
def test_any_name_of_the_sender_is_one_address(name: str) -> None:
    sender = Settings.read(
        {
            "DATABASE_URL": "x",
            "JWT_SECRET": "x" * 32,
            "MAIL_SENDER": f"{name.replace('<x>', '')} <no-reply@example.com>",
        }
    ).mail_sender

    message = compose(domain_event("booking-confirmed"), settings=replace(SETTINGS, mail_sender=sender))

    (shown,) = message["From"].addresses
    assert (shown.display_name, shown.addr_spec) == (name.replace("<x>", "").strip(), "no-reply@example.com")
