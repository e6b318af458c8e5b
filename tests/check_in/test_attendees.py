"""The attendees of an event: the list and the CSV file."""

import csv
import io
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from chalicelib.api import attendees as api
from tests.bookings.orders import Sale, add_code, sell, ticket_type
from tests.client import Account, Client, Reply
from tests.rows import executed_statements, rows


@dataclass(frozen=True)
class Concert:
    """An event with tickets of each kind."""

    host: Account
    sale: Sale
    booker: Account
    online: dict[str, Any]
    """Two tickets with a code, one of them held by Grace."""
    sold: dict[str, Any]
    """Of the box office."""

    @property
    def path(self) -> str:
        return f"/events/{self.sale.event_id}/attendees"


@pytest.fixture
def concert(client: Client) -> Concert:
    client.verified = True
    host, booker = client.host(), client.attendee("Ada Lovelace")
    sale = sell(client, host, ticket_type(), ticket_type("Seated", 2500))
    add_code(client, sale, "CLUB", "percent", 100)
    online = client("POST", "/bookings", sale.order(1, 1, code="CLUB"), by=booker).json
    body = {"name": "Mary Shelley", "email": "mary@example.com", "paidBy": "card"}
    sold = client(
        "POST", f"/events/{sale.event_id}/box-office", body | {"items": sale.order(0, 1)["items"]}, by=host
    ).json
    ticket = client("GET", f"/bookings/{online['bookingId']}/tickets", by=booker).json[1]
    holder = {"holderName": "Grace Hopper", "holderEmail": "grace@example.com"}
    assert client("PATCH", f"/tickets/{ticket['ticketId']}", holder, by=booker).status == 200
    return Concert(host, sale, booker, online, sold)


def listed(client: Client, concert: Concert, query: str = "") -> list[Any]:
    reply = client("GET", f"{concert.path}?{query}", by=concert.host)
    assert reply.status == 200, reply.text
    found: list[Any] = reply.json
    assert reply.headers["x-total-count"] == str(len(found))
    return found


def names(found: list[Any]) -> list[str]:
    return [one["name"] for one in found]


def exported(client: Client, concert: Concert, query: str = "") -> Reply:
    reply = client("GET", f"{concert.path}.csv?{query}", by=concert.host)
    assert reply.status == 200, reply.text
    return reply


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def admit(client: Client, event_id: str, ticket_id: str, gate: str | None, minutes: int) -> None:
    """Record a check-in, as a scanner would."""
    rows(
        client,
        "INSERT INTO check_ins (check_in_id, event_id, ticket_id, nonce, direction, outcome, scanned_at,"
        " recorded_at, gate, left_at) VALUES (uuidv7(), :event_id, :ticket_id, :nonce, 'in', 'admitted',"
        " now() + :later, now(), :gate, now())",
        event_id=UUID(event_id),
        ticket_id=UUID(ticket_id),
        nonce=uuid4(),
        gate=gate,
        later=timedelta(minutes=minutes),
    )
    rows(client, "UPDATE tickets SET status = 'used' WHERE ticket_id = :id", id=UUID(ticket_id))


def test_each_ticket_has_a_row_with_its_attendee(client: Client, concert: Concert) -> None:
    first, second, third = listed(client, concert)

    assert first == {
        "reference": concert.online["reference"],
        "bookingId": concert.online["bookingId"],
        "ticketId": first["ticketId"],
        "ticketTypeId": concert.sale.type_ids[0],
        "ticketType": "Standing",
        "name": "Ada Lovelace",
        "email": concert.booker.email,
        "status": "valid",
        "price": 0,
        "currency": "eur",
        "paidBy": "online",
        "code": "CLUB",
        "bookedAt": concert.online["createdAt"],
    }
    assert (second["name"], second["email"], second["ticketType"]) == (
        "Grace Hopper",
        "grace@example.com",
        "Seated",
    )
    assert (third["name"], third["email"], third["paidBy"], third["price"]) == (
        "Mary Shelley",
        "mary@example.com",
        "card",
        2500,
    )
    assert "code" not in third


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("paidBy=card", ["Mary Shelley"]),
        ("paidBy=online&paidBy=cash", ["Ada Lovelace", "Grace Hopper"]),
        ("q=hopper", ["Grace Hopper"]),
        ("q=GRACE@example.com", ["Grace Hopper"]),
        ("q=love", ["Ada Lovelace", "Grace Hopper"]),
        ("q=mary+shell", ["Mary Shelley"]),
        ("q=%5C'", []),
        ("status=valid", ["Ada Lovelace", "Grace Hopper", "Mary Shelley"]),
        ("status=held&status=used", []),
        ("checkedIn=true", []),
        ("checkedIn=false&limit=100&order=desc", ["Mary Shelley", "Grace Hopper", "Ada Lovelace"]),
    ],
)
def test_attendees_are_filtered(client: Client, concert: Concert, query: str, found: list[str]) -> None:
    assert names(listed(client, concert, query)) == found
    assert [row["name"] for row in table(exported(client, concert, query.partition("&limit")[0]).text)] == (
        sorted(found, key=["Ada Lovelace", "Grace Hopper", "Mary Shelley"].index)
    )


