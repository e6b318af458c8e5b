"""HTTP for interest: show it, withdraw it, list it."""

from typing import Annotated, Literal
from uuid import UUID

from chalicelib.errors import Forbidden
from chalicelib.events import interests
from chalicelib.events.finding import NoSuchEvent
from chalicelib.events.schemas import Event
from chalicelib.web.http import Answer, Request
from chalicelib.web.paging import PageQuery, list_answer
from chalicelib.web.router import Router
from chalicelib.web.validation import says

routes = Router("interests")

InterestSort = Annotated[Literal["createdAt", "date"], says("must be createdAt or date")]


class InterestQuery(PageQuery, kw_only=True):
    sort: InterestSort = "createdAt"


@routes.put("/events/{eventId}/interest", who="signed in", answers={204: None}, refuses=(NoSuchEvent,))
def show_interest(request: Request, event_id: UUID) -> Answer:
    """Show interest in an event, to hear when its sale starts; again is the same."""
    with request.transaction() as session:
        interests.show(session, request.signed_in().user_id, event_id, request.now)
    return Answer(204)


@routes.delete("/events/{eventId}/interest", who="signed in", answers={204: None})
def withdraw_interest(request: Request, event_id: UUID) -> Answer:
    """Withdraw interest in an event; again is the same."""
    with request.transaction() as session:
        interests.withdraw(session, request.signed_in().user_id, event_id)
    return Answer(204)


@routes.get("/users/{userId}/interests", who="signed in", answers={200: list[Event]}, refuses=(Forbidden,))
def list_interests(request: Request, user_id: UUID, query: InterestQuery) -> Answer:
    """List the events that one is interested in."""
    if user_id != request.signed_in().user_id:
        raise Forbidden("You can list your own interests only.")
    page = query.page(query.sort)
    with request.transaction() as session:
        part = interests.list_interests(session, user_id, page, request.now)
    return list_answer(request, page, part)
