"""Times in e-mails, by the clocks at the event, and old and new values of a change."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.notifications.examples import JAZZ, changed, compose, domain_event, html, text


def test_a_change_shows_old_and_new_values() -> None:
    message = compose(
        changed(
            title=("Blues", "Jazz in the yard"),
            location=(None, "Kulturhof, Berlin"),
            startDateTime=("2027-06-04T16:00:00Z", "2027-06-05T17:30:00Z"),
        )
    )

    assert (
        "Title\n  before: Blues\n  now:    Jazz in the yard\n"
        "Venue\n  before: not set\n  now:    Kulturhof, Berlin\n"
        "Start\n  before: Friday, 4 June 2027, 18:00 (Europe/Berlin)\n"
        "  now:    Saturday, 5 June 2027, 19:30 (Europe/Berlin)\n"
    ) in text(message)
    for value in ("Blues", "not set", "Friday, 4 June 2027, 18:00 (Europe/Berlin)"):
        assert f">{value}</td>" in html(message)


def test_a_move_across_the_end_of_summer_time() -> None:
    message = compose(changed(endDateTime=("2027-10-30T17:30:00Z", "2027-10-31T18:30:00Z")))

    assert "before: Saturday, 30 October 2027, 19:30 (Europe/Berlin)" in text(message)
    assert "now:    Sunday, 31 October 2027, 19:30 (Europe/Berlin)" in text(message)


def test_a_move_to_another_time_zone_shows_each_time_in_its_own() -> None:
    message = compose(
        changed(
            zone="Asia/Tokyo",
            startDateTime=("2027-06-05T17:30:00Z", "2027-06-05T18:30:00Z"),
            timezone=("Europe/Berlin", "Asia/Tokyo"),
        )
    )

    assert "before: Saturday, 5 June 2027, 19:30 (Europe/Berlin)" in text(message)
    assert "now:    Sunday, 6 June 2027, 03:30 (Asia/Tokyo)" in text(message)
    assert "Time zone\n  before: Europe/Berlin\n  now:    Asia/Tokyo\n" in text(message)


def test_unknown_members_of_a_change_are_ignored() -> None:
    assert "dressCode" not in text(compose(changed(title=("a", "b"), dressCode=("none", "some"))))


@pytest.mark.parametrize(
    ("starts_at", "ends_at", "zone", "when"),
    [
        (
            datetime(2027, 12, 31, 22, 0, tzinfo=UTC),
            datetime(2028, 1, 1, 4, 0, tzinfo=UTC),
            "Europe/Berlin",
            "Friday, 31 December 2027, 23:00 to Saturday, 1 January 2028, 05:00 (Europe/Berlin)",
        ),
        (
            datetime(2027, 3, 1, 0, 0, tzinfo=UTC),
            datetime(2027, 3, 1, 1, 0, 5, tzinfo=UTC),
            "UTC",
            "Monday, 1 March 2027, 00:00 to 01:00:05 (UTC)",
        ),
        (
            datetime(2027, 10, 31, 0, 30, tzinfo=UTC),
            datetime(2027, 10, 31, 1, 30, tzinfo=UTC),
            "Europe/Berlin",
            "Sunday, 31 October 2027, 02:30 CEST to 02:30 CET (Europe/Berlin)",
        ),
        (
            datetime(2027, 6, 1, 10, 0, tzinfo=UTC),
            datetime(2027, 6, 1, 11, 0, tzinfo=UTC),
            "Asia/Kathmandu",
            "Tuesday, 1 June 2027, 15:45 to 16:45 (Asia/Kathmandu)",
        ),
    ],
)
def test_periods_are_in_the_time_zone_of_the_event(
    starts_at: datetime, ends_at: datetime, zone: str, when: str
) -> None:
    event = replace(JAZZ, starts_at=starts_at, ends_at=ends_at, timezone=zone)

    assert when in text(compose(domain_event("event-published"), event=event)).splitlines()
