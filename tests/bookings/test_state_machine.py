"""A state machine: after any sequence of requests, the counter agrees with the bookings and the capacity."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

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
    rule,
    run_state_machine_as_test,
)

from tests.client import Account, Client, Reply
from tests.rows import rows

Cancellation = Literal["cancelled", "deleted"]


@dataclass(eq=False)
class Event:
    event_id: str
    capacity: int
    cancellation: Cancellation | None = None


@dataclass(eq=False)
class Booking:
    booking_id: str
    attendee: Account
    event: Event
    live: bool = True


capacities = st.integers(1, 4)


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

    def taken(self, event: Event) -> int:
        return sum(booking.live for booking in self.known_bookings if booking.event is event)

    def cancel_bookings(self, *, event: Event | None = None, attendee: Account | None = None) -> None:
        for booking in self.known_bookings:
            if booking.event is event or booking.attendee is attendee:
                booking.live = False

    @initialize(target=attendees)
    def register_attendees(self) -> MultipleResults[Account]:
        return multiple(*self.client.attendees(4))

    @initialize(target=events, capacity=capacities)
    def publish_first_event(self, capacity: int) -> Event:
        return self.publish(capacity)

    @rule(target=events, capacity=capacities)
    def publish_another_event(self, capacity: int) -> Event:
        return self.publish(capacity)

    def publish(self, capacity: int) -> Event:
        event = Event(self.client.event(self.host, capacity=capacity)["eventId"], capacity)
        self.known_events.append(event)
        return event

    @rule(target=bookings, attendee=attendees, event=events)
    def book(self, attendee: Account, event: Event) -> Booking | MultipleResults[Booking]:
        reply = self.client.book(attendee, event.event_id)
        if refused := self.refusal(attendee, event):
            assert reply.problem == refused
            return multiple()
        assert reply.status == 201
        booking = Booking(reply.json["bookingId"], attendee, event)
        self.known_bookings.append(booking)
        return booking

    def refusal(self, attendee: Account, event: Event) -> str | None:
        if event.cancellation:
            return "event-cancelled" if event.cancellation == "cancelled" else "no-such-event"
        if any(b.live and b.attendee is attendee and b.event is event for b in self.known_bookings):
            return "already-booked"
        return "sold-out" if self.taken(event) == event.capacity else None

    @rule(booking=bookings, by_host=st.booleans())
    def cancel(self, booking: Booking, *, by_host: bool) -> None:
        deleted = booking.attendee.user_id in self.deleted_accounts
        canceller = self.host if by_host or deleted else booking.attendee
        assert self.client("DELETE", f"/bookings/{booking.booking_id}", by=canceller).status == 204
        booking.live = False

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

    @rule(event=events)
    def cancel_event(self, event: Event) -> None:
        reply = self.as_host("POST", event, suffix="/cancel")
        assert reply.status == (404 if event.cancellation == "deleted" else 200)
        event.cancellation = event.cancellation or "cancelled"
        self.cancel_bookings(event=event)

    @rule(event=consumes(events))
    def delete_event(self, event: Event) -> None:
        assert self.as_host("DELETE", event).status == 204
        event.cancellation = "deleted"
        self.cancel_bookings(event=event)

    @rule(attendee=consumes(attendees))
    def delete_account(self, attendee: Account) -> None:
        assert self.client("DELETE", "/users/me", by=attendee).status == 204
        self.deleted_accounts.add(attendee.user_id)
        self.cancel_bookings(attendee=attendee)

    def as_host(self, method: str, event: Event, body: object = None, *, suffix: str = "") -> Reply:
        return self.client(method, f"/events/{event.event_id}{suffix}", body, by=self.host)

    @invariant()
    def api_shows_the_expected_events(self) -> None:
        path = f"/events?mine=true&limit=100&hostId={self.host.user_id}"
        shown = {event["eventId"]: event for event in self.client("GET", path, by=self.host).json}
        expected = [event for event in self.known_events if event.cancellation != "deleted"]
        assert shown.keys() == {event.event_id for event in expected}
        for event in expected:
            assert shown[event.event_id]["numberOfAttendees"] == self.taken(event)
            assert 0 <= self.taken(event) <= shown[event.event_id]["capacity"] == event.capacity

    @invariant()
    def rows_are_as_expected(self) -> None:
        booked = rows(
            self.client,
            "SELECT booking_id, status FROM bookings WHERE host_id = :host",
            host=self.host.user_id,
        )
        assert {str(row.booking_id): row.status for row in booked} == {
            booking.booking_id: "confirmed" if booking.live else "cancelled"
            for booking in self.known_bookings
        }
        counted = rows(
            self.client,
            "SELECT event_id, taken FROM places JOIN events USING (event_id) WHERE host_id = :host",
            host=self.host.user_id,
        )
        live = Counter(booking.event.event_id for booking in self.known_bookings if booking.live)
        assert {str(row.event_id): row.taken for row in counted} == {
            event.event_id: live[event.event_id] for event in self.known_events
        }


@pytest.mark.slow
def test_places_and_bookings_agree_after_any_sequence(client: Client) -> None:
    class ThisMachine(BookingMachine):
        def __init__(self) -> None:
            super().__init__(client)

    bounds = settings(derandomize=True, database=None, deadline=None, max_examples=20, stateful_step_count=25)
    run_state_machine_as_test(ThisMachine, settings=bounds)
