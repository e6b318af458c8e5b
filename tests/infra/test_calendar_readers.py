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
from tests.notifications.orders import cancel_ticket
from tests.notifications.pipeline import PostOffice
from tests.rows import rows

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
    description: str


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
        str(event.get("DESCRIPTION", "")),
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
        event.description.value if "description" in event.contents else "",
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
        if part.get_content_type() == "application/pdf":  # the tickets
            continue
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

    def book(self, quantity: int = 1) -> str:
        body = {"eventId": self.event_id, "quantity": quantity}
        reply = self.client("POST", "/bookings", body, by=self.attendee)
        assert reply.status == 201, reply.text
        self._receive()
        return str(reply.json["bookingId"])

    def cancel_ticket(self, booking_id: str) -> None:
        cancel_ticket(self.client, booking_id)
        self._receive()

    def allow(self, places: int) -> None:
        """Let each attendee have this many places."""
        rows(self.client, "UPDATE events SET max_per_attendee = :places", places=places)

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


def test_an_order_is_one_entry_with_its_places(attendance: Attendance) -> None:
    attendance.allow(5)

    attendance.book(3)

    (entry,) = attendance.calendar.entries.values()
    assert entry.description.startswith("3 places\n3 x General admission\n")


def test_cancelled_tickets_update_the_entry_and_the_last_removes_it(attendance: Attendance) -> None:
    attendance.allow(5)
    booking_id = attendance.book(3)
    (first,) = attendance.calendar.entries.values()

    for left in ("2 places\n2 x ", "1 place\n1 x "):
        attendance.cancel_ticket(booking_id)
        (entry,) = attendance.calendar.entries.values()
        assert entry.description.startswith(left)
        assert (entry.uid, entry.start) == (first.uid, first.start)
    attendance.call("DELETE", f"/bookings/{booking_id}", by=attendance.attendee)

    assert attendance.calendar.entries == {}


@pytest.mark.parametrize(("method", "suffix"), [("POST", "/cancel"), ("DELETE", "")])
def test_each_booking_of_an_event_keeps_its_entry(attendance: Attendance, method: str, suffix: str) -> None:
    event = f"/events/{attendance.event_id}"
    attendance.allow(9)
    booked = [attendance.book(places) for places in (1, 2, 3)]
    assert len(attendance.calendar.entries) == 3

    attendance.call("PATCH", event, {"location": "Yard"}, by=attendance.host)
    attendance.call("DELETE", f"/bookings/{booked[1]}", by=attendance.attendee)

    entries = list(attendance.calendar.entries.values())
    assert [entry.location for entry in entries] == ["Yard", "Yard"]
    assert [entry.uid[:36] for entry in entries] == [booked[0], booked[2]]
    attendance.call(method, f"{event}{suffix}", by=attendance.host)
    assert attendance.calendar.entries == {}
