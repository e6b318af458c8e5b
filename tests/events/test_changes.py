"""PUT and PATCH of an event: members that are sent, left out or null."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.client import Account, Client, Reply, event_body

FULL = {
    "title": "Tango",
    "description": "For two",
    "location": "Kulturhof",
    "startDateTime": "2030-06-05T17:30:00Z",
    "endDateTime": "2030-06-05T20:00:00Z",
    "timezone": "Europe/Berlin",
    "capacity": 12,
    "currency": "chf",
    "saleStartsAt": "2030-05-01T00:00:00Z",
    "saleEndsAt": "2030-06-01T00:00:00Z",
    "maxPerAttendee": 4,
    "verifiedAttendeesOnly": True,
}


def patch(client: Client, host: Account, event: Any, **members: Any) -> Reply:
    return client("PATCH", f"/events/{event['eventId']}", members, by=host)


def put(client: Client, host: Account, event: Any, body: Any) -> Reply:
    return client("PUT", f"/events/{event['eventId']}", body, by=host)


def without_times(event: Any) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "updatedAt"}


@pytest.mark.parametrize("status", ["draft", "published"])
def test_put_sets_defaults_but_keeps_the_status(client: Client, status: str) -> None:
    host = client.host()
    event = client.event(host, **FULL, status=status)
    body = {name: FULL[name] for name in ("title", "startDateTime", "endDateTime", "capacity")}

    reply = put(client, host, event, body)

    availability = "on-sale" if status == "published" else "not-started"
    assert reply.status == 200
    assert without_times(reply.json) == {
        "eventId": event["eventId"],
        "hostId": host.user_id,
        "host": {"userId": host.user_id, "name": host.name},
        **body,
        "numberOfAttendees": 0,
        "timezone": "UTC",
        "price": 0,
        "currency": "eur",
        "saleEndsAt": FULL["endDateTime"],
        "maxPerAttendee": 1,
        "reEntryAllowed": False,
        "verifiedAttendeesOnly": False,
        "status": status,
        "ticketTypes": [event["ticketTypes"][0] | {"currency": "eur", "availability": availability}],
        "availability": availability,
        "onSale": status == "published",
        "createdAt": event["createdAt"],
        "viewer": event["viewer"],
    }
    assert client("GET", f"/events/{event['eventId']}", by=host).json == reply.json


@pytest.mark.parametrize("missing", ["title", "startDateTime", "endDateTime", "capacity"])
def test_put_requires_the_members_without_a_default(client: Client, missing: str) -> None:
    host = client.host()
    event = client.event(host)

    reply = put(client, host, event, event_body(**{missing: None}))

    assert (reply.status, reply.faulty_fields) == (400, {missing})


@pytest.mark.parametrize(
    "members",
    [
        {"title": "Milonga"},
        {"description": "For three", "location": "Yard"},
        {"startDateTime": "2030-06-05T17:00:00Z"},
        {"endDateTime": "2030-06-05T21:00:00Z"},
        {"timezone": "Europe/Zurich"},
        {"capacity": 1},
        {"saleStartsAt": "2030-05-02T00:00:00Z"},
        {"saleEndsAt": "2030-06-02T00:00:00Z"},
        {"maxPerAttendee": 100},
    ],
)
def test_patch_changes_only_the_members_that_it_names(client: Client, members: dict[str, Any]) -> None:
    host = client.host()
    event = client.event(host, **FULL)

    reply = patch(client, host, event, **members)

    assert reply.status == 200
    assert without_times(reply.json) == without_times(event) | members
    assert datetime.fromisoformat(reply.json["updatedAt"]) > datetime.fromisoformat(event["updatedAt"])


def test_the_currency_changes_with_that_of_the_ticket_types(client: Client) -> None:
    host = client.host()
    event = client.event(host)

    changed = patch(client, host, event, currency="usd").json

    assert changed["currency"] == changed["ticketTypes"][0]["currency"] == "usd"


@pytest.mark.parametrize(
    ("members", "removed"),
    [
        ({"description": None}, {"description"}),
        ({"description": " \t"}, {"description"}),
        ({"location": None}, {"location"}),
        ({"location": ""}, {"location"}),
        ({"saleStartsAt": None}, {"saleStartsAt"}),
        (
            {"description": None, "location": "", "saleStartsAt": None},
            {"description", "location", "saleStartsAt"},
        ),
    ],
)
def test_null_and_blank_text_remove_an_optional_member(
    client: Client, members: dict[str, Any], removed: set[str]
) -> None:
    host = client.host()
    event = client.event(host, **FULL)

    changed = patch(client, host, event, **members).json

    assert event.keys() - changed.keys() == removed


def test_removing_the_end_of_the_sale_resets_it_to_the_events_end(client: Client) -> None:
    host = client.host()
    event = client.event(host, **FULL)

    assert patch(client, host, event, saleEndsAt=None).json["saleEndsAt"] == FULL["endDateTime"]


@pytest.mark.parametrize(
    "member",
    [
        "title",
        "startDateTime",
        "endDateTime",
        "capacity",
        "timezone",
        "price",
        "currency",
        "maxPerAttendee",
        "status",
    ],
)
def test_null_cannot_remove_a_required_member(client: Client, member: str) -> None:
    host = client.host()
    event = client.event(host)

    reply = patch(client, host, event, **{member: None})

    assert (reply.status, reply.faulty_fields) == (400, {member})


@pytest.mark.parametrize(
    ("members", "faulty"),
    [
        ({"startDateTime": timedelta(days=-1)}, {"startDateTime", "endDateTime"}),
        ({"endDateTime": "2030-06-05T17:31:00Z"}, {"endDateTime", "saleEndsAt"}),
        ({"saleEndsAt": "2030-06-05T20:00:01Z"}, {"saleEndsAt"}),
        ({"saleStartsAt": "2030-06-02T00:00:00Z"}, {"saleStartsAt"}),
        ({"price": 49}, {"price"}),
        ({"title": ""}, {"title"}),
        ({"capacity": 0}, {"capacity"}),
        ({"status": "cancelled"}, {"status"}),
        ({"hostId": "0198b2f3-7c1a-7b55-9d41-2f6d0c8a1e90"}, {"hostId"}),
    ],
)
def test_a_patched_event_is_validated_as_a_whole(
    client: Client, members: dict[str, Any], faulty: set[str]
) -> None:
    host = client.host()
    event = client.event(
        host, **FULL | {"saleEndsAt": "2030-06-05T18:00:00Z"} if "endDateTime" in members else FULL
    )

    reply = patch(client, host, event, **members)

    assert (reply.status, reply.faulty_fields) == (400, faulty)
    assert client("GET", f"/events/{event['eventId']}", by=host).json == event


@pytest.mark.parametrize("body", [{}, {"title": "Tango"}, {"title": " Tango ", "capacity": 12}, FULL])
def test_a_patch_without_a_change_makes_no_new_version(client: Client, body: dict[str, Any]) -> None:
    host = client.host()
    event = client.event(host, **FULL)
    tag = client("GET", f"/events/{event['eventId']}", by=host).headers["etag"]

    reply = patch(client, host, event, **body)

    assert (reply.status, reply.json, reply.headers["etag"]) == (200, event, tag)


def test_a_put_without_a_change_makes_no_new_version(client: Client) -> None:
    host = client.host()
    event = client.event(host, **FULL)
    tag = client("GET", f"/events/{event['eventId']}", by=host).headers["etag"]

    reply = put(client, host, event, FULL)

    assert (reply.status, reply.json, reply.headers["etag"]) == (200, event, tag)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_change_of_a_stale_version_is_refused(client: Client, method: str) -> None:
    host = client.host()
    event = client.event(host)
    path = f"/events/{event['eventId']}"
    known = {"If-Match": client("GET", path, by=host).headers["etag"]}
    body = event_body(title="Mine") if method == "PUT" else {"title": "Mine"}

    current = client(method, path, body, by=host, headers=known)
    stale = client(method, path, {**body, "title": "Also mine"}, by=host, headers=known)

    assert current.status == 200
    assert (stale.status, stale.problem) == (412, "stale-version")
    assert client("GET", path).json["title"] == "Mine"
    assert current.headers["etag"] == client("GET", path, by=host).headers["etag"]


def test_a_booking_does_not_make_a_version_stale(client: Client) -> None:
    host = client.host()
    event = client.event(host)
    path = f"/events/{event['eventId']}"
    known = {"If-Match": client("GET", path).headers["etag"]}
    client.book(client.attendee(), event["eventId"])

    assert client("PATCH", path, {"title": "Still mine"}, by=host, headers=known).status == 200


def test_updated_at_is_the_time_of_the_request(client: Client) -> None:
    host = client.host()
    event = client.event(host)
    before = datetime.now(UTC)

    changed = patch(client, host, event, title="Later").json

    assert changed["createdAt"] == event["createdAt"]
    assert abs((datetime.fromisoformat(changed["updatedAt"]) - before).total_seconds()) < 60
