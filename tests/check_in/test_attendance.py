"""Attendance: admissions by ticket type, gate and quarter of an hour, and conflicts."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec

from chalicelib.api.schemas.check_ins import Attendance
from chalicelib.check_in.attendance import MAX_CONFLICTS, MAX_GATES
from tests.check_in.doors import Door
from tests.client import Client
from tests.rows import executed_statements, rows


def attendance(door: Door) -> Any:
    reply = door.client("GET", f"/events/{door.event_id}/attendance", by=door.host)
    assert reply.status == 200, reply.text
    msgspec.json.decode(reply.text, type=Attendance)
    return reply.json


def test_an_empty_event_has_no_attendance(door: Door) -> None:
    counted = attendance(door)

    [of_type] = counted.pop("ticketTypes")
    del of_type["ticketTypeId"]
    assert of_type == {"name": "General admission", "sold": 0, "admitted": 0, "inside": 0}
    assert counted == {
        "eventId": door.event_id,
        "inside": 0,
        "admitted": 0,
        "conflicts": 0,
        "gates": [],
        "quarters": [],
        "conflictList": [],
    }


def test_tickets_are_counted_once(client: Client) -> None:
    door = Door.open(client, reEntryAllowed=True)
    staying, leaving, back, _absent = [door.ticket() for _ in range(4)]
    door.scan(staying, gate="North")
    for direction in ("in", "out"):
        door.scan(leaving, gate="South", direction=direction)
    for direction in ("in", "out", "in"):
        door.scan(back, gate="North", direction=direction)

    counted = attendance(door)

    assert (counted["inside"], counted["admitted"]) == (2, 3)
    [of_type] = counted["ticketTypes"]
    assert (of_type["sold"], of_type["admitted"], of_type["inside"]) == (4, 3, 2)
    assert counted["gates"] == [{"gate": "North", "admissions": 3}, {"gate": "South", "admissions": 1}]
    assert sum(quarter["admissions"] for quarter in counted["quarters"]) == 3


def test_ticket_types_are_counted_apart(client: Client) -> None:
    types = [{"name": "Seated", "price": 0}, {"name": "Standing", "price": 0}]
    door = Door.open(client, ticketTypes=types, maxPerAttendee=4)
    event = client("GET", f"/events/{door.event_id}").json
    seated = event["ticketTypes"][0]["ticketTypeId"]
    order = {"eventId": door.event_id, "items": [{"ticketTypeId": seated, "quantity": 2}]}
    client("POST", "/bookings", order, by=client.attendee())
    [ticket, _] = rows(client, "SELECT ticket_id FROM tickets")
    door.scan(str(ticket.ticket_id))

    counted = {of_type["name"]: of_type for of_type in attendance(door)["ticketTypes"]}

    assert [counted["Seated"][name] for name in ("sold", "admitted", "inside")] == [2, 1, 1]
    assert [counted["Standing"][name] for name in ("sold", "admitted", "inside")] == [0, 0, 0]


def test_undone_and_cancelled_do_not_count(door: Door) -> None:
    door.client("DELETE", f"/tickets/{door.ticket()}", by=door.host)
    check_in_id = door.scan(door.ticket()).json["checkIn"]["checkInId"]
    door.client("DELETE", f"/events/{door.event_id}/check-ins/{check_in_id}", by=door.host)

    counted = attendance(door)

    assert (counted["inside"], counted["admitted"], counted["gates"]) == (0, 0, [])
    assert counted["ticketTypes"][0]["sold"] == 1


def test_scans_without_a_gate_are_counted(door: Door) -> None:
    door.scan(door.ticket())

    assert attendance(door)["gates"] == [{"admissions": 1}]


def test_quarters_of_an_hour_are_in_utc(door: Door) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    for minutes in (0, 14.99, 15, 44):
        door.scan(door.ticket(), at=(hour + timedelta(minutes=minutes)).isoformat())

    assert attendance(door)["quarters"] == [
        {"from": f"{hour + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}", "admissions": admissions}
        for minutes, admissions in ((0, 2), (15, 1), (30, 1))
    ]


def test_other_events_do_not_count(door: Door) -> None:
    other = Door.open(door.client)
    other.scan(other.ticket())

    assert attendance(door)["admitted"] == 0


def add_conflict(door: Door, first_id: str, seconds: int) -> str:
    """Record a scan of a scanner that was offline."""
    check_in_id = str(uuid4())
    rows(
        door.client,
        "INSERT INTO check_ins (check_in_id, event_id, ticket_id, nonce, direction, outcome, scanned_at,"
        " recorded_at, gate, conflicts_with)"
        " SELECT :check_in_id, event_id, ticket_id, gen_random_uuid(), 'in', 'already-checked-in',"
        " scanned_at + make_interval(secs => :seconds), now(), 'South', check_in_id"
        " FROM check_ins WHERE check_in_id = :first_id",
        check_in_id=check_in_id,
        seconds=seconds,
        first_id=first_id,
    )
    return check_in_id


def test_conflicts_are_listed(door: Door) -> None:
    ticket_id = door.ticket()
    first = door.scan(ticket_id, gate="North").json
    second = add_conflict(door, first["checkIn"]["checkInId"], 1)

    counted = attendance(door)

    assert counted["conflicts"] == 1
    [conflict] = counted["conflictList"]
    assert conflict["ticketId"] == ticket_id
    assert conflict["reference"] == first["ticket"]["reference"]
    assert conflict["scan"]["checkInId"] == second
    assert conflict["scan"]["gate"] == "South"
    assert conflict["first"] == {name: first["checkIn"][name] for name in ("checkInId", "scannedAt", "gate")}
    assert conflict["scan"]["scannedAt"] > conflict["first"]["scannedAt"]


def test_an_attendance_is_bounded(door: Door) -> None:
    first_id = door.scan(door.ticket()).json["checkIn"]["checkInId"]
    added = [add_conflict(door, first_id, second) for second in range(MAX_CONFLICTS + 2)]
    rows(
        door.client,
        "INSERT INTO check_ins (check_in_id, event_id, ticket_id, nonce, direction, outcome, scanned_at,"
        " recorded_at, gate, left_at)"
        " SELECT uuidv7(), event_id, ticket_id, gen_random_uuid(), 'in', 'admitted', scanned_at,"
        " recorded_at, 'Gate ' || n, scanned_at FROM check_ins, generate_series(1, 200) n"
        " WHERE check_in_id = :first_id",
        first_id=first_id,
    )

    with executed_statements(door.client) as executed:
        counted = attendance(door)

    assert len(executed) == 3
    assert counted["conflicts"] == len(added)
    assert [one["scan"]["checkInId"] for one in counted["conflictList"]] == added[:1:-1]
    assert len(counted["gates"]) == MAX_GATES
