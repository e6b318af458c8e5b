"""/users: profiles, follows, interests, e-mail preferences, account deletion."""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET

from chalicelib.api.schemas.events import Event
from chalicelib.api.schemas.users import (
    Preferences,
    Profile,
    ProfileChange,
    ProfileReplacement,
    User,
    UserQuery,
)
from chalicelib.bookings import account_deletion
from chalicelib.events import interest, profiles
from chalicelib.events.profiles import NoSuchUser
from chalicelib.notifications import preferences
from chalicelib.platform import security
from chalicelib.platform.errors import FieldError, Forbidden, InvalidInput, StaleVersion
from chalicelib.platform.http.etag import etag_response, expected_versions, written_response
from chalicelib.platform.http.pagination import PageQuery, list_response
from chalicelib.platform.http.request import Request, Response
from chalicelib.platform.http.router import Router, json_response
from chalicelib.platform.http.validation import fields_set, message
from chalicelib.users import accounts, follows, profile
from chalicelib.users.accounts import EmailTaken, WrongCredentials, WrongPassword
from chalicelib.users.follows import NoSuchHost

routes = Router("users")


@routes.get("/users", auth="required", responses={200: list[User]})
def list_users(request: Request, query: UserQuery) -> Response:
    """List public profiles."""
    page = query.page(query.sort)
    with request.transaction() as connection:
        part = profile.list_users(
            connection,
            caller_id=request.require_caller().user_id,
            page=page,
            role=query.role,
            words=query.q,
        )
    return list_response(request, page, part)


@routes.put(
    "/users/{userId}",
    auth="required",
    responses={200: User},
    errors=(EmailTaken, WrongPassword, StaleVersion),
    conditional=True,
)
def replace_profile(request: Request, user_id: UUID, body: ProfileReplacement) -> Response:
    """Replace one's own profile; a new password ends all older tokens."""
    return _change(request, user_id, fields_set(body))


@routes.patch(
    "/users/{userId}",
    auth="required",
    responses={200: User},
    errors=(EmailTaken, WrongPassword, StaleVersion),
    conditional=True,
    media_type="application/merge-patch+json",
)
def change_profile(request: Request, user_id: UUID, body: ProfileChange) -> Response:
    """Change some members of one's own profile; a new password ends all older tokens."""
    return _change(request, user_id, fields_set(body))


def _change(request: Request, user_id: UUID, changes: dict[str, Any]) -> Response:
    caller = request.require_caller()
    if user_id != caller.user_id:
        raise Forbidden("You can change your own profile only.")
    password = changes.pop("password", UNSET)
    current_password = changes.pop("current_password", UNSET)
    account = new_hash = None
    if password is not UNSET:
        if current_password is UNSET:
            message = "is required to set a new password"
            raise InvalidInput(errors=[FieldError("currentPassword", message)])
        with request.transaction("none") as connection:
            claimed = accounts.find_credentials(connection, user_id=user_id)
        try:
            account = accounts.verify_password(claimed, current_password)
        except WrongCredentials as error:
            raise WrongPassword from error
        new_hash = security.hash_password(password)
    with request.transaction() as connection:
        profile.change(
            connection,
            user_id,
            changes=changes,
            expected=expected_versions(request),
            now=request.now,
        )
        if account and new_hash:
            accounts.change_password(connection, account, new_hash)
        user, version = profile.get_own(connection, user_id)
    return written_response(200, user, version)


@routes.get(
    "/users/{userId}",
    auth="required",
    responses={200: Profile},
    errors=(NoSuchUser,),
    conditional=True,
)
def get_user(request: Request, user_id: UUID) -> Response:
    """Get a user's page; `me` stands for oneself here and wherever a user is named."""
    caller_id = request.require_caller().user_id
    with request.transaction() as connection:
        user, version = profiles.get(connection, user_id, caller_id=caller_id, now=request.now)
    return etag_response(request, user, version)


