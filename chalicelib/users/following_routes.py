"""HTTP for following: follow, unfollow, and the lists of both sides."""

from typing import Annotated, Literal
from uuid import UUID

from chalicelib.errors import Forbidden
from chalicelib.users import following
from chalicelib.users.following import NoSuchHost
from chalicelib.users.schemas import User
from chalicelib.web.http import Answer, Request
from chalicelib.web.paging import PageQuery, list_answer
from chalicelib.web.router import Router
from chalicelib.web.validation import says

routes = Router("following")

ByAccount = Annotated[Literal["createdAt"], says("must be createdAt")]


class FollowQuery(PageQuery, kw_only=True):
    sort: ByAccount = "createdAt"


@routes.put("/users/{userId}/follow", who="signed in", answers={204: None}, refuses=(NoSuchHost,))
def follow_host(request: Request, user_id: UUID) -> Answer:
    """Follow a host, to hear of each newly published event; again is the same."""
    with request.transaction() as session:
        following.follow(session, request.signed_in().user_id, user_id, request.now)
    return Answer(204)


@routes.delete("/users/{userId}/follow", who="signed in", answers={204: None})
def unfollow_host(request: Request, user_id: UUID) -> Answer:
    """Stop following a host; again is the same."""
    with request.transaction() as session:
        following.unfollow(session, request.signed_in().user_id, user_id)
    return Answer(204)


@routes.get("/users/{userId}/following", who="signed in", answers={200: list[User]}, refuses=(Forbidden,))
def list_following(request: Request, user_id: UUID, query: FollowQuery) -> Answer:
    """List the hosts that one follows."""
    caller = request.signed_in()
    if user_id != caller.user_id:
        raise Forbidden("You can list whom you follow yourself only.")
    page = query.page(query.sort)
    with request.transaction() as session:
        part = following.list_following(session, user_id, page)
    return list_answer(request, page, part)


@routes.get("/users/{userId}/followers", who="host", answers={200: list[User]})
def list_followers(request: Request, user_id: UUID, query: FollowQuery) -> Answer:
    """List one's followers, as a host."""
    if user_id != request.signed_in().user_id:
        raise Forbidden("You can list your own followers only.")
    page = query.page(query.sort)
    with request.transaction() as session:
        part = following.list_followers(session, user_id, page)
    return list_answer(request, page, part)
