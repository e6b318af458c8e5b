"""/auth: register, log in, verify an e-mail address, reset a password."""

import json
from datetime import datetime
from uuid import UUID

from chalicelib.api.schemas.auth import (
    EmailVerification,
    ForgotPassword,
    Login,
    LoginResponse,
    PasswordReset,
    Registration,
)
from chalicelib.platform import security
from chalicelib.platform.http.idempotency import run_idempotent
from chalicelib.platform.http.request import Request, Response
from chalicelib.platform.http.router import Router
from chalicelib.users import accounts, profile, verification
from chalicelib.users.accounts import EmailTaken, WrongCredentials
from chalicelib.users.verification import InvalidEmailToken

routes = Router("auth")


@routes.post(
    "/auth/register", auth="none", responses={201: LoginResponse}, errors=(EmailTaken,), idempotent=True
)
def register(request: Request, body: Registration) -> Response:
    """Make an account and sign in to it."""
    password_hash = security.hash_password(body.password)

    def make_account() -> Response:
        caller = accounts.register(
            connection,
            name=body.name,
            email=body.email,
            password_hash=password_hash,
            role=body.role,
            now=request.now,
        )
        user, _ = profile.get_own(connection, caller.user_id)
        location = f"{request.settings.public_url}/users/me"
        return Response(201, user, {"Location": location}, personal_to=caller.user_id)

    with request.transaction() as connection:
        response = run_idempotent(connection, request, make_account, owner=body.email.lower())
    # What is kept for a replay has no token in it; the one of the first answer is made again.
    user = json.loads(response.body)
    caller = security.Caller(UUID(user["userId"]), user["role"], token_version=1)
    signed_in_at = datetime.fromisoformat(user["createdAt"])
    token = request.wiring.tokens.issue(caller, signed_in_at)
    return Response(201, _session(response.body, token), response.headers)


@routes.post("/auth/login", auth="none", responses={200: LoginResponse}, errors=(WrongCredentials,))
def login(request: Request, body: Login) -> Response:
    """Get a token for an account."""
    with request.transaction() as connection:
        account = accounts.find_credentials(connection, email=body.email)
    account = accounts.verify_password(account, body.password)
    new_hash = security.hash_password(body.password) if security.needs_rehash(account.password_hash) else None
    with request.transaction() as connection:
        accounts.require_unchanged(connection, account)
        if new_hash:
            accounts.replace_hash(connection, account, new_hash)
        user, _ = profile.get_own(connection, account.caller.user_id)
    return Response(200, _session(user, request.wiring.tokens.issue(account.caller, request.now)))


def _session(user: str, token: str) -> str:
    return f'{{"user":{user},"token":"{token}"}}'


@routes.post("/auth/verify-email", auth="none", responses={204: None}, errors=(InvalidEmailToken,))
def verify_email(request: Request, body: EmailVerification) -> Response:
    """Verify an e-mail address by the token that was sent to it.

    A token lives 24 hours, serves once, and only while the account has that address.
    """
    with request.transaction() as connection:
        verification.verify(connection, body.token, request.now)
    return Response(204)


@routes.post("/auth/verify-email/resend", auth="required", responses={202: None})
def resend_verification(request: Request) -> Response:
    """Have another token sent to one's own e-mail address.

    Nothing is sent where the address is verified already, or was sent one less than a minute ago. A new
    token ends the older ones.
    """
    with request.transaction() as connection:
        verification.request_verification(connection, request.require_caller().user_id, request.now)
    return Response(202)


@routes.post("/auth/forgot-password", auth="none", responses={202: None})
def forgot_password(request: Request, body: ForgotPassword) -> Response:
    """Have a token for a new password sent to the account with this e-mail address, if there is one.

    The answer does not tell whether there is. Nothing is sent where a token was less than a minute ago.
    """
    with request.transaction() as connection:
        verification.request(connection, purpose="reset-password", email=body.email, now=request.now)
    return Response(202)


@routes.post("/auth/reset-password", auth="none", responses={204: None}, errors=(InvalidEmailToken,))
def reset_password(request: Request, body: PasswordReset) -> Response:
    """Set a new password by the token that was sent by e-mail; it ends all older tokens.

    A token lives one hour, serves once, and only while the account has the address that it was sent to,
    which counts as verified then.
    """
    password_hash = security.hash_password(body.password)
    with request.transaction() as connection:
        verification.reset(connection, body.token, password_hash, request.now)
    return Response(204)
