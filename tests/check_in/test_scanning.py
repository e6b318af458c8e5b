"""Scans at the door: which tickets are admitted, which are refused, and what is recorded."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from chalicelib.api.schemas.check_ins import CheckInResult
from tests.check_in.doors import Door
from tests.client import Client, in_days
from tests.database_contents import contents, count
from tests.rows import rows, value


def test_a_ticket_is_admitted(door: Door) -> None:
    ticket_id = door.ticket(door.client.attendee("Ada"))

    reply = door.scan(ticket_id, gate="North")

    assert reply.status == 200, reply.text
    [row] = rows(door.client, "SELECT * FROM check_ins")
    event = door.client("GET", f"/events/{door.event_id}").json
    reference = door.client("GET", "/bookings", by=door.host).json[0]["reference"]
    assert reply.json == {
        "ticket": {
            "ticketId": ticket_id,
            "ticketTypeId": event["ticketTypes"][0]["ticketTypeId"],
            "name": "General admission",
            "status": "used",
            "holderName": "Ada",
            "reference": reference,
        },
        "checkIn": {
            "checkInId": str(row.check_in_id),
            "ticketId": ticket_id,
            "direction": "in",
            "outcome": "admitted",
            "scannedAt": row.scanned_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "gate": "North",
            "byHand": False,
        },
    }
    msgspec.json.decode(reply.text, type=CheckInResult)
    assert row.scanned_at == row.recorded_at
    assert (row.door_key_id, row.left_at, row.conflicts_with, row.undone_at) == (None, None, None, None)
    assert door.status(ticket_id) == "used"


def test_a_ticket_is_admitted_once(door: Door) -> None:
    ticket_id = door.ticket()
    first = door.scan(ticket_id, gate="North").json
    before = contents(door.client)

    reply = door.scan(ticket_id, gate="South")

    assert (reply.status, reply.problem) == (409, "already-checked-in")
    admitted = first["checkIn"]
    assert reply.json["first"] == {name: admitted[name] for name in ("checkInId", "scannedAt", "gate")}
    assert reply.json["ticket"] == first["ticket"]
    assert contents(door.client) == before


def test_a_ticket_that_was_found_by_name_is_admitted(door: Door) -> None:
    ticket_id = door.ticket()

    reply = door.scan(ticket_id, code=None, ticketId=ticket_id)

    assert reply.status == 200
    assert reply.json["checkIn"]["byHand"] is True


def test_the_holder_is_named(door: Door) -> None:
    attendee = door.client.attendee("Ada")
    ticket_id = door.ticket(attendee)
    holder = {"holderName": "Grace", "holderEmail": "grace@example.com"}
    door.client("PATCH", f"/tickets/{ticket_id}", holder, by=attendee)

    assert door.scan(ticket_id).json["ticket"]["holderName"] == "Grace"


def test_an_attendee_does_not_stand_for_a_holder_without_a_name(door: Door) -> None:
    attendee = door.client.attendee("Ada")
    ticket_id = door.ticket(attendee)
    door.client("PATCH", f"/tickets/{ticket_id}", {"holderEmail": "grace@example.com"}, by=attendee)

    assert "holderName" not in door.scan(ticket_id).json["ticket"]


def test_a_scan_that_is_sent_again_is_recorded_once(door: Door) -> None:
    ticket_id, nonce = door.ticket(), str(uuid4())
    first = door.scan(ticket_id, nonce=nonce)
    before = contents(door.client)

    again = door.scan(ticket_id, nonce=nonce)

    assert (again.status, again.json) == (200, first.json)
    assert contents(door.client) == before


def test_a_scan_is_repeated_whatever_happened_since(client: Client) -> None:
    door = Door.open(client, reEntryAllowed=True)
    ticket_id, nonce = door.ticket(), str(uuid4())
    first = door.scan(ticket_id, nonce=nonce)
    door.scan(ticket_id, direction="out")
    door.scan(ticket_id)

    assert door.scan(ticket_id, nonce=nonce).json == first.json


@pytest.mark.parametrize("other", ["another ticket", "another direction"])
def test_a_nonce_of_another_scan_is_refused(client: Client, other: str) -> None:
    door = Door.open(client, reEntryAllowed=True)
    ticket_id, nonce = door.ticket(), str(uuid4())
    door.scan(ticket_id, nonce=nonce)

    if other == "another ticket":
        reply = door.scan(door.ticket(), nonce=nonce)
    else:
        reply = door.scan(ticket_id, nonce=nonce, direction="out")

    assert (reply.status, reply.problem) == (409, "nonce-reused")
    assert count(client, "check_ins") == 1


def test_events_do_not_share_nonces(client: Client) -> None:
    nonce = str(uuid4())
    doors = [Door.open(client) for _ in range(2)]

    assert [door.scan(door.ticket(), nonce=nonce).status for door in doors] == [200, 200]


def test_a_code_of_another_event_is_refused(door: Door) -> None:
    elsewhere = Door.open(door.client)
    ticket_id = elsewhere.ticket()
    before = contents(door.client)

    by_code, by_hand = door.scan(ticket_id), door.scan(ticket_id, code=None, ticketId=ticket_id)

    assert (by_code.status, by_code.problem) == (409, "wrong-event")
    assert (by_hand.status, by_hand.problem) == (404, "no-such-ticket")
    assert contents(door.client) == before


def test_a_cancelled_ticket_is_refused(door: Door) -> None:
    ticket_id = door.ticket()
    door.client("DELETE", f"/tickets/{ticket_id}", by=door.host)
    before = contents(door.client)

    reply = door.scan(ticket_id)

    assert (reply.status, reply.problem) == (409, "ticket-cancelled")
    assert reply.json["ticket"]["status"] == "cancelled"
    assert contents(door.client) == before


def test_tickets_of_a_cancelled_event_are_refused(door: Door) -> None:
    ticket_id = door.ticket()
    door.client("POST", f"/events/{door.event_id}/cancel", {}, by=door.host)

    assert door.scan(ticket_id).problem == "ticket-cancelled"


def test_a_replaced_code_is_refused(door: Door) -> None:
    ticket_id = door.ticket()
    rows(door.client, "UPDATE tickets SET serial = 2")

    old, new = door.scan(ticket_id), door.scan(ticket_id, code=door.code(ticket_id, serial=2))

    assert (old.status, old.problem) == (409, "code-replaced")
    assert new.status == 200


def test_an_unpaid_ticket_is_refused(client: Client) -> None:
    door = Door.open(client, price=2500)
    ticket_id = door.ticket()

    reply = door.scan(ticket_id)

    assert (reply.status, reply.problem) == (409, "not-yet-valid")
    assert "doorsOpenAt" not in reply.json
    assert door.status(ticket_id) == "held"


def test_before_doors_open_tickets_are_refused(client: Client) -> None:
    opening = in_days(0.01).replace("+00:00", "Z")
    door = Door.open(client, doorsOpenAt=opening)
    ticket_id = door.ticket()

    reply = door.scan(ticket_id)

    assert (reply.status, reply.problem) == (409, "not-yet-valid")
    assert reply.json["doorsOpenAt"] == opening
    assert door.status(ticket_id) == "valid"


@pytest.mark.parametrize(("starts_in_hours", "status"), [(11.9, 200), (12.1, 409)])
def test_doors_open_12_hours_before_the_start(client: Client, starts_in_hours: float, status: int) -> None:
    starts_in = timedelta(hours=starts_in_hours)
    door = Door.open(client, startDateTime=starts_in, endDateTime=starts_in + timedelta(hours=1))

    assert door.scan(door.ticket()).status == status


def test_who_has_left_can_come_in_again(client: Client) -> None:
    door = Door.open(client, reEntryAllowed=True)
    ticket_id = door.ticket()

    scans = [door.scan(ticket_id, direction=direction) for direction in ("in", "out", "in", "out")]

    assert [scan.json["checkIn"]["outcome"] for scan in scans] == ["admitted", "left", "admitted", "left"]
    stays = rows(client, "SELECT scanned_at, left_at FROM check_ins ORDER BY check_in_id")
    assert [stay.left_at for stay in stays] == [stays[1].scanned_at, None, stays[3].scanned_at, None]
    assert door.status(ticket_id) == "used"


def test_only_who_is_inside_can_leave(client: Client) -> None:
    door = Door.open(client, reEntryAllowed=True)
    ticket_id = door.ticket()

    never = door.scan(ticket_id, direction="out")
    door.scan(ticket_id)
    door.scan(ticket_id, direction="out")
    twice = door.scan(ticket_id, direction="out")

    assert {reply.problem for reply in (never, twice)} == {"not-checked-in"}
    assert count(client, "check_ins") == 2


def test_without_re_entry_nobody_is_checked_out(door: Door) -> None:
    ticket_id = door.ticket()
    door.scan(ticket_id)

    reply = door.scan(ticket_id, direction="out")

    assert (reply.status, reply.problem) == (409, "no-re-entry")


def test_re_entry_can_be_withdrawn(client: Client) -> None:
    door = Door.open(client, reEntryAllowed=True)
    ticket_id = door.ticket()
    first = door.scan(ticket_id).json["checkIn"]
    door.scan(ticket_id, direction="out")
    rows(client, "UPDATE events SET re_entry_allowed = false")

    reply = door.scan(ticket_id)

    assert reply.problem == "already-checked-in"
    assert reply.json["first"]["checkInId"] == first["checkInId"]


def test_a_scan_can_be_of_an_earlier_time(door: Door) -> None:
    ticket_id, at = door.ticket(), datetime.now(UTC) - timedelta(minutes=5)

    reply = door.scan(ticket_id, at=at.isoformat())

    assert reply.json["checkIn"]["scannedAt"] == at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert value(door.client, "SELECT recorded_at - scanned_at > interval '4 min' FROM check_ins")


def test_the_scans_of_a_ticket_keep_their_order(client: Client) -> None:
    door = Door.open(client, reEntryAllowed=True)
    ticket_id = door.ticket()
    first = door.scan(ticket_id).json["checkIn"]

    earlier = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    left = door.scan(ticket_id, direction="out", at=earlier).json["checkIn"]

    assert left["scannedAt"] > first["scannedAt"]


@pytest.mark.parametrize(("ahead", "status"), [(50, 200), (70, 400)])
def test_a_clock_may_be_a_minute_fast(door: Door, ahead: int, status: int) -> None:
    at = datetime.now(UTC) + timedelta(seconds=ahead)

    reply = door.scan(door.ticket(), at=at.isoformat())

    assert reply.status == status
    assert reply.status == 200 or reply.faulty_fields == {"at"}


def test_every_check_in_changes_the_ticket(client: Client) -> None:
    door = Door.open(client, reEntryAllowed=True)
    ticket_id = door.ticket()
    seen = set()
    for direction in ("in", "out", "in"):
        door.scan(ticket_id, direction=direction)
        seen.add(value(client, "SELECT (version, changed_in)::text FROM tickets"))

    assert len(seen) == 3


CODE_OF_NOBODY = "A" * 55
BAD_CODES = {
    "cut off": lambda code: code[:-1],
    "cut short": lambda code: code[:8],
    "doubled": lambda code: code * 2,
    "of nobody": lambda _: CODE_OF_NOBODY,
    "one letter changed": lambda code: code[:20] + ("A" if code[20] != "A" else "B") + code[21:],
    "a link": lambda code: f"https://example.com/{code}",
    "not base32": lambda code: code[:-1] + "1",
    "umlauts": lambda code: "Ä" * len(code),
    "binary": lambda code: "\x01\x02\x7f" + code,
    "SQL": lambda _: "'; DROP TABLE tickets; --",
}


@pytest.mark.parametrize("spoil", BAD_CODES.values(), ids=BAD_CODES)
def test_a_code_that_is_not_genuine_is_no_ticket(door: Door, spoil: Any) -> None:
    code = spoil(door.code(door.ticket()))
    before = contents(door.client)

    reply = door.scan("", code=code)

    assert (reply.status, reply.problem) == (404, "no-such-ticket")
    assert contents(door.client) == before


BAD_MEMBERS: dict[str, tuple[dict[str, Any], str]] = {
    "a code of 10 kB": ({"code": "A" * 10_000}, "code"),
    "a code with NUL": ({"code": "A\0A"}, "code"),
    "a blank code": ({"code": "  "}, "code"),
    "a code that is a number": ({"code": 5}, "code"),
    "neither code nor id": ({"code": None}, "code"),
    "code and id": ({"ticketId": str(uuid4())}, "code"),
    "an id that is none": ({"code": None, "ticketId": "x"}, "ticketId"),
    "a nonce that is none": ({"nonce": "1"}, "nonce"),
    "no nonce": ({"nonce": None}, "nonce"),
    "a long gate": ({"gate": "x" * 51}, "gate"),
    "a blank gate": ({"gate": " "}, "gate"),
    "a lone surrogate": ({"gate": "\ud800"}, "gate"),
    "another direction": ({"direction": "up"}, "direction"),
    "a time without an offset": ({"at": "2026-01-01T10:00:00"}, "at"),
    "another member": ({"serial": 1}, "serial"),
}


@pytest.mark.parametrize(("members", "field"), BAD_MEMBERS.values(), ids=BAD_MEMBERS)
def test_bad_members_are_named(door: Door, members: dict[str, Any], field: str) -> None:
    ticket_id = door.ticket()
    before = contents(door.client)

    reply = door.scan(ticket_id, **members)

    assert (reply.status, reply.problem, reply.faulty_fields) == (400, "invalid-input", {field})
    assert contents(door.client) == before


@pytest.mark.parametrize(
    "gate", ["'; DROP TABLE tickets; --", "\\x41", "$$ %s :gate {0}", "Süd 🎷", "x" * 50]
)
def test_gates_are_stored_as_given(door: Door, gate: str) -> None:
    reply = door.scan(door.ticket(), gate=gate)

    assert reply.json["checkIn"]["gate"] == gate
    assert value(door.client, "SELECT gate FROM check_ins") == gate


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"])
def test_odd_times_are_refused(door: Door, at: str) -> None:
    assert door.scan(door.ticket(), at=at).status in {400, 409}