def test_attendees_are_filtered_by_type_and_reference(client: Client, concert: Concert) -> None:
    seated = f"ticketTypeId={concert.sale.type_ids[1]}"

    assert names(listed(client, concert, seated)) == ["Grace Hopper", "Mary Shelley"]
    assert names(listed(client, concert, f"{seated}&q={concert.sold['reference'].lower()}")) == [
        "Mary Shelley"
    ]


def test_a_holder_without_a_name_does_not_get_that_of_the_booker(client: Client, concert: Concert) -> None:
    rows(client, "UPDATE tickets SET holder_name = NULL WHERE holder_name LIKE 'Grace%'")

    second = listed(client, concert)[1]

    assert (second.get("name"), second["email"]) == (None, "grace@example.com")


def test_cancelled_tickets_are_listed_on_request(client: Client, concert: Concert) -> None:
    client("DELETE", f"/bookings/{concert.sold['bookingId']}", by=concert.host)

    assert names(listed(client, concert)) == ["Ada Lovelace", "Grace Hopper"]
    assert names(listed(client, concert, "status=cancelled")) == ["Mary Shelley"]


def test_the_first_check_in_is_shown(client: Client, concert: Concert) -> None:
    first = listed(client, concert)[0]
    admit(client, concert.sale.event_id, first["ticketId"], "South", minutes=5)
    admit(client, concert.sale.event_id, first["ticketId"], "North", minutes=1)

    [shown] = listed(client, concert, "checkedIn=true")

    assert (shown["status"], shown["gate"]) == ("used", "North")
    assert shown["checkedInAt"].endswith("Z")
    assert names(listed(client, concert, "checkedIn=false")) == ["Grace Hopper", "Mary Shelley"]


def test_an_undone_check_in_is_not_shown(client: Client, concert: Concert) -> None:
    first = listed(client, concert)[0]
    admit(client, concert.sale.event_id, first["ticketId"], "South", minutes=5)
    rows(client, "UPDATE check_ins SET undone_at = now()")

    assert listed(client, concert, "checkedIn=true") == []
    assert "gate" not in listed(client, concert)[0]


def test_deleted_accounts_have_no_name(client: Client, concert: Concert) -> None:
    rows(client, "UPDATE tickets SET holder_name = NULL, holder_email = NULL")
    rows(
        client,
        "UPDATE users SET name = NULL, email = NULL, deleted_at = now() WHERE user_id = :id",
        id=UUID(concert.booker.user_id),
    )

    assert not {"name", "email"} & listed(client, concert)[0].keys()
    assert table(exported(client, concert).text)[0]["name"] == ""


def test_pages_follow_the_order_of_booking(client: Client, concert: Concert) -> None:
    for _ in range(3):
        client("POST", "/bookings", concert.sale.order(2, 0), by=client.attendee())
    everything = listed(client, concert)

    assert list(client.pages(f"{concert.path}?limit=2", by=concert.host)) == everything
    by_offset = client("GET", f"{concert.path}?limit=4&offset=3", by=concert.host).json
    assert by_offset == everything[3:7]


