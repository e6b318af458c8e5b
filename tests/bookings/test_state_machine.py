"""A state machine: after any sequence of requests, counters, bookings and tickets are those of a model."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from chalicelib.events.ticket_types import TypeDetails
from chalicelib.payments import hold_expiry
from tests.bookings.orders import Sale, add_code, archive, cancel_ticket, sell
from tests.client import Account, Client, Reply
from tests.rows import rows

Cancellation = Literal["cancelled", "deleted"]
Status = Literal["pending", "confirmed", "cancelled", "expired"]


@dataclass
class Code:
    code_id: str
    percent: int
    max_uses: int
    first_type_only: bool


@dataclass(eq=False)
class Event:
    sale: Sale
    types: list[TypeDetails]
    capacity: int
    limit: int
    code: Code
    archived: set[int] = field(default_factory=set)
    cancellation: Cancellation | None = None

    @property
    def on_offer(self) -> list[int]:
        """The indices of the types that are not archived."""
        return [index for index in range(len(self.types)) if index not in self.archived]


@dataclass(eq=False)
class Booking:
    booking_id: str
    attendee: Account | None
    """None: a customer of the box office."""
    event: Event
    amount: int
    with_code: bool
    status: Status
    tickets: Counter[int]
    """Live tickets by the index of their type."""

    @property
    def live(self) -> bool:
        return self.status in {"pending", "confirmed"}

    def end(self, status: Status) -> None:
        if self.live:
            self.status, self.tickets = status, Counter()


capacities = st.integers(4, 9)
types = st.builds(
    TypeDetails,
    name=st.just("Standing"),
    price=st.sampled_from([0, 2000]),
    capacity=st.sampled_from([None, 2, 4]),
    min_per_booking=st.sampled_from([1, 1, 1, 2]),
    max_per_booking=st.integers(2, 4),
)
event_members: dict[str, st.SearchStrategy[Any]] = {
    "capacity": capacities,
    "limit": st.sampled_from([4, 8]),
    "types_on_sale": st.lists(types, min_size=2, max_size=3),
    "percent": st.sampled_from([50, 100]),
    "max_uses": st.integers(1, 3),
    "first_type_only": st.booleans(),
}
quantities_by_type = st.permutations([0, 1, 2]) | st.permutations([0, 1, 1]) | st.permutations([0, 0, 1])


def late(machine: "BookingMachine") -> bool:
    """Whether enough was booked for something to be cancelled for good."""
    return len(machine.known_bookings) > 5


class BookingMachine(RuleBasedStateMachine):
    """A host, some attendees and events, and the expected state of each."""

    events: Bundle[Event] = Bundle("events")
    attendees: Bundle[Account] = Bundle("attendees")
    bookings: Bundle[Booking] = Bundle("bookings")

    def __init__(self, client: Client) -> None:
        super().__init__()
        self.client = client
        self.host = client.host()
        self.known_events: list[Event] = []
        self.known_bookings: list[Booking] = []
        self.deleted_accounts: set[str] = set()

    def live_bookings(self, event: Event, attendee: Account | None = None) -> list[Booking]:
        return [
            booking
            for booking in self.known_bookings
            if booking.live and booking.event is event and attendee in {None, booking.attendee}
        ]

    def taken_by_type(self, event: Event) -> Counter[int]:
        return sum((booking.tickets for booking in self.live_bookings(event)), Counter())

    def taken(self, event: Event) -> int:
        return self.taken_by_type(event).total()

    def uses(self, event: Event) -> int:
        return sum(booking.with_code for booking in self.live_bookings(event))

    @initialize(target=attendees)
    def register_attendees(self) -> MultipleResults[Account]:
        return multiple(*self.client.attendees(4))

    @initialize(target=events, members=st.fixed_dictionaries(event_members))
    def publish_an_event(self, members: dict[str, Any]) -> Event:
        return self.publish(**members)

    @initialize(
        target=events,
        members=st.fixed_dictionaries(
            event_members
            | {"limit": st.sampled_from([1, 3]), "types_on_sale": st.lists(types, min_size=1, max_size=1)}
        ),
    )
    def publish_an_event_of_one_type(self, members: dict[str, Any]) -> Event:
        return self.publish(**members)

    def publish(
        self,
        *,
        capacity: int,
        limit: int,
        types_on_sale: list[TypeDetails],
        percent: int,
        max_uses: int,
        first_type_only: bool,
    ) -> Event:
        sale = sell(self.client, self.host, *types_on_sale, capacity=capacity, max_per_attendee=limit)
        code_id = add_code(
            self.client,
            sale,
            "CLUB",
            "percent",
            percent,
            type_ids=sale.type_ids[:1] if first_type_only else None,
            max_uses=max_uses,
        )
        code = Code(str(code_id), percent, max_uses, first_type_only)
        event = Event(sale, types_on_sale, capacity, limit, code)
        self.known_events.append(event)
        return event

    @rule(
        target=bookings,
        attendee=attendees,
        event=events,
        quantities=quantities_by_type,
    )
    def book(
        self, attendee: Account, event: Event, quantities: list[int]
    ) -> Booking | MultipleResults[Booking]:
        return self.book_types(attendee, event, quantities, with_code=False)

    @rule(target=bookings, attendee=attendees, event=events, quantities=quantities_by_type)
    def book_with_a_code(
        self, attendee: Account, event: Event, quantities: list[int]
    ) -> Booking | MultipleResults[Booking]:
        return self.book_types(attendee, event, quantities, with_code=True)

    def book_types(
        self, attendee: Account, event: Event, quantities: list[int], *, with_code: bool
    ) -> Booking | MultipleResults[Booking]:
        ordered = Counter(dict(enumerate(quantities[: len(event.types)])))
        ordered = +ordered or Counter({0: 1})
        order = event.sale.order(*(ordered[index] for index in range(len(event.types))))
        return self.order(attendee, event, order, ordered, with_code=with_code)

    @rule(target=bookings, attendee=attendees, event=events, quantity=st.integers(1, 4))
    def book_the_only_type(
        self, attendee: Account, event: Event, quantity: int
    ) -> Booking | MultipleResults[Booking]:
        order = {"eventId": event.sale.event_id, "quantity": quantity}
        on_offer = event.on_offer
        ordered = Counter({on_offer[0]: quantity}) if len(on_offer) == 1 else Counter()
        return self.order(attendee, event, order, ordered, with_code=False)

    def order(
        self,
        attendee: Account,
        event: Event,
        order: dict[str, Any],
        ordered: Counter[int],
        *,
        with_code: bool,
    ) -> Booking | MultipleResults[Booking]:
        body = order | {"code": "CLUB"} if with_code else order
        reply = self.client("POST", "/bookings", body, by=attendee)
        amount = self.price(event, ordered, with_code=with_code)
        if refused := self.refusal(attendee, event, ordered, with_code=with_code):
            pending = [one for one in self.live_bookings(event, attendee) if one.status == "pending"]
            if refused == "already-booked" and pending:
                assert (reply.status, reply.json["bookingId"]) == (200, pending[0].booking_id)
            else:
                assert reply.problem == refused
            return multiple()
        assert (reply.status, reply.json["amount"]) == (201, amount)
        booking = Booking(
            reply.json["bookingId"],
            attendee,
            event,
            amount,
            with_code,
            "pending" if amount else "confirmed",
            ordered,
        )
        self.known_bookings.append(booking)
        return booking

    @rule(target=bookings, event=events, quantities=quantities_by_type, free=st.booleans())
    def sell_at_the_box_office(
        self, event: Event, quantities: list[int], *, free: bool
    ) -> Booking | MultipleResults[Booking]:
        sold = +Counter(dict(enumerate(quantities[: len(event.types)]))) or Counter({0: 1})
        items = event.sale.order(*(sold[index] for index in range(len(event.types))))["items"]
        body = {"items": items, "name": "Ada", "paidBy": "free" if free else "cash"}
        reply = self.as_host("POST", event, body, suffix="/box-office")
        refused = None
        if event.cancellation:
            refused = "event-cancelled" if event.cancellation == "cancelled" else "no-such-event"
        elif sold.keys() & event.archived:
            refused = "invalid-input"
        if refused := refused or self.sold_out(event, sold):
            assert reply.problem == refused
            return multiple()
        amount = 0 if free else self.price(event, sold, with_code=False)
        assert (reply.status, reply.json["amount"]) == (201, amount)
        booking = Booking(
            reply.json["bookingId"], None, event, amount, with_code=False, status="confirmed", tickets=sold
        )
        self.known_bookings.append(booking)
        return booking

    def price(self, event: Event, ordered: Counter[int], *, with_code: bool) -> int:
        amount = 0
        for index, quantity in ordered.items():
            price = event.types[index].price
            if with_code and (index == 0 or not event.code.first_type_only):
                price -= price * event.code.percent // 100
            amount += quantity * price
        return amount

    def refusal(
        self, attendee: Account, event: Event, ordered: Counter[int], *, with_code: bool
    ) -> str | None:
        if event.cancellation:
            return "event-cancelled" if event.cancellation == "cancelled" else "no-such-event"
        if with_code and self.uses(event) >= event.code.max_uses:
            return "code-invalid"
        if not ordered or not all(self.is_on_offer(event, *item) for item in ordered.items()):
            return "invalid-input"
        return self.limit(attendee, event, ordered, with_code=with_code)

    def is_on_offer(self, event: Event, index: int, quantity: int) -> bool:
        details = event.types[index]
        allowed = range(details.min_per_booking, details.max_per_booking + 1)
        return index not in event.archived and quantity in allowed

    def limit(self, attendee: Account, event: Event, ordered: Counter[int], *, with_code: bool) -> str | None:
        """Return which limit refuses an order of types that are on offer."""
        booked = sum(booking.tickets.total() for booking in self.live_bookings(event, attendee))
        if booked and event.limit == 1:
            return "already-booked"
        if with_code and event.code.first_type_only and not ordered[0]:
            return "code-invalid"
        if booked + ordered.total() > event.limit:
            return "limit-reached"
        return self.sold_out(event, ordered)

    def sold_out(self, event: Event, ordered: Counter[int]) -> str | None:
        taken = self.taken_by_type(event)
        full = [
            index
            for index, quantity in ordered.items()
            if taken[index] + quantity > (event.types[index].capacity or event.capacity)
        ]
        return "sold-out" if full or taken.total() + ordered.total() > event.capacity else None

    @rule(booking=bookings, by_host=st.booleans())
    def cancel(self, booking: Booking, *, by_host: bool) -> None:
        attendee = booking.attendee
        if by_host or attendee is None or attendee.user_id in self.deleted_accounts:
            canceller = self.host
        else:
            canceller = attendee
        assert self.client("DELETE", f"/bookings/{booking.booking_id}", by=canceller).status == 204
        booking.end("cancelled")

    @rule(booking=bookings)
    def cancel_a_ticket(self, booking: Booking) -> None:
        with self.client.wiring.database.transaction() as connection:
            cancelled = cancel_ticket(connection, UUID(booking.booking_id), datetime.now(UTC))
        assert cancelled == (booking.status == "confirmed" and booking.tickets.total() > 1)
        if cancelled:
            booking.tickets = self.live_tickets(booking)

    def live_tickets(self, booking: Booking) -> Counter[int]:
        """Read which tickets are left, after checking that one is gone."""
        left = rows(
            self.client,
            "SELECT ticket_type_id FROM tickets WHERE booking_id = :id AND status <> 'cancelled'",
            id=booking.booking_id,
        )
        type_ids = booking.event.sale.type_ids
        found = Counter(type_ids.index(str(row.ticket_type_id)) for row in left)
        assert found < booking.tickets
        assert found.total() == booking.tickets.total() - 1
        return found

    @rule()
    def expire_holds(self) -> None:
        for table, column in (("bookings", "expires_at"), ("payments", "open_until")):
            rows(self.client, f"UPDATE {table} SET {column} = now() - interval '1 s'")  # noqa: S608 (ours)
        rows(self.client, "UPDATE payments SET next_check_at = now() WHERE next_check_at IS NOT NULL")
        database, payments = self.client.wiring.database, self.client.wiring.payments
        hold_expiry.expire_holds(database, lambda: payments, datetime.now(UTC))
        for booking in self.known_bookings:
            if booking.status == "pending":
                booking.end("expired")

    @rule(event=events, capacity=capacities)
    def change_capacity(self, event: Event, capacity: int) -> None:
        reply = self.as_host("PATCH", event, {"capacity": capacity})
        if event.cancellation:
            assert reply.problem == (
                "event-cancelled" if event.cancellation == "cancelled" else "no-such-event"
            )
        elif capacity < self.taken(event):
            assert reply.problem == "capacity-below-taken"
        else:
            assert reply.json["capacity"] == capacity
            event.capacity = capacity

    @precondition(late)
    @rule(event=events, index=st.integers(0, 2))
    def archive_a_type(self, event: Event, index: int) -> None:
        if index < len(event.types):
            with self.client.wiring.database.transaction() as connection:
                archive(connection, event.sale.event_id, event.sale.type_ids[index])
            event.archived.add(index)

    @precondition(late)
    @rule(event=events)
    def cancel_event(self, event: Event) -> None:
        reply = self.as_host("POST", event, suffix="/cancel")
        assert reply.status == (404 if event.cancellation == "deleted" else 200)
        event.cancellation = event.cancellation or "cancelled"
        for booking in self.live_bookings(event):
            booking.end("cancelled")

    @precondition(late)
    @rule(event=consumes(events))
    def delete_event(self, event: Event) -> None:
        assert self.as_host("DELETE", event).status == 204
        event.cancellation = "deleted"
        for booking in self.live_bookings(event):
            booking.end("cancelled")

    @precondition(late)
    @rule(attendee=consumes(attendees))
    def delete_account(self, attendee: Account) -> None:
        assert self.client("DELETE", "/users/me", by=attendee).status == 204
        self.deleted_accounts.add(attendee.user_id)
        for booking in self.known_bookings:
            if booking.attendee is attendee:
                booking.end("cancelled")

    def as_host(self, method: str, event: Event, body: object = None, *, suffix: str = "") -> Reply:
        return self.client(method, f"/events/{event.sale.event_id}{suffix}", body, by=self.host)

    @invariant()
    def api_shows_the_expected_events(self) -> None:
        path = f"/events?mine=true&limit=100&hostId={self.host.user_id}"
        shown = {event["eventId"]: event for event in self.client("GET", path, by=self.host).json}
        expected = {
            event.sale.event_id: event for event in self.known_events if event.cancellation != "deleted"
        }
        assert shown.keys() == expected.keys()
        for event_id, event in expected.items():
            assert shown[event_id]["numberOfAttendees"] == self.taken(event)
            assert 0 <= self.taken(event) <= shown[event_id]["capacity"] == event.capacity
            report = self.as_host("GET", event, suffix="/integrity").json
            assert report["differences"] == []

    @invariant()
    def pools_are_as_expected(self) -> None:
        expected: dict[str, int] = {}
        for event in self.known_events:
            taken = self.taken_by_type(event)
            for index, type_id in enumerate(event.sale.type_ids):
                if len(event.types) > 1 or event.types[0].capacity:
                    expected[type_id] = taken[index]
            expected |= {event.code.code_id: self.uses(event), event.sale.event_id: taken.total()}
        counted = rows(
            self.client,
            "SELECT pool_id, taken FROM pools JOIN events USING (event_id)"
            " WHERE host_id = :host AND taken IS NOT NULL"
            " UNION ALL SELECT event_id, taken FROM places JOIN events USING (event_id)"
            " WHERE host_id = :host",
            host=self.host.user_id,
        )
        assert {str(row.pool_id): row.taken for row in counted} == expected

    @invariant()
    def bookings_and_tickets_are_as_expected(self) -> None:
        booked = rows(
            self.client,
            "SELECT b.booking_id, b.status, b.quantity, b.amount, sum(t.price) AS price,"
            " count(*) FILTER (WHERE t.status = 'held') AS held,"
            " count(*) FILTER (WHERE t.status = 'valid') AS valid"
            " FROM bookings b JOIN tickets t USING (booking_id) WHERE host_id = :host GROUP BY booking_id",
            host=self.host.user_id,
        )
        found = {str(row.booking_id): tuple(row)[1:] for row in booked}
        assert found == {
            booking.booking_id: (
                booking.status,
                (quantity := booking.tickets.total()),
                booking.amount,
                booking.amount,
                quantity if booking.status == "pending" else 0,
                quantity if booking.status == "confirmed" else 0,
            )
            for booking in self.known_bookings
        }


@pytest.mark.slow
def test_counters_bookings_and_tickets_agree_after_any_sequence(client: Client) -> None:
    class ThisMachine(BookingMachine):
        def __init__(self) -> None:
            super().__init__(client)

    bounds = settings(derandomize=True, database=None, deadline=None, max_examples=60, stateful_step_count=30)
    run_state_machine_as_test(ThisMachine, settings=bounds)
