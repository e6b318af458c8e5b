"""The function `migrate` prepares an empty database for the app."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from chalice.local import LambdaContext
from sqlalchemy import NullPool, create_engine, make_url, text

import app
from chalicelib.platform.settings import Settings
from chalicelib.wiring import Wiring, using
from infra.local import postgres
from infra.local.postgres import Postgres
from tests.client import Client
from tests.conftest import LINK_SECRET, SECRET, TICKET_SECRET

ROLES = ("new_owner", "new_app")


@pytest.fixture
def settings(server: Postgres) -> Iterator[Settings]:
    """The settings of `migrate` for an empty database, with an owner that has the rights of RDS's."""
    postgres.create_database(server, "new")
    administration = create_engine(server.url("postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    owner, app_role = (
        make_url(server.url("new")).set(username=name).render_as_string(hide_password=False) for name in ROLES
    )
    with administration.connect() as connection:
        connection.execute(text("CREATE ROLE new_owner LOGIN CREATEROLE CREATEDB"))
        connection.execute(text("ALTER DATABASE new OWNER TO new_owner"))
    yield Settings(database_url=owner, app_database_url=app_role)
    postgres.drop_database(server, "new")
    with administration.connect() as connection:
        for name in reversed(ROLES):
            connection.execute(text(f"DROP ROLE IF EXISTS {name}"))


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    """A client of the app, whose functions have another role than `migrate`."""
    assert settings.app_database_url
    of_app = Settings(
        database_url=settings.app_database_url,
        jwt_secret=SECRET,
        link_secret=LINK_SECRET,
        ticket_secret=TICKET_SECRET,
        rate_limits=False,
    )
    with using(Wiring(of_app)) as wiring:
        yield Client(wiring)


def migrate(settings: Settings) -> None:
    with using(Wiring(settings)):
        app.migrate({}, LambdaContext("migrate", 512, 900_000))


def test_app_is_ready_only_after_migrate(client: Client, settings: Settings) -> None:
    before = client("GET", "/health/ready").status
    migrate(settings)
    assert (before, client("GET", "/health/ready").status) == (503, 200)


def test_bookings_need_no_more_than_the_role_of_the_app(client: Client, settings: Settings) -> None:
    migrate(settings)
    migrate(settings)

    event = client.event(client.host())
    assert client.book(client.attendee(), event["eventId"]).status == 201


def test_without_a_role_of_the_app_only_the_schema_is_migrated(settings: Settings) -> None:
    migrate(replace(settings, app_database_url=None))

    with using(Wiring(settings)) as wiring, wiring.database.transaction() as connection:
        assert connection.scalar(text("SELECT count(*) FROM users")) == 0
        assert connection.scalar(text("SELECT count(*) FROM pg_roles WHERE rolname = 'new_app'")) == 0
