"""PostgreSQL reads each page of a list by an index when tables are large."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import ClauseElement, Executable, Select, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from chalicelib.api.schemas.attendees import attendee_json
from chalicelib.api.schemas.bookings import attendee_booking_json, host_booking_json
from chalicelib.api.schemas.events import viewed_event_json
from chalicelib.api.schemas.tickets import ticket_json
from chalicelib.api.schemas.users import user_json
from chalicelib.bookings.queries import BOOKINGS, HOST_BOOKINGS, HOST_SEARCH
from chalicelib.bookings.ticket_queries import TRANSFERRED
from chalicelib.check_in.attendees import ATTENDEES
from chalicelib.events.search import EVENTS
from chalicelib.platform import ids
from chalicelib.platform.database.engine import Database, metadata
from chalicelib.platform.database.listing import ListQuery, Order
from chalicelib.platform.database.rendering import Render
from chalicelib.platform.settings import Settings
from chalicelib.users.profile import USERS
from infra.local import postgres
from infra.local.postgres import Postgres
from tests.conftest import TEMPLATE

DATABASE = "full"

LISTS: dict[str, tuple[ListQuery, Render]] = {
    "events": (EVENTS, viewed_event_json),
    "attendee's bookings": (BOOKINGS, attendee_booking_json),
    "host's bookings": (HOST_BOOKINGS, host_booking_json),
    "host's search": (HOST_SEARCH, host_booking_json),
    "attendees": (ATTENDEES, attendee_json),
    "users": (USERS, user_json),
    "transferred tickets": (TRANSFERRED, ticket_json),
}

# Each host has 100 events, each event 5 bookings, and each of 400 attendees 50 bookings. Their tickets were
# transferred to 400 addresses.
FILL = """
INSERT INTO users (user_id, role, name, email, created_at, updated_at)
SELECT uuidv7(make_interval(secs => n - 6000)), CASE WHEN n % 100 = 0 THEN 'host' ELSE 'attendee' END,
       md5(n::text) || ' somebody', n || '@example.com', now(), now()
FROM generate_series(1, 4000) n;

INSERT INTO events (event_id, host_id, title, description, starts_at, ends_at, timezone, currency, status,
                    created_at, updated_at, min_charge, max_charge, charge_step)
SELECT uuidv7(make_interval(secs => n - 6000)), hosts.ids[1 + n % 40], md5(n::text) || ' something', 'common',
       now() + make_interval(hours => n * 7919 % 4000), now() + make_interval(hours => n * 7919 % 4000 + 3),
       'UTC', 'eur', CASE n % 20 WHEN 0 THEN 'draft' WHEN 1 THEN 'cancelled' ELSE 'published' END,
       now(), now(), 50, 99999999, 1
FROM generate_series(1, 4000) n, (SELECT array_agg(user_id) AS ids FROM users WHERE role = 'host') hosts;

INSERT INTO places (event_id, capacity, taken, popularity)
SELECT event_id, 1000, taken, 10 * ln(taken + 1)
FROM (SELECT event_id, row_number() OVER () * 7919 % 500 AS taken FROM events) popular;

INSERT INTO ticket_types (ticket_type_id, event_id, name, price, created_at)
SELECT uuidv7(), event_id, 'General admission', 0, now() FROM events;

INSERT INTO pools (pool_id, event_id, kind) SELECT ticket_type_id, event_id, 'ticket-type' FROM ticket_types;

INSERT INTO bookings (booking_id, user_id, event_id, host_id, status, quantity, amount, currency,
                      created_at, updated_at)
SELECT uuidv7(make_interval(secs => n - 30000)), people.ids[1 + n % 400], event_id, host_id,
       'cancelled', 0, 0, 'eur', now(), now()
FROM generate_series(1, 20000) n
CROSS JOIN (SELECT array_agg(user_id) AS ids FROM users WHERE role = 'attendee') people
JOIN (SELECT row_number() OVER () AS place, event_id, host_id FROM events) numbered ON place = 1 + n % 4000;

INSERT INTO tickets (ticket_id, booking_id, ticket_type_id, list_price, price, status, cancellation_reason,
                     updated_at, holder_email, transferred_at)
