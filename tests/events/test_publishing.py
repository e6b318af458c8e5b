"""Publishing an event: defaults, formats and validation."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.client import Client, event_body

NEXT_MONTH = timedelta(days=30)


def lasting(**duration: float) -> dict[str, timedelta]:
    return {"startDateTime": NEXT_MONTH, "endDateTime": NEXT_MONTH + timedelta(**duration)}


def test_members_that_are_left_out_get_defaults(client: Client) -> None:
    host = client.host()
    sent = event_body(title="Jazz in the yard", capacity=100, **lasting(hours=3))

    reply = client("POST", "/events", sent, by=host)

    assert reply.status == 201
    made = reply.json
    starts_at = datetime.fromisoformat(sent["startDateTime"])
    assert made == {
        "eventId": made["eventId"],
        "hostId": host.user_id,
        "host": {"userId": host.user_id, "name": host.name},
        "title": "Jazz in the yard",
        "startDateTime": f"{starts_at:%Y-%m-%dT%H:%M:%SZ}",
        "endDateTime": f"{starts_at + timedelta(hours=3):%Y-%m-%dT%H:%M:%SZ}",
        "timezone": "UTC",
        "capacity": 100,
        "numberOfAttendees": 0,
        "price": 0,
        "currency": "eur",
        "saleEndsAt": made["endDateTime"],
        "maxPerAttendee": 1,
        "reEntryAllowed": False,
        "verifiedAttendeesOnly": False,
        "status": "published",
        "ticketTypes": [
            {
                "ticketTypeId": made["ticketTypes"][0]["ticketTypeId"],
                "name": "General admission",
                "price": 0,
                "currency": "eur",
                "taken": 0,
                "minPerBooking": 1,
                "maxPerBooking": 100,
                "codeRequired": False,
                "availability": "on-sale",
            }
        ],
        "availability": "on-sale",
        "onSale": True,
        "createdAt": made["createdAt"],
        "updatedAt": made["createdAt"],
        "viewer": {"following": False, "interested": False, "bookingIds": []},
    }
    assert UUID(made["eventId"]).version == 7
    assert abs(datetime.fromisoformat(made["createdAt"]) - datetime.now(UTC)) < timedelta(minutes=1)


def test_location_is_the_path_of_the_new_event(client: Client) -> None:
    host = client.host()
    made = client("POST", "/events", event_body(), by=host)

    found = client("GET", made.headers["location"], by=host)

    assert made.headers["location"] == f"/events/{made.json['eventId']}"
    assert found.json == made.json
    assert found.headers["etag"] == made.headers["etag"]


def test_an_event_has_all_members_of_its_request(client: Client) -> None:
    details = {
        "title": "Tango für zwei 💃",
        "description": "Mit Live-Musik.\nUnd Wein.",
        "location": "Kulturhof, Berlin",
        "startDateTime": "2030-06-05T19:30:00+02:00",
        "endDateTime": "2030-06-05T22:00:00+02:00",
        "timezone": "Europe/Berlin",
        "capacity": 12,
        "price": 0,
        "currency": "chf",
        "saleStartsAt": "2030-05-01T00:00:00.25Z",
        "saleEndsAt": "2030-06-01T00:00:00-01:00",
        "status": "draft",
    }

    made = client.event(client.host(), **details)

    assert {name: made[name] for name in details} == details | {
        "startDateTime": "2030-06-05T17:30:00Z",
        "endDateTime": "2030-06-05T20:00:00Z",
        "saleStartsAt": "2030-05-01T00:00:00.25Z",
        "saleEndsAt": "2030-06-01T01:00:00Z",
    }
    assert made["ticketTypes"][0]["currency"] == "chf"


def test_text_is_trimmed_and_blank_optional_text_is_omitted(client: Client) -> None:
    made = client.event(client.host(), title="  Jazz ", description=" \n ", location="")

    assert made["title"] == "Jazz"
    assert not {"description", "location"} & made.keys()


def test_a_draft_is_not_on_sale(client: Client) -> None:
    made = client.event(client.host(), status="draft")

    assert made["status"] == "draft"
    assert made["onSale"] is False


@pytest.mark.parametrize("duration", [{"minutes": 5}, {"days": 14}])
def test_an_event_lasts_5_minutes_to_14_days(client: Client, duration: dict[str, float]) -> None:
    made = client.event(client.host(), **lasting(**duration))

    assert made["onSale"] is True


@pytest.mark.parametrize(
    ("members", "faulty"),
    [
        ({"startDateTime": timedelta(days=-1)}, {"startDateTime", "endDateTime"}),
        ({"startDateTime": timedelta(days=-1), "endDateTime": timedelta(days=1)}, {"startDateTime"}),
        ({"startDateTime": timedelta(days=4000), "endDateTime": timedelta(days=4001)}, {"startDateTime"}),
        (lasting(minutes=4, seconds=59), {"endDateTime"}),
        (lasting(days=14, seconds=1), {"endDateTime"}),
        (lasting(hours=0), {"endDateTime"}),
        (lasting(hours=-1), {"endDateTime"}),
        ({"startDateTime": "2030-06-05T19:30:00"}, {"startDateTime"}),
        ({"timezone": "Mars/Olympus"}, {"timezone"}),
        ({"currency": "xyz"}, {"currency"}),
        ({"currency": "EUR"}, {"currency"}),
        ({"price": 1}, {"price"}),
        ({"price": -1}, {"price"}),
        ({"price": 0.5}, {"price"}),
        ({"capacity": 0}, {"capacity"}),
        ({"capacity": 1_000_001}, {"capacity"}),
        ({"capacity": "10"}, {"capacity"}),
        ({"capacity": True}, {"capacity"}),
        ({"title": " "}, {"title"}),
        ({"title": "x" * 201}, {"title"}),
        ({"description": "x" * 10_001}, {"description"}),
        ({"location": "x" * 501}, {"location"}),
        ({"status": "cancelled"}, {"status"}),
        ({"saleEndsAt": timedelta(days=31)}, {"saleEndsAt"}),
        ({"saleStartsAt": timedelta(days=31)}, {"saleStartsAt"}),
        ({"saleStartsAt": timedelta(days=9), "saleEndsAt": timedelta(days=8)}, {"saleStartsAt"}),
        ({"title": "a\0b", "capacity": None}, {"title", "capacity"}),
        ({"hostId": "somebody else"}, {"hostId"}),
    ],
)
def test_invalid_members_are_named(client: Client, members: dict[str, Any], faulty: set[str]) -> None:
    host = client.host()

    reply = client("POST", "/events", event_body(**members), by=host)

    assert reply.status == 400
    assert reply.problem == "invalid-input"
    assert reply.faulty_fields == faulty
    assert client("GET", "/events?mine=true", by=host).json == []


def test_only_hosts_can_publish_events(client: Client) -> None:
    assert client("POST", "/events", event_body()).status == 401
    assert client("POST", "/events", event_body(), by=client.attendee()).status == 403
    assert client("GET", "/events").json == []


def test_an_idempotency_key_makes_one_event(client: Client) -> None:
    host, body, key = client.host(), event_body(), {"Idempotency-Key": "a key"}

    first, again = (client("POST", "/events", body, by=host, headers=key) for _ in range(2))

    assert again.json == first.json
    assert again.headers["idempotent-replayed"] == "true"
    assert len(client("GET", "/events").json) == 1
