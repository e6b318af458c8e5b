"""The served API against its own document, with requests made from that document and sent over HTTP."""

import secrets
from collections.abc import Iterator
from typing import Any

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
from chalicelib.users.verification import Purpose
from infra.local.api_gateway import api_gateway
from infra.local.server import serving
from tests.api.conftest import World
from tests.api.operations import OPERATIONS, each
from tests.api.resources import notification, proof, stripe_event, unsubscribe_token
from tests.client import PASSWORD, Account, in_days

# Left out are the checks that every valid request is accepted and every invalid one refused, which no schema
# can say: an event in the past has a valid body, and a name with a space before it is trimmed. Who may do
# what, and what is there after a deletion, has tests of its own.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]

BEYOND_SCHEMAS: dict[str, Any] = {
    "startDateTime": in_days(30),
    "endDateTime": in_days(31),
    "saleStartsAt": in_days(1),
    "saleEndsAt": in_days(2),
    "timezone": "Europe/Berlin",
    "currency": "eur",
    "price": 0,
    "status": "published",
}
"""Members whose rules a schema cannot tell, with values that keep them."""


PROOFS: dict[str, Purpose] = {
    "/auth/verify-email": "verify-email",
    "/auth/reset-password": "reset-password",
}


@pytest.fixture(scope="module")
def api(world: World) -> Iterator[BaseSchema]:
    assert world.client("GET", "/health/ready").status == 200
    with serving(api_gateway(app.app)) as url:
        yield schemathesis.openapi.from_url(f"{url}/openapi.json")


def aim(case: Case[Any], world: World, sender: Account) -> None:
    """Have a valid request mean something that is there, where the odds are that it means nothing."""
    things = {"userId": aimed_user, "eventId": new_event, "bookingId": new_booking}
    for name in case.path_parameters:
        if name == "notificationId":
            case.path_parameters[name] = notification(world.client, sender)
        else:
            case.path_parameters[name] = things[name](case, world)
    if case.path == "/unsubscribe":
        case.query = {"token": unsubscribe_token(world.client, sender)}
    if isinstance(case.body, dict):
        case.body = case.body | fitting(case, case.body, world)


def aimed_user(case: Case[Any], world: World) -> str:
    return world.host.user_id if case.path.endswith("/follow") else "me"


def new_event(_: Case[Any], world: World) -> str:
    return str(world.client.event(world.host)["eventId"])


def new_booking(case: Case[Any], world: World) -> str:
    event = world.client.event(world.host, price=2500 if case.path.endswith("/payment") else 0)
    return str(world.client.book(world.attendee, event["eventId"]).json["bookingId"])


def fitting(case: Case[Any], body: dict[str, Any], world: World) -> dict[str, Any]:
    """Members of a body whose values have to fit what is there."""
    members = {name: value for name, value in BEYOND_SCHEMAS.items() if name in body}
    if "eventId" in body:
        members["eventId"] = new_event(case, world)
    if "token" in body:
        members["token"] = proof(world.client, PROOFS[case.path])
    if case.path == "/users/{userId}" and "email" in body:  # the document's example is taken by another test
        members["email"] = f"{secrets.token_hex(6)}@example.com"
    if case.path == "/auth/login":
        members |= {"email": world.client.host().email, "password": PASSWORD}
    return members


def sender(operation: Operation, world: World, role: str) -> Account:
    """The one with the role; another one each time where there is nobody left afterwards."""
    if (operation.method, operation.path) == ("DELETE", "/users/{userId}"):
        return world.client.host() if role == "host" else world.client.attendee()
    return world.host if role == "host" else world.attendee


@each(OPERATIONS)
@pytest.mark.parametrize("role", ["host", "attendee", "nobody"])
def test_every_answer_is_as_the_document_says(
    api: BaseSchema, operation: Operation, world: World, role: str
) -> None:
    described = api[operation.path][operation.method]
    valid = described.as_strategy(generation_mode=GenerationMode.POSITIVE)
    invalid = described.as_strategy(generation_mode=GenerationMode.NEGATIVE)

    statuses: set[int] = set()

    @settings(
        max_examples=8 if role == "nobody" else 24,
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
        case, aimed = request
        who = sender(operation, world, role)
        if aimed:
            aim(case, world, who)
        headers = {"Authorization": f"Bearer {who.token}"} if role != "nobody" else {}
        sent: dict[str, Any] = {}
        if aimed and case.path == "/webhooks/stripe":  # signed as it is, so it cannot be made from a schema
            sent["data"], signed = stripe_event()
            headers |= signed
        response = case.call(headers=headers, **sent)
        statuses.add(response.status_code)
        case.validate_response(response, checks=CHECKS)

    check()

    if role in {"host", "attendee"} and operation.auth in {"none", "optional", "required", role}:
        assert statuses & set(operation.responses)  # else only refusals would have been looked at
