"""Events with several ticket types, codes, and orders for them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert, text

from chalicelib.bookings import cancellation
from chalicelib.bookings.booking import Item
from chalicelib.bookings.models import CodeKind, codes
from chalicelib.events import publishing
from chalicelib.events.locks import lock_places
from chalicelib.events.models import pools
from chalicelib.events.rules import Details
from chalicelib.events.ticket_types import TypeDetails
from chalicelib.payments.locks import lock_places_of
from chalicelib.platform import ids
from tests.client import Account, Client
from tests.rows import rows, value

_CHANGED = text("UPDATE places SET revision = revision + 1 WHERE event_id = :event_id")


@dataclass(frozen=True)
class Sale:
    """An event and its ticket types."""

    event_id: str
    type_ids: tuple[str, ...]

    def items(self, *quantities: int) -> tuple[Item, ...]:
        """Return items with so many tickets of each type, without the types of which it is 0."""
        pairs = zip(self.type_ids, quantities, strict=True)
        return tuple(Item(UUID(type_id), quantity) for type_id, quantity in pairs if quantity)

    def order(self, *quantities: int, **members: Any) -> dict[str, Any]:
        """Return the body of a request for so many tickets of each type."""
        items = [
            {"ticketTypeId": str(item.ticket_type_id), "quantity": item.quantity}
            for item in self.items(*quantities)
        ]
        return {"eventId": self.event_id, "items": items, **members}


def ticket_type(name: str = "Standing", price: int = 0, **details: Any) -> TypeDetails:
    return TypeDetails(name=name, price=price, **details)


def sell(
    client: Client,
    host: Account,
    *types: TypeDetails,
    capacity: int = 100,
    max_per_attendee: int = 10,
    **details: Any,
) -> Sale:
    """Publish an event next month with these ticket types."""
    now = datetime.now(UTC)
    starts_at = now + timedelta(days=30)
    with client.wiring.database.transaction() as connection:
        event_id = publishing.create(
            connection,
            UUID(host.user_id),
            Details(
                title="A festival",
                starts_at=starts_at,
                ends_at=starts_at + timedelta(hours=3),
                currency="eur",
                price=None,
                capacity=capacity,
                max_per_attendee=max_per_attendee,
                **details,
            ),
            now,
            may_publish=True,
            charges=True,
            types=types,
        )
    made = rows(
        client,
        "SELECT ticket_type_id FROM ticket_types WHERE event_id = :event_id ORDER BY ticket_type_id",
        event_id=event_id,
    )
    return Sale(str(event_id), tuple(str(row.ticket_type_id) for row in made))


def add_code(
    client: Client,
    sale: Sale,
    code: str = "EARLYBIRD",
    kind: CodeKind = "access",
    discount: int | None = None,
    *,
    type_ids: Iterable[str] | None = None,
    max_uses: int | None = None,
    **columns: Any,
) -> UUID:
    """Add a code. `discount` is a percentage or an amount off each ticket."""
    now = datetime.now(UTC)
    code_id, event_id = ids.new(now), UUID(sale.event_id)
    with client.wiring.database.transaction() as connection:
        connection.execute(
            insert(codes).values(
                code_id=code_id,
                event_id=event_id,
                code=code,
                kind=kind,
                value=discount,
                ticket_type_ids=None if type_ids is None else [UUID(type_id) for type_id in type_ids],
                created_at=now,
                updated_at=now,
                **columns,
            )
        )
        connection.execute(
            insert(pools).values(pool_id=code_id, event_id=event_id, kind="code", capacity=max_uses, taken=0)
        )
    return code_id


def archive(connection: Connection, event_id: str, type_id: str) -> None:
    """Archive a ticket type, as a change of the event."""
    lock_places(connection, [UUID(event_id)])
    connection.execute(
        text("UPDATE ticket_types SET archived_at = now() WHERE ticket_type_id = :type_id"),
        {"type_id": UUID(type_id)},
    )
    connection.execute(_CHANGED, {"event_id": UUID(event_id)})


def cancel_ticket(connection: Connection, booking_id: UUID, now: datetime) -> bool:
    """Cancel a ticket of a confirmed booking that has several. Return whether it could."""
    lock_places_of(connection, booking_id)
    live = connection.scalars(
        text(
            "SELECT ticket_id FROM tickets JOIN bookings b USING (booking_id)"
            " WHERE booking_id = :id AND b.status = 'confirmed' AND tickets.status <> 'cancelled'"
        ),
        {"id": booking_id},
    ).all()
    if len(live) > 1:
        cancellation.cancel_ticket(connection, booking_id, live[0], reason="attendee", now=now)
    return len(live) > 1


def taken_by_pool(client: Client, event_id: str) -> Mapping[str, int]:
    """Return the counters of the types and codes that have one, after checking each against its rows.

    No counter is above its capacity, and together those of the types are the event's.
    """
    counted = rows(
        client,
        "SELECT pool_id, kind, capacity, taken, CASE kind"
        " WHEN 'code' THEN (SELECT count(*) FROM bookings b WHERE b.code_id = pool_id"
        " AND b.status IN ('pending', 'confirmed'))"
        " ELSE (SELECT count(*) FROM tickets t WHERE t.ticket_type_id = pool_id"
        " AND t.status <> 'cancelled') END AS live"
        " FROM pools WHERE event_id = :event_id AND taken IS NOT NULL ORDER BY kind, pool_id",
        event_id=event_id,
    )
    for row in counted:
        assert row.taken == row.live
        assert row.capacity is None or row.taken <= row.capacity
    by_type = [row.taken for row in counted if row.kind == "ticket-type"]
    total = value(client, "SELECT taken FROM places WHERE event_id = :event_id", event_id=event_id)
    assert not by_type or sum(by_type) == total
    assert total == value(
        client,
        "SELECT count(*) FROM tickets JOIN bookings b USING (booking_id)"
        " WHERE b.event_id = :event_id AND tickets.status <> 'cancelled'",
        event_id=event_id,
    )
    return {str(row.pool_id): row.taken for row in counted}
