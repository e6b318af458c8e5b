"""HTTP for events: create, list, get, change; and a user's page, which counts a host's events."""

from typing import Any
from uuid import UUID

from chalicelib.db import Session
from chalicelib.errors import FieldError, Forbidden, InvalidInput, StaleVersion, Unauthenticated
from chalicelib.events import finding, profiles, service
from chalicelib.events.finding import NoSuchEvent, Search
from chalicelib.events.profiles import NoSuchUser
from chalicelib.events.rules import Details
from chalicelib.events.schemas import Event, EventChange, EventDetails, EventQuery
from chalicelib.events.service import (
    AlreadyPublished,
    CapacityBelowTaken,
    EmailNotVerified,
    EventCancelled,
    EventEnded,
    EventStarted,
    NotYourEvent,
)
from chalicelib.users import email_tokens
from chalicelib.users.schemas import Profile
from chalicelib.web.conditional import expected_versions, read, written
from chalicelib.web.http import Answer, Request
from chalicelib.web.idempotency import once
from chalicelib.web.paging import list_answer
from chalicelib.web.router import Router
from chalicelib.web.validation import given

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
    who="host",
    answers={201: Event},
    refuses=(EmailNotVerified,),
    idempotent=True,
    conditional=True,
)
def create_event(request: Request, body: EventDetails) -> Answer:
    """Make an event; it is published at once unless `status` is draft."""
    host_id = request.signed_in().user_id
    details = Details(**{"status": "published", **_values(body, request)})

    def make_event() -> Answer:
        event_id = service.create(
            session,
            host_id,
            details,
            request.now,
            may_publish=_may_publish(session, request),
            charges=request.settings.charges,
        )
        event, version = finding.get(session, event_id, caller_id=host_id, now=request.now)
        location = f"{request.settings.public_url}/events/{event_id}"
        return written(201, event, version, {"Location": location})

    with request.transaction() as session:
        return once(session, request, make_event)


@routes.get("/events", who="known", answers={200: list[Event]})
def list_events(request: Request, query: EventQuery) -> Answer:
    """List events: published ones unless another status is asked for.

    `from` and `to` find events that overlap that time. With `mine=true` a host lists all of their own,
    drafts too.
    """
    page = query.page(query.sort)
    if query.mine and request.caller is None:
        raise Unauthenticated("Only a signed-in host has events of their own.")
    if query.mine and request.signed_in().role != "host":
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
    with request.transaction() as session:
        part = finding.list_events(session, search, page, request.now)
    return list_answer(request, page, part, public=True)


@routes.get(
    "/events/{eventId}",
    who="known",
    answers={200: Event},
    refuses=(NoSuchEvent,),
    conditional=True,
)
def get_event(request: Request, event_id: UUID) -> Answer:
    """Get an event; a draft is there for its host alone."""
    with request.transaction() as session:
        event, version = finding.get(session, event_id, caller_id=request.caller_id, now=request.now)
    return read(request, event, version, public=True)


@routes.put(
    "/events/{eventId}",
    who="host",
    answers={200: Event},
    refuses=CHANGE_REFUSALS,
    conditional=True,
)
def replace_event(request: Request, event_id: UUID, body: EventDetails) -> Answer:
    """Replace an event's details; what is left out gets its default, but for `status`, which stays."""
    return _change(request, event_id, _values(body, request))


@routes.patch(
    "/events/{eventId}",
    who="host",
    answers={200: Event},
    refuses=CHANGE_REFUSALS,
    conditional=True,
    media_type="application/merge-patch+json",
)
def change_event(request: Request, event_id: UUID, body: EventChange) -> Answer:
    """Change some of an event's details."""
    return _change(request, event_id, _without_blanks(given(body)))


def _change(request: Request, event_id: UUID, changes: dict[str, Any]) -> Answer:
    host_id = request.signed_in().user_id
    with request.transaction() as session:
        service.change(
            session,
            host_id,
            event_id,
            changes=changes,
            expected=expected_versions(request),
            now=request.now,
            may_publish=_may_publish(session, request),
            charges=request.settings.charges,
        )
        event, version = finding.get(session, event_id, caller_id=host_id, now=request.now)
    return written(200, event, version)


def _may_publish(session: Session, request: Request) -> bool:
    """Whether the deployment lets this host publish: all of them, or those who have proven who they are."""
    return not request.settings.verified_hosts_only or email_tokens.is_verified(
        session, request.signed_in().user_id
    )


def _values(body: EventDetails, request: Request) -> dict[str, Any]:
    """All details of a body, without `status` where none was sent."""
    values = _without_blanks(given(body))
    values["currency"] = values["currency"] or request.settings.default_currency
    if values["status"] is None:
        del values["status"]
    return values


def _without_blanks(values: dict[str, Any]) -> dict[str, Any]:
    """Blank optional text is no text."""
    return {name: None if value == "" else value for name, value in values.items()}


@routes.get(
    "/users/{userId}",
    who="signed in",
    answers={200: Profile},
    refuses=(NoSuchUser,),
    conditional=True,
)
def get_user(request: Request, user_id: UUID) -> Answer:
    """Get a user's page; `me` stands for oneself here and wherever a user is named."""
    caller_id = request.signed_in().user_id
    with request.transaction() as session:
        user, version = profiles.get(session, user_id, caller_id=caller_id, now=request.now)
    return read(request, user, version)
