"""Changes of an event that are refused, because of its state or of the caller."""

from datetime import timedelta
from typing import Any

import pytest

from tests.client import EVENT, Client, in_days
from tests.rows import taken

HOUR = timedelta(hours=1)

WAYS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("PUT", "", EVENT | {"title": "Taken over"}),
    ("PATCH", "", {"title": "Taken over"}),
    ("DELETE", "", None),
    ("POST", "/cancel", None),
]


def test_the_start_of_a_running_event_cannot_be_changed(client: Client) -> None:
    host = client.host()
    event_id = client.past_event(host, started_ago=HOUR, lasts=2 * HOUR)

    reply = client("PATCH", f"/events/{event_id}", {"startDateTime": in_days(0.01)}, by=host)

    assert (reply.status, reply.problem) == (409, "event-started")


def test_all_else_of_a_running_event_can_be_changed(client: Client) -> None:
    host = client.host()
    event_id = client.past_event(host, started_ago=HOUR, lasts=2 * HOUR)
    event = client("GET", f"/events/{event_id}").json
    changes = {"title": "Running late", "endDateTime": in_days(1), "location": "Next door", "capacity": 11}

    patched = client("PATCH", f"/events/{event_id}", changes, by=host)
    body = {name: event[name] for name in ("startDateTime", "endDateTime", "capacity")}
    replaced = client("PUT", f"/events/{event_id}", {**body, "title": "The same start"}, by=host)

    assert (patched.status, patched.json["title"]) == (200, "Running late")
    assert (replaced.status, replaced.json["startDateTime"]) == (200, event["startDateTime"])


@pytest.mark.parametrize("body", [{"title": "Too late"}, {"endDateTime": timedelta(days=1)}, {}])
def test_a_past_event_cannot_be_changed(client: Client, body: dict[str, Any]) -> None:
    host = client.host()
    event_id = client.past_event(host, started_ago=2 * HOUR, lasts=HOUR)

    reply = client("PATCH", f"/events/{event_id}", body, by=host)

    assert (reply.status, reply.problem) == (409, "event-ended")


@pytest.mark.parametrize(("method", "body"), [("PATCH", {"title": "Back again"}), ("PUT", EVENT)])
def test_a_cancelled_event_cannot_be_changed(client: Client, method: str, body: dict[str, Any]) -> None:
    host = client.host()
    event = client.event(host)
    client("POST", f"/events/{event['eventId']}/cancel", by=host)

    reply = client(method, f"/events/{event['eventId']}", body, by=host)

    assert (reply.status, reply.problem) == (409, "event-cancelled")


@pytest.mark.parametrize(
    ("method", "body"), [("PATCH", {"status": "draft"}), ("PUT", EVENT | {"status": "draft"})]
)
def test_a_published_event_cannot_become_a_draft_again(
    client: Client, method: str, body: dict[str, Any]
) -> None:
    host = client.host()
    event = client.event(host)

    reply = client(method, f"/events/{event['eventId']}", body, by=host)

    assert (reply.status, reply.problem) == (409, "already-published")
    assert client("GET", f"/events/{event['eventId']}", by=host).json == event


@pytest.mark.parametrize(
    ("method", "body"), [("PATCH", {"status": "published"}), ("PUT", EVENT | {"status": "published"})]
)
def test_a_draft_can_be_published(client: Client, method: str, body: dict[str, Any]) -> None:
    host = client.host()
    event = client.event(host, status="draft")

    reply = client(method, f"/events/{event['eventId']}", body, by=host)

    assert (reply.status, reply.json["status"], reply.json["onSale"]) == (200, "published", True)
    assert client.book(client.attendee(), event["eventId"]).status == 201


def test_capacity_can_be_lowered_to_the_number_of_taken_places(client: Client) -> None:
    host = client.host()
    event = client.event(host, capacity=5)
    path = f"/events/{event['eventId']}"
    for _ in range(2):
        client.book(client.attendee(), event["eventId"])

    below = client("PATCH", path, {"capacity": 1, "title": "Smaller"}, by=host)
    unchanged = client("GET", path).json
    equal = client("PATCH", path, {"capacity": 2}, by=host)

    assert (below.status, below.problem) == (409, "capacity-below-taken")
    assert (unchanged["capacity"], unchanged["title"]) == (5, event["title"])
    assert (equal.status, equal.json["capacity"], equal.json["onSale"]) == (200, 2, False)
    assert client.book(client.attendee(), event["eventId"]).problem == "sold-out"


def test_added_places_of_a_sold_out_event_can_be_booked(client: Client) -> None:
    host = client.host()
    event = client.event(host, capacity=1)
    client.book(client.attendee(), event["eventId"])

    client("PATCH", f"/events/{event['eventId']}", {"capacity": 2}, by=host)

    assert client.book(client.attendee(), event["eventId"]).status == 201
    assert taken(client, event["eventId"]) == 2


@pytest.mark.parametrize(("method", "suffix", "body"), WAYS)
def test_an_event_of_another_host_cannot_be_changed(
    client: Client, method: str, suffix: str, body: dict[str, Any] | None
) -> None:
    host = client.host()
    event = client.event(host)

    reply = client(method, f"/events/{event['eventId']}{suffix}", body, by=client.host())

    assert (reply.status, reply.problem) == (403, "not-your-event")
    assert client("GET", f"/events/{event['eventId']}", by=host).json == event


@pytest.mark.parametrize(("method", "suffix", "body"), WAYS)
def test_a_draft_of_another_host_is_not_found(
    client: Client, method: str, suffix: str, body: dict[str, Any] | None
) -> None:
    host = client.host()
    draft = client.event(host, status="draft")

    reply = client(method, f"/events/{draft['eventId']}{suffix}", body, by=client.host())

    assert (reply.status, reply.problem) == (404, "no-such-event")
    assert client("GET", f"/events/{draft['eventId']}", by=host).json == draft


@pytest.mark.parametrize(("method", "suffix", "body"), WAYS)
def test_a_deleted_event_is_not_found_by_its_host(
    client: Client, method: str, suffix: str, body: dict[str, Any] | None
) -> None:
    host = client.host()
    event = client.event(host)
    client("DELETE", f"/events/{event['eventId']}", by=host)

    reply = client(method, f"/events/{event['eventId']}{suffix}", body, by=host)

    assert (reply.status, reply.problem) == (404, "no-such-event")


@pytest.mark.parametrize(("method", "suffix", "body"), WAYS)
def test_only_hosts_can_change_events(
    client: Client, method: str, suffix: str, body: dict[str, Any] | None
) -> None:
    host = client.host()
    event = client.event(host)
    path = f"/events/{event['eventId']}{suffix}"

    assert client(method, path, body, by=client.attendee()).status == 403
    assert client(method, path, body).status == 401
    assert client("GET", f"/events/{event['eventId']}", by=host).json == event
