"""The calendar entry of a booking: added, updated and removed by the e-mails about it."""

from dataclasses import replace

import pytest

from tests.notifications.examples import (
    BODIES,
    BOOKING,
    JAZZ,
    NOW,
    SETTINGS,
    calendar,
    compose,
    domain_event,
)

METHODS = {
    "booking-confirmed": "PUBLISH",
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
    cancelled = compose(domain_event("booking-cancelled"), event=replace(JAZZ, version=8), booking_version=2)

    sequences = [calendar(message).events[0]["SEQUENCE"] for message in (first, event_changed, cancelled)]
    assert sequences == sorted(set(sequences))


def test_an_entry_without_host_and_venue_is_valid() -> None:
    message = compose(domain_event("booking-confirmed"), event=replace(JAZZ, host_name=None, location=None))

    (shown,) = calendar(message).events
    assert "CN" not in shown["ORGANIZER"].params
    assert "LOCATION" not in shown


def test_an_entry_links_to_the_event_in_the_front_end() -> None:
    settings = replace(SETTINGS, event_page_url="https://tickets.example/e/{eventId}")

    (shown,) = calendar(compose(domain_event("booking-confirmed"), settings=settings)).events

    assert shown["URL"] == f"https://tickets.example/e/{JAZZ.event_id}"
