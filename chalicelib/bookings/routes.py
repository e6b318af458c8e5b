"""HTTP for bookings: list, get, cancel; and what ends bookings with an event or an account."""

from typing import Literal
from uuid import UUID

from chalicelib.bookings import endings, service
from chalicelib.bookings.schemas import BookingQuery, BookingWithEvent
from chalicelib.bookings.service import NoSuchBooking
from chalicelib.db import Session
from chalicelib.errors import Forbidden, StaleVersion
from chalicelib.events import finding
from chalicelib.events.finding import NoSuchEvent
from chalicelib.events.schemas import Event
from chalicelib.events.service import (
    EventEnded,
    EventStarted,
    NotPublished,
    NotYourEvent,
)
from chalicelib.web.conditional import expected_versions, read, written
from chalicelib.web.http import Answer, Request
from chalicelib.web.paging import list_answer
from chalicelib.web.router import Router

routes = Router("bookings")


@routes.get("/bookings", who="signed in", answers={200: list[BookingWithEvent]})
def list_bookings(request: Request, query: BookingQuery) -> Answer:
    """List one's own bookings; for a host, those of their events with who comes."""
    page = query.page(query.sort)
    with request.transaction() as session:
        part = service.list_bookings(
            session,
            request.signed_in(),
            page=page,
            event_id=query.event_id,
            status=query.status,
            now=request.now,
        )
    return list_answer(request, page, part)


@routes.get(
    "/bookings/{bookingId}",
    who="signed in",
    answers={200: BookingWithEvent},
    refuses=(NoSuchBooking,),
    conditional=True,
)
def get_booking(request: Request, booking_id: UUID) -> Answer:
    """Get a booking, as its attendee or the event's host."""
    with request.transaction() as session:
        booking, version = service.get(session, request.signed_in(), booking_id, request.now)
    return read(request, booking, version)


@routes.delete(
    "/bookings/{bookingId}",
    who="signed in",
    answers={204: None},
    refuses=(NoSuchBooking, EventStarted, StaleVersion),
    conditional=True,
)
def cancel_booking(request: Request, booking_id: UUID) -> Answer:
    """Cancel a booking, as its attendee or the event's host; its place is free at once.

    What was paid goes back: always where the host cancels, until `refundUntil` where the attendee does.
    """
    with request.transaction() as session:
        endings.cancel(
            session,
            request.signed_in(),
            booking_id,
            expected=expected_versions(request),
            now=request.now,
        )
    return Answer(204)


@routes.post(
    "/events/{eventId}/cancel",
    who="host",
    answers={200: Event},
    refuses=(NoSuchEvent, NotYourEvent, NotPublished, EventEnded, StaleVersion),
    conditional=True,
)
def cancel_event(request: Request, event_id: UUID) -> Answer:
    """Cancel an event and all bookings of it; it stays readable as cancelled."""
    host_id = request.signed_in().user_id
    with request.transaction() as session:
        _call_off(request, session, event_id, "cancelled")
        event, version = finding.get(session, event_id, caller_id=host_id, now=request.now)
    return written(200, event, version)


@routes.delete(
    "/events/{eventId}",
    who="host",
    answers={204: None},
    refuses=(NoSuchEvent, NotYourEvent, StaleVersion),
    conditional=True,
)
def delete_event(request: Request, event_id: UUID) -> Answer:
    """Delete an event and cancel all bookings of it; it is gone for everyone."""
    with request.transaction() as session:
        _call_off(request, session, event_id, "deleted")
    return Answer(204)


def _call_off(
    request: Request, session: Session, event_id: UUID, how: Literal["cancelled", "deleted"]
) -> None:
    endings.call_off_event(
        session,
        request.signed_in().user_id,
        event_id,
        how=how,
        expected=expected_versions(request),
        now=request.now,
    )


@routes.delete(
    "/users/{userId}",
    who="signed in",
    answers={204: None},
    refuses=(StaleVersion,),
    conditional=True,
)
def delete_user(request: Request, user_id: UUID) -> Answer:
    """Delete one's own account.

    Hosted events are cancelled, bookings of events to come are released, name and e-mail are erased.
    """
    caller = request.signed_in()
    if user_id != caller.user_id:
        raise Forbidden("You can delete your own account only.")
    with request.transaction("update") as session:
        endings.close_account(session, caller, expected=expected_versions(request), now=request.now)
    return Answer(204)