def test_the_file_is_rfc_4180(client: Client, concert: Concert) -> None:
    rows(
        client,
        "UPDATE tickets SET holder_name = E'Shelley, \"Mary\"\\nGodwin' WHERE holder_name LIKE 'Mary%'",
    )

    reply = exported(client, concert)

    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    assert reply.headers["content-disposition"] == 'attachment; filename="attendees-a-festival.csv"'
    assert reply.headers["cache-control"] == "private, no-store"
    lines = reply.text.split("\r\n")
    assert lines[0] == (
        "reference,bookingId,ticketId,ticketTypeId,ticketType,name,email,status,price,currency,paidBy,code,"
        "bookedAt,checkedInAt,gate"
    )
    assert '"Shelley, ""Mary""\nGodwin"' in lines[3]
    assert lines[4] == ""
    assert [row["name"] for row in table(reply.text)][2] == 'Shelley, "Mary"\nGodwin'


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+49", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\u00a0@x", "＝1", "＋1", "－1", "＠x", "\n=1"],  # noqa: RUF001
)
def test_formulas_are_neutralised(client: Client, concert: Concert, cell: str) -> None:
    rows(client, "UPDATE tickets SET holder_name = :name WHERE holder_name LIKE 'Mary%'", name=cell)

    assert table(exported(client, concert).text)[2]["name"] == f"'{cell}"


@pytest.mark.parametrize("cell", ["1-2", "a=b", "'", "Jean-Luc", "é@x", "1 + 1"])
def test_other_cells_stay_as_they_are(client: Client, concert: Concert, cell: str) -> None:
    rows(client, "UPDATE tickets SET holder_name = :name WHERE holder_name LIKE 'Mary%'", name=cell)

    assert table(exported(client, concert).text)[2]["name"] == cell


def test_pages_of_the_file_make_one_file(client: Client, concert: Concert) -> None:
    whole = exported(client, concert, "bom=true&paidBy=online&paidBy=card").text
    target: str | None = f"{concert.path}.csv?bom=true&limit=1&paidBy=online&paidBy=card"
    pages = []
    while target:
        reply = client("GET", target, by=concert.host)
        pages.append(reply.text)
        target = reply.links().get("next")
        assert (target is None) == ("x-next-cursor" not in reply.headers)

    assert len(pages) == 3
    assert "".join(pages) == whole
    assert whole.count("\ufeff") == 1
    assert whole.startswith("\ufeffreference,")


def test_a_page_with_long_cells_has_fewer_rows(client: Client, concert: Concert) -> None:
    rows(
        client,
        "INSERT INTO tickets (ticket_id, booking_id, ticket_type_id, list_price, price, status, updated_at,"
        " holder_name) SELECT uuidv7(), booking_id, ticket_type_id, 0, 0, 'valid', now(), repeat('🎷', 200)"
        " FROM tickets CROSS JOIN generate_series(1, 4999) WHERE holder_name LIKE 'Mary%'",
    )

    first = exported(client, concert)
    rest = exported(client, concert, f"cursor={first.headers['x-next-cursor']}")

    assert [len(table(first.text)), len(rest.text.splitlines())] == [2500, 2502]
    assert len(first.text.encode()) < api.MAX_FILE_BYTES


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ('Café “Zoë” / 12" & more', "attendees-cafe-zoe-12-more.csv"),
        ("日本", "attendees.csv"),
        ("x" * 200, f"attendees-{'x' * 70}.csv"),
    ],
)
def test_the_name_of_the_file_is_ascii(client: Client, title: str, name: str) -> None:
    host = client.host()
    event_id = client.event(host, title=title)["eventId"]

    reply = client("GET", f"/events/{event_id}/attendees.csv", by=host)

    assert reply.headers["content-disposition"] == f'attachment; filename="{name}"'


@pytest.mark.parametrize(
    "query", ["limit=5001", "limit=0", "cursor=x", "status=gone", "paidBy=cheque", "offset=1"]
)
def test_bad_queries_of_the_file_are_refused(client: Client, concert: Concert, query: str) -> None:
    assert client("GET", f"{concert.path}.csv?{query}", by=concert.host).problem == "invalid-input"


def test_a_page_takes_two_statements(client: Client, concert: Concert) -> None:
    with executed_statements(client) as executed:
        exported(client, concert)

    assert sum("FROM tickets" in statement for statement in executed) == 1
    assert len([statement for statement in executed if "SELECT" in statement]) <= 3
