"""The calendar entry of a booking: added, updated and removed by the e-mails about it."""

from dataclasses import replace
from uuid import UUID

import pytest

from chalicelib.bookings.references import reference_of
from tests.notifications.examples import (
    ADA,
    BODIES,
    BOOKED_ITEMS,
    BOOKING,
    JAZZ,
    NOW,
    SETTINGS,
    booking_view,
    calendar,
    calendars,
    compose,
    domain_event,
)

METHODS = {
    "booking-confirmed": "PUBLISH",
    "tickets-cancelled": "PUBLISH",
    "event-changed": "PUBLISH",
    "booking-cancelled": "CANCEL",
    "event-cancelled": "CANCEL",
}


def test_a_confirmation_has_a_calendar_entry() -> None:
    event = replace(JAZZ, title='Jazz; blues, "soul" \\ more', location="Hof,\nBerlin", host_name='G "x" H')

    message = compose(domain_event("booking-confirmed"), event=event)

    (part,) = message.iter_attachments()
    assert part.get_filename() == "event.ics"
    assert part["Content-Type"].params["method"] == "PUBLISH"
    parsed = calendar(message)
    assert parsed["METHOD"] == "PUBLISH"
    (shown,) = parsed.events
    assert shown["UID"] == f"{BOOKING}@mail.example.com"
    assert shown["STATUS"] == "CONFIRMED"
    assert shown.start == JAZZ.starts_at
    assert shown.end == JAZZ.ends_at
    assert shown["SUMMARY"] == 'Jazz; blues, "soul" \\ more'
    assert shown["LOCATION"] == "Hof, Berlin"
    assert shown["DTSTAMP"].dt == NOW.replace(microsecond=0)
    assert shown["LAST-MODIFIED"].dt == JAZZ.updated_at
    assert shown["ORGANIZER"] == "mailto:no-reply@mail.example.com"
    assert shown["ORGANIZER"].params["CN"] == 'G "x" H'
    assert "ATTENDEE" not in shown  # RFC 5546, section 3.2.1
    assert "URL" not in shown


@pytest.mark.parametrize("kind", BODIES)
def test_each_e_mail_about_a_booked_place_updates_its_entry(kind: str) -> None:
    message = compose(domain_event(kind))

    if kind not in METHODS:
        assert list(message.iter_attachments()) == []
        return
    (part,) = message.iter_attachments()
    assert part["Content-Type"].params["method"] == calendar(message)["METHOD"] == METHODS[kind]
    (shown,) = calendar(message).events
    assert shown["UID"] == f"{BOOKING}@mail.example.com"
    assert shown["STATUS"] == ("CANCELLED" if METHODS[kind] == "CANCEL" else "CONFIRMED")


def test_each_change_has_a_higher_sequence() -> None:
    confirmed = domain_event("booking-confirmed")

    first = compose(confirmed)
    event_changed = compose(domain_event("event-changed"), event=replace(JAZZ, version=8))
    fewer = compose(
        domain_event("tickets-cancelled"), event=replace(JAZZ, version=8), bookings=[booking_view(version=2)]
    )
    cancelled = compose(
        domain_event("booking-cancelled"), event=replace(JAZZ, version=8), bookings=[booking_view(version=3)]
    )

    messages = (first, event_changed, fewer, cancelled)
    sequences = [calendar(message).events[0]["SEQUENCE"] for message in messages]
    assert sequences == sorted(set(sequences))


@pytest.mark.parametrize("kind", [kind for kind, method in METHODS.items() if method == "PUBLISH"])
def test_an_entry_says_how_many_places(kind: str) -> None:
    (shown,) = calendar(compose(domain_event(kind))).events

    assert str(shown["DESCRIPTION"]).split("\n") == [
        "3 places",
        "2 x Weekend ticket",
        "1 x Day ticket",
        f"Booking reference: {reference_of(UUID(BOOKING))}",
    ]


def test_an_entry_of_one_place_says_so() -> None:
    one = booking_view(items=[replace(BOOKED_ITEMS[1], name="Day\r\nDTSTART:20270101")])

    (shown,) = calendar(compose(domain_event("tickets-cancelled"), bookings=[one])).events

    assert str(shown["DESCRIPTION"]).startswith("1 place\n1 x Day DTSTART:20270101\n")
    assert shown.start == JAZZ.starts_at


@pytest.mark.parametrize("kind", METHODS)
def test_each_booking_has_a_calendar_file(kind: str) -> None:
    """A cancellation in one file must have one UID: RFC 5546, section 3.2.5."""
    ids = [BOOKING, "019b2f3e-7c1a-7b55-9d41-000000000013"]

    message = compose(domain_event(kind), bookings=[booking_view(booking_id) for booking_id in ids])

    entries = [one.events for one in calendars(message)]
    assert [[str(entry["UID"]) for entry in of_file] for of_file in entries] == [
        [f"{booking_id}@mail.example.com"] for booking_id in ids
    ]
    assert [one["METHOD"] for one in calendars(message)] == [METHODS[kind]] * 2
    assert [part.get_filename() for part in message.iter_attachments()] == ["event-1.ics", "event-2.ics"]


@pytest.mark.parametrize("kind", METHODS)
def test_without_a_booking_there_is_no_file(kind: str) -> None:
    assert list(compose(domain_event(kind), bookings=[]).iter_attachments()) == []
    assert list(compose(domain_event(kind), replace(ADA, verified=False)).iter_attachments()) == []


def test_an_entry_without_host_and_venue_is_valid() -> None:
    message = compose(domain_event("booking-confirmed"), event=replace(JAZZ, host_name=None, location=None))

    (shown,) = calendar(message).events
    assert "CN" not in shown["ORGANIZER"].params
    assert "LOCATION" not in shown


def test_an_entry_links_to_the_event_in_the_front_end() -> None:
    settings = replace(SETTINGS, event_page_url="https://tickets.example/e/{eventId}")

    (shown,) = calendar(compose(domain_event("booking-confirmed"), settings=settings)).events

    assert shown["URL"] == f"https://tickets.example/e/{JAZZ.event_id}"
