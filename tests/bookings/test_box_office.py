"""The box office: sales without Stripe, by the host."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote
from uuid import UUID

import msgspec
import pytest

from chalicelib.api.schemas.bookings import Booking
from chalicelib.bookings import booking
from chalicelib.bookings.booking import BoxOfficeSale, Order
from tests.bookings.orders import archive, sell, taken_by_pool, ticket_type
from tests.client import LIMITS, Account, Client, Reply
from tests.concurrency import Line, Web
from tests.rows import domain_events, rows, taken, value

CUSTOMER = {"name": "Ada Lovelace", "paidBy": "cash"}


def at_box_office(client: Client, host: Account, event_id: str, **members: Any) -> Reply:
    return client("POST", f"/events/{event_id}/box-office", CUSTOMER | members, by=host)


def sold(client: Client, host: Account, event_id: str, **members: Any) -> Any:
    reply = at_box_office(client, host, event_id, **members)
    assert reply.status == 201, reply.text
    return reply.json


def differences(client: Client, host: Account, event_id: str) -> Any:
    return client("GET", f"/events/{event_id}/integrity", by=host).json["differences"]


@pytest.mark.parametrize(("paid_by", "amount"), [("cash", 5000), ("card", 5000), ("free", 0)])
def test_tickets_are_valid_immediately(client: Client, paid_by: str, amount: int) -> None:
    client.verified = True
    host = client.host()
    event_id = client.event(host, price=2500)["eventId"]

    made = sold(client, host, event_id, quantity=2, paidBy=paid_by, email="ada@example.com")

    assert "userId" not in made
    assert (made["status"], made["quantity"], made["amount"]) == ("confirmed", 2, amount)
    assert (made["paidBy"], made["customer"]) == (
        paid_by,
        {"name": "Ada Lovelace", "email": "ada@example.com"},
    )
    assert "expiresAt" not in made
    tickets = client("GET", f"/bookings/{made['bookingId']}/tickets", by=host).json
    assert [(one["status"], one["holderName"], one["holderEmail"]) for one in tickets] == [
        ("valid", "Ada Lovelace", "ada@example.com")
    ] * 2
    assert sum(one["price"] for one in tickets) == amount
    assert all(one["code"] for one in tickets)
    assert value(client, "SELECT count(*) FROM payments") == 0
    assert taken(client, event_id) == 2
    assert differences(client, host, event_id) == []


def test_response_is_the_booking_as_the_host_reads_it(client: Client) -> None:
    client.verified = True
    host = client.host()
    reply = at_box_office(client, host, client.event(host, price=2500)["eventId"], email="ada@example.com")

    shown = client("GET", f"/bookings/{reply.json['bookingId']}", by=host).json

    assert msgspec.json.decode(reply.text, type=Booking).paid_by == "cash"
    assert reply.headers["location"].endswith(f"/bookings/{reply.json['bookingId']}")
    assert reply.json.items() <= shown.items()
    assert not {"attendee", "payment", "userId"} & shown.keys()


@pytest.mark.parametrize(
    "name", ['O\'Brien \\ "x" $$ ; --', "Zoë 🎷", "'||(SELECT 1)||'", "\\x41", "1 < 2 \u2028 & 3"]
)
def test_any_name_is_stored_as_it_is(client: Client, name: str) -> None:
    host = client.host()

    made = sold(client, host, client.event(host)["eventId"], name=name)

    assert made["customer"] == {"name": name}
    assert value(client, "SELECT holder_name FROM tickets") == name


def test_an_unknown_way_to_pay_is_not_rendered(client: Client) -> None:
    host = client.host()
    sale = BoxOfficeSale(paid_by="', NULL) --", name="Ada")  # type: ignore[arg-type]
    order = Order(UUID(client.event(host)["eventId"]), sale=sale)

    with pytest.raises(ValueError, match="way to pay"):
        booking.book(
            client.wiring.database,
            client.wiring.tokens.read(host.token),
            order,
            key=None,
            limits=LIMITS,
            now=datetime.now(UTC),
        )


def test_limits_of_attendees_do_not_apply(client: Client) -> None:
    host = client.host()
    sale = sell(
        client,
        host,
        ticket_type("Members", 2000, code_required=True, min_per_booking=2, max_per_booking=3),
        ticket_type("Later", sale_starts_at=datetime.now(UTC) + timedelta(days=3)),
        ticket_type("Earlier", sale_ends_at=datetime.now(UTC) - timedelta(days=3)),
        max_per_attendee=1,
        verified_attendees_only=True,
    )

    made = sold(client, host, sale.event_id, items=sale.order(1, 4, 5)["items"])
    again = sold(client, host, sale.event_id, items=sale.order(4, 0, 0)["items"])

    assert (made["quantity"], made["amount"]) == (10, 2000)
    assert (again["quantity"], again["amount"]) == (4, 8000)
    assert list(taken_by_pool(client, sale.event_id).values()) == [5, 4, 5]


def test_free_tickets_cost_nothing_in_all_lists(client: Client) -> None:
    host = client.host()
    event_id = client.event(host, price=2500)["eventId"]

    made = sold(client, host, event_id, paidBy="free")

    assert made["items"][0]["unitPrice"] == 0
    assert "discount" not in made
    [body] = [one.body for one in domain_events(client, event_id, "booking-confirmed")]
    assert (body["amount"], body["paidBy"], "discount" in body) == (0, "free", False)


def test_an_amount_that_stripe_could_not_charge_is_sold(client: Client) -> None:
    host = client.host()
    event_id = client.event(host, price=99_999_999)["eventId"]

    assert sold(client, host, event_id, quantity=2)["amount"] == 199_999_998


def cancelled(client: Client, host: Account) -> str:
    event_id = str(client.event(host)["eventId"])
    client("POST", f"/events/{event_id}/cancel", by=host)
    return event_id


def ended(client: Client, host: Account) -> str:
    return client.past_event(host, started_ago=timedelta(hours=3), lasts=timedelta(hours=1))


def of_another(client: Client, _: Account) -> str:
    return str(client.event(client.host())["eventId"])


def draft(client: Client, host: Account) -> str:
    return str(client.event(host, status="draft")["eventId"])


def draft_of_another(client: Client, _: Account) -> str:
    return draft(client, client.host())


def deleted(client: Client, host: Account) -> str:
    event_id = str(client.event(host)["eventId"])
    client("DELETE", f"/events/{event_id}", by=host)
    return event_id


def full(client: Client, host: Account) -> str:
    event_id = str(client.event(host, capacity=1)["eventId"])
    client.book(client.attendee(), event_id)
    return event_id


@pytest.mark.parametrize(
    ("make", "refused"),
    [
        (cancelled, "event-cancelled"),
        (ended, "event-ended"),
        (of_another, "not-your-event"),
        (draft, "event-not-published"),
        (draft_of_another, "no-such-event"),
        (deleted, "no-such-event"),
        (full, "sold-out"),
    ],
)
def test_what_cannot_be_sold_is_refused(client: Client, make: Any, refused: str) -> None:
    host = client.host()

    assert at_box_office(client, host, make(client, host)).problem == refused
    assert value(client, "SELECT count(*) FROM bookings WHERE paid_by IS NOT NULL") == 0


def test_a_running_event_is_sold(client: Client) -> None:
    host = client.host()
    event_id = client.past_event(host, started_ago=timedelta(hours=1), lasts=timedelta(hours=2), price=0)

    assert sold(client, host, event_id)["status"] == "confirmed"


def test_an_archived_type_is_refused(client: Client) -> None:
    host = client.host()
    sale = sell(client, host, ticket_type(), ticket_type("Seated"))
    with client.wiring.database.transaction() as connection:
        archive(connection, sale.event_id, sale.type_ids[1])

    reply = at_box_office(client, host, sale.event_id, items=sale.order(1, 1)["items"])

    assert (reply.problem, reply.faulty_fields) == ("invalid-input", {"items[1].ticketTypeId"})


@pytest.mark.parametrize(
    ("quantities", "status"), [((100, 0), 201), ((60, 40), 201), ((60, 41), 400), ((101, 0), 400)]
)
def test_a_sale_has_up_to_100_tickets(client: Client, quantities: tuple[int, int], status: int) -> None:
    host = client.host()
    sale = sell(client, host, ticket_type(), ticket_type("Seated"), capacity=200)

    reply = at_box_office(client, host, sale.event_id, items=sale.order(*quantities)["items"])

    assert reply.status == status


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"paidBy": "cheque"}, "paidBy"),
        ({"name": " "}, "name"),
        ({"email": "ada"}, "email"),
        ({"code": "EARLYBIRD"}, "code"),
        ({"quantity": 0}, "quantity"),
    ],
)
def test_bad_sales_are_refused(client: Client, members: dict[str, Any], field: str) -> None:
    host = client.host()

    reply = at_box_office(client, host, client.event(host)["eventId"], **members)

    assert (reply.problem, reply.faulty_fields) == ("invalid-input", {field})


def test_a_replay_is_the_first_response(client: Client) -> None:
    host = client.host()
    event_id = client.event(host)["eventId"]
    send = partial(
        client, "POST", f"/events/{event_id}/box-office", by=host, headers={"Idempotency-Key": "one"}
    )

    first, again, other = send(CUSTOMER), send(CUSTOMER), send(CUSTOMER | {"name": "Grace"})

    assert (first.status, again.status, again.text) == (201, 201, first.text)
    assert again.headers["idempotent-replayed"] == "true"
    assert other.problem == "idempotency-key-reused"
    assert taken(client, event_id) == 1
    assert "Ada" not in value(client, "SELECT response FROM idempotency_keys")


def test_the_host_cancels_a_sale_and_a_ticket(client: Client) -> None:
    host = client.host()
    event_id = client.event(host, price=2500)["eventId"]
    whole, part = sold(client, host, event_id), sold(client, host, event_id, quantity=2)
    ticket = client("GET", f"/bookings/{part['bookingId']}/tickets", by=host).json[0]

    assert client("DELETE", f"/bookings/{whole['bookingId']}", by=host).status == 204
    assert client("DELETE", f"/tickets/{ticket['ticketId']}", by=host).status == 204

    assert taken(client, event_id) == 1
    assert differences(client, host, event_id) == []
    shown = client("GET", f"/bookings/{whole['bookingId']}", by=host).json
    assert (shown["status"], shown["refunded"], shown["customer"]) == (
        "cancelled",
        0,
        {"name": "Ada Lovelace"},
    )
    types = [one.type for one in domain_events(client, event_id) if "paidBy" in one.body]
    assert types == ["booking-confirmed", "booking-confirmed", "booking-cancelled", "tickets-cancelled"]


def test_sales_are_hidden_from_others(client: Client) -> None:
    host = client.host()
    made = sold(client, host, client.event(host)["eventId"])

    for other in (client.host(), client.attendee()):
        for path in ("", "/tickets"):
            shown = client("GET", f"/bookings/{made['bookingId']}{path}", by=other)
            assert shown.problem == "no-such-booking"
        assert client("DELETE", f"/bookings/{made['bookingId']}", by=other).problem == "no-such-booking"
        assert client("GET", "/bookings", by=other).json == []


def test_a_payment_cannot_be_created(client: Client) -> None:
    host = client.host()
    made = sold(client, host, client.event(host, price=2500)["eventId"])

    reply = client("POST", f"/bookings/{made['bookingId']}/payment", by=host)

    assert reply.problem == "no-such-booking"


@pytest.mark.parametrize("words", ["lovelace", "ADA@example.com", "ada lov", "reference"])
def test_the_host_finds_a_sale_by_its_customer(client: Client, words: str) -> None:
    client.verified = True
    host = client.host()
    event_id = client.event(host)["eventId"]
    made = sold(client, host, event_id, quantity=2, email="ada@example.com")
    sold(client, host, event_id, name="Grace Hopper", email="adalovelace@example.org")
    words = made["reference"] if words == "reference" else words

    found = client("GET", f"/bookings?q={words}", by=host)

    assert [one["bookingId"] for one in found.json] == [made["bookingId"]]
    assert found.headers["x-total-count"] == "1"


@pytest.mark.parametrize("words", ["\\", "'", "\\'", "@", "%", "&|!", "example", "Ada's \\' :*"])
def test_a_search_with_odd_characters_finds_nothing(client: Client, words: str) -> None:
    client.verified = True
    host = client.host()
    sold(client, host, client.event(host)["eventId"], email="ada@example.com")

    assert client("GET", f"/bookings?q={quote(words)}", by=host).json == []


def test_a_cancelled_event_ends_its_sales(client: Client) -> None:
    host = client.host()
    event_id = client.event(host, price=2500)["eventId"]
    made = sold(client, host, event_id)

    assert client("POST", f"/events/{event_id}/cancel", by=host).status == 200

    assert client("GET", f"/bookings/{made['bookingId']}", by=host).json["status"] == "cancelled"
    assert differences(client, host, event_id) == []


def test_the_deletion_of_the_host_erases_the_customers(client: Client) -> None:
    client.verified = True
    host, other = client.host(), client.host()
    past = client.past_event(host, started_ago=timedelta(hours=1), lasts=timedelta(hours=2), price=0)
    for seller, event_id in (
        (host, past),
        (host, client.event(host)["eventId"]),
        (other, client.event(other)["eventId"]),
    ):
        sold(client, seller, event_id, email="ada@example.com")

    assert client("DELETE", "/users/me", by=host).status == 204

    left = rows(client, "SELECT host_id, holder_email FROM tickets JOIN bookings USING (booking_id)"
                " WHERE holder_name IS NOT NULL OR holder_email IS NOT NULL")  # fmt: skip
    assert [(str(row.host_id), row.holder_email) for row in left] == [(other.user_id, "ada@example.com")]


def test_a_holder_with_an_account_sees_the_code(client: Client) -> None:
    client.verified = True
    host, holder = client.host(), client.attendee()
    made = sold(client, host, client.event(host)["eventId"], email=holder.email)
    [ticket] = client("GET", f"/bookings/{made['bookingId']}/tickets", by=host).json

    shown = client("GET", f"/tickets/{ticket['ticketId']}", by=holder).json

    assert shown["code"] == ticket["code"]
    assert "holderEmail" not in shown


def test_integrity_finds_free_tickets_with_an_amount(client: Client) -> None:
    host = client.host()
    event_id = client.event(host, price=2500)["eventId"]
    made = sold(client, host, event_id)
    rows(client, "UPDATE bookings SET paid_by = 'free'")

    assert differences(client, host, event_id) == [{"bookingId": made["bookingId"], "what": "amount-differs"}]


def test_integrity_leaves_the_box_office_out_of_the_money(client: Client) -> None:
    host = client.host()
    event_id = client.event(host, price=2500)["eventId"]
    sold(client, host, event_id)

    assert client("GET", f"/events/{event_id}/integrity", by=host).json["money"] == []


def test_the_last_places_are_sold_once_online_and_at_the_box_office(client: Client, web: Web) -> None:
    host = client.host()
    sale = sell(client, host, ticket_type(price=0), ticket_type("Seated", capacity=3), capacity=8)

    def online(quantities: tuple[int, int], attendee: Account, line: Line) -> Reply:
        return line("POST", "/bookings", sale.order(*quantities), by=attendee)

    def offline(quantities: tuple[int, int], line: Line) -> Reply:
        body = CUSTOMER | {"items": sale.order(*quantities)["items"]}
        return line("POST", f"/events/{sale.event_id}/box-office", body, by=host)

    wishes = [(1, 0), (0, 1), (1, 1)] * 5
    attempts = [partial(online, wish, one) for wish, one in zip(wishes, client.attendees(15), strict=True)]
    replies = web.run_concurrently([*attempts, *(partial(offline, wish) for wish in wishes)])

    assert {reply.status for reply in replies} == {201, 409}
    assert {reply.problem for reply in replies if reply.status == 409} == {"sold-out"}
    by_type = taken_by_pool(client, sale.event_id)
    assert by_type[sale.type_ids[1]] <= 3
    assert taken(client, sale.event_id) == 8
    assert differences(client, host, sale.event_id) == []


def report(client: Client, host: Account, event_id: str) -> Any:
    return client("GET", f"/events/{event_id}/box-office", by=host).json


def test_the_report_tells_how_tickets_were_paid(client: Client) -> None:
    host = client.host()
    event_id = client.event(host, price=2500)["eventId"]
    sold(client, host, event_id, quantity=3)
    sold(client, host, event_id, paidBy="card")
    sold(client, host, event_id, paidBy="free", quantity=2)
    back = sold(client, host, event_id, quantity=2)
    client("DELETE", f"/bookings/{back['bookingId']}", by=host)
    client.book(client.attendee(), event_id)  # not paid yet
    client("PATCH", f"/events/{event_id}", {"price": 0}, by=host)
    client.book(client.attendee(), event_id)

    assert report(client, host, event_id) == {
        "eventId": event_id,
        "currency": "eur",
        "online": {"tickets": 1, "amount": 0},
        "cash": {"tickets": 3, "amount": 7500},
        "card": {"tickets": 1, "amount": 2500},
        "free": {"tickets": 2},
        "cancelled": {
            "cash": {"tickets": 2, "amount": 5000},
            "card": {"tickets": 0, "amount": 0},
            "free": {"tickets": 0},
        },
    }


def test_the_report_keeps_currencies_apart(client: Client) -> None:
    host = client.host()
    event_id = client.event(host, price=2500)["eventId"]
    sold(client, host, event_id)
    assert client("PATCH", f"/events/{event_id}", {"currency": "usd"}, by=host).status == 200

    found = report(client, host, event_id)

    assert (found["currency"], found["cash"]) == ("usd", {"tickets": 0, "amount": 0})
    [euros] = found["otherCurrencies"]
    assert (euros["currency"], euros["cash"]) == ("eur", {"tickets": 1, "amount": 2500})


def test_an_event_without_tickets_has_an_empty_report(client: Client) -> None:
    host = client.host()
    found = report(client, host, client.event(host, status="draft")["eventId"])

    assert found["online"] == found["cash"] == {"tickets": 0, "amount": 0}
    assert "otherCurrencies" not in found


def test_tickets_are_emailed_for_verified_hosts_only(client: Client) -> None:
    host = client.host()
    event_id = client.event(host)["eventId"]

    assert at_box_office(client, host, event_id, email="ada@example.com").problem == "email-not-verified"
    client.verify([host])
    assert at_box_office(client, host, event_id, email="ada@example.com").status == 201
