"""The app's role reads and writes rows, and cannot change the schema."""

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from chalicelib.migrations import role
from chalicelib.platform.database.engine import Database, metadata, sqlstate
from chalicelib.platform.settings import BadSetting, Settings
from infra.local import postgres
from infra.local.postgres import Postgres
from infra.local.run import APP_ROLE
from tests.client import Client
from tests.conftest import create_migrated
from tests.rows import alter, rows, value

NOT_PERMITTED = "42501"
SUPERUSER_RIGHTS = """
    SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls
    FROM pg_roles WHERE rolname = current_user
"""


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE more (n integer)",
        "CREATE TEMPORARY TABLE more (n integer)",
        "CREATE VIEW more AS SELECT 1",
        "CREATE FUNCTION more() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA more",
        "CREATE ROLE more",
        "CREATE INDEX more ON bookings (status)",
        "CREATE TRIGGER more BEFORE UPDATE ON places FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger()",
        "ALTER TABLE places DROP CONSTRAINT ck_places_taken",
        "ALTER TABLE bookings DISABLE TRIGGER ALL",
        "ALTER ROLE postgres PASSWORD 'guess'",
        "DROP TABLE bookings",
        "DROP PROCEDURE book",
        "DROP INDEX uq_bookings_live",
        "DROP SCHEMA public CASCADE",
        "TRUNCATE bookings CASCADE",
        "TRUNCATE throttles",
        "UPDATE alembic_version SET version_num = '0'",
        "SET log_error_verbosity = 'verbose'",
        "COPY users TO '/tmp/users'",
        "SELECT pg_read_file('postgresql.conf')",
    ],
)
def test_the_app_cannot_change_the_schema_or_the_server(client: Client, statement: str) -> None:
    with pytest.raises(DBAPIError) as refused:
        rows(client, statement)

    assert sqlstate(refused.value) == NOT_PERMITTED


def test_the_app_is_no_superuser_and_owns_nothing(client: Client) -> None:
    assert value(client, "SELECT current_user") == APP_ROLE
    assert value(client, SUPERUSER_RIGHTS) is False
    assert value(client, "SELECT count(*) FROM pg_class WHERE pg_get_userbyid(relowner) = current_user") == 0


@pytest.mark.parametrize("table", sorted(metadata.tables))
def test_the_app_reads_and_writes_every_table(client: Client, table: str) -> None:
    for right in ("SELECT", "INSERT", "UPDATE", "DELETE"):
        granted = "SELECT has_table_privilege(:table, :right)"
        assert value(client, granted, table=table, right=right) is True


def test_the_app_uses_tables_and_procedures_of_later_migrations(client: Client) -> None:
    alter(
        client,
        "CREATE TABLE later (n integer GENERATED ALWAYS AS IDENTITY, word text)",
        "CREATE PROCEDURE write_later() LANGUAGE sql AS 'INSERT INTO later (word) VALUES (''a'')'",
    )

    rows(client, "CALL write_later()")
    rows(client, "INSERT INTO later (word) VALUES ('b')")
    rows(client, "UPDATE later SET word = 'c' WHERE n = 2")
    assert [tuple(row) for row in rows(client, "DELETE FROM later RETURNING *")] == [(1, "a"), (2, "c")]


@pytest.fixture
def with_passwords(tmp_path_factory: pytest.TempPathFactory) -> Postgres:
    """A server that asks for passwords, as `make run` starts it."""
    data = tmp_path_factory.mktemp("server") / "data"
    return postgres.start(postgres.Options(data), say=lambda _: None)


def test_another_set_up_gives_the_role_another_password(with_passwords: Postgres) -> None:
    def connects(password: str) -> bool:
        url = make_url(server.url("new")).set(username=APP_ROLE, password=password)
        database = Database(Settings(database_url=url.render_as_string(hide_password=False)))
        try:
            with database.engine.connect() as connection:
                return bool(connection.scalar(text("SELECT count(*) = 0 FROM bookings")))
        except DBAPIError:
            return False
        finally:
            database.close()

    with with_passwords as server:
        create_migrated(server, "new")
        for password in ("first", "it's %s \\ :second;", "first"):
            url = make_url(server.url("new")).set(username=APP_ROLE, password=password)
            role.set_up(server.url("new"), url.render_as_string(hide_password=False))
            assert (connects(password), connects("guess")) == (True, False)


@pytest.mark.parametrize("app", ["postgres:secret@", f"{APP_ROLE}@", ""])
def test_the_role_must_be_another_one_with_a_password(server: Postgres, app: str) -> None:
    with pytest.raises(BadSetting, match="APP_DATABASE_URL"):
        role.set_up(server.url(), f"postgresql+pg8000://{app}127.0.0.1/booking")
