"""The examples of request bodies in the OpenAPI document are accepted as they are."""

from typing import Any

from chalicelib.api.examples import EXAMPLES
from chalicelib.api.schemas.auth import Login
from chalicelib.platform.http.operation import Operation
from chalicelib.platform.http.validation import FORM_TYPE
from tests.api.conftest import make_world
from tests.api.operations import OPERATIONS, each
from tests.api.resources import email_token, transfer_token
from tests.client import Client, in_days

STATUS = {
    "POST /auth/register": 201,
    "POST /events": 201,
    "POST /events/{eventId}/ticket-types": 201,
    "POST /events/{eventId}/codes": 201,
    "POST /events/{eventId}/door-keys": 201,
    "POST /events/{eventId}/box-office": 201,
    "POST /bookings": 201,
    "POST /tickets/{ticketId}/transfer": 201,
    "POST /auth/verify-email": 204,
    "POST /auth/reset-password": 204,
    "POST /auth/logout": 204,
    "POST /auth/forgot-password": 202,
}
"""The statuses other than 200."""


def with_real_ids(client: Client, operation: Operation, event_id: str, example: Any) -> Any:
    """Replace the tokens and ids of an example by those of resources that exist."""
    purposes: dict[str, Any] = {
        "/auth/verify-email": "verify-email",
        "/auth/reset-password": "reset-password",
    }
    if operation.path in purposes:
        return example | {"token": email_token(client, purposes[operation.path])}
    if operation.path == "/tickets/claim":
        return example | {"token": transfer_token(client)}
    if operation.path == "/auth/refresh":
        return {"refreshToken": register(client)["refreshToken"]}
    if "ticketTypeIds" in example:
        return example | {
            "ticketTypeIds": [client("GET", f"/events/{event_id}").json["ticketTypes"][0]["ticketTypeId"]]
        }
    return example | {"eventId": event_id} if "eventId" in example else example


def register(client: Client) -> dict[str, Any]:
    registration = {**EXAMPLES[Login], "name": "Ada", "role": "host"}
    session: dict[str, Any] = client("POST", "/auth/register", registration).json
    return session


@each([operation for operation in OPERATIONS if operation.body and operation.media_type != FORM_TYPE])
def test_the_example_of_a_request_is_accepted(client: Client, operation: Operation) -> None:
    world = make_world(client)
    if operation.path == "/auth/login":
        register(client)
    caller = {"host": world.host, "scope:check-in": world.host, "none": None}.get(
        operation.auth, client.attendee()
    )
    event_id = world.event["eventId"]
    body = with_real_ids(client, operation, event_id, EXAMPLES[operation.body])
    if operation.path.endswith("/check-ins"):
        body |= {"code": world.code}
    if operation.path.endswith("/batch"):
        [scan] = body["scans"]
        body = {"scans": [scan | {"code": world.code, "at": in_days(0)}], "sentAt": in_days(0)}

    if "{ticketId}" in operation.path:
        caller = world.attendee
    if operation.path.endswith("/box-office"):
        client.verify([world.host])
    reply = client(operation.method, world.path(operation), body, by=caller)

    name = f"{operation.method} {operation.path}"
    assert reply.status == STATUS.get(name, 200), reply.text


def test_the_example_of_an_event_shows_what_was_sent(client: Client) -> None:
    [operation] = [one for one in OPERATIONS if one.view.__name__ == "create_event"]
    sent = EXAMPLES[operation.body]

    created = client("POST", "/events", sent, by=client.host()).json

    same = set(sent) - {"startDateTime", "endDateTime", "saleEndsAt", "refundUntil"}
    shown = EXAMPLES[operation.responses[201]]
    assert {name: created[name] for name in same} == {name: sent[name] for name in same}
    assert {name: shown[name] for name in sent} == {name: created[name] for name in sent}
    assert set(created) == set(shown)
