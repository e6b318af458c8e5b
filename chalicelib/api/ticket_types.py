"""/events/{eventId}/ticket-types: add, change, remove."""

from uuid import UUID

from sqlalchemy import Connection

from chalicelib.api.routing import new_router
from chalicelib.api.schemas.ticket_types import (
    NewTicketType,
    TicketType,
    TicketTypeChange,
    ticket_type_json,
)
from chalicelib.bookings import ticket_types as removal
from chalicelib.events import ticket_types
from chalicelib.events.locks import CapacityBelowTaken, EventCancelled, EventEnded, NotYourEvent
from chalicelib.events.search import NoSuchEvent
from chalicelib.events.ticket_types import (
    LastTicketType,
    NoSuchTicketType,
    TicketTypeArchived,
    TicketTypeQueries,
    TooManyTicketTypes,
    TypeDetails,
)
from chalicelib.platform.errors import StaleVersion
from chalicelib.platform.http.etag import expected_versions, written_response
from chalicelib.platform.http.idempotency import run_idempotent
from chalicelib.platform.http.request import Request, Response
from chalicelib.platform.http.validation import fields_set, without_blanks

TICKET_TYPES = TicketTypeQueries(ticket_type_json)

EVENT_ERRORS = (NoSuchEvent, NotYourEvent, EventCancelled, EventEnded, StaleVersion)

routes = new_router("ticket-types", "What an event sells. `GET /events/{eventId}` lists them.")


@routes.post(
    "/events/{eventId}/ticket-types",
    auth="host",
    responses={201: TicketType},
    errors=(*EVENT_ERRORS, TooManyTicketTypes),
    idempotent=True,
    conditional=True,
)
def add_ticket_type(
    request: Request, connection: Connection, event_id: UUID, body: NewTicketType
) -> Response:
    """Add a ticket type to an event, at the end of its list.

    `If-Match` and `ETag` have the version of the event: each change of a ticket type makes a new one.
    """

    def add() -> Response:
        type_id, version = ticket_types.add(
            connection,
            request.require_caller().user_id,
            event_id,
            TypeDetails(**without_blanks(fields_set(body))),
            expected=expected_versions(request),
            now=request.now,
            charges=request.settings.charges,
        )
        location = f"{request.settings.public_url}/events/{event_id}/ticket-types/{type_id}"
        added = TICKET_TYPES.get(connection, type_id, request.now)
        return written_response(201, added, version, {"Location": location})

    return run_idempotent(connection, request, add)


@routes.patch(
    "/events/{eventId}/ticket-types/{ticketTypeId}",
    auth="host",
    responses={200: TicketType},
    errors=(*EVENT_ERRORS, NoSuchTicketType, TicketTypeArchived, CapacityBelowTaken),
    conditional=True,
    media_type="application/merge-patch+json",
)
def change_ticket_type(
    request: Request, connection: Connection, event_id: UUID, ticket_type_id: UUID, body: TicketTypeChange
) -> Response:
    """Change some details of a ticket type. Tickets that are booked keep their price."""
    version = ticket_types.change(
        connection,
        request.require_caller().user_id,
        event_id,
        ticket_type_id,
        changes=without_blanks(fields_set(body)),
        expected=expected_versions(request),
        now=request.now,
        charges=request.settings.charges,
    )
    return written_response(200, TICKET_TYPES.get(connection, ticket_type_id, request.now), version)


@routes.delete(
    "/events/{eventId}/ticket-types/{ticketTypeId}",
    auth="host",
    responses={204: None},
    errors=(*EVENT_ERRORS, NoSuchTicketType, LastTicketType),
    conditional=True,
)
def remove_ticket_type(
    request: Request, connection: Connection, event_id: UUID, ticket_type_id: UUID
) -> Response:
    """Remove a ticket type, so that it can no longer be booked.

    If a ticket of it was ever booked, it is archived: the event still lists it, and its tickets stay valid.
    """
    removal.remove(
        connection,
        request.require_caller().user_id,
        event_id,
        ticket_type_id,
        expected=expected_versions(request),
        now=request.now,
    )
    return Response(204)
