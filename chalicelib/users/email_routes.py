"""HTTP for proving an e-mail address: verify it, or set a new password through it."""

from chalicelib import security
from chalicelib.users import email_tokens
from chalicelib.users.email_schemas import EmailVerification, ForgottenPassword, PasswordReset
from chalicelib.users.email_tokens import InvalidEmailToken
from chalicelib.web.http import Answer, Request
from chalicelib.web.router import Router

routes = Router("proofs of e-mail addresses")


@routes.post("/auth/verify-email", who="anyone", answers={204: None}, refuses=(InvalidEmailToken,))
def verify_email(request: Request, body: EmailVerification) -> Answer:
    """Verify an e-mail address by the token that was sent to it.

    A token lives 24 hours, serves once, and only while the account has that address.
    """
    with request.transaction() as session:
        email_tokens.verify(session, body.token, request.now)
    return Answer(204)


@routes.post("/auth/verify-email/resend", who="signed in", answers={202: None})
def resend_verification(request: Request) -> Answer:
    """Have another token sent to one's own e-mail address.

    Nothing is sent where the address is verified already, or was sent one less than a minute ago. A new
    token ends the older ones.
    """
    with request.transaction() as session:
        email_tokens.request_again(session, request.signed_in().user_id, request.now)
    return Answer(202)


@routes.post("/auth/forgot-password", who="anyone", answers={202: None})
def forget_password(request: Request, body: ForgottenPassword) -> Answer:
    """Have a token for a new password sent to the account with this e-mail address, if there is one.

    The answer does not tell whether there is. Nothing is sent where a token was less than a minute ago.
    """
    with request.transaction() as session:
        email_tokens.request(session, purpose="reset-password", email=body.email, now=request.now)
    return Answer(202)


@routes.post("/auth/reset-password", who="anyone", answers={204: None}, refuses=(InvalidEmailToken,))
def reset_password(request: Request, body: PasswordReset) -> Answer:
    """Set a new password by the token that was sent by e-mail; it ends all older tokens.

    A token lives one hour, serves once, and only while the account has the address that it was sent to,
    which counts as verified then.
    """
    password_hash = security.hash_password(body.password)
    with request.transaction() as session:
        email_tokens.reset(session, body.token, password_hash, request.now)
    return Answer(204)
