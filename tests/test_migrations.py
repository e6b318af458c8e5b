"""The migrations lead to the schema that the code declares."""

import hashlib
import re
import runpy
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
from chalicelib.platform.database.engine import LOCK_NOT_AVAILABLE, metadata, sqlstate
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

RELEASED: dict[str, str] = {}
"""The hash of each migration of a released version, by its file's name. None is released yet."""

CHANGELOG = (Path(__file__).parents[1] / "CHANGELOG.md").read_text()

MIGRATION = """
from alembic import op

revision = "{revision}"
down_revision = "{before}"
release = "{release}"


def upgrade() -> None:
    op.execute("{statement}")
"""

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


def later(folder: Path, *releases: str, statement: str = "ALTER TABLE users ADD later text") -> list[Path]:
    """Write later migrations, one of each release. Return the folders of all migrations."""
    for number, release in enumerate(releases, 2):
        text = MIGRATION.format(
            revision=f"{number:04}", before=f"{number - 1:04}", release=release, statement=statement
        )
        (folder / f"{number:04}_later.py").write_text(text)
    return [migrations.VERSIONS, folder]


def test_a_skipped_release_is_refused(owner_url: str, tmp_path: Path) -> None:
    before = catalog(owner_url)

    with pytest.raises(migrations.SkippedRelease, match=r"0\.9\.0, 0\.10\.0: deploy 0\.9\.0 first"):
        upgrade(owner_url, folders=later(tmp_path, "0.9.0", "0.10.0"))

    assert catalog(owner_url) == before


def test_one_release_may_have_several_migrations(owner_url: str, tmp_path: Path) -> None:
    folders = later(tmp_path, "0.2.0", "0.2.0", statement="COMMENT ON TABLE users IS 'later'")

    upgrade(owner_url, folders=folders)

    with connected(owner_url) as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "0003"


def test_an_empty_database_may_skip_releases(empty_database: str, tmp_path: Path) -> None:
    statement = "COMMENT ON TABLE users IS 'later'"

    upgrade(empty_database, folders=later(tmp_path, "0.2.0", "0.3.0", statement=statement))


@pytest.mark.slow
def test_a_migration_that_waits_for_a_reader_lets_requests_pass(owner_url: str, tmp_path: Path) -> None:
    folders = later(tmp_path, "0.2.0")
    with ThreadPoolExecutor(1) as executor:
        with connected(owner_url) as reader:
            reader.exec_driver_sql("SELECT FROM users")
            migrating = executor.submit(upgrade, owner_url, folders=folders, backoff=(2,))
            time.sleep(0.5)  # it waits for the reader now
            with connected(owner_url) as request:
                started = time.monotonic()
                request.exec_driver_sql("SELECT FROM users")
                waited = time.monotonic() - started
            assert not migrating.done()
        migrating.result()

    assert waited < 4
    with connected(owner_url) as connection:
        connection.exec_driver_sql("SELECT later FROM users")


@pytest.mark.slow
def test_a_migration_that_gets_no_lock_changes_nothing(owner_url: str, tmp_path: Path) -> None:
    before = catalog(owner_url)
    with connected(owner_url) as reader:
        reader.exec_driver_sql("SELECT FROM users")
        with pytest.raises(DBAPIError) as failed:
            upgrade(owner_url, folders=later(tmp_path, "0.2.0"), backoff=())

    assert sqlstate(failed.value) == LOCK_NOT_AVAILABLE
    assert catalog(owner_url) == before


def test_released_migrations_do_not_change() -> None:
    """A release is a heading of the changelog. Its migrations are in RELEASED, with their hashes."""
    releases = set(re.findall(r"^## \[(\d+\.\d+\.\d+)\]", CHANGELOG, re.MULTILINE))
    files = {path: runpy.run_path(str(path)) for path in migrations.VERSIONS.glob("[0-9]*.py")}

    released = {path: module for path, module in files.items() if module["release"] in releases}
    assert {path.name: content_hash(path, module) for path, module in released.items()} == RELEASED


def content_hash(path: Path, module: dict[str, Any]) -> str:
    """Hash a migration and the SQL files that it names in constants."""
    scripts = [value for value in module.values() if isinstance(value, Path) and value.is_file()]
    return hashlib.sha256(b"".join(file.read_bytes() for file in [path, *sorted(scripts)])).hexdigest()


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
