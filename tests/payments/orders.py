"""Orders of several tickets: sales with several ticket types and a code, and steps with single tickets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from infra.stripe_fake.fake import StripeFake
from tests.client import Account, Client, Reply
from tests.payments.purchases import Hold, integrity, pay, status
from tests.rows import rows

CODE = "HALF"
"""A code of each sale: it takes off 50 percent, and at most one booking can have it."""


@dataclass(frozen=True)
class Sale:
    """An event with several ticket types."""

    host: Account
    event_id: str
    types: Sequence[UUID]
    """In the order of their prices."""


def sale(
    client: Client,
    *prices: int,
    host: Account | None = None,
    capacities: Sequence[int | None] = (),
    **members: Any,
) -> Sale:
    """Publish an event with a ticket type for each price, of which an attendee can have ten tickets."""
    host = host or client.host()
    own = (*capacities, *(None for _ in prices[len(capacities) :]))
    types = [
        {"name": f"Type {number + 1}", "price": price, **({"capacity": own[number]} if own[number] else {})}
        for number, price in enumerate(prices)
    ]
    event = client.event(host, ticketTypes=types, maxPerAttendee=10, **members)
    code = {"code": CODE, "kind": "percent", "value": 50, "maxUses": 1}
    assert client("POST", f"/events/{event['eventId']}/codes", code, by=host).status == 201
    return Sale(host, event["eventId"], [UUID(one["ticketTypeId"]) for one in event["ticketTypes"]])


def post_order(
    client: Client, of: Sale, quantities: Sequence[int], attendee: Account, code: str | None = None
) -> Reply:
    items = [
        {"ticketTypeId": str(ticket_type), "quantity": quantity}
        for ticket_type, quantity in zip(of.types, quantities, strict=False)
        if quantity
    ]
    body = {"eventId": of.event_id, "items": items} | ({"code": code} if code else {})
    return client("POST", "/bookings", body, by=attendee)


def order(
    client: Client,
    of: Sale,
    *quantities: int,
    attendee: Account | None = None,
    code: str | None = None,
) -> Hold:
    """Hold tickets: as many of each type, in the order of the types."""
    attendee = attendee or client.attendee()
    reply = post_order(client, of, quantities, attendee, code)
    assert reply.status == 201, reply.text
    payment = reply.json.get("payment") or {}
    return Hold(of.host, attendee, of.event_id, reply.json["bookingId"], payment.get("paymentIntentId", ""))


def buy_order(client: Client, stripe: StripeFake, of: Sale, *quantities: int, **more: Any) -> Hold:
    """Hold tickets and pay for them."""
    held = order(client, of, *quantities, **more)
    pay(stripe, held)
    assert status(client, held) == ("confirmed", "paid")
    return held


def ticket_rows(client: Client, held: Hold) -> list[Row[Any]]:
    """Return the rows of a booking's tickets, in the order of their types."""
    return rows(
        client,
        "SELECT * FROM tickets WHERE booking_id = :id ORDER BY ticket_type_id, ticket_id",
        id=held.booking_id,
    )


def delete_ticket(client: Client, ticket_id: UUID, by: Account, **headers: str) -> Reply:
    return client("DELETE", f"/tickets/{ticket_id}", by=by, headers=headers)


def cancel_ticket(client: Client, held: Hold, number: int = 0, by: Account | None = None) -> None:
    """Cancel a ticket of a booking, by its number in the order of the types."""
    ticket = ticket_rows(client, held)[number]
    reply = delete_ticket(client, ticket.ticket_id, by or held.attendee)
    assert reply.status == 204, reply.text


def counted(client: Client, held: Hold) -> list[int]:
    """Return the taken places: of the event, and of each ticket type. Check them against the recount."""
    report = integrity(client, held)
    pools = [report["places"], *report["ticketTypes"]]
    assert all(pool["taken"] == pool["counted"] for pool in [*pools, *report["codes"]])
    return [pool["taken"] for pool in pools]


def uses(client: Client, held: Hold) -> int:
    """Return the number of uses of the sale's code."""
    [code] = integrity(client, held)["codes"]
    return int(code["taken"])
