"""The orders of the list of events, and its pages by cursor."""

from collections.abc import Sequence

import pytest

from tests.client import Account, Client, in_days
from tests.rows import rows


def titles(client: Client, query: str) -> list[str]:
    reply = client("GET", f"/events?{query}")
    assert reply.status == 200, reply.text
    return [event["title"] for event in reply.json]


def publish_with_taken(client: Client, host: Account, taken: Sequence[int]) -> None:
    """Publish an event for each number of taken places, titled by that number."""
    for number in taken:
        event_id = client.event(host, title=str(number), capacity=100)["eventId"]
        rows(client, "UPDATE places SET taken = :taken WHERE event_id = :id", taken=number, id=event_id)
    rows(client, "UPDATE places SET popularity = 10 * ln(taken + 1)")


def test_events_are_sorted_by_date_by_default(client: Client) -> None:
    host = client.host()
    for title, day in (("second", 20), ("first", 10), ("third", 30)):
        client.event(host, title=title, startDateTime=in_days(day), endDateTime=in_days(day + 1))

    assert titles(client, "") == ["first", "second", "third"]
    assert titles(client, "sort=date") == ["first", "second", "third"]
    assert titles(client, "order=desc") == ["third", "second", "first"]


def test_titles_are_sorted_without_case(client: Client) -> None:
    host = client.host()
    for title in ("bravo", "Alpha", "Delta", "charlie", "Écho", "écho 2"):
        client.event(host, title=title)

    ordered = ["Alpha", "bravo", "charlie", "Delta", "Écho", "écho 2"]
    assert titles(client, "sort=title") == ordered
    assert titles(client, "sort=title&order=desc") == ordered[::-1]


def test_sorting_by_creation_shows_the_newest_first(client: Client) -> None:
    host = client.host()
    for title in ("first", "second", "third"):
        client.event(host, title=title)

    assert titles(client, "sort=createdAt") == ["third", "second", "first"]
    assert titles(client, "sort=createdAt&order=asc") == ["first", "second", "third"]


def test_sorting_by_popularity_is_exact(client: Client) -> None:
    # 40, 41 and 42 have the same indexed popularity, and are not in the order of their ids.
    publish_with_taken(client, client.host(), [41, 3, 42, 0, 40, 100, 1, 99])

    ordered = ["100", "99", "42", "41", "40", "3", "1", "0"]
    assert titles(client, "sort=popularity") == ordered
    assert titles(client, "sort=popularity&order=asc") == ordered[::-1]


def test_a_booking_makes_an_event_more_popular(client: Client) -> None:
    host = client.host()
    first, _ = client.event(host, title="first"), client.event(host, title="second")
    assert titles(client, "sort=popularity") == ["second", "first"]

    client.book(client.attendee(), first["eventId"])

    assert titles(client, "sort=popularity") == ["first", "second"]


@pytest.mark.parametrize("order", ["", "&order=asc", "&order=desc"])
@pytest.mark.parametrize("sort", ["date", "title", "createdAt", "popularity"])
def test_pages_by_cursor_have_each_event_once_in_order(client: Client, sort: str, order: str) -> None:
    host = client.host()
    publish_with_taken(client, host, [41, 3, 42, 0, 40])
    times = {"startDateTime": in_days(7), "endDateTime": in_days(8)}
    for _ in range(3):  # ties in all orders except that of creation
        client.event(host, title="3", **times)
    query = f"/events?sort={sort}{order}"

    whole = client("GET", query).json

    assert len(whole) == 8
    for limit in (1, 3, 8):
        assert list(client.pages(f"{query}&limit={limit}")) == whole


@pytest.mark.parametrize("sort", ["date", "title", "createdAt", "popularity"])
def test_pages_by_cursor_keep_the_filters(client: Client, sort: str) -> None:
    host, other_host = client.host(), client.host()
    for number in range(4):
        client.event(host, title=f"Jazz {number}")
        client.event(host, title=f"Tango {number}")
        client.event(other_host, title=f"Jazz {number}")

    found = list(client.pages(f"/events?q=jazz&hostId={host.user_id}&sort={sort}&limit=1"))

    assert sorted(event["title"] for event in found) == ["Jazz 0", "Jazz 1", "Jazz 2", "Jazz 3"]


def test_pages_by_cursor_are_stable_when_events_come_and_go(client: Client) -> None:
    host = client.host()
    made = [client.event(host, title=f"{number}") for number in (1, 2, 3, 4)]
    first = client("GET", "/events?sort=title&limit=2")
    client.event(host, title="0")
    client("DELETE", f"/events/{made[0]['eventId']}", by=host)

    rest = [event["title"] for event in client.pages(first.links()["next"])]

    assert rest == ["3", "4"]