@routes.delete(
    "/users/{userId}",
    auth="required",
    responses={204: None},
    errors=(StaleVersion,),
    conditional=True,
)
def delete_user(request: Request, user_id: UUID) -> Response:
    """Delete one's own account.

    Hosted events are cancelled, bookings of events to come are released, name and e-mail are erased. Money
    goes back as it does where events and bookings are cancelled one by one.
    """
    caller = request.require_caller()
    if user_id != caller.user_id:
        raise Forbidden("You can delete your own account only.")
    with request.transaction("update") as connection:
        account_deletion.delete_account(
            connection, caller, expected=expected_versions(request), now=request.now
        )
    return Response(204)


FollowSort = Annotated[Literal["createdAt"], message("must be createdAt")]


class FollowQuery(PageQuery, kw_only=True):
    sort: FollowSort = "createdAt"


@routes.put("/users/{userId}/follow", auth="required", responses={204: None}, errors=(NoSuchHost,))
def follow_host(request: Request, user_id: UUID) -> Response:
    """Follow a host, to hear of each newly published event; again is the same."""
    with request.transaction() as connection:
        follows.follow(connection, request.require_caller().user_id, user_id, request.now)
    return Response(204)


@routes.delete("/users/{userId}/follow", auth="required", responses={204: None})
def unfollow_host(request: Request, user_id: UUID) -> Response:
    """Stop following a host; again is the same."""
    with request.transaction() as connection:
        follows.unfollow(connection, request.require_caller().user_id, user_id)
    return Response(204)


@routes.get("/users/{userId}/following", auth="required", responses={200: list[User]}, errors=(Forbidden,))
def list_following(request: Request, user_id: UUID, query: FollowQuery) -> Response:
    """List the hosts that one follows."""
    caller = request.require_caller()
    if user_id != caller.user_id:
        raise Forbidden("You can list whom you follow yourself only.")
    page = query.page(query.sort)
    with request.transaction() as connection:
        part = follows.list_following(connection, user_id, page)
    return list_response(request, page, part)


@routes.get("/users/{userId}/followers", auth="host", responses={200: list[User]})
def list_followers(request: Request, user_id: UUID, query: FollowQuery) -> Response:
    """List one's followers, as a host."""
    if user_id != request.require_caller().user_id:
        raise Forbidden("You can list your own followers only.")
    page = query.page(query.sort)
    with request.transaction() as connection:
        part = follows.list_followers(connection, user_id, page)
    return list_response(request, page, part)


InterestSort = Annotated[Literal["createdAt", "date"], message("must be createdAt or date")]


class InterestQuery(PageQuery, kw_only=True):
    sort: InterestSort = "createdAt"


@routes.get("/users/{userId}/interests", auth="required", responses={200: list[Event]}, errors=(Forbidden,))
def list_interests(request: Request, user_id: UUID, query: InterestQuery) -> Response:
    """List the events that one is interested in."""
    if user_id != request.require_caller().user_id:
        raise Forbidden("You can list your own interests only.")
    page = query.page(query.sort)
    with request.transaction() as connection:
        part = interest.list_interests(connection, user_id, page, request.now)
    return list_response(request, page, part)


@routes.get("/users/{userId}/preferences", auth="required", responses={200: Preferences}, errors=(Forbidden,))
def get_preferences(request: Request, user_id: UUID) -> Response:
    """Get which e-mails one wants."""
    _check_ones_own(request, user_id)
    with request.transaction() as connection:
        return json_response(200, {"email": preferences.get(connection, user_id)})


@routes.put("/users/{userId}/preferences", auth="required", responses={200: Preferences})
def replace_preferences(request: Request, user_id: UUID, body: Preferences) -> Response:
    """Set which e-mails one wants, all of them at once."""
    _check_ones_own(request, user_id)
    with request.transaction("update") as connection:
        preferences.replace(connection, user_id, msgspec.to_builtins(body.email))
        return json_response(200, {"email": preferences.get(connection, user_id)})


def _check_ones_own(request: Request, user_id: UUID) -> None:
    if user_id != request.require_caller().user_id:
        raise Forbidden("These are for you to see and change only on your own account.")
