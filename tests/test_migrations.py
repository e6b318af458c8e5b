"""The migrations lead to the schema that the code declares."""

import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from chalicelib import migrations
from chalicelib.bookings import booking
from chalicelib.check_in import scanning
from chalicelib.events import expressions
from chalicelib.migrations import role, upgrade
from chalicelib.platform.database import engine
from chalicelib.platform.database.engine import metadata
from infra.local import postgres
from infra.local.postgres import Postgres
from tests.bookings.procedure import SOURCE
from tests.client import Client
from tests.rows import alter

CATALOG = {
    "columns": """
        SELECT attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull,
            attidentity::text, attgenerated::text, pg_get_expr(adbin, adrelid)
        FROM pg_attribute
        JOIN pg_class ON pg_class.oid = attrelid
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped""",
    "indexes": """
        SELECT indrelid::regclass, pg_get_indexdef(indexrelid)
        FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
        WHERE relnamespace = 'public'::regnamespace""",
    "constraints": """
        SELECT conrelid::regclass, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace""",
    "storage parameters": """
        SELECT oid::regclass, reloptions::text, relpersistence::text
        FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'""",
}
"""Queries for each part of a schema that the models declare. The first column is the table."""

PROCEDURES = (
    "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY proname"
)

FUNCTIONS = Path(engine.__file__).with_name("functions.sql").read_text()
TICKET_CHANGES = Path(booking.__file__).with_name("ticket_changes.sql").read_text()
CHECK_IN = Path(scanning.__file__).with_name("check_in.sql").read_text()
BOOKABLE = Path(expressions.__file__).with_name("bookable.sql").read_text()


@pytest.fixture
def empty_database(server: Postgres) -> Iterator[str]:
    postgres.create_database(server, "empty")
    yield server.url("empty")
    postgres.drop_database(server, "empty")


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    temporary = create_engine(url, poolclass=NullPool)
    with temporary.begin() as connection:
        yield connection
    temporary.dispose()


def catalog(url: str) -> dict[str, set[tuple[object, ...]]]:
    """Return all columns, indexes, constraints and storage parameters of the tables, except Alembic's own."""
    with connected(url) as connection:
        return {
            part: {tuple(row) for row in connection.execute(text(query)) if row[0] != "alembic_version"}
            for part, query in CATALOG.items()
        }


def procedures(url: str) -> list[str]:
    with connected(url) as connection:
        return list(connection.scalars(text(PROCEDURES)))


def test_alembic_finds_no_difference_to_the_models(owner_url: str) -> None:
    command.check(migrations.config(owner_url))


def test_migrated_schema_equals_the_models(owner_url: str, empty_database: str) -> None:
    with connected(empty_database) as connection:
        connection.exec_driver_sql(FUNCTIONS)
        metadata.create_all(connection)

    assert catalog(owner_url) == catalog(empty_database)


def test_migrated_procedures_equal_their_sources(owner_url: str, empty_database: str) -> None:
    with connected(empty_database) as connection:
        connection.exec_driver_sql("CREATE TABLE tickets ()")
        for source in (FUNCTIONS, BOOKABLE, SOURCE, TICKET_CHANGES, CHECK_IN):
            connection.exec_driver_sql(source)

    migrated = procedures(owner_url)

    assert migrated == procedures(empty_database)
    for procedure in (booking.PROCEDURE, scanning.PROCEDURE):
        assert f"PROCEDURE public.{procedure}(" in "".join(migrated)


def test_migrating_again_changes_nothing(owner_url: str) -> None:
    before = catalog(owner_url), procedures(owner_url)

    migrations.upgrade(owner_url)

    assert (catalog(owner_url), procedures(owner_url)) == before


def test_unknown_schema_is_refused(client: Client, owner_url: str) -> None:
    alter(client, "UPDATE alembic_version SET version_num = '0004'")

    with pytest.raises(migrations.UnknownSchema, match="0004"):
        migrations.upgrade(owner_url)


@pytest.mark.parametrize(
    "connect", [upgrade, lambda url: role.set_up(url, "postgresql+pg8000://app:secret@")]
)
def test_remote_databases_are_asked_for_tls_by_default(connect: Callable[[str], None]) -> None:
    """A server without TLS receives only the request for it (PostgreSQL manual, "Message Formats")."""
    received: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client:
            received.append(client.recv(1024))
            client.sendall(b"N")
            received.append(client.recv(1024))

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as executor:
        serving = executor.submit(serve, listener)
        # An address that is not recognised as loopback stands for a remote host.
        url = f"postgresql+pg8000://owner:secret@127.1:{listener.getsockname()[1]}/booking"
        with pytest.raises(DBAPIError, match="SSL"):
            connect(url)
        serving.result()

    assert received == [struct.pack("!ii", 8, 80877103), b""]
