"""Migrations: the schema that they make is the one that the code declares, and they can be taken back."""

from collections.abc import Iterator

import pytest
from alembic import command
from sqlalchemy import NullPool, create_engine, text

from chalicelib import migrations
from infra.local import postgres
from infra.local.postgres import Postgres

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
