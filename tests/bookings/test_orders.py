"""Orders of several tickets: prices, codes, limits, and bad input by name."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from chalicelib.events import prices
from chalicelib.payments import hold_expiry
from tests.bookings.orders import Sale, add_code, archive, sell, taken_by_pool, ticket_type
from tests.client import HOLD, Account, Client, Reply
from tests.database_contents import contents
from tests.rows import rows, value

PATHS = ["/bookings", "/bookings/quote"]
MAX_CHARGE = prices.max_charge("eur")


@pytest.fixture
def host(client: Client) -> Account:
    return client.host()


@pytest.fixture
def attendee(client: Client) -> Account:
    return client.attendee()


def change_price(client: Client, sale: Sale, price: int) -> None:
    rows(
        client,
        "WITH changed AS (UPDATE ticket_types SET price = :price WHERE event_id = :event_id)"
        " UPDATE places SET revision = revision + 1 WHERE event_id = :event_id",
        price=price,
        event_id=sale.event_id,
    )


BAD_QUANTITIES = [0, -1, 101, 1.5, "2", True, None, [1], 10**30]


@pytest.mark.parametrize("path", PATHS)
def test_a_bad_quantity_is_named(client: Client, host: Account, attendee: Account, path: str) -> None:
    sale = sell(client, host, ticket_type(), ticket_type("Seated"), max_per_attendee=100)
    sole = sell(client, host, ticket_type(), max_per_attendee=100)
    before = contents(client)

    for quantity in BAD_QUANTITIES:
        order = sale.order(1, 1)
        order["items"][1]["quantity"] = quantity
        assert_refused(client("POST", path, order, by=attendee), "items[1].quantity")
        if quantity is not None:
            body = {"eventId": sole.event_id, "quantity": quantity}
            assert_refused(client("POST", path, body, by=attendee), "quantity")

    assert contents(client) == before


def assert_refused(reply: Reply, field: str, name: str = "") -> None:
    assert reply.status == 400, (name, reply.text)
    [faulty] = reply.faulty_fields
    assert faulty in {field, field.partition("[")[0]}, (name, reply.text)


def changed(change: Callable[[dict[str, Any]], object]) -> Callable[[Sale, Sale], dict[str, Any]]:
    def make(sale: Sale, _other: Sale) -> dict[str, Any]:
        order = sale.order(1, 1, 0, 0)
        change(order)
        return order

    return make


def with_code(code: object) -> Callable[[Sale, Sale], dict[str, Any]]:
    return changed(lambda order: order.update(code=code))


BAD_ORDERS: dict[str, tuple[Callable[[Sale, Sale], dict[str, Any]], str]] = {
    "no items": (changed(lambda order: order.update(items=[])), "items"),
    "51 items": (changed(lambda order: order.update(items=order["items"][:1] * 51)), "items"),
    "a type twice": (
        changed(lambda order: order.update(items=order["items"][:1] * 2)),
        "items[1].ticketTypeId",
    ),
    "a type that is not": (
        changed(lambda order: order["items"][1].update(ticketTypeId=str(uuid4()))),
        "items[1].ticketTypeId",
    ),
    "a type of another event": (
        lambda sale, other: {
            "eventId": sale.event_id,
            "items": other.order(1)["items"] + sale.order(1, 0, 0, 0)["items"],
        },
        "items[0].ticketTypeId",
    ),
    "an archived type": (lambda sale, _: sale.order(1, 0, 1, 0), "items[1].ticketTypeId"),
    "a type that needs a code": (lambda sale, _: sale.order(1, 0, 0, 1), "items[1].ticketTypeId"),
    "a type that is no id": (
        changed(lambda order: order["items"][0].update(ticketTypeId="standing")),
        "items[0].ticketTypeId",
    ),
    "an unknown member": (
        changed(lambda order: order["items"][0].update(price=1)),
        "items[0].price",
    ),
    "items and quantity": (changed(lambda order: order.update(quantity=1)), "quantity"),
    "several types without items": (lambda sale, _: {"eventId": sale.event_id}, "items"),
    "several types without items, of a quantity": (
        lambda sale, _: {"eventId": sale.event_id, "quantity": 2},
        "items",
    ),
    "below the minimum of the type": (lambda _, other: other.order(1), "items[0].quantity"),
    "above the maximum of the type": (lambda _, other: other.order(5), "items[0].quantity"),
    "above the maximum, without items": (
        lambda _, other: {"eventId": other.event_id, "quantity": 5},
        "quantity",
    ),
    "an unknown code": (with_code("EARLYBIRDS"), "code"),
    "a code of another event": (with_code("ELSEWHERE"), "code"),
    "a code in lower case": (with_code("earlybird"), "code"),
    "a code with a space": (with_code("EARLY BIRD"), "code"),
    "a code with an emoji": (with_code("EARLY🐦"), "code"),
    "a code with a quote": (with_code("EARLY'BIRD"), "code"),
    "a code with a NUL": (with_code("EARLY\0BIRD"), "code"),
    "a code of 10 kB": (with_code("E" * 10_000), "code"),
    "an empty code": (with_code(""), "code"),
    "a code that is a number": (with_code(17), "code"),
}


@pytest.mark.parametrize("path", PATHS)
def test_a_bad_order_is_refused_by_name(client: Client, host: Account, attendee: Account, path: str) -> None:
    sale = sell(
        client,
        host,
        ticket_type(),
        ticket_type("Seated"),
        ticket_type("Archived"),
        ticket_type("Hidden", code_required=True),
    )
    other = sell(client, host, ticket_type(min_per_booking=2, max_per_booking=4))
    add_code(client, sale)
    add_code(client, other, "ELSEWHERE")
    with client.wiring.database.transaction() as connection:
        archive(connection, sale.event_id, sale.type_ids[2])
    before = contents(client)

    for name, (make, field) in BAD_ORDERS.items():
        assert_refused(client("POST", path, make(sale, other), by=attendee), field, name)

    assert contents(client) == before


@pytest.mark.parametrize("path", PATHS)
def test_a_total_that_cannot_be_charged_is_refused(
    client: Client, host: Account, attendee: Account, path: str
) -> None:
    sale = sell(client, host, ticket_type(price=MAX_CHARGE), max_per_attendee=100)
    before = contents(client)

    assert_refused(client("POST", path, sale.order(100), by=attendee), "items")
    assert_refused(client("POST", path, sale.order(2), by=attendee), "items")
    assert_refused(client("POST", path, {"eventId": sale.event_id, "quantity": 100}, by=attendee), "quantity")

    assert contents(client) == before
    assert client("POST", path, sale.order(1), by=attendee).json["amount"] == MAX_CHARGE


def test_an_order_takes_the_price_of_its_time(client: Client, host: Account, attendee: Account) -> None:
    sale = sell(client, host, ticket_type(price=2000))
    quoted = client("POST", "/bookings/quote", sale.order(3), by=attendee)
    assert (quoted.status, quoted.json["amount"]) == (200, 6000)
    change_price(client, sale, 2500)

    booked = client("POST", "/bookings", sale.order(3), by=attendee)

    assert (booked.status, booked.json["amount"]) == (201, 7500)
    assert value(client, "SELECT amount FROM bookings") == 7500
    assert value(client, "SELECT amount FROM payments") == 7500
    assert [row.price for row in rows(client, "SELECT price FROM tickets")] == [2500] * 3


def test_a_quote_holds_only_while_the_event_is_unchanged(
    client: Client, host: Account, attendee: Account
) -> None:
    sale = sell(client, host, ticket_type(price=2000))
    quoted = client("POST", "/bookings/quote", sale.order(3), by=attendee)
    change_price(client, sale, 2500)
    before = contents(client)

    refused = client(
        "POST", "/bookings", sale.order(3), by=attendee, headers={"If-Match": quoted.headers["etag"]}
    )

    assert (refused.status, refused.problem) == (412, "stale-version")
    assert contents(client) == before
    again = client("POST", "/bookings/quote", sale.order(3), by=attendee)
    booked = client(
        "POST", "/bookings", sale.order(3), by=attendee, headers={"If-Match": again.headers["etag"]}
    )
    assert (booked.status, booked.json["amount"]) == (201, again.json["amount"])


def test_a_booking_of_another_attendee_keeps_a_quote(
    client: Client, host: Account, attendee: Account
) -> None:
    sale = sell(client, host, ticket_type())
    tag = client("POST", "/bookings/quote", sale.order(1), by=attendee).headers["etag"]
    client("POST", "/bookings", sale.order(1), by=client.attendee())

    reply = client("POST", "/bookings", sale.order(1), by=attendee, headers={"If-Match": tag})

    assert reply.status == 201


def test_items_can_be_in_any_order(client: Client, host: Account) -> None:
    sale = sell(client, host, *(ticket_type(str(number)) for number in range(5)))
    order = sale.order(1, 2, 3, 2, 1)

    replies = [
        client("POST", "/bookings", order | {"items": items}, by=client.attendee())
        for items in (order["items"], order["items"][::-1])
    ]

    assert [reply.status for reply in replies] == [201, 201]
    for reply in replies:
        assert [item["quantity"] for item in reply.json["items"]] == [1, 2, 3, 2, 1]
    assert list(taken_by_pool(client, sale.event_id).values()) == [2, 4, 6, 4, 2]


@pytest.mark.parametrize(
    ("kind", "discount", "price", "paid"),
    [
        ("percent", 50, 2001, 1000),  # half up: 1001 off
        ("percent", 25, 2001, 1501),  # 500.25 off
        ("percent", 100, 2001, 0),
        ("percent", 99, 2001, 50),  # the minimum charge
        ("amount", 500, 2001, 1501),
        ("amount", 1990, 2001, 50),
        ("amount", 5000, 2001, 0),
        ("access", None, 2001, 2001),
    ],
)
def test_a_code_reduces_the_price_of_each_ticket(
    client: Client, host: Account, attendee: Account, kind: Any, discount: int | None, price: int, paid: int
) -> None:
    sale = sell(client, host, ticket_type(price=price), ticket_type("Seated", price=3000))
    add_code(client, sale, "SUMMER", kind, discount, type_ids=sale.type_ids[:1])

    quoted = client("POST", "/bookings/quote", sale.order(2, 1, code="SUMMER"), by=attendee)
    booked = client("POST", "/bookings", sale.order(2, 1, code="SUMMER"), by=attendee)

    assert (quoted.status, booked.status) == (200, 201)
    for reply in (quoted, booked):
        assert reply.json["amount"] == 2 * paid + 3000
        assert reply.json.get("discount", 0) == 2 * (price - paid)
        assert [item["unitPrice"] for item in reply.json["items"]] == [price, 3000]


def test_an_order_that_costs_nothing_is_confirmed_immediately(
    client: Client, host: Account, attendee: Account
) -> None:
    sale = sell(client, host, ticket_type(price=2000))
    add_code(client, sale, "FREE", "percent", 100)

    booked = client("POST", "/bookings", sale.order(3, code="FREE"), by=attendee).json

    assert (booked["status"], booked["amount"], booked["discount"]) == ("confirmed", 0, 6000)
    assert "payment" not in booked
    assert rows(client, "SELECT FROM payments") == []


def test_a_use_of_a_code_is_released_with_its_booking(client: Client, host: Account) -> None:
    sale = sell(client, host, ticket_type(price=2000), ticket_type("Free"))
    code_id = str(add_code(client, sale, "CLUB", max_uses=1))
    first, second, third = client.attendees(3)

    def book(by: Account, *quantities: int) -> Reply:
        return client("POST", "/bookings", sale.order(*quantities, code="CLUB"), by=by)

    assert book(first, 2, 1).status == 201
    assert_refused(book(second, 0, 2), "code")
    hold_expiry.expire_holds(client.wiring.database, lambda: client.wiring.payments, datetime.now(UTC) + HOLD)
    assert taken_by_pool(client, sale.event_id)[code_id] == 0

    booked = book(second, 0, 2)
    assert booked.status == 201
    assert_refused(book(third, 0, 1), "code")
    client("DELETE", f"/bookings/{booked.json['bookingId']}", by=second)
    assert taken_by_pool(client, sale.event_id)[code_id] == 0
    assert book(third, 0, 1).status == 201


@pytest.mark.parametrize("price", [0, 2500], ids=["free", "priced"])
@pytest.mark.parametrize("booked", [1, 2])
def test_a_limit_that_was_lowered_counts_for_earlier_bookings(
    client: Client, host: Account, attendee: Account, booked: int, price: int
) -> None:
    event = client.event(host, maxPerAttendee=4, price=price)
    order = {"eventId": event["eventId"], "quantity": booked}
    assert client("POST", "/bookings", order, by=attendee).status == 201
    path = f"/events/{event['eventId']}"

    assert client("PATCH", path, {"maxPerAttendee": 1}, by=host).status == 200

    again = client("POST", "/bookings/quote", {"eventId": event["eventId"]}, by=attendee)
    assert again.problem == "already-booked"
    booking = client.book(attendee, event["eventId"])
    assert (booking.status, booking.json.get("quantity")) == (200, booked) if price else booking.status == 409
    assert value(client, "SELECT taken FROM places WHERE event_id = :id", id=event["eventId"]) == booked

    assert client("PATCH", path, {"maxPerAttendee": 3}, by=host).status == 200
    left = client("POST", "/bookings", {**order, "quantity": 4}, by=attendee).json["left"]
    assert left == 3 - booked


def test_a_code_that_the_only_type_requires_is_named(
    client: Client, host: Account, attendee: Account
) -> None:
    sale = sell(client, host, ticket_type(code_required=True))

    reply = client.book(attendee, sale.event_id)

    assert (reply.status, reply.problem, reply.faulty_fields) == (400, "invalid-input", {"code"})
    add_code(client, sale, "GUESTS")
    with_code = {"eventId": sale.event_id, "code": "GUESTS"}
    assert client("POST", "/bookings", with_code, by=attendee).status == 201
