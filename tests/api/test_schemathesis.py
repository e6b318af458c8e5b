"""The API responds as its OpenAPI document says to requests that are generated from that document."""

import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import app
from chalicelib.platform.http.operation import Operation
from chalicelib.users.email_tokens import Purpose
from infra.local.api_gateway import api_gateway
from infra.local.server import serving
from tests.api.conftest import World, make_festival
from tests.api.operations import OPERATIONS, each, name
from tests.api.resources import (
    email_token,
    notification,
    refresh_token,
    stripe_event,
    ticket,
    transfer_token,
    unsubscribe_token,
)
from tests.check_in.doors import Door
from tests.client import PASSWORD, Account, in_days, with_times

# Not checked is that each valid request is accepted and each invalid one refused, because schemas do not say
# all: an event in the past has a valid body, and a name with a leading space is trimmed. Permissions and
# deletions have their own tests.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]

BEYOND_SCHEMAS: dict[str, Any] = {
    "startDateTime": timedelta(days=30),
    "endDateTime": timedelta(days=31),
    "saleStartsAt": timedelta(days=1),
    "saleEndsAt": timedelta(days=2),
    "timezone": "Europe/Berlin",
    "currency": "eur",
    "price": 0,
    "ticketTypes": [{"name": "Early bird", "price": 1500}],
    "minPerBooking": 1,
    "code": "LATEBIRD",
    "kind": "percent",
    "value": 20,
    "expiresAt": timedelta(days=31),
    "validFrom": timedelta(days=1),
    "validUntil": timedelta(days=2),
    "status": "published",
}
"""Valid values of members whose rules are not in the schema."""

TOKENS: dict[str, Purpose] = {
    "/auth/verify-email": "verify-email",
    "/auth/reset-password": "reset-password",
}


@pytest.fixture(scope="module")
def api(world: World) -> Iterator[BaseSchema]:
    assert world.client("GET", "/health/ready").status == 200
    with serving(api_gateway(app.app)) as url:
        yield schemathesis.openapi.from_url(f"{url}/openapi.json")


def use_existing_ids(case: Case[Any], world: World, sender: Account) -> None:
    """Replace the ids and tokens in a valid request by existing ones. Generated ones hardly ever exist."""
    make = {
        "userId": existing_user, "eventId": new_event, "bookingId": new_booking, "ticketId": new_ticket
    }  # fmt: skip
    if "{ticketTypeId}" in case.path or "/codes" in case.path:
        use_festival(case, world)
    elif "/check-ins" in case.path or "{doorKeyId}" in case.path:
        use_door(case, world)
    else:
        for parameter in case.path_parameters:
            if parameter == "notificationId":
                case.path_parameters[parameter] = notification(world.client, sender)
            else:
                case.path_parameters[parameter] = make[parameter](case, world)
    if case.path == "/unsubscribe":
        case.query = {"token": unsubscribe_token(world.client, sender)}
    if isinstance(case.body, dict) and "/check-ins" not in case.path:
        body: dict[str, Any] = case.body | valid_members(case, case.body, world)
        without = {"price"} if "ticketTypes" in body else set()
        if case.path.startswith("/bookings"):
            without = {"items", "quantity", "code"}
        if case.path.endswith("/box-office"):
            without = {"items", "email"}
        case.body = {name: value for name, value in body.items() if name not in without}


def use_festival(case: Case[Any], world: World) -> None:
    """Use the ids of a new event, and of its ticket types and its code."""
    festival, code_id = make_festival(world.client, world.host)
    type_id = festival["ticketTypes"][1]["ticketTypeId"]
    existing = {"eventId": festival["eventId"], "ticketTypeId": type_id, "codeId": code_id}
    case.path_parameters.update({name: existing[name] for name in case.path_parameters})
    if isinstance(case.body, dict) and "ticketTypeIds" in case.body:
        case.body = case.body | {"ticketTypeIds": [type_id]}


def use_door(case: Case[Any], world: World) -> None:
    """Use the ids of a new event whose doors are open, and of its ticket, check-in and door key."""
    door = Door.open(world.client, world.host)
    existing = {
        "eventId": door.event_id,
        "checkInId": door.scan(door.ticket()).json["checkIn"]["checkInId"],
        "doorKeyId": door.create_key()["doorKeyId"],
    }
    case.path_parameters.update({name: existing[name] for name in case.path_parameters})
    if isinstance(case.body, dict):
        scan: dict[str, Any] = {"code": door.code(door.ticket()), "nonce": str(uuid4()), "gate": "North"}
        case.body = {"scans": [{**scan, "at": in_days(0)}]} if "scans" in case.body else scan


