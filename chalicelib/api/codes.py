"""/events/{eventId}/codes: create, list, change, delete."""

from uuid import UUID

from sqlalchemy import Connection

from chalicelib.api.routing import new_router
from chalicelib.api.schemas.codes import Code, CodeChange, CodeQuery, NewCode, code_json
from chalicelib.bookings import codes
from chalicelib.bookings.codes import (
    CodeDetails,
    CodeExists,
    CodeQueries,
    MaxUsesBelowUses,
    NoSuchCode,
    TooManyCodes,
)
from chalicelib.events.locks import EventCancelled, EventEnded, NotYourEvent
from chalicelib.events.search import NoSuchEvent
from chalicelib.platform.http.idempotency import run_idempotent
from chalicelib.platform.http.pagination import list_response
from chalicelib.platform.http.request import Request, Response
from chalicelib.platform.http.validation import fields_set

CODES = CodeQueries(code_json)

EVENT_ERRORS = (NoSuchEvent, NotYourEvent, EventCancelled, EventEnded)

routes = new_router("codes", "Codes for a discount, or for access to ticket types.")


@routes.post(
    "/events/{eventId}/codes",
    auth="host",
    responses={201: Code},
    errors=(*EVENT_ERRORS, CodeExists, TooManyCodes),
    idempotent=True,
)
def create_code(request: Request, connection: Connection, event_id: UUID, body: NewCode) -> Response:
    """Create a code of an event.

    A discount is taken off each ticket. A percentage is rounded half up to minor units. What is left to pay
    is 0, or at least the minimum charge of the currency. `access` takes nothing off: like any code, it lets
    attendees book its ticket types that have `codeRequired`.
    """

    def create() -> Response:
        details = CodeDetails(**fields_set(body))
        host_id = request.require_caller().user_id
        code_id = codes.create(connection, host_id, event_id, details, request.now)
        location = f"{request.settings.public_url}/events/{event_id}/codes/{code_id}"
        return Response(201, CODES.get(connection, code_id), {"Location": location})

    return run_idempotent(connection, request, create)


@routes.get(
    "/events/{eventId}/codes",
    auth="host",
    responses={200: list[Code]},
    errors=(NoSuchEvent, NotYourEvent),
)
def list_codes(request: Request, connection: Connection, event_id: UUID, query: CodeQuery) -> Response:
    """List the codes of an event, with the number of their uses."""
    page_request = query.page(query.sort)
    host_id = request.require_caller().user_id
    return list_response(request, page_request, CODES.list_codes(connection, host_id, event_id, page_request))


@routes.patch(
    "/events/{eventId}/codes/{codeId}",
    auth="host",
    responses={200: Code},
    errors=(*EVENT_ERRORS, NoSuchCode, CodeExists, MaxUsesBelowUses),
    media_type="application/merge-patch+json",
)
def change_code(
    request: Request, connection: Connection, event_id: UUID, code_id: UUID, body: CodeChange
) -> Response:
    """Change some details of a code. Bookings keep the discount that they have."""
    codes.change(
        connection,
        request.require_caller().user_id,
        event_id,
        code_id,
        changes=fields_set(body),
        now=request.now,
    )
    return Response(200, CODES.get(connection, code_id))


@routes.delete(
    "/events/{eventId}/codes/{codeId}",
    auth="host",
    responses={204: None},
    errors=(*EVENT_ERRORS, NoSuchCode),
)
def delete_code(request: Request, connection: Connection, event_id: UUID, code_id: UUID) -> Response:
    """Delete a code, so that it can no longer be used. Bookings keep the discount that they have."""
    codes.delete(connection, request.require_caller().user_id, event_id, code_id, request.now)
    return Response(204)
