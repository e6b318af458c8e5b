"""Fixtures of the API's tests: one database for a module, and a world of examples."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from chalicelib.platform.settings import Settings
from chalicelib.wiring import Wiring, using
from infra.local import postgres
from infra.local.postgres import Postgres
from tests.api.resources import notification
from tests.client import Account, Client
from tests.conftest import LINK_SECRET, SECRET, TEMPLATE, WEBHOOK_SECRET
from tests.fakes import FakePayments
from tests.rows import app_url


@dataclass(frozen=True)
class World:
    """One example of each resource."""

    client: Client
    host: Account
    attendee: Account
    event: dict[str, Any]
    draft: dict[str, Any]
    booking: dict[str, Any]
    hold: dict[str, Any]
    notification_id: str
    """A notification of the attendee."""


def make_world(client: Client) -> World:
    host, attendee = client.host(), client.attendee()
    event = client.event(host)
    return World(
        client=client,
        host=host,
        attendee=attendee,
        event=event,
        draft=client.event(host, status="draft"),
        booking=client.book(attendee, event["eventId"]).json,
        hold=client.book(attendee, client.event(host, price=2500)["eventId"]).json,
        notification_id=notification(client, attendee),
    )


@pytest.fixture(scope="module")
def shared(server: Postgres) -> Iterator[Client]:
    """A client whose database is shared by the tests of a module. They do not change each other's rows."""
    name = f"shared_{os.urandom(6).hex()}"
    postgres.create_database(server, name, template=TEMPLATE)
    settings = Settings(
        database_url=app_url(server, name),
        jwt_secret=SECRET,
        link_secret=LINK_SECRET,
        database_pool_size=2,
        stripe_api_key="sk_test_of_the_tests",
        stripe_webhook_secrets=(WEBHOOK_SECRET,),
        rate_limits=False,
    )
    with using(Wiring(settings, payments=FakePayments())) as wiring:
        yield Client(wiring)
    postgres.drop_database(server, name)


@pytest.fixture(scope="module")
def world(shared: Client) -> World:
    """A world that is shared by the tests of a module. They check that they do not change it."""
    return make_world(shared)
