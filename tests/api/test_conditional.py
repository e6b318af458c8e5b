"""Conditional requests: a known version is not sent again, a changed version is not overwritten."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.client import Account, Client, Reply, event_body
from tests.concurrency import run_concurrently
from tests.database_contents import contents


@dataclass(frozen=True)
class Resource:
    """A resource, an account that can change it, and valid changes."""

    path: str
    by: Account
    change: dict[str, Any] | None
    replacement: dict[str, Any] | None = None


def an_event(client: Client) -> Resource:
    host = client.host()
    path = f"/events/{client.event(host)['eventId']}"
    return Resource(path, host, {"title": "New"}, event_body(title="New"))


def a_user(client: Client) -> Resource:
    host = client.host()
    replacement = {"name": "New", "email": host.email}
    return Resource(f"/users/{host.user_id}", host, {"name": "New"}, replacement)


def a_booking(client: Client) -> Resource:
    attendee = client.attendee()
    booking = client.book(attendee, client.event(client.host())["eventId"]).json
    return Resource(f"/bookings/{booking['bookingId']}", attendee, None)


Make = Callable[[Client], Resource]
each_resource = pytest.mark.parametrize("make", [an_event, a_user, a_booking], ids=lambda make: make.__name__)
each_changeable_resource = pytest.mark.parametrize("make", [an_event, a_user], ids=lambda make: make.__name__)


def etag(client: Client, resource: Resource) -> str:
    return client("GET", resource.path, by=resource.by).headers["etag"]


def get(client: Client, resource: Resource, if_none_match: str) -> Reply:
    return client("GET", resource.path, by=resource.by, headers={"If-None-Match": if_none_match})


def writes(client: Client, resource: Resource, if_match: str) -> list[Reply]:
    """Send each request that changes the resource."""
    requests: list[tuple[str, str, Any]] = [("DELETE", resource.path, None)]
    if resource.change:
        requests = [
            ("PUT", resource.path, resource.replacement),
            ("PATCH", resource.path, resource.change),
            *requests,
        ]
    if resource.path.startswith("/events"):
        requests.insert(0, ("POST", f"{resource.path}/cancel", None))
    return [
        client(method, path, body, by=resource.by, headers={"If-Match": if_match})
        for method, path, body in requests
    ]


@each_resource
def test_a_known_version_is_not_sent_again(client: Client, make: Make) -> None:
    resource = make(client)
    tag = etag(client, resource)

    for known in (tag, f"W/{tag}", f'"other", {tag}', f'{tag},"other"', f'W/"other" , W/{tag}', "*", " * "):
        reply = get(client, resource, known)
        assert (reply.status, reply.text, reply.headers["etag"]) == (304, "", tag), known
        assert "content-type" not in reply.headers


@each_resource
def test_an_unknown_version_is_sent(client: Client, make: Make) -> None:
    resource = make(client)
    tag = etag(client, resource)

    for known in ('"other"', 'W/"other"', tag.strip('"'), f'"{tag[1:-2]}"', '"*"', f'{tag[:-1]}x"'):
        reply = get(client, resource, known)
        assert (reply.status, reply.headers["etag"]) == (200, tag), known
        assert reply.text


def test_a_write_returns_the_tag_of_the_next_read(client: Client) -> None:
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


@each_changeable_resource
def test_a_change_makes_a_new_tag(client: Client, make: Make) -> None:
    resource = make(client)
    tag = etag(client, resource)

    client("PATCH", resource.path, resource.change, by=resource.by)

    assert get(client, resource, tag).status == 200
    assert etag(client, resource) != tag


@each_resource
def test_a_stale_version_is_not_overwritten(client: Client, make: Make) -> None:
    resource = make(client)
    stale = etag(client, resource)
    if resource.change:
        client("PATCH", resource.path, resource.change, by=resource.by)
    else:
        stale = '"99-0123456789abcdef"'
    before = contents(client)

    for if_match in (stale, f'"other", {stale}', f"W/{etag(client, resource)}", '"no version"', "1", '""'):
        for reply in writes(client, resource, if_match):
            assert (reply.status, reply.problem) == (412, "stale-version"), if_match

    assert contents(client) == before


@each_changeable_resource
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("if_match", ["{}", '"other", {}', "{},{}", "*"])
def test_the_current_version_is_overwritten(client: Client, make: Make, method: str, if_match: str) -> None:
    resource = make(client)
    headers = {"If-Match": if_match.replace("{}", etag(client, resource))}

    reply = client(
        method,
        resource.path,
        resource.change if method == "PATCH" else resource.replacement,
        by=resource.by,
        headers=headers,
    )

    assert reply.status == 200


@each_resource
def test_the_current_version_can_be_deleted(client: Client, make: Make) -> None:
    resource = make(client)

    reply = client("DELETE", resource.path, by=resource.by, headers={"If-Match": etag(client, resource)})

    assert reply.status == 204


def test_the_current_version_of_an_event_can_be_cancelled(client: Client) -> None:
    resource = an_event(client)

    reply = client(
        "POST", f"{resource.path}/cancel", by=resource.by, headers={"If-Match": etag(client, resource)}
    )

    assert (reply.status, reply.json["status"]) == (200, "cancelled")


def test_a_booking_makes_a_new_tag_but_no_new_version(client: Client) -> None:
    resource = an_event(client)
    tag = etag(client, resource)
    client.book(client.attendee(), resource.path.rpartition("/")[2])

    assert etag(client, resource) != tag
    reread = get(client, resource, tag)
    assert (reread.status, reread.json["numberOfAttendees"]) == (200, 1)
    written = client("PATCH", resource.path, resource.change, by=resource.by, headers={"If-Match": tag})
    assert (written.status, written.json["numberOfAttendees"]) == (200, 1)


def test_a_new_event_makes_a_new_tag_of_its_host(client: Client) -> None:
    resource = a_user(client)
    tag = etag(client, resource)

    client.event(resource.by)

    assert get(client, resource, tag).status == 200
    assert (
        client("PATCH", resource.path, resource.change, by=resource.by, headers={"If-Match": tag}).status
        == 200
    )


def test_a_cancelled_booking_makes_a_new_tag(client: Client) -> None:
    resource = a_booking(client)
    tag = etag(client, resource)

    client("DELETE", resource.path, by=resource.by)

    reread = get(client, resource, tag)
    assert (reread.status, reread.json["status"]) == (200, "cancelled")


def test_the_tag_of_a_new_booking_can_cancel_it(client: Client) -> None:
    attendee = client.attendee()
    booked = client.book(attendee, client.event(client.host())["eventId"])

    reply = client(
        "DELETE", booked.headers["location"], by=attendee, headers={"If-Match": booked.headers["etag"]}
    )

    assert reply.status == 204


@each_changeable_resource
def test_one_of_many_concurrent_writes_succeeds(client: Client, make: Make) -> None:
    resource = make(client)
    headers = {"If-Match": etag(client, resource)}

    replies = run_concurrently(
        [lambda: client("PATCH", resource.path, resource.change, by=resource.by, headers=headers)] * 4
    )

    assert sorted(reply.status for reply in replies) == [200, 412, 412, 412]
