"""What all responses have in common: request ids, caching, CORS, challenges and problem documents."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from chalicelib.platform.errors import Refusal
from chalicelib.platform.http import problems
from chalicelib.wiring import Wiring, using
from tests.api.conftest import World, make_world
from tests.client import Client, Reply, event_body

SHARED = "public, max-age=2, stale-while-revalidate=10"
PRIVATE = "private, no-store"


def all_refusals(kind: type[Refusal] = Refusal) -> Iterator[type[Refusal]]:
    for refusal in kind.__subclasses__():
        yield refusal
        yield from all_refusals(refusal)


def replies_of_all_kinds(world: World) -> list[Reply]:
    """Return replies of many statuses, from all places that make responses."""
    client, event = world.client, f"/events/{world.event['eventId']}"
    etag = client("GET", event).headers["etag"]
    replies = [
        client("GET", "/events"),
        client("GET", event),
        client("GET", event, headers={"If-None-Match": etag}),
        client("GET", "/events?limit=0"),
        client("GET", "/users"),
        client("POST", "/events", event_body(), by=world.attendee),
        client("GET", f"/bookings/{world.event['eventId']}", by=world.host),
        client("PUT", "/events"),
        client("POST", "/bookings", {"eventId": world.event["eventId"]}, by=world.attendee),
        client("PATCH", event, {"title": "New"}, by=world.host, headers={"If-Match": '"99-0"'}),
        client("POST", "/events", raw=b"x" * 300_000, by=world.host),
        client("POST", "/events", raw=b"{}", by=world.host),
        client("GET", "/health"),
        client("GET", "/docs"),
    ]
    statuses = [reply.status for reply in replies]
    assert statuses == [200, 200, 304, 400, 401, 403, 404, 405, 409, 412, 413, 415, 200, 200]
    return replies


def test_every_response_has_a_unique_request_id(world: World) -> None:
    ids = [reply.headers["x-request-id"] for reply in replies_of_all_kinds(world)]

    assert all(ids)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("path", ["/events", "/users", "/events?limit=0", "/events/x", "/health"])
@pytest.mark.parametrize("sent", ["a", "0af7651916cd43dd8448eb211c80319c", "A-b-1", "x" * 128])
def test_the_request_id_of_the_client_is_returned(world: World, path: str, sent: str) -> None:
    for method in ("GET", "PUT"):
        reply = world.client(method, path, headers={"X-Request-Id": sent})
        assert reply.headers["x-request-id"] == sent


@pytest.mark.parametrize(
    "sent", ["", "-", "x" * 129, "a b", "a\nX-Injected: 1", "ü", '"', "<script>", "a;b", "\udc80"]
)
def test_a_malformed_request_id_is_replaced(world: World, sent: str) -> None:
    reply = world.client("GET", "/events", headers={"X-Request-Id": sent})

    assert reply.headers["x-request-id"] != sent
    assert re.fullmatch(r"[0-9a-f-]{36}", reply.headers["x-request-id"])


def test_anonymous_reads_of_events_are_cacheable(world: World) -> None:
    event = f"/events/{world.event['eventId']}"
    etag = world.client("GET", event).headers["etag"]

    for reply in (
        world.client("GET", "/events"),
        world.client("GET", "/events?q=jazz&sort=title"),
        world.client("GET", event),
        world.client("GET", event, headers={"If-None-Match": etag}),
    ):
        assert reply.status in {200, 304}
        assert reply.headers["cache-control"] == SHARED


def test_all_other_responses_are_not_cacheable(world: World) -> None:
    event = f"/events/{world.event['eventId']}"
    draft = f"/events/{world.draft['eventId']}"

    for reply in (
        world.client("GET", "/events", by=world.attendee),
        world.client("GET", event, by=world.attendee),
        world.client("GET", draft, by=world.host),
        world.client("GET", "/events?mine=true", by=world.host),
        world.client("GET", draft),
        world.client("GET", "/events?limit=0"),
        world.client("GET", "/events", by="no token"),
        world.client("GET", "/users", by=world.host),
        world.client("GET", "/bookings", by=world.host),
        world.client("PATCH", event, {"title": world.event["title"]}, by=world.host),
        world.client("POST", "/auth/login", {"email": "nobody@example.com", "password": "x"}),
        world.client("PUT", "/events"),
        world.client("GET", "/health"),
    ):
        assert reply.headers["cache-control"] == PRIVATE


def test_caches_vary_by_caller_and_origin(world: World) -> None:
    for reply in replies_of_all_kinds(world):
        assert reply.headers["vary"] == "Authorization, Origin"


def test_pages_of_any_origin_can_call_and_read_headers(world: World) -> None:
    for reply in replies_of_all_kinds(world):
        assert reply.headers["access-control-allow-origin"] == "*"
        exposed = set(reply.headers["access-control-expose-headers"].split(","))
        assert exposed == {
            "Content-Disposition",
            "ETag",
            "Idempotent-Replayed",
            "Link",
            "Location",
            "RateLimit",
            "RateLimit-Policy",
            "Retry-After",
            "WWW-Authenticate",
            "X-Next-Cursor",
            "X-Request-Id",
            "X-Total-Count",
            "X-Total-Count-Relation",
        }
        allowed = set(reply.headers["access-control-allow-headers"].split(","))
        assert allowed >= {
            "Authorization",
            "Content-Type",
            "Idempotency-Key",
            "If-Match",
            "If-None-Match",
            "X-Request-Id",
        }


def test_a_wrong_method_is_refused_with_the_allowed_ones(world: World) -> None:
    for method, path, allowed in (
        ("PUT", "/events", {"GET", "HEAD", "POST"}),
        ("POST", f"/events/{world.event['eventId']}", {"GET", "HEAD", "PUT", "PATCH", "DELETE"}),
        ("DELETE", "/auth/login", {"POST"}),
        ("POST", "/health", {"GET", "HEAD"}),
    ):
        reply = world.client(method, path, by=world.host)

        assert (reply.status, reply.problem) == (405, "method-not-allowed")
        assert set(reply.headers["allow"].split(", ")) == allowed


def test_a_401_has_a_challenge(world: World) -> None:
    without = world.client("GET", "/users/me")
    bad = world.client("GET", "/users/me", by="x")
    wrong = world.client("POST", "/auth/login", {"email": "nobody@example.com", "password": "x"})

    assert without.headers["www-authenticate"] == 'Bearer realm="event-booking"'
    assert bad.headers["www-authenticate"] == 'Bearer realm="event-booking", error="invalid_token"'
    assert wrong.headers["www-authenticate"] == 'Bearer realm="event-booking"'


def test_every_refusal_is_a_problem_document(world: World) -> None:
    for reply in replies_of_all_kinds(world):
        if reply.status < 400:
            continue
        assert reply.problem
        assert set(reply.json) <= {"type", "title", "status", "code", "detail", "errors"}


def test_every_refusal_has_a_title_and_a_unique_name() -> None:
    refusals = list(all_refusals())

    assert len({refusal.slug() for refusal in refusals}) == len(refusals)
    for refusal in refusals:
        assert refusal.__doc__, refusal
        assert refusal.__doc__ != Refusal.__doc__
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", refusal.slug())
        assert re.fullmatch(r"[A-Z0-9].*[^.]", refusal.title())


def test_every_problem_code_is_explained(world: World) -> None:
    page = world.client("GET", "/docs/problems").text

    for refusal in all_refusals():
        assert page.count(f'id="{refusal.slug()}"') == 1
    for reply in replies_of_all_kinds(world):
        if reply.status >= 400:
            assert f'id="{reply.problem}"' in page


def test_urls_begin_with_the_public_url_but_problem_types_do_not(client: Client) -> None:
    url = "https://api.example.com/v1"
    with using(Wiring(replace(client.wiring.settings, public_url=url))) as wiring:
        world = make_world(Client(wiring))
        created = world.client("POST", "/events", event_body(), by=world.host)
        listed = world.client("GET", "/events?limit=1")
        refused = world.client("GET", "/events?limit=0")
        document = world.client("GET", "/openapi.json").json

    assert created.headers["location"] == f"{url}/events/{created.json['eventId']}"
    assert all(target.startswith(f"{url}/events?limit=1") for target in listed.links().values())
    assert refused.json["type"] == problems.TYPE_PREFIX + "invalid-input"
    assert document["servers"] == [{"url": url}]


def test_json_is_compact_camel_case_without_nulls(world: World) -> None:
    for path in ("/events", "/users", "/bookings"):
        reply = world.client("GET", path, by=world.host)

        assert reply.headers["content-type"] == "application/json"
        names = re.findall(r'"(\w+)" ?:', reply.text)
        assert names
        assert all(re.fullmatch(r"[a-z][a-zA-Z]*", name) for name in names)
        assert not re.search(r":\s*null", reply.text)


def test_times_are_in_utc_with_a_z(world: World) -> None:
    for path in ("/events", "/users", "/bookings"):
        text = world.client("GET", path, by=world.host).text

        times = re.findall(r'"(\d{4}-\d\d-\d\dT[^"]*)"', text)
        assert times
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", time) for time in times)
