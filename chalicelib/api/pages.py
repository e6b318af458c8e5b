"""The pages behind the links in e-mails."""

from html import escape
from uuid import UUID

from chalicelib.api.schemas.pages import EmailLink, NewPassword, UnsubscribeQuery
from chalicelib.notifications import preferences, unsubscribe
from chalicelib.notifications.models import Topic
from chalicelib.notifications.unsubscribe import TOPIC_WORDS, InvalidLink
from chalicelib.platform import security
from chalicelib.platform.http.html import HTML, page
from chalicelib.platform.http.request import Request, Response
from chalicelib.platform.http.router import Router
from chalicelib.users import verification
from chalicelib.users.verification import InvalidEmailToken

routes = Router("pages")

_SPENT = "<p>It was used before, or too long ago, or a newer one was sent. Ask for another one.</p>"


@routes.get("/verify-email", auth="none", responses={200: HTML})
def ask_to_verify_email(_request: Request, query: EmailLink) -> Response:  # noqa: ARG001 (the form sends it back)
    """Ask, on a page with a button, to verify an e-mail address."""
    return page("Is this your address?", '<form method="post"><button>Yes, verify it</button></form>')


@routes.post("/verify-email", auth="none", responses={200: HTML, 400: HTML})
def verify_email_on_page(request: Request, query: EmailLink) -> Response:
    """Verify an e-mail address by the token in the link; any body will do."""
    try:
        with request.transaction() as connection:
            verification.verify(connection, query.token, request.now)
    except InvalidEmailToken:
        return page("This link does not work any more", _SPENT, status=400)
    return page("Thank you", "<p>Your e-mail address is verified.</p>")


@routes.get("/reset-password", auth="none", responses={200: HTML})
def ask_for_new_password(_request: Request, query: EmailLink) -> Response:  # noqa: ARG001
    """Ask, on a page with a form, for a new password."""
    return page(
        "Set a new password",
        '<form method="post"><p><label>New password, 8 to 128 characters '
        '<input name="password" type="password" autocomplete="new-password" required minlength="8" '
        'maxlength="128"></label></p><button>Set it</button></form>',
    )


@routes.post(
    "/reset-password",
    auth="none",
    responses={200: HTML, 400: HTML},
    media_type="application/x-www-form-urlencoded",
)
def reset_password_on_page(request: Request, query: EmailLink, body: NewPassword) -> Response:
    """Set a new password by the token in the link."""
    password_hash = security.hash_password(body.password)
    try:
        with request.transaction() as connection:
            verification.reset(connection, query.token, password_hash, request.now)
    except InvalidEmailToken:
        return page("This link does not work any more", _SPENT, status=400)
    return page("Done", "<p>Your new password is set. Sign in with it.</p>")


@routes.get("/unsubscribe", auth="none", responses={200: HTML}, errors=(InvalidLink,))
def ask_to_unsubscribe(request: Request, query: UnsubscribeQuery) -> Response:
    """Ask, on a page with a button, whether to end e-mails about a topic.

    Nothing is changed yet: programs that look for malware follow the links in e-mails.
    """
    _, topic = _read(request, query)
    return page(
        "Unsubscribe?",
        f"<p>You will get no more e-mails about {escape(TOPIC_WORDS[topic])}.</p>"
        '<form method="post"><button>Unsubscribe</button></form>',
    )


@routes.post("/unsubscribe", auth="none", responses={200: HTML}, errors=(InvalidLink,))
def unsubscribe_from_topic(request: Request, query: UnsubscribeQuery) -> Response:
    """End e-mails about a topic, at one click (RFC 8058).

    Again is the same. Any body will do: what is to end stands in the link.
    """
    user_id, topic = _read(request, query)
    with request.transaction() as connection:
        preferences.opt_out(connection, user_id, [topic])
    return page(
        "Unsubscribed",
        f"<p>You will get no more e-mails about {escape(TOPIC_WORDS[topic])}. "
        "Your preferences let you have them again.</p>",
    )


def _read(request: Request, query: UnsubscribeQuery) -> tuple[UUID, Topic]:
    settings = request.settings
    secrets = filter(None, (settings.jwt_secret, settings.previous_jwt_secret))
    return unsubscribe.read(secrets, query.token)
