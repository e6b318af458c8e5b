"""Codes: created, listed, changed and deleted by the host."""

from typing import Any

import pytest

from chalicelib.bookings.codes import MAX_CODES
from tests.client import Account, Client, Reply, in_days
from tests.database_contents import contents
from tests.events.test_ticket_types import path_of, publish, remove
from tests.rows import executed_statements, rows, value

PERCENT = {"code": "EARLYBIRD", "kind": "percent", "value": 20}
AMOUNT = {"code": "FIVE-OFF", "kind": "amount", "value": 500}
ACCESS = {"code": "BACKSTAGE_1", "kind": "access"}


@pytest.fixture
def host(client: Client) -> Account:
    return client.host()


@pytest.fixture
def event(client: Client, host: Account) -> Any:
    types = [{"name": "Regular", "price": 2500}, {"name": "VIP", "price": 9000}]
    return publish(client, host, *types, maxPerAttendee=4)


def codes_of(event: Any) -> str:
    return f"/events/{event['eventId']}/codes"


def create(client: Client, host: Account, event: Any, **members: Any) -> Reply:
    return client("POST", codes_of(event), {**PERCENT, **members}, by=host)


def path_to(event: Any, code: Reply) -> str:
    return f"{codes_of(event)}/{code.json['codeId']}"


def order(event: Any, code: str, number: int = 0, quantity: int = 1) -> dict[str, Any]:
    item = {"ticketTypeId": event["ticketTypes"][number]["ticketTypeId"], "quantity": quantity}
    return {"eventId": event["eventId"], "items": [item], "code": code}


def book(client: Client, event: Any, code: str, number: int = 0, quantity: int = 1) -> Reply:
    return client("POST", "/bookings", order(event, code, number, quantity), by=client.attendee())


def ids(event: Any) -> list[str]:
    return [kind["ticketTypeId"] for kind in event["ticketTypes"]]


@pytest.mark.parametrize("code", [PERCENT, AMOUNT, ACCESS], ids=lambda code: code["kind"])
def test_a_code_has_what_was_sent(client: Client, host: Account, event: Any, code: dict[str, Any]) -> None:
    full = {
        **code,
        "ticketTypeIds": ids(event),
        "maxUses": 10,
        "maxPerAttendee": 2,
        "validFrom": "2026-01-01T00:00:00Z",
        "validUntil": "2040-01-01T00:00:00Z",
    }

    for sent in (code, full):
        made = client("POST", codes_of(event), {**sent, "code": f"{sent['code']}-{len(sent)}"}, by=host)

        assert made.status == 201
        own = {"codeId", "uses", "createdAt", "updatedAt"}
        assert {name: member for name, member in made.json.items() if name not in own} == {
            **sent,
            "code": made.json["code"],
        }
        assert made.json["uses"] == 0
        assert made.headers["location"] == path_to(event, made)
        assert book(client, event, made.json["code"]).status == 201


BAD_MEMBERS: list[tuple[str, Any]] = [
    *(("code", bad) for bad in ("", "EB", "early", "EARLY BIRD", "EARLY🎷", "-EARLY", "ÄRLY", 5, None)),
    *(("code", bad) for bad in ("X" * 41, "X" * 10_000, "EARLY\nBIRD", "EARLY\0", "EARLY'")),
    *(("kind", bad) for bad in ("Percent", "", 5, None)),
    *(("value", bad) for bad in (0, 101, -5, 33.333, "10", True, None, [20])),
    ("ticketTypeIds", []),
    ("ticketTypeIds", {}),
    ("ticketTypeIds", "x"),
    ("ticketTypeIds", ["019b2f3e-7c1a-7b55-9d41-2f6d0c8a1e90"] * 51),
    *(("maxUses", bad) for bad in (0, -1, 1_000_001, 1.5, "2", True)),
    *(("maxPerAttendee", bad) for bad in (0, -1, 101, 1.5, "2", True)),
    *(("validFrom", bad) for bad in ("tomorrow", "2030-01-01", 0)),
    *(("validUntil", bad) for bad in ("tomorrow", "2030-01-01", 0)),
    ("uses", 5),
]


