"""Long lists: the page size, the bound of the count, and lists beyond the last offset."""

import pytest

from tests.api.test_paging import book
from tests.client import Client
from tests.rows import rows


@pytest.mark.parametrize("path", ["/events", "/users", "/bookings"])
def test_a_page_has_20_items_by_default(client: Client, path: str) -> None:
    host, attendee = client.host(), client.attendee()
    for number in range(21):
        book(client, host, attendee, number)
    client.attendees(21)

    reply = client("GET", path, by=host)

    assert len(reply.json) == 20
    assert int(reply.headers["x-total-count"]) > 20


def add_attendees(client: Client, first: int, last: int, name: str = "Ada") -> None:
    rows(
        client,
        "INSERT INTO users (user_id, role, name, email, created_at, updated_at)"
        " SELECT uuidv7(), 'attendee', concat(CAST(:name AS text), ' ', n),"
        " concat(uuidv7(), '@example.com'), now(), now()"
        " FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) n",
        name=name,
        first=first,
        last=last,
    )


def test_items_are_counted_up_to_10_000(client: Client) -> None:
    host = client.host()
    path = "/users?role=attendee"
    add_attendees(client, 1, 10_000)

    exact = client("GET", path, by=host)
    add_attendees(client, 10_001, 10_001)
    more = client("GET", path, by=host)

    assert exact.headers["x-total-count"] == more.headers["x-total-count"] == "10000"
    assert "x-total-count-relation" not in exact.headers
    assert more.headers["x-total-count-relation"] == "gte"
    assert "last" in exact.links()
    assert "last" not in more.links()


def test_a_cursor_continues_after_the_last_offset(client: Client) -> None:
    host = client.host()
    add_attendees(client, 1, 10_050)

    deepest = client("GET", "/users?role=attendee&sort=createdAt&offset=10000&limit=30", by=host)
    following = client("GET", deepest.links()["next"], by=host)

    assert (len(deepest.json), len(following.json)) == (30, 20)
    assert "next" not in following.links()
    ids = [user["userId"] for user in deepest.json + following.json]
    assert ids == sorted(set(ids), reverse=True)


@pytest.mark.parametrize(
    ("others", "attendees"),
    [(0, 9_999), (0, 10_050), (0, 12_600), (3_000, 9_999), (3_000, 10_050)],
    ids=[
        "few",
        "many",
        "enough of the newest",
        "few, but all of the newest",
        "many and all of the newest",
    ],
)
@pytest.mark.parametrize(
    ("sort", "reverse", "query"),
    [
        (
            "name",
            "desc",
            "SELECT user_id::text FROM users WHERE name LIKE 'Ada%' ORDER BY lower(name), user_id",
        ),
        ("createdAt", "asc", "SELECT user_id::text FROM users WHERE name LIKE 'Ada%' ORDER BY user_id DESC"),
    ],
    ids=["by name", "by age"],
)
def test_all_plans_of_a_search_return_the_same(
    client: Client, others: int, attendees: int, sort: str, reverse: str, query: str
) -> None:
    """A search has one plan for few results, and two for more results than are counted."""
    host = client.host()
    add_attendees(client, 1, others, name="Bob")
    add_attendees(client, 1, attendees)
    path = f"/users?limit=100&sort={sort}&q=ada"

    pages = [client("GET", path, by=host)]
    for _ in range(3):
        pages.append(client("GET", pages[-1].links()["next"], by=host))
    skipped = client("GET", f"{path}&offset=300", by=host)
    backwards = client("GET", f"{path}&order={reverse}", by=host)
    one = client("GET", f"/users?q=ada+{attendees}", by=host)

    found = [user["userId"] for page in pages for user in page.json]
    expected = [str(row.user_id) for row in rows(client, query)]
    assert found == expected[:400]
    assert [user["userId"] for user in skipped.json] == found[300:]
    assert [user["userId"] for user in backwards.json] == expected[:-101:-1]
    assert [user["name"] for user in one.json] == [f"Ada {attendees}"]
    assert {page.headers["x-total-count"] for page in pages} == {str(min(attendees, 10_000))}
