"""Paging: each list, in each order, visits each of its items exactly once."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from uuid import UUID

import pytest

from chalicelib.bookings.queries import BOOKINGS, HOST_BOOKINGS
from chalicelib.events import publishing as events
from chalicelib.events.rules import Details
from chalicelib.events.search import EVENTS
from chalicelib.users import accounts as users
from chalicelib.users.profile import USERS
from tests.client import Account, Client, Reply, in_days
from tests.rows import rows

SIZE = 13
"""Items in a list. Pages of 5 leave a remainder, a page of 13 does not."""


@dataclass(frozen=True)
class Listed:
    """A list with items, many of which have equal sort keys."""

    path: str
    id: str
    by: Account | None
    add: Callable[[int], object]
    """Adds an item. A higher number gives it a later time and a higher sort key in each order."""


def publish(client: Client, host: Account, number: int) -> UUID:
    """Publish an event. Events of near numbers share their start, title and popularity."""
    next_month = datetime.fromisoformat(in_days(30)).replace(hour=12, minute=0, second=0)
    starts_at = next_month + timedelta(days=number // 4)
    details = Details(
        title=f"Jazz {number // 4:03}",
        starts_at=starts_at,
        ends_at=starts_at + timedelta(hours=3),
        capacity=1000,
        currency="eur",
    )
    now = datetime.now(UTC) - timedelta(days=1) + timedelta(seconds=number // 2)
    with client.wiring.database.transaction() as connection:
        event_id = events.create(connection, UUID(host.user_id), details, now, may_publish=True, charges=True)
    statement = "UPDATE places SET taken = :taken, popularity = 10 * ln(:taken + 1) WHERE event_id = :id"
    rows(client, statement, taken=number // 5 + 5, id=event_id)
    return event_id


def register(client: Client, family: str, number: int) -> None:
    with client.wiring.database.transaction() as connection:
        users.register(
            connection,
            name=f"Ada {number // 4:03} {family}",
            email=f"{family}-{number}@example.com",
            password_hash="",
            role="attendee",
            now=datetime.now(UTC) - timedelta(days=1) + timedelta(seconds=number // 2),
        )


def book(client: Client, host: Account, attendee: Account, number: int) -> None:
    event_id = publish(client, host, number)
    at = datetime.now(UTC) - timedelta(hours=1) + timedelta(seconds=number // 2)
    client.book_as_of(attendee, str(event_id), at)


def events_of_a_host(client: Client) -> Listed:
    host = client.host()
    path = f"/events?hostId={host.user_id}"
    return Listed(path, "eventId", None, lambda number: publish(client, host, number))


def own_events(client: Client) -> Listed:
    host = client.host()
    return Listed("/events?mine=true", "eventId", host, lambda number: publish(client, host, number))


def profiles(client: Client) -> Listed:
    family = secrets.token_hex(8)
    path = f"/users?q={family}"
    return Listed(path, "userId", client.host(), lambda number: register(client, family, number))


def own_bookings(client: Client) -> Listed:
    host, attendee = client.host(), client.attendee()
    path = "/bookings?status=confirmed"
    return Listed(path, "bookingId", attendee, lambda number: book(client, host, attendee, number))


def bookings_of_own_events(client: Client) -> Listed:
    host, attendee = client.host(), client.attendee()
    path = "/bookings?status=confirmed"
    return Listed(path, "bookingId", host, lambda number: book(client, host, attendee, number))


def bookings_as_host_and_attendee(client: Client) -> Listed:
    host, other_host, attendee = client.host(), client.host(), client.attendee()

    def make(number: int) -> None:
        if number % 3:
            book(client, host, attendee, number)
        else:
            book(client, other_host, host, number)

    return Listed("/bookings?status=confirmed", "bookingId", host, make)


LISTS = {
    events_of_a_host: EVENTS,
    own_events: EVENTS,
    profiles: USERS,
    own_bookings: BOOKINGS,
    bookings_of_own_events: HOST_BOOKINGS,
    bookings_as_host_and_attendee: HOST_BOOKINGS,
}

each_list_and_order = pytest.mark.parametrize(
    ("make", "sort", "order"),
    [
        pytest.param(make, sort, order, id=f"{make.__name__} by {sort} {order}")
        for make, listing in LISTS.items()
        for sort in listing.sorts
        for order in ("asc", "desc")
    ],
)
Make = Callable[[Client], Listed]


def filled(client: Client, make: Make) -> Listed:
    listed = make(client)
    for number in range(SIZE):
        listed.add(number)
    return listed


@pytest.fixture(scope="module")
def lists(shared: Client) -> dict[Make, Listed]:
    """All lists with their items, for tests that add no items."""
    return {make: filled(shared, make) for make in LISTS}


def walk(client: Client, listed: Listed, query: str) -> Iterator[list[str]]:
    """Yield the ids on each page, following `next` from the first page to the last."""
    target: str | None = f"{listed.path}&{query}"
    while target:
        reply = client("GET", target, by=listed.by)
        assert reply.status == 200, reply.text
        yield [item[listed.id] for item in reply.json]
        target = reply.links().get("next")


def joined(pages: Iterator[list[str]]) -> list[str]:
    return [item for page in pages for item in page]


def whole_list(client: Client, listed: Listed, query: str) -> Reply:
    reply = client("GET", f"{listed.path}&{query}&limit=100", by=listed.by)
    assert len(reply.json) == SIZE
    return reply


@each_list_and_order
def test_next_links_visit_each_item_once_in_order(
    shared: Client, lists: dict[Make, Listed], make: Make, sort: str, order: str
) -> None:
    listed = lists[make]
    query = f"sort={sort}&order={order}"
    whole = [item[listed.id] for item in whole_list(shared, listed, query).json]

    pages = list(walk(shared, listed, f"{query}&limit=5"))

    assert [len(page) for page in pages] == [5, 5, 3]
    assert joined(iter(pages)) == whole
    assert len(set(whole)) == SIZE
    assert joined(walk(shared, listed, f"{query}&limit=1")) == whole


@each_list_and_order
def test_offsets_and_cursors_return_the_same_pages(
    shared: Client, lists: dict[Make, Listed], make: Make, sort: str, order: str
) -> None:
    listed = lists[make]
    query = f"sort={sort}&order={order}&limit=5"

    by_offset = [
        [item[listed.id] for item in shared("GET", f"{listed.path}&{query}&offset={n}", by=listed.by).json]
        for n in (0, 5, 10)
    ]

    assert list(walk(shared, listed, query)) == by_offset
    last = shared("GET", f"{listed.path}&{query}&offset={SIZE}", by=listed.by)
    assert (last.json, last.headers["x-total-count"]) == ([], str(SIZE))


@each_list_and_order
def test_desc_is_the_reverse_of_asc(
    shared: Client, lists: dict[Make, Listed], make: Make, sort: str, order: str
) -> None:
    listed = lists[make]
    other = "desc" if order == "asc" else "asc"

    one = [item[listed.id] for item in whole_list(shared, listed, f"sort={sort}&order={order}").json]
    reverse = [item[listed.id] for item in whole_list(shared, listed, f"sort={sort}&order={other}").json]

    assert one == reverse[::-1]


@each_list_and_order
def test_new_items_do_not_shift_later_pages(shared: Client, make: Make, sort: str, order: str) -> None:
    listed = filled(shared, make)
    query = f"sort={sort}&order={order}"
    before = [item[listed.id] for item in whole_list(shared, listed, query).json]
    number = SIZE

    passed: list[str] = []
    for page in walk(shared, listed, f"{query}&limit=4"):
        passed += page
        listed.add(number)  # at the front or at the end, by the order
        number += 1
        if number > SIZE + 20:
            break

    assert [item for item in passed if item in before] == before
    assert len(passed) == len(set(passed))


@pytest.mark.parametrize("make", LISTS, ids=lambda make: make.__name__)
def test_links_lead_to_the_first_prev_next_and_last_page(
    shared: Client, lists: dict[Make, Listed], make: Make
) -> None:
    listed = lists[make]

    def get(target: str) -> Reply:
        return shared("GET", target, by=listed.by)

    first = get(f"{listed.path}&limit=5")
    middle = get(f"{listed.path}&limit=5&offset=5")
    last = get(middle.links()["last"])

    assert set(first.links()) == {"first", "next", "last"}
    assert set(middle.links()) == {"first", "prev", "next", "last"}
    assert set(last.links()) == {"first", "prev", "last"}
    assert get(first.links()["next"]).json == middle.json == get(last.links()["prev"]).json
    assert get(middle.links()["first"]).json == get(middle.links()["prev"]).json == first.json
    assert get(middle.links()["next"]).json == last.json
    assert len(last.json) == SIZE % 5
    for reply in (first, middle, last):
        assert reply.headers["x-total-count"] == str(SIZE)
        assert "x-total-count-relation" not in reply.headers


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("make", LISTS, ids=lambda make: make.__name__)
def test_prev_links_lead_back_through_the_same_pages(
    shared: Client, lists: dict[Make, Listed], make: Make, order: str
) -> None:
    listed = lists[make]

    def get(target: str) -> Reply:
        return shared("GET", target, by=listed.by)

    there = [get(f"{listed.path}&limit=4&order={order}")]
    while "next" in there[-1].links():
        there.append(get(there[-1].links()["next"]))
    back = [there[-1]]
    while "prev" in back[-1].links():
        back.append(get(back[-1].links()["prev"]))

    assert len(there) > 2
    assert [page.json for page in reversed(back)] == [page.json for page in there]
    assert get(back[-1].links()["next"]).json == there[1].json
    for page in there:
        cursor = page.headers.get("x-next-cursor")
        assert (cursor is None) == ("next" not in page.links())
        assert cursor is None or f"cursor={quote(cursor)}" in page.links()["next"]


@pytest.mark.parametrize("make", LISTS, ids=lambda make: make.__name__)
def test_an_empty_list_is_one_empty_page(shared: Client, make: Make) -> None:
    listed = make(shared)

    empty = shared("GET", f"{listed.path}&limit=5&order=desc", by=listed.by)

    assert (empty.json, empty.headers["x-total-count"]) == ([], "0")
    assert set(empty.links()) == {"first", "last"}


def test_links_keep_the_filters(client: Client) -> None:
    host = client.host()
    for number in range(3):
        client.event(host, title=f"Jazz & Blues {number}")
        client.event(host, title=f"Chess {number}")

    query = f"q=jazz%20blues&hostId={host.user_id}&onSale=true&limit=1&sort=title"
    titles = [event["title"] for event in client.pages(f"/events?{query}")]

    assert titles == ["Jazz & Blues 0", "Jazz & Blues 1", "Jazz & Blues 2"]
