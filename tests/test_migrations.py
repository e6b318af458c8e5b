"""Migrations: the schema that they make is the one that the code declares, and they can be taken back."""

from collections.abc import Iterator

import pytest
from alembic import command
from sqlalchemy import NullPool, create_engine, text

from chalicelib import migrations
from infra.local import postgres
from infra.local.postgres import Postgres
from tests.client import Account, Client
from tests.rows import taken, value

_OBJECTS = text(
    "SELECT relkind::text || ' ' || relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    " UNION ALL"
    " SELECT 'procedure ' || proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
)


@pytest.fixture
def empty_database(server: Postgres) -> Iterator[str]:
    postgres.create_database(server, "to_migrate")
    yield server.url("to_migrate")
    postgres.drop_database(server, "to_migrate")


def objects(url: str) -> set[str]:
    """Tables, indexes, sequences and procedures."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        found = set(connection.scalars(_OBJECTS))
    engine.dispose()
    return found


def test_the_migrations_make_what_the_models_declare(database_url: str) -> None:
    command.check(migrations.config(database_url))


def test_all_migrations_can_be_taken_back_and_made_again(database_url: str) -> None:
    migrated = objects(database_url)

    migrations.downgrade(database_url, "base")
    emptied = objects(database_url)
    migrations.upgrade(database_url)

    assert {name.split()[1] for name in emptied} == {"alembic_version", "alembic_version_pkc"}
    assert objects(database_url) == migrated
    command.check(migrations.config(database_url))


def test_migrating_twice_changes_nothing(database_url: str) -> None:
    before = objects(database_url)

    migrations.upgrade(database_url)

    assert objects(database_url) == before


def test_the_code_of_the_version_before_still_books(client: Client) -> None:
    """A deployment migrates first, and a roll-back leaves the schema: both run older code on this one."""
    host, attendee = client.host(), client.attendee()
    free, priced = client.event(host, capacity=2), client.event(host, price=2500)

    assert book_as_before(client, attendee, free["eventId"]) == "booked"
    assert client.book(client.attendee(), free["eventId"]).status == 201
    assert book_as_before(client, client.attendee(), free["eventId"]) == "sold-out"
    assert book_as_before(client, attendee, priced["eventId"]) == "held"

    assert taken(client, free["eventId"]) == 2  # with the popularity that the code before left alone
    assert value(client, "SELECT taken FROM places WHERE event_id = :id", id=priced["eventId"]) == 1


def book_as_before(client: Client, attendee: Account, event_id: str) -> str:
    """Book by the procedure of the version before."""
    outcome, _ = client.wiring.database.call(
        f"CALL book_place_v2(uuidv7(), '{event_id}', '{attendee.user_id}', 1, NULL, NULL, uuidv7(), now(), "
        "now() + interval '15 minutes', now() + interval '5 minutes', NULL, NULL, NULL)"
    )
    return str(outcome)


def test_one_version_can_be_taken_back_and_made_again_with_data_in_place(
    client: Client, database_url: str
) -> None:
    event = client.event(client.host())
    attendee = client.attendee()
    client.book(attendee, event["eventId"])
    popularity = value(client, "SELECT popularity FROM places")

    migrations.downgrade(database_url, "-1")
    migrations.upgrade(database_url)

    assert taken(client, event["eventId"]) == 1
    assert value(client, "SELECT popularity FROM places") == popularity > 0
    assert client.book(client.attendee(), event["eventId"]).status == 201
