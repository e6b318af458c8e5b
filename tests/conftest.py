"""Fixtures: one PostgreSQL server for a run, and one migrated database for each test."""

import io
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import app
from chalicelib.migrations import role, upgrade
from chalicelib.platform.observability import logs
from chalicelib.platform.settings import Settings
from chalicelib.wiring import Wiring, using
from infra.local import postgres
from infra.local.api_gateway import api_gateway
from infra.local.postgres import Postgres
from infra.local.server import serving
from tests.client import Client
from tests.concurrency import Web
from tests.documents.certificates import wallet_certificate
from tests.fakes import FakePayments
from tests.rows import app_url, owner_of

SECRET = b"a secret for tests, of more than 32 bytes"
LINK_SECRET = b"a secret for links, of more than 32 bytes"
TICKET_SECRET = b"a secret for tickets, of more than 32 bytes"
WEBHOOK_SECRET = b"whsec_of_the_tests"
TEMPLATE = "template_migrated"
WORKSHOP = [Path(__file__).with_name(name) for name in ("bench", "infra")]
"""The folders whose tests are marked `tools`."""


Lines = Callable[[], list[dict[str, Any]]]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in WORKSHOP):
            item.add_marker("tools")


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """A temporary server with a migrated database as template."""
    with postgres.temporary() as server:
        create_migrated(server, TEMPLATE)
        yield server


def create_migrated(server: Postgres, database: str) -> None:
    """Create a database with the app's schema and role."""
    postgres.create_database(server, database)
    upgrade(server.url(database))
    role.set_up(server.url(database), app_url(server, database))


@pytest.fixture
def database_url(server: Postgres) -> Iterator[str]:
    """The URL of the test's own database, for the app's role, which cannot change the schema."""
    name = f"test_{os.urandom(6).hex()}"
    postgres.create_database(server, name, template=TEMPLATE)
    # The rights on a database, unlike those on its tables, are not copied from the template.
    postgres.administer(server, f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")
    yield app_url(server, name)
    postgres.drop_database(server, name)


@pytest.fixture
def owner_url(database_url: str) -> str:
    """The URL of the test's own database, for its owner."""
    return owner_of(database_url)


@pytest.fixture
def wiring(database_url: str, request: pytest.FixtureRequest) -> Iterator[Wiring]:
    """The wiring of the app with the test's database, and with limits if the test is marked so."""
    settings = Settings(
        database_url=database_url,
        jwt_secret=SECRET,
        link_secret=LINK_SECRET,
        ticket_secret=TICKET_SECRET,
        wallet_certificate=wallet_certificate(),
        database_pool_size=16,
        stripe_api_key="sk_test_of_the_tests",
        stripe_webhook_secrets=(WEBHOOK_SECRET,),
        rate_limits=request.node.get_closest_marker("rate_limits") is not None,
    )
    with using(Wiring(settings, payments=FakePayments())) as wiring:
        yield wiring


@pytest.fixture
def client(wiring: Wiring) -> Client:
    """A client that calls the app as API Gateway does."""
    return Client(wiring)


@pytest.fixture
def web(wiring: Wiring) -> Iterator[Web]:
    """The app with the test's database behind a real HTTP server, for races."""
    assert wiring.settings.database_pool_size > 1, "one connection would serialize all requests"
    with serving(api_gateway(app.app)) as url:
        yield Web(url)


@pytest.fixture
def set_up() -> Iterator[Callable[..., None]]:
    """The function that sets up the log of the deployed app. Its effect is undone after the test."""
    loggers = [logging.getLogger("event-booking"), logging.getLogger()]
    handlers = [logger.handlers for logger in loggers]
    yield logs.set_up
    logs.set_up()
    for logger, before in zip(loggers, handlers, strict=True):
        logger.handlers = before


@pytest.fixture
def log(set_up: Callable[..., None]) -> Lines:
    """A function that returns the lines since its last call."""
    stream = io.StringIO()
    set_up(stream)

    def lines() -> list[dict[str, Any]]:
        written = stream.getvalue()
        stream.seek(0)
        stream.truncate()
        return [json.loads(line) for line in written.splitlines()]

    return lines
