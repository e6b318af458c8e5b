"""Hosts as attendees: they book, pay and cancel at events of others."""

import pytest

from tests.client import Client
from tests.rows import domain_events, taken, value


def test_a_host_books_an_event_of_another_host(client: Client) -> None:
    host, guest = client.host(), client.host("Grace")
    event_id = client.event(host)["eventId"]

    booked = client.book(guest, event_id)

    assert (booked.status, booked.json["userId"]) == (201, guest.user_id)
    assert taken(client, event_id) == 1
    [booking] = client("GET", "/bookings", by=host).json
    assert booking["attendee"] == {"name": "Grace", "email": guest.email}


@pytest.mark.parametrize("price", [0, 2500])
def test_a_host_cannot_book_an_own_event(client: Client, price: int) -> None:
    host = client.host()
    event_id = client.event(host, price=price)["eventId"]

    refused = client.book(host, event_id)

    assert (refused.status, refused.problem) == (403, "own-event")
    assert taken(client, event_id) == 0


def test_a_host_sees_own_bookings_and_those_of_own_events(client: Client) -> None:
    host, other_host, attendee = client.host(), client.host(), client.attendee("Ada")
    mine, theirs = client.event(host)["eventId"], client.event(other_host)["eventId"]
    of_others = client.book(attendee, mine).json["bookingId"]
    own = client.book(host, theirs).json["bookingId"]
    client.book(attendee, theirs)

    listed = client("GET", "/bookings", by=host).json

    assert [booking["bookingId"] for booking in listed] == [own, of_others]
    assert [booking.get("attendee") for booking in listed] == [None, {"name": "Ada", "email": attendee.email}]
    assert client("GET", "/bookings", by=host).headers["x-total-count"] == "2"
    for query, found in ((f"eventId={mine}", [of_others]), (f"eventId={theirs}", [own])):
        page = client("GET", f"/bookings?{query}", by=host).json
        assert [booking["bookingId"] for booking in page] == found
    for booking in listed:
        assert client("GET", f"/bookings/{booking['bookingId']}", by=host).json == booking


def test_a_host_pays_for_a_place_at_an_event_of_another(client: Client) -> None:
    guest, event = client.host(), client.event(client.host(), price=2500)

    held = client.book(guest, event["eventId"]).json

    secret = held["payment"]["clientSecret"]
    paying = client("POST", f"/bookings/{held['bookingId']}/payment", by=guest)
    assert (paying.status, paying.json["clientSecret"]) == (200, secret)
    for path in (f"/bookings/{held['bookingId']}", "/bookings"):
        shown = client("GET", path, by=guest).json
        booking = shown[0] if isinstance(shown, list) else shown
        assert booking["payment"]["clientSecret"] == secret


def test_only_the_attendee_sees_the_client_secret(client: Client) -> None:
    host, guest = client.host(), client.host()
    held = client.book(guest, client.event(host, price=2500)["eventId"]).json

    assert "clientSecret" not in client("GET", f"/bookings/{held['bookingId']}", by=host).json["payment"]
    assert client("POST", f"/bookings/{held['bookingId']}/payment", by=host).problem == "no-such-booking"


def test_a_host_who_cancels_an_own_booking_cancels_as_attendee(client: Client) -> None:
    host, guest = client.host(), client.host()
    event_id = client.event(host)["eventId"]
    booking_id = client.book(guest, event_id).json["bookingId"]

    assert client("DELETE", f"/bookings/{booking_id}", by=guest).status == 204

    [cancelled] = domain_events(client, event_id, "booking-cancelled")
    assert cancelled.body["reason"] == "attendee"
    assert taken(client, event_id) == 0


def test_deleting_a_host_cancels_bookings_at_events_of_others(client: Client) -> None:
    host, guest = client.host(), client.host()
    event_id, own = client.event(host)["eventId"], client.event(guest)["eventId"]
    client.book(guest, event_id)
    client.book(client.attendee(), own)

    assert client("DELETE", "/users/me", by=guest).status == 204

    assert (taken(client, event_id), taken(client, own)) == (0, 0)
    [cancelled] = domain_events(client, event_id, "booking-cancelled")
    assert cancelled.body["reason"] == "account-deleted"
    assert value(client, "SELECT count(*) FROM bookings WHERE status <> 'cancelled'") == 0
