"""The domain events about an event: which changes are recorded, each once and in order."""

from datetime import timedelta
from typing import Any

import pytest

from tests.client import Account, Client, event_body
from tests.events.announcements import announce_changes
from tests.rows import RecordedEvent, domain_events

HOUR = timedelta(hours=1)
DETAILS = {
    "title": "Tango",
    "location": "Kulturhof",
    "startDateTime": "2030-06-05T17:30:00Z",
    "endDateTime": "2030-06-05T20:00:00Z",
    "timezone": "Europe/Berlin",
}


def patch(client: Client, host: Account, event: Any, **members: Any) -> int:
    return client("PATCH", f"/events/{event['eventId']}", members, by=host).status


def body(event: Any, **more: Any) -> dict[str, Any]:
    return {"eventId": event["eventId"], "hostId": event["hostId"], **DETAILS, **more}


def test_publishing_is_recorded_once(client: Client) -> None:
    host = client.host()
    event = client.event(host, **DETAILS, description="For two")
    patch(client, host, event, description="For three")
    patch(client, host, event, status="published")

    assert domain_events(client, event["eventId"]) == [RecordedEvent("event-published", body(event))]


def test_a_draft_is_recorded_when_it_is_published(client: Client) -> None:
    host = client.host()
    draft = client.event(host, **DETAILS | {"title": "Not yet"}, status="draft")
    patch(client, host, draft, location="Yard")
    assert domain_events(client, draft["eventId"]) == []

    patch(client, host, draft, status="published", title="Tango")
    patch(client, host, draft, status="published")

    assert domain_events(client, draft["eventId"]) == [
        RecordedEvent("event-published", body(draft, location="Yard"))
    ]


@pytest.mark.parametrize(
    ("member", "new"),
    [
        ("title", "Milonga"),
        ("location", "Yard"),
        ("location", None),
        ("startDateTime", "2030-06-05T17:00:00Z"),
        ("endDateTime", "2030-06-05T21:00:00.5Z"),
        ("timezone", "Europe/Zurich"),
    ],
)
def test_changes_of_time_place_and_title_are_recorded(client: Client, member: str, new: str | None) -> None:
    host = client.host()
    event = client.event(host, **DETAILS)

    patch(client, host, event, **{member: new})
    announce_changes(client.wiring.database)

    [domain_event] = domain_events(client, event["eventId"], "event-changed")
    changed = {member: {"from": DETAILS[member], "to": new}}
    expected = body(event, **{member: new}, changed=changed)
    # A fraction of a second may be written with more zeros than were sent.
    assert plain(domain_event.body) == plain(expected)


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    return value.replace(".500000Z", ".5Z") if isinstance(value, str) else value


def test_one_request_records_one_change(client: Client) -> None:
    host = client.host()
    event = client.event(host, **DETAILS)

    patch(client, host, event, title="Milonga", location="Yard", capacity=7)
    announce_changes(client.wiring.database)

    [domain_event] = domain_events(client, event["eventId"], "event-changed")
    assert domain_event.body["changed"].keys() == {"title", "location"}


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"title": "Tango"},
        {"startDateTime": "2030-06-05T19:30:00+02:00"},
        {"description": "Now with wine"},
        {"capacity": 7},
        {"currency": "chf"},
        {"saleStartsAt": timedelta(days=1)},
        {"saleEndsAt": timedelta(days=2)},
        {"capacity": 0},
        {"status": "draft", "title": "Milonga"},
    ],
)
def test_other_changes_and_refused_ones_are_not_recorded(client: Client, members: dict[str, Any]) -> None:
    host = client.host()
    event = client.event(host, **DETAILS)

    patch(client, host, event, **members)
    announce_changes(client.wiring.database)

    assert [domain_event.type for domain_event in domain_events(client, event["eventId"])] == [
        "event-published"
    ]


def test_a_rolled_back_change_is_not_recorded(client: Client) -> None:
    host = client.host()
    event = client.event(host, capacity=2)
    for _ in range(2):
        client.book(client.attendee(), event["eventId"])

    assert patch(client, host, event, title="Smaller", capacity=1) == 409
    announce_changes(client.wiring.database)

    assert domain_events(client, event["eventId"], "event-changed") == []


@pytest.mark.parametrize(
    ("method", "suffix", "how"), [("POST", "/cancel", "cancelled"), ("DELETE", "", "deleted")]
)
def test_cancelling_or_deleting_an_event_is_recorded_once(
    client: Client, method: str, suffix: str, how: str
) -> None:
    host = client.host()
    event = client.event(host, **DETAILS)
    for _ in range(2):
        client(method, f"/events/{event['eventId']}{suffix}", by=host)

    assert domain_events(client, event["eventId"], "event-cancelled") == [
        RecordedEvent("event-cancelled", body(event, how=how))
    ]


def test_deleting_a_cancelled_event_is_not_recorded(client: Client) -> None:
    host = client.host()
    event = client.event(host)
    client("POST", f"/events/{event['eventId']}/cancel", by=host)
    client("DELETE", f"/events/{event['eventId']}", by=host)

    assert len(domain_events(client, event["eventId"], "event-cancelled")) == 1


def test_deleting_drafts_and_past_events_is_not_recorded(client: Client) -> None:
    host = client.host()
    draft = client.event(host, status="draft")["eventId"]
    past = client.past_event(host, started_ago=2 * HOUR, lasts=HOUR)

    for event_id in (draft, past):
        client("DELETE", f"/events/{event_id}", by=host)

    assert domain_events(client, draft) == []
    assert domain_events(client, past, "event-cancelled") == []


def test_domain_events_of_an_event_are_in_order(client: Client) -> None:
    host, attendee = client.host(), client.attendee()
    event = client.event(host, status="draft")
    patch(client, host, event, status="published")
    booking = client.book(attendee, event["eventId"]).json
    client("DELETE", f"/bookings/{booking['bookingId']}", by=attendee)
    client("PUT", f"/events/{event['eventId']}", event_body(title="Another"), by=host)
    announce_changes(client.wiring.database)
    client("POST", f"/events/{event['eventId']}/cancel", by=host)

    assert [domain_event.type for domain_event in domain_events(client, event["eventId"])] == [
        "event-published",
        "booking-confirmed",
        "booking-cancelled",
        "event-changed",
        "event-cancelled",
    ]
