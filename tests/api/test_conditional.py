"""Conditional requests: not sent again what is known, not overwritten what has changed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.client import Account, Client, Reply, event_body
from tests.concurrency import run_concurrently
from tests.database_contents import contents


@dataclass(frozen=True)
class Thing:
    """Something that one of them can read and write, and a change of it."""

    path: str
    by: Account
    change: dict[str, Any] | None
    replacement: dict[str, Any] | None = None


def an_event(client: Client) -> Thing:
    host = client.host()
    path = f"/events/{client.event(host)['eventId']}"
    return Thing(path, host, {"title": "New"}, event_body(title="New"))


def a_user(client: Client) -> Thing:
    host = client.host()
    replacement = {"name": "New", "email": "new@example.com"}
    return Thing(f"/users/{host.user_id}", host, {"name": "New"}, replacement)


def a_booking(client: Client) -> Thing:
    attendee = client.attendee()
    booking = client.book(attendee, client.event(client.host())["eventId"]).json
    return Thing(f"/bookings/{booking['bookingId']}", attendee, None)


Make = Callable[[Client], Thing]
everything = pytest.mark.parametrize("make", [an_event, a_user, a_booking], ids=lambda make: make.__name__)
changeable = pytest.mark.parametrize("make", [an_event, a_user], ids=lambda make: make.__name__)


def etag(client: Client, thing: Thing) -> str:
    return client("GET", thing.path, by=thing.by).headers["etag"]


def get(client: Client, thing: Thing, if_none_match: str) -> Reply:
    return client("GET", thing.path, by=thing.by, headers={"If-None-Match": if_none_match})


def writes(client: Client, thing: Thing, if_match: str) -> list[Reply]:
    """Try all the ways there are to write the thing."""
    ways: list[tuple[str, str, Any]] = [("DELETE", thing.path, None)]
    if thing.change:
        ways = [("PUT", thing.path, thing.replacement), ("PATCH", thing.path, thing.change), *ways]
    if thing.path.startswith("/events"):
        ways.insert(0, ("POST", f"{thing.path}/cancel", None))
    return [
        client(method, path, body, by=thing.by, headers={"If-Match": if_match}) for method, path, body in ways
    ]


@everything
def test_what_the_client_has_is_not_sent_again(client: Client, make: Make) -> None:
    thing = make(client)
    tag = etag(client, thing)

    for known in (tag, f"W/{tag}", f'"other", {tag}', f'{tag},"other"', f'W/"other" , W/{tag}', "*", " * "):
        reply = get(client, thing, known)
        assert (reply.status, reply.text, reply.headers["etag"]) == (304, "", tag), known
        assert "content-type" not in reply.headers


@everything
def test_what_the_client_does_not_have_is_sent(client: Client, make: Make) -> None:
    thing = make(client)
    tag = etag(client, thing)

    for known in ('"other"', 'W/"other"', tag.strip('"'), f'"{tag[1:-2]}"', '"*"', f'{tag[:-1]}x"'):
        reply = get(client, thing, known)
        assert (reply.status, reply.headers["etag"]) == (200, tag), known
        assert reply.text


def test_the_tag_of_a_write_is_the_tag_of_the_next_read(client: Client) -> None:
    host = client.host()
    created = client("POST", "/events", event_body(), by=host)
    path = created.headers["location"]
    tags = [created.headers["etag"], client("GET", path, by=host).headers["etag"]]

    for method, body in (("PATCH", {"title": "A"}), ("PUT", event_body(title="B"))):
        tags.append(client(method, path, body, by=host).headers["etag"])
        tags.append(client("GET", path, by=host).headers["etag"])
    tags.append(client("POST", f"{path}/cancel", by=host).headers["etag"])
    tags.append(client("GET", path, by=host).headers["etag"])

    assert tags[0::2] == tags[1::2]
    assert len(set(tags)) == 4


@changeable
def test_a_change_makes_a_new_tag(client: Client, make: Make) -> None:
    thing = make(client)
    tag = etag(client, thing)

    client("PATCH", thing.path, thing.change, by=thing.by)

    assert get(client, thing, tag).status == 200
    assert etag(client, thing) != tag


@everything
def test_a_stale_version_is_not_overwritten(client: Client, make: Make) -> None:
    thing = make(client)
    stale = etag(client, thing)
    if thing.change:
        client("PATCH", thing.path, thing.change, by=thing.by)
    else:
        stale = '"99-0123456789abcdef"'
    before = contents(client)

    for if_match in (stale, f'"other", {stale}', f"W/{etag(client, thing)}", '"no version"', "1", '""'):
        for reply in writes(client, thing, if_match):
            assert (reply.status, reply.problem) == (412, "stale-version"), if_match

    assert contents(client) == before


@changeable
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("if_match", ["{}", '"other", {}', "{},{}", "*"])
def test_the_present_version_is_overwritten(client: Client, make: Make, method: str, if_match: str) -> None:
    thing = make(client)
    headers = {"If-Match": if_match.replace("{}", etag(client, thing))}

    reply = client(
        method,
        thing.path,
        thing.change if method == "PATCH" else thing.replacement,
        by=thing.by,
        headers=headers,
    )

    assert reply.status == 200


@everything
def test_the_present_version_can_be_deleted(client: Client, make: Make) -> None:
    thing = make(client)

    reply = client("DELETE", thing.path, by=thing.by, headers={"If-Match": etag(client, thing)})

    assert reply.status == 204


def test_the_present_version_of_an_event_can_be_cancelled(client: Client) -> None:
    thing = an_event(client)

    reply = client("POST", f"{thing.path}/cancel", by=thing.by, headers={"If-Match": etag(client, thing)})

    assert (reply.status, reply.json["status"]) == (200, "cancelled")


def test_a_place_taken_makes_a_new_tag_but_does_not_keep_the_host_from_writing(client: Client) -> None:
    thing = an_event(client)
    tag = etag(client, thing)
    client.book(client.attendee(), thing.path.rpartition("/")[2])

    assert etag(client, thing) != tag
    reread = get(client, thing, tag)
    assert (reread.status, reread.json["numberOfAttendees"]) == (200, 1)
    written = client("PATCH", thing.path, thing.change, by=thing.by, headers={"If-Match": tag})
    assert (written.status, written.json["numberOfAttendees"]) == (200, 1)


def test_a_new_event_of_a_host_makes_a_new_tag_of_their_page(client: Client) -> None:
    thing = a_user(client)
    tag = etag(client, thing)

    client.event(thing.by)

    assert get(client, thing, tag).status == 200
    assert client("PATCH", thing.path, thing.change, by=thing.by, headers={"If-Match": tag}).status == 200


def test_a_cancelled_booking_makes_a_new_tag(client: Client) -> None:
    thing = a_booking(client)
    tag = etag(client, thing)

    client("DELETE", thing.path, by=thing.by)

    reread = get(client, thing, tag)
    assert (reread.status, reread.json["status"]) == (200, "cancelled")


def test_the_tag_of_a_new_booking_serves_to_cancel_it(client: Client) -> None:
    attendee = client.attendee()
    booked = client.book(attendee, client.event(client.host())["eventId"])

    reply = client(
        "DELETE", booked.headers["location"], by=attendee, headers={"If-Match": booked.headers["etag"]}
    )

    assert reply.status == 204


@changeable
def test_of_those_who_write_the_same_version_at_once_one_does(client: Client, make: Make) -> None:
    thing = make(client)
    headers = {"If-Match": etag(client, thing)}

    replies = run_concurrently(
        [lambda: client("PATCH", thing.path, thing.change, by=thing.by, headers=headers)] * 4
    )

    assert sorted(reply.status for reply in replies) == [200, 412, 412, 412]
