"""/events: create, list, get, change, cancel, delete, show interest, check integrity."""

from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection

from chalicelib.api.schemas.events import Event, EventChange, EventDetails, EventQuery, Integrity
from chalicelib.bookings import event_cancellation
from chalicelib.events import interest, publishing
from chalicelib.events import search as event_search
from chalicelib.events.locks import EventCancelled, EventEnded, EventStarted, NotPublished, NotYourEvent
from chalicelib.events.publishing import AlreadyPublished, CapacityBelowTaken, EmailNotVerified
from chalicelib.events.rules import Details
from chalicelib.events.search import NoSuchEvent, Search
from chalicelib.payments import integrity
from chalicelib.platform.errors import FieldError, Forbidden, InvalidInput, StaleVersion, Unauthenticated
from chalicelib.platform.http.etag import etag_response, expected_versions, written_response
from chalicelib.platform.http.idempotency import run_idempotent
from chalicelib.platform.http.pagination import list_response
from chalicelib.platform.http.request import Request, Response
from chalicelib.platform.http.router import Router
from chalicelib.platform.http.validation import fields_set
from chalicelib.users import verification

routes = Router("events")

CHANGE_REFUSALS = (
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


@routes.post(
    "/events",
    auth="host",
    responses={201: Event},
    errors=(EmailNotVerified,),
    idempotent=True,
    conditional=True,
)
def create_event(request: Request, body: EventDetails) -> Response:
    """Make an event; it is published at once unless `status` is draft."""
    host_id = request.require_caller().user_id
    details = Details(**{"status": "published", **_values(body, request)})

    def make_event() -> Response:
        event_id = publishing.create(
            connection,
            host_id,
            details,
            request.now,
            may_publish=_may_publish(connection, request),
            charges=request.settings.charges,
        )
        event, version = event_search.get(connection, event_id, caller_id=host_id, now=request.now)
        location = f"{request.settings.public_url}/events/{event_id}"
        return written_response(201, event, version, {"Location": location})

    with request.transaction() as connection:
        return run_idempotent(connection, request, make_event)


@routes.get("/events", auth="optional", responses={200: list[Event]})
def list_events(request: Request, query: EventQuery) -> Response:
    """List events: published ones unless another status is asked for.

    `from` and `to` find events that overlap that time. With `mine=true` a host lists all of their own,
    drafts too.
    """
    page = query.page(query.sort)
    if query.mine and request.caller is None:
        raise Unauthenticated("Only a signed-in host has events of their own.")
    if query.mine and request.require_caller().role != "host":
        raise Forbidden("Only hosts have events of their own.")
    if query.status == "draft" and not query.mine:
        message = "can be draft with mine=true only; otherwise published or cancelled"
        raise InvalidInput(errors=[FieldError("status", message)])
    if query.mine and query.host_id not in {None, request.caller_id}:
        raise InvalidInput(errors=[FieldError("hostId", "cannot be another host's with mine=true")])
    search = Search(
        host_id=request.caller_id if query.mine else query.host_id,
        ends_after=query.from_,
        starts_before=query.to,
        words=query.q,
        status=query.status or (None if query.mine else "published"),
        on_sale=query.on_sale,
    )
    with request.transaction() as connection:
        part = event_search.list_events(connection, search, page, request.now)
    return list_response(request, page, part, public=True)


@routes.get(
    "/events/{eventId}",
    auth="optional",
    responses={200: Event},
    errors=(NoSuchEvent,),
    conditional=True,
)
def get_event(request: Request, event_id: UUID) -> Response:
    """Get an event; a draft is there for its host alone."""
    with request.transaction() as connection:
        event, version = event_search.get(connection, event_id, caller_id=request.caller_id, now=request.now)
    return etag_response(request, event, version, public=True)


@routes.put(
    "/events/{eventId}",
    auth="host",
    responses={200: Event},
    errors=CHANGE_REFUSALS,
    conditional=True,
)
def replace_event(request: Request, event_id: UUID, body: EventDetails) -> Response:
    """Replace an event's details; what is left out gets its default, but for `status`, which stays."""
    return _change(request, event_id, _values(body, request))


@routes.patch(
    "/events/{eventId}",
    auth="host",
    responses={200: Event},
    errors=CHANGE_REFUSALS,
    conditional=True,
    media_type="application/merge-patch+json",
)
def change_event(request: Request, event_id: UUID, body: EventChange) -> Response:
    """Change some of an event's details."""
    return _change(request, event_id, _without_blanks(fields_set(body)))


def _change(request: Request, event_id: UUID, changes: dict[str, Any]) -> Response:
    host_id = request.require_caller().user_id
    with request.transaction() as connection:
        publishing.change(
            connection,
            host_id,
            event_id,
            changes=changes,
            expected=expected_versions(request),
            now=request.now,
            may_publish=_may_publish(connection, request),
            charges=request.settings.charges,
        )
        event, version = event_search.get(connection, event_id, caller_id=host_id, now=request.now)
    return written_response(200, event, version)


def _may_publish(connection: Connection, request: Request) -> bool:
    """Whether the deployment lets this host publish: all of them, or those who have proven who they are."""
    return not request.settings.verified_hosts_only or verification.is_verified(
        connection, request.require_caller().user_id
    )


def _values(body: EventDetails, request: Request) -> dict[str, Any]:
    """All details of a body, without `status` where none was sent."""
    values = _without_blanks(fields_set(body))
    values["currency"] = values["currency"] or request.settings.default_currency
    if values["status"] is None:
        del values["status"]
    return values


def _without_blanks(values: dict[str, Any]) -> dict[str, Any]:
    """Blank optional text is no text."""
    return {name: None if value == "" else value for name, value in values.items()}


@routes.post(
    "/events/{eventId}/cancel",
    auth="host",
    responses={200: Event},
    errors=(NoSuchEvent, NotYourEvent, NotPublished, EventEnded, StaleVersion),
    conditional=True,
)
def cancel_event(request: Request, event_id: UUID) -> Response:
    """Cancel an event and all bookings of it; it stays readable as cancelled.

    What was paid for them goes back.
    """
    host_id = request.require_caller().user_id
    with request.transaction() as connection:
        _call_off(request, connection, event_id, "cancelled")
        event, version = event_search.get(connection, event_id, caller_id=host_id, now=request.now)
    return written_response(200, event, version)


@routes.delete(
    "/events/{eventId}",
    auth="host",
    responses={204: None},
    errors=(NoSuchEvent, NotYourEvent, StaleVersion),
    conditional=True,
)
def delete_event(request: Request, event_id: UUID) -> Response:
    """Delete an event and cancel all bookings of it; it is gone for everyone.

    What was paid for them goes back, unless the event has ended.
    """
    with request.transaction() as connection:
        _call_off(request, connection, event_id, "deleted")
    return Response(204)


def _call_off(
    request: Request, connection: Connection, event_id: UUID, how: Literal["cancelled", "deleted"]
) -> None:
    event_cancellation.cancel_event(
        connection,
        request.require_caller().user_id,
        event_id,
        how=how,
        expected=expected_versions(request),
        now=request.now,
    )


@routes.put("/events/{eventId}/interest", auth="required", responses={204: None}, errors=(NoSuchEvent,))
def show_interest(request: Request, event_id: UUID) -> Response:
    """Show interest in an event, to hear when its sale starts; again is the same."""
    with request.transaction() as connection:
        interest.show(connection, request.require_caller().user_id, event_id, request.now)
    return Response(204)


@routes.delete("/events/{eventId}/interest", auth="required", responses={204: None})
def withdraw_interest(request: Request, event_id: UUID) -> Response:
    """Withdraw interest in an event; again is the same."""
    with request.transaction() as connection:
        interest.withdraw(connection, request.require_caller().user_id, event_id)
    return Response(204)


@routes.get(
    "/events/{eventId}/integrity",
    auth="host",
    responses={200: Integrity},
    errors=(NoSuchEvent, NotYourEvent),
)
def check_integrity(request: Request, event_id: UUID) -> Response:
    """Count an event's places and money again from their rows; `differences` is to be empty."""
    with request.transaction() as connection:
        report = integrity.check(connection, request.require_caller().user_id, event_id, request.now)
    return Response(200, report)
