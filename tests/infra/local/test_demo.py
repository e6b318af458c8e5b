"""The demo data shows what an event can sell, and is loaded once."""

from typing import Any

from infra.local import demo
from infra.local.demo import Demo
from tests.client import Client


def load(client: Client) -> tuple[Demo, dict[str, Any]]:
    """Load the demo data. Return what `make run` prints, and the events by title."""
    loaded = demo.load(client.wiring.settings.database_url)
    return loaded, {event["title"]: event for event in client("GET", "/events").json}


def availability(event: Any) -> list[tuple[str, str]]:
    return [(kind["name"], kind["availability"]) for kind in event["ticketTypes"]]


def test_demo_events_show_ticket_types(client: Client) -> None:
    loaded, events = load(client)

    assert events[demo.FREE_EVENT]["eventId"] == str(loaded.free_event_id)
    assert events[demo.PRICED_EVENT]["eventId"] == str(loaded.priced_event_id)
    on_sale = "on-sale"
    assert availability(events["Summer festival"]) == [
        ("Weekend", on_sale),
        ("Saturday", on_sale),
        ("Sunday", on_sale),
    ]
    assert availability(events["Club night"]) == [
        ("Early bird", on_sale),
        ("Regular", on_sale),
        ("Guest list", on_sale),
    ]
    assert events["Living room concert"]["availability"] == "sold-out"
    assert events["Open air opera"]["availability"] == "not-started"
    assert (events["How to listen"]["price"], events["How to listen"]["maxPerAttendee"]) == (0, 2)


def test_the_demo_code_takes_a_fifth_off(client: Client) -> None:
    _, events = load(client)
    club_night = events[demo.CLUB_NIGHT]
    items = [{"ticketTypeId": club_night["ticketTypes"][1]["ticketTypeId"], "quantity": 2}]
    order = {"eventId": club_night["eventId"], "items": items, "code": "FRIENDS"}

    quote = client("POST", "/bookings/quote", order, by=client.attendee())

    assert (quote.json["amount"], quote.json["discount"]) == (2880, 720)


def test_demo_data_is_loaded_once(client: Client) -> None:
    first = load(client)

    assert load(client) == first