SELECT uuidv7(make_interval(secs => n - 30000)), booking_id, ticket_type_id, 0, 0,
       CASE WHEN n % 2 = 0 THEN 'valid' ELSE 'cancelled' END, CASE WHEN n % 2 = 1 THEN 'attendee' END,
       now(), 1 + n % 400 || '@example.com', now()
FROM (SELECT row_number() OVER () AS n, booking_id, event_id FROM bookings) numbered
JOIN ticket_types USING (event_id);

-- Each search reads the pending list of a GIN index, which matters more in small tables.
SELECT gin_clean_pending_list('ix_events_words'), gin_clean_pending_list('ix_users_words'),
       gin_clean_pending_list('ix_tickets_holder_words');

SET default_statistics_target = 1000;
ANALYZE users, events, places, ticket_types, pools, bookings, tickets
"""
# With exact statistics, and without an autovacuum that could sample the tables again, plans do not vary.
WITHOUT_AUTOVACUUM = "ALTER TABLE {} SET (autovacuum_enabled = off)"


@contextmanager
def filled(server: Postgres, name: str, fill: str) -> Iterator[Database]:
    """Create a database and run statements in it."""
    postgres.create_database(server, name, template=TEMPLATE)
    database = Database(Settings(database_url=server.url(name)))
    with database.transaction() as connection:
        for table in metadata.tables:
            connection.exec_driver_sql(WITHOUT_AUTOVACUUM.format(table))
        for statement in fill.split(";"):
            connection.exec_driver_sql(statement)
    yield database
    database.close()
    postgres.drop_database(server, name)


@pytest.fixture(scope="module")
def database(server: Postgres) -> Iterator[Database]:
    """A database with thousands of rows in each table."""
    with filled(server, DATABASE, FILL) as database:
        yield database


class Explain(Executable, ClauseElement):
    """Returns the plan of a statement instead of its rows."""

    inherit_cache = False

    def __init__(self, statement: Select[Any]) -> None:
        self.statement = statement


@compiles(Explain)
def _explain(element: Explain, compiler: SQLCompiler, **options: Any) -> str:
    return f"EXPLAIN (FORMAT JSON) {compiler.process(element.statement, **options)}"


Node = dict[str, Any]


def nodes(node: Node) -> Iterator[Node]:
    yield node
    for part in node.get("Plans", []):
        yield from nodes(part)


class Plan:
    """The plan of a list, split into the part that reads the page and the parts that count."""

    def __init__(self, whole: Node) -> None:
        parts = [part for part in whole["Plans"] if "Subplan Name" in part]
        self.counting = next((part for part in parts if part["Subplan Name"] == "CTE found"), parts[0])
        self.sampling = [part for part in parts if part["Subplan Name"] in {"CTE sample", "CTE newest"}]
        counting = [id(node) for part in parts for node in nodes(part)]
        self.page = [node for node in nodes(whole) if id(node) not in counting]

    def indexes(self) -> set[str]:
        return {node["Index Name"] for node in self.page if "Index Name" in node}

    def scanned_tables(self) -> set[str]:
        """Return the tables that are scanned sequentially for a page."""
        return {node["Relation Name"] for node in self.page if node["Node Type"] == "Seq Scan"}

    def sorts(self) -> list[str]:
        """Return the sorts of more rows than a page has, or than belong to one of its rows."""
        of_one_row = [
            id(node)
            for part in self.page
            if part.get("Parent Relationship") == "SubPlan"
            for node in nodes(part)
        ]
        return [
            node["Node Type"]
            for node in self.page
            if node["Node Type"].endswith("Sort")
            and node["Sort Key"] != ['"row".n']
            and id(node) not in of_one_row
        ]


def plan(
    database: Database,
    listing: str,
    filters: Sequence[str],
    sort: str,
    *,
    order: Order | None = None,
    after: Sequence[Any] = (),
    skips: bool = False,
) -> Plan:
    query, render = LISTS[listing]
    statement = query.statement(
        render,
        frozenset(filters),
        sort,
        order or query.sorts[sort].order,
        after=bool(after),
        skips=skips,
    )
    now = datetime.now(UTC)
    with database.transaction() as connection:
        [(attendee, host, event)] = connection.execute(
            text("SELECT user_id, host_id, event_id FROM bookings LIMIT 1")
        )
        explained = connection.execute(
            Explain(statement),
            {
                "limit": 20,
                "offset": 0,
                "now": now,
                "from": now + timedelta(days=30),
                "to": now + timedelta(days=33),
                "q": "'c4ca4238a0b923820dcc509a6f75849b':*",
                "role": ["attendee"],
                "status": ["cancelled"],
                "suffix": "06d0c8a1e9",
                "type": [event],
                "paid_by": ["online"],
                "caller": host if listing.startswith("host's") else attendee,
                "host": host,
                "event": event,
                **{
                    f"after_{i}": POSITIONS.get(value, lambda _, v=value: v)(now)
                    for i, value in enumerate(after)
                },
            },
        ).scalar_one()
    return Plan(explained[0]["Plan"])


POSITIONS: dict[Any, Callable[[datetime], Any]] = {
    "a later time": lambda now: now + timedelta(days=80),
    "a middle id": lambda now: ids.new(now - timedelta(seconds=4000)),
    "a middle booking": lambda now: ids.new(now - timedelta(seconds=20_000)),
}
"""Positions in the middle of the lists. Other values of a cursor stand for themselves."""

LARGE = {"users", "events", "places", "ticket_types", "pools", "bookings", "tickets"}
"""Tables with rows in this database."""

ORDERS: tuple[Order, ...] = ("asc", "desc")
WALKS = [
    ("events", ["published"], "date", "ix_events_date", ("a later time", "a middle id")),
    ("events", ["published"], "title", "ix_events_title", ("8", "a middle id")),
    ("events", ["published"], "createdAt", "ix_events_created", ("a middle id",)),
    ("events", ["cancelled"], "date", "ix_events_cancelled", ("a later time", "a middle id")),
    ("events", ["cancelled or published"], "date", "ix_events_public", ("a later time", "a middle id")),
    ("events", ["host"], "date", "ix_events_host_id", ("a later time", "a middle id")),
    ("events", ["host", "published"], "date", "ix_events_host_id", ("a later time", "a middle id")),
    ("attendee's bookings", [], "createdAt", "ix_bookings_user_id", ("a middle booking",)),
    ("host's bookings", [], "createdAt", "ix_bookings_host_id", ("a middle booking",)),
    ("host's bookings", ["status"], "createdAt", "ix_bookings_host_id", ("a middle booking",)),
    ("host's bookings", ["event"], "createdAt", "ix_bookings_event_id", ("a middle booking",)),
    ("host's bookings", ["event", "status"], "createdAt", "ix_bookings_event_id", ("a middle booking",)),
    ("users", [], "name", "ix_users_name", ("8", "a middle id")),
    ("users", ["role"], "name", "ix_users_name", ("8", "a middle id")),
    ("users", [], "createdAt", "pk_users", ("a middle id",)),
    ("transferred tickets", ["from"], "createdAt", "ix_tickets_transferred", ("a middle booking",)),
]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("listing", "filters", "sort", "index", "cursor"),
    WALKS,
    ids=[f"{index} by {sort} of {', '.join(filters) or 'all'}" for _, filters, sort, index, _ in WALKS],
)
def test_a_page_is_read_from_an_index_in_its_order(
    database: Database,
    listing: str,
    filters: list[str],
    sort: str,
    index: str,
    cursor: tuple[Any, ...],
    order: Order,
) -> None:
    for after in ((), cursor):
        page = plan(database, listing, filters, sort, order=order, after=after)

        assert index in page.indexes()
        assert page.scanned_tables() == set()
        assert page.sorts() == []


@pytest.mark.parametrize(
    ("order", "cursor"), [("desc", (61, 450, "a middle id")), ("asc", (30, 20, "a middle id"))]
)
def test_popularity_is_sorted_within_steps_of_its_index(
    database: Database, order: Order, cursor: tuple[Any, ...]
) -> None:
    for after in ((), cursor):
        page = plan(database, "events", ["published"], "popularity", order=order, after=after)

        assert "ix_places_popularity" in page.indexes()
        assert page.scanned_tables() == set()
        assert "Incremental Sort" in page.sorts()
        scans = [node for node in page.page if node.get("Index Name") == "ix_places_popularity"]
        assert all("Index Cond" in scan for scan in scans)


@pytest.mark.parametrize(
    ("filters", "index"), [(["published", "from"], "ix_events_date"), (["cancelled"], "ix_events_cancelled")]
)
def test_an_offset_skips_within_the_index(database: Database, filters: list[str], index: str) -> None:
    page = plan(database, "events", filters, "date", skips=True)

    assert page.scanned_tables() == set()
    assert page.sorts() == []
    [scan] = [node for node in page.page if node.get("Index Name") == index]
    assert scan["Node Type"] == "Index Only Scan"


@pytest.mark.parametrize(
    ("listing", "filters", "sort", "index", "table"),
    [
        ("events", ["published", "from", "to"], "date", "ix_events_date", "events"),
        ("events", ["cancelled"], "title", "ix_events_cancelled", "events"),
        ("events", ["host", "draft"], "title", "ix_events_host_id", "events"),
        ("attendee's bookings", [], "date", "ix_bookings_user_id", "bookings"),
        ("attendee's bookings", ["from"], "createdAt", "ix_bookings_user_id", "bookings"),
        ("host's search", ["q", "event"], "createdAt", "ix_bookings_event_id", "bookings"),
        ("host's bookings", [], "date", "ix_bookings_host_id", "bookings"),
    ],
)
def test_a_selective_filter_uses_its_index(
    database: Database, listing: str, filters: list[str], sort: str, index: str, table: str
) -> None:
    page = plan(database, listing, filters, sort)

    assert index in page.indexes()
    assert table not in page.scanned_tables()


@pytest.mark.parametrize(
    ("listing", "filters", "sort", "index", "lookup", "walk"),
    [
        ("events", ["published", "q"], "date", "ix_events_words", "pk_events", "ix_events_date"),
        ("events", ["published", "q"], "popularity", "ix_events_words", "pk_events", "ix_places_popularity"),
        ("users", ["q"], "name", "ix_users_words", "pk_users", "ix_users_name"),
        ("host's search", ["q"], "createdAt", "ix_users_words", "ix_bookings_host_id", "ix_bookings_host_id"),
    ],
)
def test_a_search_uses_indexes_for_few_and_for_many_rows(
    database: Database,
    listing: str,
    filters: list[str],
    sort: str,
    index: str,
    lookup: str,
    walk: str,
) -> None:
    search = plan(database, listing, filters, sort)

    assert index in {node.get("Index Name") for node in nodes(search.counting)}
    assert {lookup, walk} <= search.indexes()
    assert search.scanned_tables() == set()
    # Rows are looked up one by one, whatever PostgreSQL estimates, so that no search reads a whole table.
    limited = [list(nodes(node)) for node in search.page if node["Node Type"] == "Limit"]
    assert any(
        {node["Index Name"] for node in below if node["Node Type"] == "Index Scan"} >= {lookup}
        and "CTE Scan" not in {node["Node Type"] for node in below}
        for below in limited
    )


def test_events_that_are_not_on_sale_are_found_by_the_index_of_each_reason(database: Database) -> None:
    search = plan(database, "events", ["published", "from", "published_not_on_sale"], "date")

    found = list(nodes(search.counting))
    reasons = {"ix_events_sale_from", "ix_events_sale_until", "ix_events_date", "ix_places_sold_out"}
    reasons |= {"ix_ticket_types_sale_from", "ix_ticket_types_sale_until", "ix_ticket_types_groups"}
    assert reasons | {"ix_pools_sold_out"} <= {node.get("Index Name") for node in found}
    assert "Seq Scan" not in {node["Node Type"] for node in found}


def test_a_host_finds_bookings_by_the_index_of_each_way(database: Database) -> None:
    search = plan(database, "host's search", ["q"], "createdAt")

    found = list(nodes(search.counting))
    indexes = {node.get("Index Name") for node in found}
    assert indexes >= {"ix_users_words", "uq_users_email", "ix_bookings_host_id"}
    # Customers of the box office: by their words, or among the bookings of the host if these are few.
    assert indexes & {"ix_tickets_holder_words", "ix_tickets_booking_id"}
    assert "Seq Scan" not in {node["Node Type"] for node in found}


@pytest.mark.parametrize(
    "filters",
    [
        ["live"],
        ["status", "type", "paid_by"],
        ["live", "checked_in"],
        ["live", "not_checked_in"],
        ["live", "q"],
        ["status", "type", "paid_by", "q", "checked_in"],
    ],
    ids=", ".join,
)
@pytest.mark.parametrize("order", ORDERS)
def test_attendees_are_found_by_indexes(database: Database, filters: list[str], order: Order) -> None:
    for after in ((), ("a middle booking", "a middle booking")):
        page = plan(database, "attendees", filters, "createdAt", order=order, after=after)

        read = [*page.page, *nodes(page.counting)]
        assert page.indexes() & {"ix_bookings_event_id", "pk_bookings"}
        assert page.indexes() & {"ix_tickets_booking_id", "pk_tickets", "ix_tickets_holder_words"}
        assert "Seq Scan" not in {node["Node Type"] for node in read if node.get("Relation Name") in LARGE}


@pytest.mark.parametrize("listing", ["host's bookings", "host's search"])
def test_bookings_of_events_to_come_are_found_by_indexes(database: Database, listing: str) -> None:
    filters = ["from", "q"] if listing == "host's search" else ["from"]
    for sort in ("createdAt", "date"):
        found = plan(database, listing, filters, sort)

        everything = [*nodes(found.counting), *found.page]
        assert found.indexes() & {"ix_bookings_host_id", "ix_bookings_event_id"}
        assert "Seq Scan" not in {node["Node Type"] for node in everything}


@pytest.mark.parametrize("availability", ["on_sale", "not_on_sale", "published_not_on_sale"])
@pytest.mark.parametrize(
    ("sort", "index"),
    [
        ("date", "ix_events_date"),
        ("title", "ix_events_title"),
        ("createdAt", "ix_events_created"),
        ("popularity", "ix_places_popularity"),
    ],
)
def test_availability_is_checked_in_the_order_of_the_list(
    database: Database, availability: str, sort: str, index: str
) -> None:
    search = plan(database, "events", ["published", "from", availability], sort)

    assert index in search.indexes()
    assert search.scanned_tables().isdisjoint({"events", "places", "ticket_types", "pools"})


@pytest.mark.parametrize("listing", ["events", "users"])
def test_a_search_reads_a_bounded_number_of_the_newest_rows(database: Database, listing: str) -> None:
    for part in plan(database, listing, ["q"], "createdAt").sampling:
        scans = [node for node in nodes(part) if "Relation Name" in node]

        assert {node["Node Type"] for node in scans} == {"Index Scan", "Index Only Scan"}
        assert all("Index Cond" in node for node in scans if node["Node Type"] == "Index Scan")


def test_a_search_of_upcoming_events_reads_the_index_of_words_only(database: Database) -> None:
    search = plan(database, "events", ["published", "from", "q"], "date")

    found = {node["Index Name"] for node in nodes(search.counting) if "Index Name" in node}
    assert found == {"ix_events_words"}


@pytest.mark.parametrize(
    ("listing", "filters", "table"),
    [
        ("events", ["published"], "events"),
        ("events", ["host"], "events"),
        ("attendee's bookings", [], "bookings"),
        ("host's bookings", [], "bookings"),
        ("users", [], "users"),
    ],
)
def test_counting_is_bounded_and_reads_one_table(
    database: Database, listing: str, filters: list[str], table: str
) -> None:
    for sort in LISTS[listing][0].sorts:
        counting = list(nodes(plan(database, listing, filters, sort).counting))

        assert {node["Relation Name"] for node in counting if "Relation Name" in node} == {table}
        assert counting[1]["Node Type"] == "Limit"
