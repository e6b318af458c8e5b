"""Other implementations of iCalendar keep one entry per booking, from the e-mails as they are sent."""

import email
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import default
from functools import partial
from pathlib import Path
from typing import Any

import icalendar
import pytest
import vobject

from chalicelib.wiring import Wiring
from tests.api import npm
from tests.client import Account, Client, in_days
from tests.notifications.pipeline import PostOffice

NPM_PACKAGES = ("ical.js@2.2.1", "node-ical@0.22.1")
NPM_READER = Path(__file__).with_name("calendar_reader.cjs")


@dataclass(frozen=True)
class Entry:
    """What a calendar program reads from a file."""

    method: str
    uid: str
    sequence: int
    status: str
    start: datetime
    location: str


def by_icalendar(file: str) -> Entry:
    calendar: Any = icalendar.Calendar.from_ical(file)
    (event,) = calendar.events
    assert event["ORGANIZER"]
    assert event["DTSTAMP"]
    assert "ATTENDEE" not in event
    return Entry(
        str(calendar["METHOD"]),
        str(event["UID"]),
        int(event["SEQUENCE"]),
        str(event["STATUS"]),
        event.start,
        str(event["LOCATION"]),
    )


def by_vobject(file: str) -> Entry:
    calendar = vobject.readOne(file)
    event = calendar.vevent
    return Entry(
        calendar.method.value,
        event.uid.value,
        int(event.sequence.value),
        event.status.value,
        event.dtstart.value,
        event.location.value,
    )


def by_npm(package: str, file: str) -> Entry:
    output = npm.node(npm.install(*NPM_PACKAGES), NPM_READER, package, text=file)
    (event,) = json.loads(output)
    return Entry(**{**event, "start": datetime.fromisoformat(event["start"])})


class Calendar:
    """A calendar that handles files by UID and sequence (RFC 5546, section 2.1.5)."""

    def __init__(self, read: Callable[[str], Entry]) -> None:
        self._read = read
        self._sequences: dict[str, int] = {}
        self.entries: dict[str, Entry] = {}

    def receive(self, message: bytes) -> None:
        for method, file in files(message):
            entry = self._read(file)
            assert entry.method == method
            assert entry.sequence > self._sequences.get(entry.uid, -1), "an older or equal file is ignored"
            self._sequences[entry.uid] = entry.sequence
            if entry.method == "CANCEL":
                assert entry.status == "CANCELLED"
                self.entries.pop(entry.uid, None)
            else:
                assert (entry.method, entry.status) == ("PUBLISH", "CONFIRMED")
                self.entries[entry.uid] = entry


def files(message: bytes) -> Iterator[tuple[str, str]]:
    parsed = email.message_from_bytes(message, EmailMessage, policy=default)
    for part in parsed.iter_attachments():
        assert part.get_content_type() == "text/calendar"
        yield part["Content-Type"].params["method"], str(part.get_content())


class Attendance:
    """An attendee who reads every e-mail with a calendar."""

    def __init__(self, wiring: Wiring, read: Callable[[str], Entry]) -> None:
        self.client = Client(wiring, verified=True)
        self.post_office = PostOffice(wiring)
        self.host, self.attendee = self.client.host(), self.client.attendee()
        self.calendar = Calendar(read)
        self.event_id = str(self.client.event(self.host, location="Hof")["eventId"])

    def book(self) -> str:
        reply = self.client.book(self.attendee, self.event_id)
        assert reply.status == 201, reply.text
        self._receive()
        return str(reply.json["bookingId"])

    def call(self, method: str, path: str, body: Any = None, *, by: Account) -> None:
        assert self.client(method, path, body, by=by).status < 300
        self._receive()

    def _receive(self) -> None:
        self.post_office.run()
        for address, message in self.post_office.mailer.sent:
            if address == self.attendee.email:
                self.calendar.receive(message)
        self.post_office.mailer.sent.clear()


@pytest.fixture(
    params=[
        pytest.param(by_icalendar, id="icalendar"),
        pytest.param(by_vobject, id="vobject"),
        pytest.param(partial(by_npm, "ical.js"), id="ical.js"),
        pytest.param(partial(by_npm, "node-ical"), id="node-ical"),
    ]
)
def attendance(request: pytest.FixtureRequest, wiring: Wiring) -> Attendance:
    return Attendance(wiring, request.param)


def test_a_moved_event_moves_its_entry(attendance: Attendance) -> None:
    event = f"/events/{attendance.event_id}"
    attendance.book()
    (before,) = attendance.calendar.entries.values()
    moved = {"startDateTime": in_days(37), "endDateTime": in_days(37.1), "location": "Yard"}

    attendance.call("PATCH", event, {"description": "Not announced"}, by=attendance.host)
    attendance.call("PATCH", event, moved, by=attendance.host)

    (after,) = attendance.calendar.entries.values()
    assert after.uid == before.uid
    assert after.start - before.start > timedelta(days=6)
    assert after.location == "Yard"


@pytest.mark.parametrize("by", ["attendee", "host"])
def test_a_cancelled_booking_leaves_the_calendar(attendance: Attendance, by: str) -> None:
    booking_id = attendance.book()

    attendance.call("DELETE", f"/bookings/{booking_id}", by=getattr(attendance, by))

    assert attendance.calendar.entries == {}


@pytest.mark.parametrize(("method", "suffix"), [("POST", "/cancel"), ("DELETE", "")])
def test_a_cancelled_event_leaves_the_calendar(attendance: Attendance, method: str, suffix: str) -> None:
    attendance.book()

    attendance.call(method, f"/events/{attendance.event_id}{suffix}", by=attendance.host)

    assert attendance.calendar.entries == {}


def test_booking_again_keeps_one_entry(attendance: Attendance) -> None:
    first = attendance.book()
    attendance.call("DELETE", f"/bookings/{first}", by=attendance.attendee)
    second = attendance.book()

    (entry,) = attendance.calendar.entries.values()
    assert entry.uid.startswith(second)

    attendance.call("PATCH", f"/events/{attendance.event_id}", {"location": "Yard"}, by=attendance.host)
    (entry,) = attendance.calendar.entries.values()
    assert (entry.uid.startswith(second), entry.location) == (True, "Yard")
    attendance.call("POST", f"/events/{attendance.event_id}/cancel", by=attendance.host)
    assert attendance.calendar.entries == {}
