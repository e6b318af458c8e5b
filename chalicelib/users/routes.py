"""HTTP for accounts: register, log in, list users, change one's own profile."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import UNSET

from chalicelib import security
from chalicelib.errors import FieldError, Forbidden, InvalidInput, StaleVersion
from chalicelib.users import service
from chalicelib.users.schemas import (
    Login,
    ProfileChange,
    ProfileReplacement,
    Registration,
    Session,
    User,
    UserQuery,
)
from chalicelib.users.service import EmailTaken, WrongCredentials, WrongPassword
from chalicelib.web.conditional import expected_versions, written
from chalicelib.web.http import Answer, Request
from chalicelib.web.idempotency import once
from chalicelib.web.paging import list_answer
from chalicelib.web.router import Router
from chalicelib.web.validation import given

routes = Router("users")


@routes.post("/auth/register", who="anyone", answers={201: Session}, refuses=(EmailTaken,), idempotent=True)
def register(request: Request, body: Registration) -> Answer:
    """Make an account and sign in to it."""
    password_hash = security.hash_password(body.password)

    def make_account() -> Answer:
        caller = service.register(
            session,
            name=body.name,
            email=body.email,
            password_hash=password_hash,
            role=body.role,
            now=request.now,
        )
        user, _ = service.own(session, caller.user_id)
        location = f"{request.settings.public_url}/users/me"
        return Answer(201, user, {"Location": location}, personal_to=caller.user_id)

    with request.transaction() as session:
        answer = once(session, request, make_account, owner=body.email.lower())
    # What is kept for a replay has no token in it; the one of the first answer is made again.
    user = json.loads(answer.body)
    caller = security.Caller(UUID(user["userId"]), user["role"], token_version=1)
    signed_in_at = datetime.fromisoformat(user["createdAt"])
    token = request.wiring.tokens.issue(caller, signed_in_at)
    return Answer(201, _session(answer.body, token), answer.headers)


@routes.post("/auth/login", who="anyone", answers={200: Session}, refuses=(WrongCredentials,))
def log_in(request: Request, body: Login) -> Answer:
    """Get a token for an account."""
    with request.transaction() as session:
        account = service.claimed(session, email=body.email)
    account = service.prove(account, body.password)
    new_hash = security.hash_password(body.password) if security.is_outdated(account.password_hash) else None
    with request.transaction() as session:
        service.confirm_claim(session, account)
        if new_hash:
            service.replace_hash(session, account, new_hash)
        user, _ = service.own(session, account.caller.user_id)
    return Answer(200, _session(user, request.wiring.tokens.issue(account.caller, request.now)))


def _session(user: str, token: str) -> str:
    return f'{{"user":{user},"token":"{token}"}}'


@routes.get("/users", who="signed in", answers={200: list[User]})
def list_users(request: Request, query: UserQuery) -> Answer:
    """List public profiles."""
    page = query.page(query.sort)
    with request.transaction() as session:
        part = service.list_users(
            session,
            caller_id=request.signed_in().user_id,
            page=page,
            role=query.role,
            words=query.q,
        )
    return list_answer(request, page, part)


@routes.put(
    "/users/{userId}",
    who="signed in",
    answers={200: User},
    refuses=(EmailTaken, WrongPassword, StaleVersion),
    conditional=True,
)
def replace_profile(request: Request, user_id: UUID, body: ProfileReplacement) -> Answer:
    """Replace one's own profile; a new password ends all older tokens."""
    return _change(request, user_id, given(body))


@routes.patch(
    "/users/{userId}",
    who="signed in",
    answers={200: User},
    refuses=(EmailTaken, WrongPassword, StaleVersion),
    conditional=True,
    media_type="application/merge-patch+json",
)
def change_profile(request: Request, user_id: UUID, body: ProfileChange) -> Answer:
    """Change some members of one's own profile; a new password ends all older tokens."""
    return _change(request, user_id, given(body))


def _change(request: Request, user_id: UUID, changes: dict[str, Any]) -> Answer:
    caller = request.signed_in()
    if user_id != caller.user_id:
        raise Forbidden("You can change your own profile only.")
    password = changes.pop("password", UNSET)
    current_password = changes.pop("current_password", UNSET)
    account = new_hash = None
    if password is not UNSET:
        if current_password is UNSET:
            message = "is required to set a new password"
            raise InvalidInput(errors=[FieldError("currentPassword", message)])
        with request.transaction("none") as session:
            claimed = service.claimed(session, user_id=user_id)
        try:
            account = service.prove(claimed, current_password)
        except WrongCredentials as error:
            raise WrongPassword from error
        new_hash = security.hash_password(password)
    with request.transaction() as session:
        service.change(
            session,
            user_id,
            changes=changes,
            expected=expected_versions(request),
            now=request.now,
        )
        if account and new_hash:
            service.change_password(session, account, new_hash)
        user, version = service.own(session, user_id)
    return written(200, user, version)
