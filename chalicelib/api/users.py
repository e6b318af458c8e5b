"""/users: profiles, follows, interests, e-mail preferences, account deletion."""

from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET
from sqlalchemy import Connection

from chalicelib.api import limits
from chalicelib.api.routing import new_router
from chalicelib.api.schemas.events import Event, event_json
from chalicelib.api.schemas.users import (
    FollowQuery,
    InterestQuery,
    Preferences,
    Profile,
    ProfileChange,
    ProfileReplacement,
    User,
    UserQuery,
    profile_json,
    user_json,
)
from chalicelib.events import interest
from chalicelib.events.profiles import NoSuchUser, ProfileQueries
from chalicelib.notifications import preferences
from chalicelib.payments import cancellation
from chalicelib.platform import security
from chalicelib.platform.errors import FieldError, Forbidden, InvalidInput, StaleVersion
from chalicelib.platform.http.etag import etag_response, expected_versions, written_response
from chalicelib.platform.http.pagination import list_response
from chalicelib.platform.http.request import Request, Response, json_response
from chalicelib.platform.http.validation import fields_set
from chalicelib.platform.security import LoginRequired
from chalicelib.users import accounts, addresses, authentication, follows, profile
from chalicelib.users.accounts import AccountCredentials, WrongCredentials, WrongPassword
from chalicelib.users.addresses import EmailTaken
from chalicelib.users.common_passwords import refuse_common
from chalicelib.users.follows import NoSuchHost
from chalicelib.users.profile import UserQueries

USERS = UserQueries(user_json)
PROFILES = ProfileQueries(profile_json)

routes = new_router("users", "Profiles, followed hosts, interests and e-mail preferences.")


@routes.get("/users", auth="required", responses={200: list[User]})
def list_users(request: Request, connection: Connection, query: UserQuery) -> Response:
    """List public profiles."""
    page_request = query.page(query.sort)
    caller_id = request.require_caller().user_id
    page = USERS.list_users(connection, caller_id, page_request, roles=query.role, words=query.q)
    return list_response(request, page_request, page)


@routes.get(
    "/users/{userId}", auth="required", responses={200: Profile}, errors=(NoSuchUser,), conditional=True
)
def get_user(request: Request, connection: Connection, user_id: UUID) -> Response:
    """Get a profile. `me` stands for your own user id here and in every other path."""
    caller_id = request.require_caller().user_id
    user, version = PROFILES.get(connection, user_id, caller_id=caller_id, now=request.now)
    return etag_response(request, user, version)


@routes.put(
    "/users/{userId}",
    auth="self",
    responses={200: User},
    errors=(EmailTaken, WrongPassword, StaleVersion),
    conditional=True,
    account_check="view",
    limited=True,
)
def replace_profile(request: Request, user_id: UUID, body: ProfileReplacement) -> Response:
    """Replace your profile.

    A new password or e-mail address needs `currentPassword`. A new password invalidates all tokens, refresh
    tokens too. A new address is `pendingEmail` until the token sent to it is used; until then the old
    one counts, and gets a notice. The present address withdraws a pending one.
    """
    return _change(request, user_id, fields_set(body))


@routes.patch(
    "/users/{userId}",
    auth="self",
    responses={200: User},
    errors=(EmailTaken, WrongPassword, StaleVersion),
    conditional=True,
    media_type="application/merge-patch+json",
    account_check="view",
    limited=True,
)
def change_profile(request: Request, user_id: UUID, body: ProfileChange) -> Response:
    """Change parts of your profile.

    A new password or e-mail address needs `currentPassword`. A new password invalidates all tokens, refresh
    tokens too. A new address is `pendingEmail` until the token sent to it is used; until then the old
    one counts, and gets a notice. The present address withdraws a pending one.
    """
    return _change(request, user_id, fields_set(body))


def _change(request: Request, user_id: UUID, changes: dict[str, Any]) -> Response:
    password = changes.pop("password", UNSET)
    current_password = changes.pop("current_password", UNSET)
    account = new_hash = None
    if password is not UNSET:
        refuse_common(password)
    if password is not UNSET or current_password is not UNSET or "email" in changes:
        account = _verify_current_password(
            request, user_id, current_password, email=changes.get("email"), new_password=password is not UNSET
        )
    if password is not UNSET:
        new_hash = security.hash_password(password)
    with request.database.transaction() as connection:
        authentication.require_account(connection, request.require_caller(), "share")
        new_address = profile.change(
            connection,
            user_id,
            changes=changes,
            expected=expected_versions(request),
            now=request.now,
            new_password=new_hash is not None,
        )
        if account and new_hash:
            accounts.change_password(connection, account, new_hash, request.now)
        if new_address:
            request.limit(connection, limits.account_emails(request, new_address))
        user, version = USERS.get_own(connection, user_id)
    return written_response(200, user, version)


