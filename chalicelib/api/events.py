"""/events: create, list, get, change, cancel, delete, show interest, check integrity."""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from chalicelib.api import limits
from chalicelib.api.routing import new_router
from chalicelib.api.schemas.events import (
    Event,
    EventCancellation,
    EventChange,
    EventDetails,
    EventQuery,
    Integrity,
    NewEvent,
    viewed_event_json,
)
from chalicelib.events import interest, publishing
from chalicelib.events.locks import (
    CapacityBelowTaken,
    EventCancelled,
    EventEnded,
    EventStarted,
    NotPublished,
    NotYourEvent,
)
from chalicelib.events.publishing import AlreadyPublished
from chalicelib.events.rules import Details
from chalicelib.events.search import EventFilters, EventQueries, NoSuchEvent
from chalicelib.events.ticket_types import TypeDetails
from chalicelib.payments import cancellation, integrity
from chalicelib.platform.errors import FieldError, Forbidden, InvalidInput, StaleVersion, Unauthenticated
from chalicelib.platform.http.etag import etag_response, expected_versions, written_response
from chalicelib.platform.http.idempotency import run_idempotent
from chalicelib.platform.http.pagination import list_response
from chalicelib.platform.http.request import Request, Response
from chalicelib.platform.http.validation import fields_set, without_blanks
from chalicelib.users import verification
from chalicelib.users.verification import EmailNotVerified

EVENTS = EventQueries(viewed_event_json)

CHANGE_ERRORS = (
    NoSuchEvent,
    NotYourEvent,
    EventCancelled,
    EventEnded,
    EventStarted,
    AlreadyPublished,
    CapacityBelowTaken,
    EmailNotVerified,
    StaleVersion,
)

routes = new_router("events", "Publish, find, change and cancel events.")


@routes.post(
    "/events",
    auth="host",
    responses={201: Event},
    errors=(EmailNotVerified,),
    idempotent=True,
    conditional=True,
    limited=True,
)
def create_event(request: Request, connection: Connection, body: NewEvent) -> Response:
    """Create an event. It is published immediately unless `status` is draft.

    It has one ticket type, "General admission", at its `price`, unless you list its `ticketTypes`. Leave the
    `price` out then. A host can publish a limited number of events a day. Drafts are not limited.
    """
    host_id = request.require_caller().user_id
    values = _values(body, request)
    types = [TypeDetails(**without_blanks(fields_set(kind))) for kind in values.pop("ticket_types", ())]
    details = Details(**values)

    def create() -> Response:
        event_id = publishing.create(
            connection,
            host_id,
            details,
            request.now,
            may_publish=_may_publish(connection, request),
            charges=request.settings.charges,
            types=types,
        )
        if details.status == "published":
            request.limit(connection, limits.publication(host_id))
        event, version = EVENTS.get(connection, event_id, caller_id=host_id, now=request.now)
        location = f"{request.settings.public_url}/events/{event_id}"
        return written_response(201, event, version, {"Location": location})

    return run_idempotent(connection, request, create)


@routes.get("/events", auth="optional", responses={200: list[Event]}, errors=(Forbidden,))
def list_events(request: Request, connection: Connection, query: EventQuery) -> Response:
    """List events. Only published events are listed unless you ask for another status.

    `from` and `to` find events that overlap that time. Events that have ended are left out unless you ask for
    them by `from`. With `mine=true` hosts list all of their own events, including drafts and past ones.
    """
    page_request = query.page(query.sort)
    _check_filters(request, query)
    filters = EventFilters(
        host_id=request.caller_id if query.mine else query.host_id,
        ends_after=query.from_ or (None if query.mine else request.now),
        starts_before=query.to,
        q=query.q,
        statuses=tuple(query.status or (() if query.mine else ("published",))),
        on_sale=query.on_sale,
    )
    page = EVENTS.list_events(connection, filters, page_request, caller_id=request.caller_id, now=request.now)
    return list_response(request, page_request, page, public=True)


def _check_filters(request: Request, query: EventQuery) -> None:
    if query.mine and request.caller is None:
        raise Unauthenticated("Log in as a host to list your own events.")
    if query.mine:
        request.require_role("host")
    if "draft" in (query.status or ()) and not query.mine:
        message = "can be draft with mine=true only; otherwise published or cancelled"
        raise InvalidInput(errors=[FieldError("status", message)])
    if query.mine and query.host_id not in {None, request.caller_id}:
        raise InvalidInput(errors=[FieldError("hostId", "cannot be another host's with mine=true")])


@routes.get(
    "/events/{eventId}", auth="optional", responses={200: Event}, errors=(NoSuchEvent,), conditional=True
)
def get_event(request: Request, connection: Connection, event_id: UUID) -> Response:
    """Get an event. A draft is visible to its host only."""
    event, version = EVENTS.get(connection, event_id, caller_id=request.caller_id, now=request.now)
    return etag_response(request, event, version, public=True)