def existing_user(case: Case[Any], world: World) -> str:
    return world.host.user_id if case.path.endswith("/follow") else "me"


def new_event(_: Case[Any], world: World) -> str:
    return str(world.client.event(world.host)["eventId"])


def new_booking(case: Case[Any], world: World) -> str:
    event = world.client.event(world.host, price=2500 if case.path.endswith("/payment") else 0)
    return str(world.client.book(world.attendee, event["eventId"]).json["bookingId"])


def new_ticket(case: Case[Any], world: World) -> str:
    made = ticket(world.client, new_booking(case, world))
    if case.path.endswith("/transfer") and case.method == "DELETE":
        offer = {"email": "grace@example.com"}
        assert world.client("POST", f"/tickets/{made}/transfer", offer, by=world.attendee).status == 201
    return made


def valid_members(case: Case[Any], body: dict[str, Any], world: World) -> Any:
    """Return the members of a body that must refer to existing rows or keep rules beyond the schema."""
    members = with_times({name: value for name, value in BEYOND_SCHEMAS.items() if name in body})
    if "eventId" in body:
        members["eventId"] = new_event(case, world)
    if case.path == "/tickets/claim":
        members["token"] = transfer_token(world.client)
    elif "token" in body:
        members["token"] = email_token(world.client, TOKENS[case.path])
    if case.path == "/auth/refresh":
        members["refreshToken"] = refresh_token(world.client)
    if case.path == "/users/{userId}" and "email" in body:  # the example's address is taken
        members["email"] = f"{secrets.token_hex(6)}@example.com"
    if case.path == "/auth/register":  # a generated password may be a common one, an address may be taken
        members |= {"email": f"{secrets.token_hex(6)}@example.com", "password": PASSWORD}
    if case.path == "/auth/login":
        members |= {"email": world.client.host().email, "password": PASSWORD}
    return members


def sender(operation: Operation, world: World, role: str) -> Account:
    """Return the account of a role, or a new account where the operation deletes it.

    The host of the example's event cannot book it: another host does. In either role, the attendee pays,
    names the holders of tickets, and transfers them.
    """
    if name(operation) in {"POST /bookings", "POST /bookings/quote"} and role == "host":
        return world.client.host()
    if operation.path == "/tickets/{ticketId}/transfer" or name(operation) in {
        "POST /bookings/{bookingId}/payment",
        "PATCH /tickets/{ticketId}",
    }:
        return world.attendee
    if (operation.method, operation.path) == ("DELETE", "/users/{userId}"):
        return world.client.host() if role == "host" else world.client.attendee()
    return world.host if role == "host" else world.attendee


@pytest.mark.slow
@each(OPERATIONS)
@pytest.mark.parametrize("role", ["host", "attendee", "anonymous"])
def test_responses_match_the_document(api: BaseSchema, operation: Operation, world: World, role: str) -> None:
    described = api[operation.path][operation.method]
    valid = described.as_strategy(generation_mode=GenerationMode.POSITIVE)
    invalid = described.as_strategy(generation_mode=GenerationMode.NEGATIVE)

    statuses: set[int] = set()

    @settings(
        max_examples=8 if role == "anonymous" else 24,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        request=st.one_of(
            st.tuples(valid, st.just(value=True)),
            st.tuples(valid | invalid, st.just(value=False)),
        )
    )
    def check(request: tuple[Case[Any], bool]) -> None:
        case, accepted = request
        account = sender(operation, world, role)
        if accepted:
            use_existing_ids(case, world, account)
        headers = {"Authorization": f"Bearer {account.token}"} if role != "anonymous" else {}
        sent: dict[str, Any] = {}
        if accepted and case.path == "/webhooks/stripe":  # a signed body cannot be generated
            sent["data"], signed = stripe_event()
            headers |= signed
        response = case.call(headers=headers, **sent)
        statuses.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    check()

    for_role = {"none", "optional", "required", role, *(["scope:check-in"] if role == "host" else [])}
    if role in {"host", "attendee"} and operation.auth in for_role:
        assert statuses & set(operation.responses)  # otherwise only refusals were checked