def _verify_current_password(
    request: Request, user_id: UUID, current_password: Any, *, email: str | None, new_password: bool
) -> AccountCredentials | None:
    """Verify the current password, which a new password or e-mail address needs.

    Raises:
        InvalidInput: It is missing.
        WrongPassword
    """
    with request.database.transaction() as connection:
        authentication.require_account(connection, request.require_caller(), "none")
        found = accounts.find_credentials(connection, user_id=user_id)
        new_address = email is not None and addresses.is_new(connection, user_id, email)
        if current_password is not UNSET:
            request.limit(connection, [*limits.failed_password(user_id), *limits.password_work(request)])
    if current_password is UNSET:
        if not new_password and not new_address:
            return None
        what = "password" if new_password else "e-mail address"
        raise InvalidInput(errors=[FieldError("currentPassword", f"is required to set a new {what}")])
    try:
        account = accounts.verify_password(found, current_password)
    except WrongCredentials as error:
        raise WrongPassword from error
    with request.database.transaction() as connection:
        request.give_back(connection, limits.failed_password(user_id))
    return account


@routes.delete(
    "/users/{userId}",
    auth="self",
    responses={204: None},
    errors=(StaleVersion, LoginRequired),
    conditional=True,
    account_lock="update",
)
def delete_user(request: Request, connection: Connection, user_id: UUID) -> Response:  # noqa: ARG001 (auth="self")
    """Delete your account. Needs a login with the password in the last 10 minutes.

    Your events and your bookings of future events are cancelled, and your name and e-mail address are erased.
    Refunds are the same as for single cancellations.
    """
    caller = request.require_caller()
    caller.require_recent_login(request.now)
    cancellation.delete_account(connection, caller, expected=expected_versions(request), now=request.now)
    return Response(204)


@routes.put("/users/{userId}/follow", auth="required", responses={204: None}, errors=(NoSuchHost,))
def follow_host(request: Request, connection: Connection, user_id: UUID) -> Response:
    """Follow a host, to be notified of new events. Repeating it changes nothing."""
    follows.follow(connection, request.require_caller().user_id, user_id, request.now)
    return Response(204)


@routes.delete("/users/{userId}/follow", auth="required", responses={204: None})
def unfollow_host(request: Request, connection: Connection, user_id: UUID) -> Response:
    """Stop following a host. Repeating it changes nothing."""
    follows.unfollow(connection, request.require_caller().user_id, user_id)
    return Response(204)


@routes.get("/users/{userId}/following", auth="self", responses={200: list[User]})
def list_following(request: Request, connection: Connection, user_id: UUID, query: FollowQuery) -> Response:
    """List the hosts that you follow."""
    page_request = query.page(query.sort)
    page = follows.list_following(connection, user_id, page_request, user_json)
    return list_response(request, page_request, page)


@routes.get("/users/{userId}/followers", auth="self", responses={200: list[User]}, errors=(Forbidden,))
def list_followers(request: Request, connection: Connection, user_id: UUID, query: FollowQuery) -> Response:
    """List your followers. For hosts."""
    request.require_role("host")
    page_request = query.page(query.sort)
    page = follows.list_followers(connection, user_id, page_request, user_json)
    return list_response(request, page_request, page)


@routes.get("/users/{userId}/interests", auth="self", responses={200: list[Event]})
def list_interests(request: Request, connection: Connection, user_id: UUID, query: InterestQuery) -> Response:
    """List the events that you are interested in."""
    page_request = query.page(query.sort)
    page = interest.list_interests(connection, user_id, page_request, request.now, event_json)
    return list_response(request, page_request, page)


@routes.get("/users/{userId}/preferences", auth="self", responses={200: Preferences})
def get_preferences(_request: Request, connection: Connection, user_id: UUID) -> Response:
    """Get your e-mail preferences."""
    return json_response(200, {"email": preferences.get(connection, user_id)})


@routes.put("/users/{userId}/preferences", auth="self", responses={200: Preferences}, account_lock="update")
def replace_preferences(
    _request: Request, connection: Connection, user_id: UUID, body: Preferences
) -> Response:
    """Set your e-mail preferences."""
    preferences.replace(connection, user_id, msgspec.to_builtins(body.email))
    return json_response(200, {"email": preferences.get(connection, user_id)})
