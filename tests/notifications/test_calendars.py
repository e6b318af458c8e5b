"""The calendar entry that comes with a confirmed booking."""

from dataclasses import replace
from datetime import UTC, datetime

from tests.notifications.examples import BODIES, BOOKING, JAZZ, calendar, compose, domain_event


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
    assert shown["SEQUENCE"] == 7
    assert shown.start == JAZZ.starts_at
    assert shown.end == JAZZ.ends_at
    assert shown["SUMMARY"] == 'Jazz; blues, "soul" \\ more'
    assert shown["LOCATION"] == "Hof, Berlin"
    assert shown["DTSTAMP"].dt == datetime(2027, 5, 1, 8, 0, tzinfo=UTC)
    assert shown["LAST-MODIFIED"].dt == JAZZ.updated_at
    assert shown["ORGANIZER"] == "mailto:no-reply@mail.example.com"
    assert shown["ORGANIZER"].params["CN"] == 'G "x" H'


def test_other_e_mails_have_no_attachments() -> None:
    for kind in set(BODIES) - {"booking-confirmed"}:
        assert not list(compose(domain_event(kind)).iter_attachments())


def test_an_entry_without_host_and_venue_is_valid() -> None:
    message = compose(domain_event("booking-confirmed"), event=replace(JAZZ, host_name=None, location=None))

    (shown,) = calendar(message).events
    assert "CN" not in shown["ORGANIZER"].params
    assert "LOCATION" not in shown
