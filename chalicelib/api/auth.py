"""/auth: register, log in, refresh, log out, verify an e-mail address, reset a password."""

import hmac
import json
from base64 import urlsafe_b64encode
from datetime import datetime
from uuid import UUID

from msgspec import UNSET
from sqlalchemy import Connection

from chalicelib.api import limits
from chalicelib.api.routing import new_router
from chalicelib.api.schemas.auth import (
    EmailVerification,
    ForgotPassword,
    Login,
    LoginResponse,
    Logout,
    PasswordReset,
    Refresh,
    Registration,
)
from chalicelib.api.users import USERS
from chalicelib.notifications import bounces
from chalicelib.platform import security
from chalicelib.platform.http.idempotency import HEADER, key_of, run_idempotent
from chalicelib.platform.http.request import Request, Response
from chalicelib.platform.throttle import Throttle
from chalicelib.platform.times import rfc3339
from chalicelib.users import accounts, email_tokens, password_reset, sessions, verification
from chalicelib.users.accounts import WrongCredentials
from chalicelib.users.addresses import EmailTaken
from chalicelib.users.common_passwords import refuse_common
from chalicelib.users.email_tokens import InvalidEmailToken
from chalicelib.users.sessions import InvalidRefreshToken, Session

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
    refresh_token = _first_refresh_token(request)

    def create_account() -> Response:
        caller = accounts.register(
            connection,
            name=body.name,
            email=body.email,
            password_hash=password_hash,
            role=body.role,
            now=request.now,
        )
        request.limit(connection, limits.account_emails(request, body.email))
        sessions.start(connection, caller, request.now, refresh_token=refresh_token)
        user, _ = USERS.get_own(connection, caller.user_id)
        location = f"{request.settings.public_url}/users/me"
        return Response(201, user, {"Location": location}, personal_to=caller.user_id)

    with request.database.transaction() as connection:
        response = run_idempotent(connection, request, create_account, owner=body.email.lower())
    # The stored response has no tokens in it. A replay makes the tokens of the first response again.
    user = json.loads(response.body)
    caller = security.Caller(UUID(user["userId"]), user["role"], token_version=1)
    registered_at = datetime.fromisoformat(user["createdAt"])
    session = sessions.of_first_token(caller, refresh_token, registered_at)
    return Response(201, _login_response(request, response.body, session, registered_at), response.headers)


def _first_refresh_token(request: Request) -> str:
    """Return a random refresh token. A replay needs the same one, so with a key it is made from secrets.

    To make it, one needs the secret of the deployment, the client's key and the password in the body.
    """
    if key_of(request) is None:
        return sessions.new_token()
    key = request.headers[HEADER.lower()].encode()
    content = b"\n".join((b"refresh token", key, request.raw_body))
    return urlsafe_b64encode(hmac.digest(request.settings.token_key, content, "sha256")).decode().rstrip("=")


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
        refresh_token = sessions.new_token()
        session = sessions.start(connection, account.caller, request.now, refresh_token=refresh_token)
        user, _ = USERS.get_own(connection, account.caller.user_id)
        request.give_back(connection, failure)
    return Response(200, _login_response(request, user, session, request.now))


def _login_response(request: Request, user: str, session: Session, now: datetime) -> str:
    token, expires_at = request.tokens.issue(session.caller, now), rfc3339(request.tokens.expiry(now))
    return (
        f'{{"user":{user},"token":"{token}","expiresAt":"{expires_at}",'
        f'"refreshToken":"{session.refresh_token}"}}'
    )


@routes.post("/auth/refresh", auth="none", responses={200: LoginResponse}, errors=(InvalidRefreshToken,))
def refresh(request: Request, body: Refresh) -> Response:
    """Get a new token and a new refresh token.

    A refresh token works once. If it is sent again, somebody may have a copy of it. So all refresh tokens of
    the same login stop working, and you have to log in again. Send one refresh at a time, also from several
    tabs. A refresh does not count as a login where a recent one is required.
    """
    with request.database.transaction() as connection:
        session = sessions.refresh(connection, body.refresh_token, request.now)
        user = USERS.get_own(connection, session.caller.user_id)[0] if session else ""
    if session is None:
        raise InvalidRefreshToken
    return Response(200, _login_response(request, user, session, request.now))


@routes.post("/auth/logout", auth="required", responses={204: None}, account_lock="sessions")
def logout(request: Request, connection: Connection, body: Logout | None) -> Response:
    """End the session: its refresh token stops working, and its access token expires within the hour.

    With a `refreshToken` of your own in the body, end that session too. Repeating it changes nothing.
    """
    given = body.refresh_token if body else UNSET
    sessions.end(connection, request.require_caller(), None if given is UNSET else given)
    return Response(204)


@routes.post("/auth/verify-email", auth="none", responses={204: None}, errors=(InvalidEmailToken, EmailTaken))
def verify_email(request: Request, connection: Connection, body: EmailVerification) -> Response:
    """Verify an e-mail address with the token from the e-mail.

    The token works once, for 24 hours, and only while the account has this address, or while it is pending. A
    pending address becomes the account's, unless another account has taken it meanwhile.
    """
    bounces.lift_bounce(connection, verification.verify(connection, body.token, request.now))
    return Response(204)


@routes.post("/auth/verify-email/resend", auth="required", responses={202: None}, limited=True)
def resend_verification(request: Request, connection: Connection) -> Response:
    """Send the verification e-mail again.

    It goes to the pending address, if there is one. Nothing is sent if the address is verified already, or if
    an e-mail was sent less than a minute ago. A new token invalidates the older ones.
    """
    email = verification.resend(connection, request.require_caller().user_id, request.now)
    request.limit(connection, limits.account_emails(request, email))
    return Response(202)


@routes.post("/auth/forgot-password", auth="none", responses={202: None}, limited=True)
def forgot_password(request: Request, connection: Connection, body: ForgotPassword) -> Response:
    """Send an e-mail with a token to reset the password.

    The response is the same whether or not an account has this address. Nothing is sent if an e-mail was sent
    less than a minute ago.
    """
    request.limit(connection, limits.account_emails(request, body.email))
    email_tokens.request(connection, purpose="reset-password", email=body.email, now=request.now)
    return Response(202)


@routes.post(
    "/auth/reset-password", auth="none", responses={204: None}, errors=(InvalidEmailToken,), limited=True
)
def reset_password(request: Request, body: PasswordReset) -> Response:
    """Set a new password with the token from the e-mail, invalidate all tokens, and end all sessions.

    The token works once, for one hour, and only while the account has the address that it was sent to. The
    address then counts as verified.
    """
    set_forgotten_password(request, body.token, body.password)
    return Response(204)


def set_forgotten_password(request: Request, token: str, password: str) -> None:
    """Set a new password with a token from an e-mail, and forget failed logins with the address.

    So an attacker who fails often cannot keep the owner of the address out. The e-mail has arrived, so a
    bounce of the address is lifted too.

    Raises:
        InvalidEmailToken, InvalidInput, TooManyRequests
    """
    refuse_common(password)
    with request.database.transaction() as connection:
        email_tokens.require_usable(connection, "reset-password", token, request.now)
        request.limit(connection, limits.password_work(request))
    password_hash = security.hash_password(password)
    with request.database.transaction() as connection:
        email = password_reset.reset(connection, token, password_hash, request.now)
        Throttle(request.settings).forget(connection, limits.failed_login_anywhere(email))
        bounces.lift_bounce(connection, email)