@pytest.mark.parametrize(("member", "bad"), BAD_MEMBERS, ids=lambda bad: ascii(bad)[:30])
def test_a_bad_member_of_a_code_is_named(
    client: Client, host: Account, event: Any, member: str, bad: Any
) -> None:
    path = path_to(event, create(client, host, event, code="GOOD"))
    before = contents(client)

    for method, target, body in (
        ("POST", codes_of(event), {**PERCENT, member: bad}),
        ("PATCH", path, {member: bad}),
    ):
        reply = client(method, target, body, by=host)
        assert (reply.status, reply.faulty_fields) == (400, {member}), reply.text
    assert contents(client) == before


def test_the_value_fits_the_kind(client: Client, host: Account, event: Any) -> None:
    path = path_to(event, create(client, host, event, code="GOOD"))
    before = contents(client)

    bad_values: list[dict[str, Any]] = [
        {"kind": "amount", "value": 0},
        {"kind": "amount", "value": 10**12},
        {"kind": "amount", "value": None},
        {"kind": "access", "value": 5},
        {"kind": "percent", "value": 101},
    ]
    for bad in bad_values:
        assert create(client, host, event, **bad).faulty_fields == {"value"}
        assert client("PATCH", path, bad, by=host).faulty_fields == {"value"}
    assert client("PATCH", path, {"kind": "access"}, by=host).faulty_fields == {"value"}
    without = {"code": "EARLYBIRD", "kind": "percent"}
    assert client("POST", codes_of(event), without, by=host).faulty_fields == {"value"}
    assert contents(client) == before


def test_the_value_can_be_at_its_limits(client: Client, host: Account, event: Any) -> None:
    for number, good in enumerate(
        (
            {"kind": "percent", "value": 1},
            {"kind": "percent", "value": 100},
            {"kind": "amount", "value": 1},
            {"kind": "amount", "value": 10**12 - 1},
        )
    ):
        assert create(client, host, event, code=f"CODE-{number}", **good).status == 201
        assert book(client, event, f"CODE-{number}").status == 201


def test_the_validity_of_a_code_is_in_order(client: Client, host: Account, event: Any) -> None:
    path = path_to(event, create(client, host, event, code="GOOD", validFrom=in_days(2)))

    for until in (in_days(2), in_days(1)):
        reply = create(client, host, event, validFrom=in_days(2), validUntil=until)
        assert reply.faulty_fields == {"validUntil"}
        assert client("PATCH", path, {"validUntil": until}, by=host).faulty_fields == {"validUntil"}


def test_a_bad_type_of_a_code_is_named_by_its_index(client: Client, host: Account, event: Any) -> None:
    other = publish(client, host, {"name": "Other", "price": 0}, {"name": "More", "price": 0})
    remove(client, host, other, 1)
    [first, second] = ids(event)
    before = contents(client)

    for bad, index in (
        ([first, "x"], 1),
        ([5, first], 0),
        ([first, ids(other)[0]], 1),
        ([ids(other)[1]], 0),
        ([first, second, first], 2),
        (["019b2f3e-7c1a-7b55-9d41-2f6d0c8a1e90"], 0),
    ):
        reply = create(client, host, event, ticketTypeIds=bad)
        assert (reply.status, reply.faulty_fields) == (400, {f"ticketTypeIds[{index}]"})
    assert contents(client) == before


def test_a_code_is_unique_among_those_of_its_event(client: Client, host: Account, event: Any) -> None:
    first = create(client, host, event)
    other = create(client, host, event, code="OTHER")

    again = create(client, host, event, kind="access", value=None)
    renamed = client("PATCH", path_to(event, other), {"code": "EARLYBIRD"}, by=host)

    assert [(reply.status, reply.problem) for reply in (again, renamed)] == [(409, "code-exists")] * 2
    assert create(client, host, client.event(host)).status == 201
    client("DELETE", path_to(event, first), by=host)
    assert create(client, host, event).status == 201


def test_a_discount_is_for_the_types_of_the_code(client: Client, host: Account, event: Any) -> None:
    create(client, host, event, ticketTypeIds=ids(event)[1:])

    vip, regular = book(client, event, "EARLYBIRD", 1), book(client, event, "EARLYBIRD", 0)

    assert (vip.json["amount"], vip.json["discount"]) == (7200, 1800)
    assert (regular.status, regular.problem) == (400, "code-invalid")


