"""Events with several ticket types, orders of several tickets, and tickets that are cancelled one by one."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from chalicelib.bookings import cancellation
from chalicelib.domain_events import CancellationReason
from chalicelib.payments.locks import lock_places_of
from tests.client import Account, Client
from tests.rows import rows


def event_with_types(client: Client, host: Account, **members: Any) -> tuple[str, list[str]]:
    """Publish an event that sells day and weekend tickets. An attendee can have ten of them.

    Return the ids of the event and of its ticket types.
    """
    price = members.pop("price", 0)
    types = [{"name": "Day ticket", "price": price}, {"name": "Weekend ticket", "price": 2 * price}]
    event = client.event(host, ticketTypes=types, maxPerAttendee=10, **members)
    return event["eventId"], [one["ticketTypeId"] for one in event["ticketTypes"]]


def add_code(client: Client, host: Account, event_id: str, percent: int) -> str:
    """Add a code that takes this much off each ticket."""
    code = {"code": f"CODE{percent}", "kind": "percent", "value": percent}
    assert client("POST", f"/events/{event_id}/codes", code, by=host).status == 201
    return str(code["code"])


def order(client: Client, attendee: Account, event_id: str, items: dict[str, int], **more: str) -> str:
    """Book tickets of these types. Return the id of the booking."""
    body = {
        "eventId": event_id,
        **more,
        "items": [
            {"ticketTypeId": type_id, "quantity": quantity} for type_id, quantity in items.items() if quantity
        ],
    }
    reply = client("POST", "/bookings", body, by=attendee)
    assert reply.status == 201, reply.text
    return str(reply.json["bookingId"])


def cancel_ticket(client: Client, booking_id: str, reason: CancellationReason = "attendee") -> None:
    """Cancel the first live ticket of a booking that has others."""
    [ticket_id, _, *_] = [
        row.ticket_id
        for row in rows(
            client,
            "SELECT ticket_id FROM tickets WHERE booking_id = :id AND status <> 'cancelled' ORDER BY 1",
            id=booking_id,
        )
    ]
    with client.wiring.database.transaction() as connection:
        lock_places_of(connection, UUID(booking_id))
        cancellation.cancel_ticket(
            connection, UUID(booking_id), ticket_id, reason=reason, now=datetime.now(UTC)
        )
