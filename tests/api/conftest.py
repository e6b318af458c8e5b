"""Fixtures of the API's tests: one database for a module, and a world of examples."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from chalicelib.platform.http.operation import Operation
from chalicelib.platform.settings import Settings
from chalicelib.wiring import Wiring, using
from infra.local import postgres
from infra.local.postgres import Postgres
from tests.api.resources import notification, ticket
from tests.check_in.doors import Door
from tests.client import Account, Client
from tests.conftest import LINK_SECRET, SECRET, TEMPLATE, TICKET_SECRET, WEBHOOK_SECRET
from tests.documents.certificates import wallet_certificate
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
    festival: dict[str, Any]
    """An event with two ticket types and a code."""
    code_id: str
    booking: dict[str, Any]
    hold: dict[str, Any]
    ticket_id: str
    """The ticket of the booking."""
    door: Door
    """The door of an event that has a ticket, a check-in and a door key."""
    code: str
    """Of a ticket that is not checked in."""
    check_in_id: str
    door_key: dict[str, Any]
    notification_id: str
    """A notification of the attendee."""

    def path(self, operation: Operation, **ids: str) -> str:
        """Return the path of an operation on these resources, or on those with the given ids."""
        of_door = "/check-ins" in operation.path or "{doorKeyId}" in operation.path
        of_festival = "{ticketTypeId}" in operation.path or "{codeId}" in operation.path
        event = self.festival if of_festival else self.event
        existing = {
            "userId": "me",
            "eventId": self.door.event_id if of_door else event["eventId"],
            "ticketTypeId": self.festival["ticketTypes"][1]["ticketTypeId"],
            "codeId": self.code_id,
            "bookingId": self.booking["bookingId"],
            "ticketId": self.ticket_id,
            "checkInId": self.check_in_id,
            "doorKeyId": self.door_key["doorKeyId"],
            "notificationId": self.notification_id,
        }
        return operation.path.format_map(existing | ids)  # a new kind of id fails here: add it above


def make_festival(client: Client, host: Account) -> tuple[dict[str, Any], str]:
    """Return a new event with two ticket types, and the id of its code."""
    types = [{"name": "Weekend", "price": 5000}, {"name": "Saturday", "price": 3000}]
    festival = client.event(host, ticketTypes=types)
    code = {"code": "EARLYBIRD", "kind": "percent", "value": 20}
    made = client("POST", f"/events/{festival['eventId']}/codes", code, by=host)
    return festival, made.json["codeId"]


def make_world(client: Client) -> World:
    host, attendee = client.host(), client.attendee()
    client.verify([attendee])  # else the attendee could not offer tickets
    event = client.event(host)
    festival, code_id = make_festival(client, host)
    booking = client.book(attendee, event["eventId"]).json
    door = Door.open(client, host)
    return World(
        client=client,
        host=host,
        attendee=attendee,
        event=event,
        draft=client.event(host, status="draft"),
        festival=festival,
        code_id=code_id,
        booking=booking,
        hold=client.book(attendee, client.event(host, price=2500)["eventId"]).json,
        ticket_id=ticket(client, booking["bookingId"]),
        door=door,
        code=door.code(door.ticket(attendee)),
        check_in_id=door.scan(door.ticket()).json["checkIn"]["checkInId"],
        door_key=door.create_key(),
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
        ticket_secret=TICKET_SECRET,
        wallet_certificate=wallet_certificate(),
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