def test_a_list_of_codes_shows_their_uses(client: Client, host: Account, event: Any) -> None:
    assert client("GET", codes_of(event), by=host).json == []
    for code in ("CCC", "AAA", "BBB"):
        create(client, host, event, code=code, maxUses=9)
    for _ in range(2):
        book(client, event, "AAA", quantity=2)

    newest = client("GET", codes_of(event), by=host)
    by_code = list(client.pages(f"{codes_of(event)}?sort=code&limit=2", by=host))
    page = client("GET", f"{codes_of(event)}?sort=code&order=desc&limit=1&offset=1", by=host)

    assert [code["code"] for code in newest.json] == ["BBB", "AAA", "CCC"]
    assert newest.headers["x-total-count"] == "3"
    assert [(code["code"], code["uses"]) for code in by_code] == [("AAA", 2), ("BBB", 0), ("CCC", 0)]
    assert [code["code"] for code in page.json] == ["BBB"]


def test_a_list_of_codes_needs_two_statements(client: Client, host: Account, event: Any) -> None:
    for number in range(3):
        create(client, host, event, code=f"CODE-{number}")

        with executed_statements(client) as executed:
            assert len(client("GET", codes_of(event), by=host).json) == number + 1
        assert len(executed) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"code": "LATEBIRD"},
        {"value": 100},
        {"kind": "amount", "value": 1000},
        {"kind": "access", "value": None},
        {"ticketTypeIds": None},
        {"maxUses": None},
        {"maxUses": 1},
        {"maxPerAttendee": 1},
        {"validFrom": None, "validUntil": None},
        {"validUntil": "2041-01-01T00:00:00Z"},
    ],
)
def test_a_change_of_a_code_keeps_the_rest(
    client: Client, host: Account, event: Any, change: dict[str, Any]
) -> None:
    times = {"validFrom": "2026-01-01T00:00:00Z", "validUntil": "2040-01-01T00:00:00Z"}
    made = create(client, host, event, ticketTypeIds=ids(event)[:1], maxUses=10, **times)
    revision = revision_of(client, event)

    reply = client("PATCH", path_to(event, made), change, by=host)

    merged = {**made.json, **change, "updatedAt": reply.json["updatedAt"]}
    assert reply.status == 200
    assert reply.json == {name: member for name, member in merged.items() if member is not None}
    assert client("GET", codes_of(event), by=host).json == [reply.json]
    assert revision_of(client, event) == revision + 1


def revision_of(client: Client, event: Any) -> int:
    return int(value(client, "SELECT revision FROM places WHERE event_id = :id", id=event["eventId"]))


def test_a_patch_without_a_change_changes_nothing(client: Client, host: Account, event: Any) -> None:
    made = create(client, host, event)
    before = contents(client)

    for body in ({}, PERCENT, {"maxUses": None}):
        assert client("PATCH", path_to(event, made), body, by=host).json == made.json
    assert contents(client) == before


def test_the_limit_of_uses_stays_above_the_uses(client: Client, host: Account, event: Any) -> None:
    made = create(client, host, event, maxUses=5)
    for _ in range(2):
        book(client, event, "EARLYBIRD")
    before = contents(client)

    below = client("PATCH", path_to(event, made), {"maxUses": 1, "value": 50}, by=host)

    assert (below.status, below.problem) == (409, "max-uses-below-uses")
    assert contents(client) == before
    equal = client("PATCH", path_to(event, made), {"maxUses": 2}, by=host)
    assert (equal.status, equal.json["uses"]) == (200, 2)
    assert book(client, event, "EARLYBIRD").problem == "code-invalid"
    client("PATCH", path_to(event, made), {"maxUses": 3}, by=host)
    assert book(client, event, "EARLYBIRD").status == 201


