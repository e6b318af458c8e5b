"""Door lists and batches over HTTP: who may, what is refused, clocks."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from chalicelib.check_in.batches import MAX_SCANS
from tests.check_in.crowd import Crowd, sell
from tests.client import Client, Reply
from tests.rows import value


@pytest.fixture
def crowd(client: Client) -> Crowd:
    return sell(client, 3)


def scan(crowd: Crowd, ticket: int = 0, **members: Any) -> dict[str, Any]:
    at = datetime.now(UTC) - timedelta(minutes=10)
    body = {"code": crowd.tickets[ticket].code, "nonce": str(uuid4()), "at": at.isoformat(), **members}
    return {name: member for name, member in body.items() if member is not None}


def send(crowd: Crowd, *scans: Any, by: str | None = None, **members: Any) -> Reply:
    path = f"/events/{crowd.event_id}/check-ins/batch"
    return crowd.client("POST", path, {"scans": list(scans), **members}, by=by or crowd.host)


def test_a_scanner_with_a_door_key_lists_tickets_and_uploads(crowd: Crowd) -> None:
    made = crowd.client("POST", f"/events/{crowd.event_id}/door-keys", {"name": "North"}, by=crowd.host)
    key = made.json["key"]

    listed = crowd.client("GET", f"/events/{crowd.event_id}/door-list?limit=2", by=key)
    rest = crowd.client("GET", f"/events/{crowd.event_id}/door-list?since={listed.json['mark']}", by=key)
    sent = send(crowd, scan(crowd, gate="North"), by=key)
    changes = crowd.client("GET", f"/events/{crowd.event_id}/door-list?since={rest.json['mark']}", by=key)

    assert [page.json["more"] for page in (listed, rest, changes)] == [True, False, False]
    tickets = listed.json["tickets"] + rest.json["tickets"]
    assert {ticket["ticketId"] for ticket in tickets} == {ticket.ticket_id for ticket in crowd.tickets}
    [result] = sent.json["results"]
    assert (result["outcome"], result["ticket"]["status"]) == ("admitted", "used")
    assert (result["checkIn"]["gate"], result["checkIn"]["byHand"]) == ("North", False)
    [changed] = changes.json["tickets"]
    assert (changed["ticketId"], changed["inside"], changed["gate"]) == (
        crowd.tickets[0].ticket_id,
        True,
        "North",
    )
    assert value(crowd.client, "SELECT door_key_id FROM check_ins") is not None


def test_a_ticket_that_was_found_by_name_is_recorded_as_such(crowd: Crowd) -> None:
    [result] = send(crowd, scan(crowd, code=None, ticketId=crowd.tickets[0].ticket_id)).json["results"]

    assert result["checkIn"]["byHand"] is True


@pytest.mark.parametrize("minutes", [-90, 0, 90])
def test_the_clock_of_a_scanner_may_be_wrong(crowd: Crowd, minutes: int) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    device = now + timedelta(minutes=minutes)

    sent = send(crowd, scan(crowd, at=(device - timedelta(minutes=5)).isoformat()), sentAt=device.isoformat())

    [result] = sent.json["results"]
    scanned = datetime.fromisoformat(result["checkIn"]["scannedAt"])
    assert abs(scanned - (now - timedelta(minutes=5))) < timedelta(minutes=1)


def test_an_uncorrected_time_in_the_future_is_reported(crowd: Crowd) -> None:
    later = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()

    results = send(crowd, scan(crowd, at=later), scan(crowd, 1)).json["results"]

    assert [result["outcome"] for result in results] == ["invalid-time", "admitted"]


def test_scans_before_the_doors_open_are_reported(crowd: Crowd) -> None:
    early = (datetime.now(UTC) - timedelta(hours=12)).isoformat()

    [result] = send(crowd, scan(crowd, at=early)).json["results"]

    assert result["outcome"] == "not-yet-valid"
    assert crowd.status(crowd.tickets[0]) == "valid"


def test_a_conflict_names_both_scans(crowd: Crowd) -> None:
    now = datetime.now(UTC)
    late = scan(crowd, gate="B", at=now.isoformat())
    early = scan(crowd, gate="A", at=(now - timedelta(minutes=1)).isoformat())
    send(crowd, late)

    [won] = send(crowd, early).json["results"]
    [lost] = send(crowd, late).json["results"]

    assert (won["outcome"], [one["gate"] for one in won["later"]]) == ("admitted", ["B"])
    assert (lost["outcome"], lost["first"]["gate"]) == ("already-checked-in", "A")
    assert lost["first"]["checkInId"] == won["checkIn"]["checkInId"]


def test_an_online_scan_that_came_later_loses(crowd: Crowd) -> None:
    online = crowd.client(
        "POST",
        f"/events/{crowd.event_id}/check-ins",
        {"code": crowd.tickets[0].code, "nonce": str(uuid4()), "gate": "B"},
        by=crowd.host,
    )
    assert online.status == 200

    [won] = send(crowd, scan(crowd, gate="A")).json["results"]

    assert [one["checkInId"] for one in won["later"]] == [online.json["checkIn"]["checkInId"]]


TWICE = str(uuid4())
BAD_BATCHES: dict[str, tuple[list[dict[str, Any]], dict[str, Any], str]] = {
    "nothing": ([], {}, "scans"),
    "too many": ([{}] * (MAX_SCANS + 1), {}, "scans"),
    "one nonce twice": ([{"nonce": TWICE}, {"nonce": TWICE}], {}, "scans[0].nonce"),
    "no time": ([{"at": None}], {}, "scans[0].at"),
    "a time without an offset": ([{"at": "2030-06-05T19:00:00"}], {}, "scans[0].at"),
    "code and id": ([{"ticketId": str(uuid4())}], {}, "scans[0].code"),
    "neither code nor id": ([{"code": None}], {}, "scans[0].code"),
    "a code of 10 kB": ([{"code": "A" * 10_000}], {}, "scans[0].code"),
    "a code with NUL": ([{"code": "A\x00"}], {}, "scans[0].code"),
    "a nonce that is no UUID": ([{"nonce": "1"}], {}, "scans[0].nonce"),
    "an unknown direction": ([{"direction": "up"}], {}, "scans[0].direction"),
    "a clock of another year": ([{}], {"sentAt": "2020-01-01T00:00:00Z"}, "sentAt"),
}


@pytest.mark.parametrize("name", BAD_BATCHES)
def test_bad_batches_change_nothing(crowd: Crowd, name: str) -> None:
    scans, members, field = BAD_BATCHES[name]

    reply = send(crowd, *(scan(crowd, **one) for one in scans), **members)

    assert reply.status == 400, reply.text
    assert field in reply.faulty_fields
    assert value(crowd.client, "SELECT count(*) FROM check_ins") == 0


@pytest.mark.parametrize("code", ["A" * 55, "ABC", "https://example.com/ticket/1", "Ünïcode \u202e 票"])
def test_foreign_codes_are_reported(crowd: Crowd, code: str) -> None:
    twice = crowd.tickets[0].code * 2
    cut = crowd.tickets[0].code[:-1]

    results = send(crowd, *(scan(crowd, code=one) for one in (code, twice, cut))).json["results"]

    assert {result["outcome"] for result in results} == {"no-such-ticket"}


@pytest.mark.parametrize("mark", ["x", "", "01234567.1.1.zz", "%00", "9" * 300])
def test_bad_marks_are_refused(crowd: Crowd, mark: str) -> None:
    reply = crowd.client("GET", f"/events/{crowd.event_id}/door-list?since={mark}", by=crowd.host)

    assert (reply.status, reply.faulty_fields) == (400, {"since"})


def test_a_full_batch_is_recorded(client: Client) -> None:
    crowd = sell(client, MAX_SCANS)

    reply = send(crowd, *(scan(crowd, number, gate="N" * 50) for number in range(MAX_SCANS)))

    assert {result["outcome"] for result in reply.json["results"]} == {"admitted"}
    assert value(client, "SELECT count(*) FROM tickets WHERE status = 'used'") == MAX_SCANS
