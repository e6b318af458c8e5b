"""The pages behind the links in e-mails: verify an address, set a new password.

Opening one changes nothing, since programs that look for malware follow the links in e-mails.
"""

from chalicelib import security
from chalicelib.users import email_tokens
from chalicelib.users.email_schemas import EmailLink, NewPassword
from chalicelib.users.email_tokens import InvalidEmailToken
from chalicelib.web.http import Answer, Request
from chalicelib.web.pages import HTML, page
from chalicelib.web.router import Router

routes = Router("pages behind e-mails")

_SPENT = "<p>It was used before, or too long ago, or a newer one was sent. Ask for another one.</p>"


@routes.get("/verify-email", who="anyone", answers={200: HTML})
def ask_to_verify_email(_request: Request, query: EmailLink) -> Answer:  # noqa: ARG001 (the form sends it back)
    """Ask, on a page with a button, to verify an e-mail address."""
    return page("Is this your address?", '<form method="post"><button>Yes, verify it</button></form>')


@routes.post("/verify-email", who="anyone", answers={200: HTML, 400: HTML})
def verify_email_on_page(request: Request, query: EmailLink) -> Answer:
    """Verify an e-mail address by the token in the link; any body will do."""
    try:
        with request.transaction() as session:
            email_tokens.verify(session, query.token, request.now)
    except InvalidEmailToken:
        return page("This link does not work any more", _SPENT, status=400)
    return page("Thank you", "<p>Your e-mail address is verified.</p>")


@routes.get("/reset-password", who="anyone", answers={200: HTML})
def ask_for_new_password(_request: Request, query: EmailLink) -> Answer:  # noqa: ARG001
    """Ask, on a page with a form, for a new password."""
    return page(
        "Set a new password",
        '<form method="post"><p><label>New password, 8 to 128 characters '
        '<input name="password" type="password" autocomplete="new-password" required minlength="8" '
        'maxlength="128"></label></p><button>Set it</button></form>',
    )


@routes.post(
    "/reset-password",
    who="anyone",
    answers={200: HTML, 400: HTML},
    media_type="application/x-www-form-urlencoded",
)
def reset_password_on_page(request: Request, query: EmailLink, body: NewPassword) -> Answer:
    """Set a new password by the token in the link."""
    password_hash = security.hash_password(body.password)
    try:
        with request.transaction() as session:
            email_tokens.reset(session, query.token, password_hash, request.now)
    except InvalidEmailToken:
        return page("This link does not work any more", _SPENT, status=400)
    return page("Done", "<p>Your new password is set. Sign in with it.</p>")