@routes.put(
    "/events/{eventId}",
    auth="host",
    responses={200: Event},
    errors=CHANGE_ERRORS,
    conditional=True,
    limited=True,
)
def replace_event(request: Request, connection: Connection, event_id: UUID, body: EventDetails) -> Response:
    """Replace the details of an event. A member left out gets its default, except `status`, which stays.

    Ticket types stay too, with their prices if there are several that are not archived. If there is one, it
    has the `price` of the event. Changes that notify others are limited.
    """
    return _change(request, connection, event_id, _values(body, request))


@routes.patch(
    "/events/{eventId}",
    auth="host",
    responses={200: Event},
    errors=CHANGE_ERRORS,
    conditional=True,
    media_type="application/merge-patch+json",
    limited=True,
)
def change_event(request: Request, connection: Connection, event_id: UUID, body: EventChange) -> Response:
    """Change some details of an event. Changes that notify others are limited."""
    return _change(request, connection, event_id, without_blanks(fields_set(body)))


def _change(request: Request, connection: Connection, event_id: UUID, changes: dict[str, Any]) -> Response:
    host_id = request.require_caller().user_id
    announcement = publishing.change(
        connection,
        host_id,
        event_id,
        changes=changes,
        expected=expected_versions(request),
        now=request.now,
        may_publish=_may_publish(connection, request),
        charges=request.settings.charges,
    )
    if announcement == "publication":
        request.limit(connection, limits.publication(host_id))
    elif announcement == "change":
        request.limit(connection, limits.event_change(host_id))
    event, version = EVENTS.get(connection, event_id, caller_id=host_id, now=request.now)
    return written_response(200, event, version)


def _may_publish(connection: Connection, request: Request) -> bool:
    """Whether this host may publish: some deployments require a verified e-mail address."""
    return not request.settings.verified_hosts_only or verification.is_verified(
        connection, request.require_caller().user_id
    )


def _values(body: EventDetails, request: Request) -> dict[str, Any]:
    """Return all details of a body, without `status` if none was sent. The default of the price is None."""
    values = {"price": None, **without_blanks(fields_set(body))}
    values["currency"] = values["currency"] or request.settings.default_currency
    if values["status"] is None:
        del values["status"]
    return values


@routes.post(
    "/events/{eventId}/cancel",
    auth="host",
    responses={200: Event},
    errors=(NoSuchEvent, NotYourEvent, NotPublished, EventEnded, StaleVersion),
    conditional=True,
)
def cancel_event(
    request: Request, connection: Connection, event_id: UUID, body: EventCancellation | None
) -> Response:
    """Cancel an event with all its bookings and refund them. It stays readable as cancelled.

    The attendees are told the reason. Repeating the request changes nothing, so the first reason stays.
    """
    host_id = request.require_caller().user_id
    cancellation.cancel_event(
        connection,
        host_id,
        event_id,
        reason=(body and body.reason) or None,
        expected=expected_versions(request),
        now=request.now,
    )
    event, version = EVENTS.get(connection, event_id, caller_id=host_id, now=request.now)
    return written_response(200, event, version)


@routes.delete(
    "/events/{eventId}",
    auth="host",
    responses={204: None},
    errors=(NoSuchEvent, NotYourEvent, StaleVersion),
    conditional=True,
)
def delete_event(request: Request, connection: Connection, event_id: UUID) -> Response:
    """Delete an event with all its bookings, and refund them unless the event has ended."""
    host_id = request.require_caller().user_id
    cancellation.delete_event(
        connection, host_id, event_id, expected=expected_versions(request), now=request.now
    )
    return Response(204)


@routes.put("/events/{eventId}/interest", auth="required", responses={204: None}, errors=(NoSuchEvent,))
def show_interest(request: Request, connection: Connection, event_id: UUID) -> Response:
    """Show interest in an event, to be notified when its sale starts. Repeating it changes nothing."""
    interest.show(connection, request.require_caller().user_id, event_id, request.now)
    return Response(204)


@routes.delete("/events/{eventId}/interest", auth="required", responses={204: None})
def withdraw_interest(request: Request, connection: Connection, event_id: UUID) -> Response:
    """Withdraw your interest in an event. Repeating it changes nothing."""
    interest.withdraw(connection, request.require_caller().user_id, event_id)
    return Response(204)


@routes.get(
    "/events/{eventId}/integrity",
    auth="host",
    responses={200: Integrity},
    errors=(NoSuchEvent, NotYourEvent),
)
def check_integrity(request: Request, connection: Connection, event_id: UUID) -> Response:
    """Recount the places and the money of an event. `differences` should be empty."""
    report = integrity.check(connection, request.require_caller().user_id, event_id, request.now)
    return Response(200, report)
