"""Reading one event: visibility, sale and caching."""

from datetime import timedelta
from typing import Any

import pytest

from tests.client import Client


def test_a_published_event_is_public(client: Client) -> None:
    event = client.event(client.host())
    path = f"/events/{event['eventId']}"

    for reader in (None, client.host(), client.attendee()):
        seen = client("GET", path, by=reader).json
        assert {**seen, "viewer": None} == {**event, "viewer": None}


def test_everybody_sees_the_host(client: Client) -> None:
    host, attendee = client.host("Grace Hopper"), client.attendee()
    event = client.event(host)
    booking = client.book(attendee, event["eventId"]).json["bookingId"]
    client("PUT", f"/events/{event['eventId']}/interest", by=attendee)

    [listed] = client("GET", f"/events?hostId={host.user_id}").json
    [interesting] = client("GET", "/users/me/interests", by=attendee).json
    [of_host] = client("GET", "/bookings", by=host).json
    of_attendee = client("GET", f"/bookings/{booking}", by=attendee).json

    for shown in (event, listed, interesting, of_host["event"], of_attendee["event"]):
        assert shown["host"] == {"userId": host.user_id, "name": "Grace Hopper"}
        assert shown["hostId"] == host.user_id


def test_the_name_of_a_deleted_host_is_left_out(client: Client) -> None:
    host, attendee = client.host(), client.attendee()
    event = client.event(host)["eventId"]
    client.book(attendee, event)
    assert client("DELETE", "/users/me", by=host).status == 204

    [booking] = client("GET", "/bookings", by=attendee).json
    for shown in (client("GET", f"/events/{event}").json, booking["event"]):
        assert shown["host"] == {"userId": host.user_id}


def test_a_draft_is_visible_to_its_host_only(client: Client) -> None:
    host = client.host()
    draft = client.event(host, status="draft")
    path = f"/events/{draft['eventId']}"

    assert client("GET", path, by=host).json == draft
    for stranger in (None, client.host(), client.attendee()):
        assert client("GET", path, by=stranger).problem == "no-such-event"


def test_a_deleted_event_is_not_found(client: Client) -> None:
    host, attendee = client.host(), client.attendee()
    event = client.event(host)
    client.book(attendee, event["eventId"])

    assert client("DELETE", f"/events/{event['eventId']}", by=host).status == 204

    for reader in (None, host, attendee):
        reply = client("GET", f"/events/{event['eventId']}", by=reader)
        assert (reply.status, reply.problem) == (404, "no-such-event")


def test_a_cancelled_event_stays_readable(client: Client) -> None:
    host = client.host()
    event = client.event(host)
    client("POST", f"/events/{event['eventId']}/cancel", by=host)

    for reader in (None, host, client.attendee()):
        read = client("GET", f"/events/{event['eventId']}", by=reader).json
        assert read["status"] == "cancelled"
        assert read["title"] == event["title"]


@pytest.mark.parametrize(
    ("event_id", "status"),
    [("0198b2f3-7c1a-7b55-9d41-2f6d0c8a1e90", 404), ("17", 400), ("me", 400)],
)
def test_an_unknown_event_is_not_found(client: Client, event_id: str, status: int) -> None:
    assert client("GET", f"/events/{event_id}").status == status


@pytest.mark.parametrize(
    ("members", "on_sale"),
    [
        ({}, True),
        ({"saleStartsAt": timedelta(days=-1)}, True),
        ({"saleStartsAt": timedelta(days=1)}, False),
        ({"saleEndsAt": timedelta(days=1)}, True),
        ({"saleEndsAt": timedelta(days=-1)}, False),
        ({"status": "draft"}, False),
    ],
)
def test_an_event_is_on_sale_within_its_sale_window(
    client: Client, members: dict[str, Any], *, on_sale: bool
) -> None:
    host = client.host()
    event = client.event(host, **members)

    assert client("GET", f"/events/{event['eventId']}", by=host).json["onSale"] is on_sale


def test_an_event_is_off_sale_while_it_is_sold_out(client: Client) -> None:
    attendee, event = client.attendee(), client.event(client.host(), capacity=1)
    path = f"/events/{event['eventId']}"

    booking = client.book(attendee, event["eventId"]).json
    assert client("GET", path).json["onSale"] is False

    client("DELETE", f"/bookings/{booking['bookingId']}", by=attendee)
    assert client("GET", path).json["onSale"] is True


@pytest.mark.parametrize(("lasts", "on_sale"), [(timedelta(hours=3), True), (timedelta(hours=1), False)])
def test_a_running_event_is_on_sale_until_it_ends(client: Client, lasts: timedelta, *, on_sale: bool) -> None:
    event_id = client.past_event(client.host(), started_ago=timedelta(hours=2), lasts=lasts)

    assert client("GET", f"/events/{event_id}").json["onSale"] is on_sale


def test_an_events_etag_changes_with_each_booking(client: Client) -> None:
    event = client.event(client.host())
    path = f"/events/{event['eventId']}"
    tag = client("GET", path).headers["etag"]

    unchanged = client("GET", path, headers={"If-None-Match": tag})
    client.book(client.attendee(), event["eventId"])
    changed = client("GET", path, headers={"If-None-Match": tag})

    assert (unchanged.status, unchanged.text, unchanged.headers["etag"]) == (304, "", tag)
    assert changed.json["numberOfAttendees"] == 1
    assert changed.headers["etag"] != tag


def test_only_anonymous_responses_are_cacheable(client: Client) -> None:
    host = client.host()
    path = f"/events/{client.event(host)['eventId']}"

    assert client("GET", path).headers["cache-control"] == "public, max-age=2, stale-while-revalidate=10"
    assert client("GET", path).headers["vary"] == "Authorization, Origin"
    assert client("GET", path, by=host).headers["cache-control"] == "private, no-store"


def test_a_token_shows_what_the_viewer_has_to_do_with_an_event(client: Client) -> None:
    host, ada = client.host(), client.attendee()
    event = client.event(host)
    path = f"/events/{event['eventId']}"
    assert client("GET", path, by=ada).json["viewer"] == {
        "following": False,
        "interested": False,
        "bookingIds": [],
    }

    booking = client.book(ada, event["eventId"]).json
    client("PUT", f"/users/{host.user_id}/follow", by=ada)
    client("PUT", f"{path}/interest", by=ada)

    viewer = {"following": True, "interested": True, "bookingIds": [booking["bookingId"]]}
    assert client("GET", path, by=ada).json["viewer"] == viewer
    assert [listed["viewer"] for listed in client("GET", "/events", by=ada).json] == [viewer]
    assert client("GET", path, by=client.attendee()).json["viewer"]["bookingIds"] == []
    assert "viewer" not in client("GET", path).json
    client("DELETE", f"/bookings/{booking['bookingId']}", by=ada)
    assert client("GET", path, by=ada).json["viewer"]["bookingIds"] == []
