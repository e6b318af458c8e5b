"""/auth: register, log in, verify an e-mail address, reset a password."""

import json
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from chalicelib.api import limits
from chalicelib.api.routing import new_router
from chalicelib.api.schemas.auth import (
    EmailVerification,
    ForgotPassword,
    Login,
    LoginResponse,
    PasswordReset,
    Registration,
)
from chalicelib.api.users import USERS
from chalicelib.platform import security
from chalicelib.platform.http.idempotency import run_idempotent
from chalicelib.platform.http.request import Request, Response
from chalicelib.platform.throttle import Throttle
from chalicelib.users import accounts, verification
from chalicelib.users.accounts import EmailTaken, WrongCredentials
from chalicelib.users.common_passwords import refuse_common
from chalicelib.users.verification import InvalidEmailToken

routes = new_router("auth", "Register, log in, verify an e-mail address, reset a password.")


@routes.post(
    "/auth/register",
    auth="none",
    responses={201: LoginResponse},
    errors=(EmailTaken,),
    idempotent=True,
    limited=True,
)
def register(request: Request, body: Registration) -> Response:
    """Create an account and log in. The most common passwords are refused."""
    refuse_common(body.password)
    with request.database.transaction() as connection:
        request.limit(connection, [*limits.registration(request), *limits.password_work(request)])
    password_hash = security.hash_password(body.password)

    def create_account() -> Response:
        caller = accounts.register(
            connection,
            name=body.name,
            email=body.email,
            password_hash=password_hash,
            role=body.role,
            now=request.now,
        )
        request.limit(connection, limits.account_emails(request, body.email, count=2))
        user, _ = USERS.get_own(connection, caller.user_id)
        location = f"{request.settings.public_url}/users/me"
        return Response(201, user, {"Location": location}, personal_to=caller.user_id)

    with request.database.transaction() as connection:
        response = run_idempotent(connection, request, create_account, owner=body.email.lower())
    # The stored response has no token in it. A replay issues the first response's token again.
    user = json.loads(response.body)
    caller = security.Caller(UUID(user["userId"]), user["role"], token_version=1)
    registered_at = datetime.fromisoformat(user["createdAt"])
    token = request.tokens.issue(caller, registered_at)
    return Response(201, _login_response(response.body, token), response.headers)


@routes.post(
    "/auth/login", auth="none", responses={200: LoginResponse}, errors=(WrongCredentials,), limited=True
)
def login(request: Request, body: Login) -> Response:
    """Log in with e-mail address and password."""
    failure = limits.failed_login(request, body.email)
    with request.database.transaction() as connection:
        found = accounts.find_credentials(connection, email=body.email)
        request.limit(connection, [*failure, *limits.password_work(request)])
    account = accounts.verify_password(found, body.password)
    new_hash = security.hash_password(body.password) if security.needs_rehash(account.password_hash) else None
    with request.database.transaction() as connection:
        accounts.require_unchanged(connection, account)
        if new_hash:
            accounts.replace_hash(connection, account, new_hash)
        user, _ = USERS.get_own(connection, account.caller.user_id)
        request.give_back(connection, failure)
    return Response(200, _login_response(user, request.tokens.issue(account.caller, request.now)))


def _login_response(user: str, token: str) -> str:
    return f'{{"user":{user},"token":"{token}"}}'


@routes.post("/auth/verify-email", auth="none", responses={204: None}, errors=(InvalidEmailToken,))
def verify_email(request: Request, connection: Connection, body: EmailVerification) -> Response:
    """Verify an e-mail address with the token from the e-mail.

    The token works once, for 24 hours, and only while the account has this address.
    """
    verification.verify(connection, body.token, request.now)
    return Response(204)


@routes.post("/auth/verify-email/resend", auth="required", responses={202: None}, limited=True)
def resend_verification(request: Request, connection: Connection) -> Response:
    """Send the verification e-mail again.

    Nothing is sent if the address is verified already, or if an e-mail was sent less than a minute ago. A new
    token invalidates the older ones.
    """
    email = verification.resend_verification(connection, request.require_caller().user_id, request.now)
    request.limit(connection, limits.account_emails(request, email))
    return Response(202)


@routes.post("/auth/forgot-password", auth="none", responses={202: None}, limited=True)
def forgot_password(request: Request, connection: Connection, body: ForgotPassword) -> Response:
    """Send an e-mail with a token to reset the password.

    The response is the same whether or not an account has this address. Nothing is sent if an e-mail was sent
    less than a minute ago.
    """
    request.limit(connection, limits.account_emails(request, body.email))
    verification.request_token(connection, purpose="reset-password", email=body.email, now=request.now)
    return Response(202)


@routes.post(
    "/auth/reset-password", auth="none", responses={204: None}, errors=(InvalidEmailToken,), limited=True
)
def reset_password(request: Request, body: PasswordReset) -> Response:
    """Set a new password with the token from the e-mail, and invalidate all tokens.

    The token works once, for one hour, and only while the account has the address that it was sent to. The
    address then counts as verified.
    """
    set_forgotten_password(request, body.token, body.password)
    return Response(204)


def set_forgotten_password(request: Request, token: str, password: str) -> None:
    """Set a new password with a token from an e-mail, and forget failed logins with the address.

    So an attacker who fails often cannot keep the owner of the address out.

    Raises:
        InvalidEmailToken, InvalidInput, TooManyRequests
    """
    refuse_common(password)
    with request.database.transaction() as connection:
        verification.require_usable(connection, "reset-password", token, request.now)
        request.limit(connection, limits.password_work(request))
    password_hash = security.hash_password(password)
    with request.database.transaction() as connection:
        email = verification.reset(connection, token, password_hash, request.now)
        Throttle(request.settings).forget(connection, limits.failed_login_anywhere(email))
