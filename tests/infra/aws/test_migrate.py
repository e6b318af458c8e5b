"""The function `migrate` prepares an empty database for the app."""

from collections.abc import Iterator

import pytest
from chalice.local import LambdaContext
from sqlalchemy import NullPool, create_engine, make_url, text

import app
from chalicelib.migrations import role
from chalicelib.platform.settings import Settings
from chalicelib.wiring import Wiring, using
from infra.local import postgres
from infra.local.postgres import Postgres
from tests.client import Client
from tests.conftest import SECRET


@pytest.fixture
def new(server: Postgres) -> Iterator[Wiring]:
    """The wiring of an empty database whose owner is a role without settings."""
    postgres.create_database(server, "new")
    administration = create_engine(server.url("postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with administration.connect() as connection:
        connection.execute(text("CREATE ROLE newcomer LOGIN"))
        connection.execute(text("ALTER DATABASE new OWNER TO newcomer"))
    url = make_url(server.url("new")).set(username="newcomer").render_as_string(hide_password=False)
    with using(Wiring(Settings(database_url=url, jwt_secret=SECRET))) as wiring:
        yield wiring
    postgres.drop_database(server, "new")
    with administration.connect() as connection:
        connection.execute(text("DROP ROLE newcomer"))


def migrate() -> None:
    app.migrate({}, LambdaContext("migrate", 512, 900_000))


def test_app_is_ready_only_after_migrate(new: Wiring) -> None:
    client = Client(new)
    before = client("GET", "/health/ready").status
    migrate()
    assert (before, client("GET", "/health/ready").status) == (503, 200)


def test_migrate_is_idempotent_and_sets_up_the_role(new: Wiring) -> None:
    migrate()
    migrate()
    written = text("SELECT unnest(rolconfig) FROM pg_roles WHERE rolname = 'newcomer'")
    with new.database.transaction() as connection:
        found = connection.scalars(written).all()
    assert sorted(found) == sorted(
        f"{'TimeZone' if name == 'timezone' else name}={value}" for name, value in role.SETTINGS.items()
    )


def test_embedded_server_has_the_same_settings() -> None:
    assert role.SETTINGS.items() <= postgres.SETTINGS.items()
