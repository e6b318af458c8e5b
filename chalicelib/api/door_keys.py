"""/events/{eventId}/door-keys: create, list, revoke."""

import json
from uuid import UUID

from msgspec import UNSET
from sqlalchemy import Connection

from chalicelib.api.routing import new_router
from chalicelib.api.schemas.door_keys import (
    CreatedDoorKey,
    DoorKey,
    DoorKeyQuery,
    NewDoorKey,
    door_key_json,
)
from chalicelib.check_in import door_keys
from chalicelib.check_in.door_keys import DoorKeyQueries, NoSuchDoorKey, TooManyDoorKeys
from chalicelib.events.locks import EventCancelled, EventEnded, NotYourEvent
from chalicelib.events.search import NoSuchEvent
from chalicelib.platform import ids, security
from chalicelib.platform.http.idempotency import HEADER, key_of, run_idempotent
from chalicelib.platform.http.pagination import list_response
from chalicelib.platform.http.request import Request, Response
from chalicelib.platform.security import AccessKey

DOOR_KEYS = DoorKeyQueries(door_key_json)

routes = new_router("door-keys", "Secrets for scanners at the door of an event.")


@routes.post(
    "/events/{eventId}/door-keys",
    auth="host",
    responses={201: CreatedDoorKey},
    errors=(NoSuchEvent, NotYourEvent, EventCancelled, EventEnded, TooManyDoorKeys),
    idempotent=True,
)
def create_door_key(request: Request, connection: Connection, event_id: UUID, body: NewDoorKey) -> Response:
    """Create a door key of an event, for a scanner without an account.

    A scanner sends `key` as its token. It can scan tickets of this event, and nothing else, until the key
    expires or is revoked. The page `/door/{eventId}` makes a phone such a scanner. An event can have 100 keys
    that are neither expired nor revoked: 409 `too-many-door-keys`.
    """
    new_id = ids.new(request.now)
    text, key = _key(request, new_id)

    def create() -> Response:
        door_keys.create(
            connection,
            request.require_caller().user_id,
            event_id,
            door_key_id=new_id,
            name=body.name,
            key=key,
            expires_at=None if body.expires_at is UNSET else body.expires_at,
            now=request.now,
        )
        location = f"{request.settings.public_url}/events/{event_id}/door-keys/{new_id}"
        return Response(201, DOOR_KEYS.get(connection, new_id), {"Location": location})

    response = run_idempotent(connection, request, create)
    # The stored response does not have the key. A replay makes the key of the first response again.
    door_key_id = UUID(json.loads(response.body)["doorKeyId"])
    if door_key_id != new_id:
        text, _ = _key(request, door_key_id)
    return Response(response.status, f'{response.body[:-1]},"key":"{text}"}}', response.headers)


def _key(request: Request, door_key_id: UUID) -> tuple[str, AccessKey]:
    """Return a random key. A replay needs the same one, so with an Idempotency-Key it is made from secrets.

    To make it, one needs the secret of the deployment and the client's Idempotency-Key.
    """
    if key_of(request) is None:
        return security.new_access_key()
    given = request.headers[HEADER.lower()].encode()
    content = b"\n".join((b"door key", door_key_id.bytes, given))
    return security.derived_access_key(request.settings.token_key, content)


@routes.get(
    "/events/{eventId}/door-keys",
    auth="host",
    responses={200: list[DoorKey]},
    errors=(NoSuchEvent, NotYourEvent),
)
def list_door_keys(request: Request, connection: Connection, event_id: UUID, query: DoorKeyQuery) -> Response:
    """List the door keys of an event, also those that are revoked or expired. Their secrets are not shown."""
    page_request = query.page(query.sort)
    host_id = request.require_caller().user_id
    page = DOOR_KEYS.list_door_keys(connection, host_id, event_id, page_request)
    return list_response(request, page_request, page)


@routes.delete(
    "/events/{eventId}/door-keys/{doorKeyId}",
    auth="host",
    responses={204: None},
    errors=(NoSuchEvent, NotYourEvent, NoSuchDoorKey),
)
def revoke_door_key(request: Request, connection: Connection, event_id: UUID, door_key_id: UUID) -> Response:
    """Revoke a door key. Its scanner is refused from then on. Repeating it changes nothing."""
    door_keys.revoke(connection, request.require_caller().user_id, event_id, door_key_id, request.now)
    return Response(204)
