"""The routes of documents: who gets them, and which tickets have none."""

import re
from typing import Any
from uuid import UUID

import pytest

from chalicelib.check_in.ticket_codes import TicketCodes
from chalicelib.documents import printed_tickets
from tests.client import Account, Client, Reply
from tests.documents.examples import codes, pages, scan_svg
from tests.notifications.orders import event_with_types, order
from tests.rows import rows

ROUTES = ["/tickets/{ticket}/qr.svg", "/bookings/{booking}/tickets.pdf"]


class Order:
    """An attendee's order of two tickets."""

    def __init__(self, client: Client, price: int = 0) -> None:
        self.client = client
        self.host, self.booker, self.holder = client.host(), client.attendee("Ada"), client.attendee()
        client.verify([self.holder])
        event_id, [self.day, _] = event_with_types(client, self.host, price=price)
        self.booking_id = order(client, self.booker, event_id, {self.day: 2})
        found = "SELECT ticket_id FROM tickets WHERE booking_id = :id ORDER BY ticket_id"
        self.ticket_ids = [str(row.ticket_id) for row in rows(client, found, id=self.booking_id)]

    def get(self, route: str, by: Account, method: str = "GET", **headers: str) -> Reply:
        path = route.format(ticket=self.ticket_ids[0], booking=self.booking_id)
        return self.client(method, path, by=by, headers=headers)

    def code(self, by: Account, ticket: int = 0) -> str:
        return str(self.client("GET", f"/tickets/{self.ticket_ids[ticket]}", by=by).json["code"])

    def name_holder(self, *, transferred: bool = False) -> None:
        self.set(holder_email=self.holder.email, holder_name="Bob", transferred=transferred)

    def set(self, *, holder_email: str, holder_name: str, transferred: bool) -> None:
        rows(
            self.client,
            "UPDATE tickets SET holder_email = :holder_email, holder_name = :holder_name,"
            " transferred_at = CASE WHEN :transferred THEN now() END WHERE ticket_id = :ticket_id",
            holder_email=holder_email,
            holder_name=holder_name,
            transferred=transferred,
            ticket_id=self.ticket_ids[0],
        )


@pytest.fixture
def booked(client: Client) -> Order:
    return Order(client)


def test_a_booker_gets_the_qr_code(booked: Order) -> None:
    reply = booked.get(ROUTES[0], booked.booker)

    assert (reply.status, reply.headers["content-type"]) == (200, "image/svg+xml")
    assert reply.headers["cache-control"] == "private, no-store"
    assert re.match(r"<svg [^>]*xmlns=", reply.text)
    assert scan_svg(reply.text) == [booked.code(booked.booker)]


def test_a_booker_gets_all_tickets_as_a_pdf(booked: Order) -> None:
    reply = booked.get(ROUTES[1], booked.booker)

    assert (reply.status, reply.headers["content-type"]) == (200, "application/pdf")
    assert reply.headers["cache-control"] == "private, no-store"
    assert "tickets.pdf" in reply.headers["content-disposition"]
    assert codes(reply.content) == [booked.code(booked.booker, ticket) for ticket in (0, 1)]
    assert ["1 of 2" in pages(reply.content)[0], "2 of 2" in pages(reply.content)[1]] == [True, True]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("accept", [None, "*/*", "text/html,application/xhtml+xml,*/*;q=0.8"])
def test_a_browser_gets_a_document(booked: Order, route: str, accept: str | None) -> None:
    headers = {"Accept": accept} if accept else {}

    assert booked.get(route, booked.booker, **headers).status == 200


@pytest.mark.parametrize("route", ROUTES)
def test_head_has_the_type_and_no_body(booked: Order, route: str) -> None:
    reply = booked.get(route, booked.booker, "HEAD")

    assert (reply.status, reply.content) == (200, b"")
    assert reply.headers["content-type"] == booked.get(route, booked.booker).headers["content-type"]


@pytest.mark.parametrize("route", ROUTES)
def test_a_host_gets_no_document_of_an_attendee(booked: Order, route: str) -> None:
    reply = booked.get(route, booked.host)

    assert (reply.status, reply.problem) == (403, "not-the-holder")


def test_a_named_holder_gets_the_ticket_without_the_order(client: Client) -> None:
    booked = Order(client, price=2500)
    rows(client, "UPDATE tickets SET status = 'valid'")
    booked.name_holder()

    pdf = booked.get(ROUTES[1], booked.holder).content

    assert booked.get(ROUTES[0], booked.holder).status == 200
    assert codes(pdf) == [booked.code(booked.holder)]
    assert "Bob" in pages(pdf)[0]
    assert "Total" not in pages(pdf)[0]
    assert "Total EUR 50.00" in pages(booked.get(ROUTES[1], booked.booker).content)[0]


def test_after_a_transfer_only_the_holder_gets_the_ticket(booked: Order) -> None:
    booked.name_holder(transferred=True)

    assert booked.get(ROUTES[0], booked.booker).problem == "not-the-holder"
    assert booked.get(ROUTES[0], booked.holder).status == 200
    assert codes(booked.get(ROUTES[1], booked.holder).content) == [booked.code(booked.holder)]
    assert codes(booked.get(ROUTES[1], booked.booker).content) == [booked.code(booked.booker, 1)]


def test_a_host_gets_what_they_sold_at_the_box_office(booked: Order) -> None:
    rows(booked.client, "UPDATE bookings SET user_id = NULL, paid_by = 'cash', sole = NULL")

    assert booked.get(ROUTES[0], booked.host).status == 200
    assert codes(booked.get(ROUTES[1], booked.host).content) == [
        booked.code(booked.host, ticket) for ticket in (0, 1)
    ]
    assert booked.get(ROUTES[0], booked.booker).problem == "no-such-ticket"


@pytest.mark.parametrize("route", ROUTES)
def test_an_unpaid_ticket_has_no_document(client: Client, route: str) -> None:
    unpaid = Order(client, price=2500)

    reply = unpaid.get(route, unpaid.booker)

    assert (reply.status, reply.problem) == (409, "ticket-unpaid")


@pytest.mark.parametrize("route", ROUTES)
def test_a_cancelled_ticket_has_no_document(booked: Order, route: str) -> None:
    assert booked.client("DELETE", f"/bookings/{booked.booking_id}", by=booked.booker).status == 204

    reply = booked.get(route, booked.booker)

    assert (reply.status, reply.problem) == (409, "ticket-cancelled")


def test_a_pdf_leaves_out_cancelled_tickets(booked: Order) -> None:
    assert booked.client("DELETE", f"/tickets/{booked.ticket_ids[0]}", by=booked.booker).status == 204

    pdf: Any = booked.get(ROUTES[1], booked.booker).content

    assert codes(pdf) == [booked.code(booked.booker, 1)]
    assert "1 of 1" in pages(pdf)[0]


def test_a_used_ticket_still_has_its_documents(booked: Order) -> None:
    rows(booked.client, "UPDATE tickets SET status = 'used'")

    assert [booked.get(route, booked.booker).status for route in ROUTES] == [200, 200]


def test_tickets_for_an_e_mail_are_those_that_admit(booked: Order) -> None:
    codes_of = TicketCodes.of(booked.client.wiring.settings)
    assert booked.client("DELETE", f"/tickets/{booked.ticket_ids[0]}", by=booked.booker).status == 204

    with booked.client.wiring.database.transaction() as connection:
        [ticket] = printed_tickets.of_tickets(connection, codes_of, [UUID(one) for one in booked.ticket_ids])

    assert ticket.code == booked.code(booked.booker, 1)
    assert ticket.code not in repr(ticket)
    assert ticket.order is None