def test_bookings_keep_the_discount_of_a_deleted_code(client: Client, host: Account, event: Any) -> None:
    made = create(client, host, event, maxUses=2)
    attendee = client.attendee()
    booked = client("POST", "/bookings", order(event, "EARLYBIRD"), by=attendee).json

    deleted = client("DELETE", path_to(event, made), by=host)

    assert (deleted.status, client("GET", codes_of(event), by=host).json) == (204, [])
    assert book(client, event, "EARLYBIRD").problem == "code-invalid"
    kept = client("GET", f"/bookings/{booked['bookingId']}", by=attendee).json
    assert (kept["amount"], kept["discount"]) == (2000, 500)
    assert client("DELETE", f"/bookings/{booked['bookingId']}", by=attendee).status == 204
    for method, body in (("PATCH", {"value": 5}), ("DELETE", None)):
        again = client(method, path_to(event, made), body, by=host)
        assert (again.status, again.problem) == (404, "no-such-code")


def test_a_code_is_found_by_its_own_event_only(client: Client, host: Account, event: Any) -> None:
    made = create(client, host, event)
    path = f"{codes_of(client.event(host))}/{made.json['codeId']}"

    for method, body in (("PATCH", {"value": 5}), ("DELETE", None)):
        assert client(method, path, body, by=host).problem == "no-such-code"


def test_an_event_has_a_limited_number_of_codes(client: Client, host: Account, event: Any) -> None:
    rows(
        client,
        "INSERT INTO codes (code_id, event_id, code, kind, created_at, updated_at)"
        " SELECT uuidv7(), CAST(:id AS uuid), 'CODE-' || n, 'access', now(), now()"
        " FROM generate_series(2, CAST(:most AS integer)) n",
        id=event["eventId"],
        most=MAX_CODES,
    )
    last = create(client, host, event)

    beyond = create(client, host, event, code="BEYOND")

    assert (last.status, beyond.status, beyond.problem) == (201, 409, "too-many-codes")
    client("DELETE", path_to(event, last), by=host)
    assert create(client, host, event, code="BEYOND").status == 201


@pytest.mark.parametrize("state", ["cancelled", "deleted"])
def test_codes_of_an_event_that_is_over_stay(client: Client, host: Account, event: Any, state: str) -> None:
    made = create(client, host, event)
    if state == "cancelled":
        client("POST", f"/events/{event['eventId']}/cancel", by=host)
    else:
        client("DELETE", f"/events/{event['eventId']}", by=host)
    before = contents(client)

    for reply in (
        create(client, host, event, code="MORE"),
        client("PATCH", path_to(event, made), {"value": 5}, by=host),
        client("DELETE", path_to(event, made), by=host),
    ):
        assert reply.problem == {"cancelled": "event-cancelled", "deleted": "no-such-event"}[state]
    assert contents(client) == before
    listed = client("GET", codes_of(event), by=host)
    assert listed.status == (200 if state == "cancelled" else 404)


def test_a_draft_can_have_codes_before_it_is_published(client: Client, host: Account) -> None:
    draft = client.event(host, price=2500, status="draft")

    assert create(client, host, draft).status == 201
    client("PATCH", f"/events/{draft['eventId']}", {"status": "published"}, by=host)
    assert book(client, draft, "EARLYBIRD").json["amount"] == 2000


def test_an_archived_type_can_stay_in_a_code(client: Client, host: Account, event: Any) -> None:
    made = create(client, host, event, ticketTypeIds=ids(event))
    book(client, event, "EARLYBIRD", 1)
    assert client("DELETE", path_of(event, 1), by=host).status == 204

    assert client("PATCH", path_to(event, made), {"value": 30}, by=host).status == 200


def test_a_type_can_require_a_code(client: Client, host: Account, event: Any) -> None:
    client("PATCH", path_of(event, 1), {"codeRequired": True}, by=host)
    create(client, host, event, **{**ACCESS, "value": None}, ticketTypeIds=ids(event)[1:])
    without = {name: member for name, member in order(event, "", 1).items() if name != "code"}

    refused = client("POST", "/bookings", without, by=client.attendee())
    allowed = book(client, event, "BACKSTAGE_1", 1)

    assert (refused.status, refused.faulty_fields) == (400, {"items[0].ticketTypeId"})
    assert (allowed.status, allowed.json["amount"]) == (201, 9000)
