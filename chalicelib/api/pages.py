"""The pages behind the links in e-mails.

Opening a page changes nothing, because malware scanners follow the links in e-mails. Every response is a
page, also if the link is broken.
"""

from html import escape
from uuid import UUID

from sqlalchemy import Connection

from chalicelib.api.auth import set_forgotten_password
from chalicelib.api.routing import new_router
from chalicelib.api.schemas.pages import Link, NewPassword
from chalicelib.api.ticket_transfers import claim
from chalicelib.bookings import claims
from chalicelib.bookings.booking import LimitReached
from chalicelib.bookings.claims import InvalidTransferToken
from chalicelib.notifications import bounces, preferences, unsubscribe
from chalicelib.notifications.models import Topic
from chalicelib.notifications.unsubscribe import TOPIC_WORDS, InvalidLink
from chalicelib.platform.errors import InvalidInput
from chalicelib.platform.http.html import HTML, page
from chalicelib.platform.http.request import Request, Response
from chalicelib.users import email_tokens, verification
from chalicelib.users.addresses import EmailTaken
from chalicelib.users.email_tokens import InvalidEmailToken, Purpose

routes = new_router("pages", "Pages for people, behind the links in e-mails. Programs do not need them.")

_EXPIRED = (
    "<p>It has been used already, has expired, is incomplete, or a newer link was sent. "
    "Please open the link in the newest e-mail, or request a new one.</p>"
)
_NOT_CLAIMABLE = (
    "<p>The ticket has been accepted already, the offer has expired or was withdrawn, or the ticket was used "
    "or cancelled. Please ask the person who offered it to you.</p>"
)
_LIMIT_REACHED = (
    "<p>You already have as many tickets for this event as one person can have. "
    "The offer stays open until it expires.</p>"
)
_BROKEN = "<p>Please open the link in the e-mail again, and make sure that it is complete.</p>"


_COMMON = "This password is one of the most common ones, which are tried first by attackers."

_FORM = (
    '<form method="post"><p><label>New password, 8 to 128 characters '
    '<input name="password" type="password" autocomplete="new-password" required minlength="8" '
    'maxlength="128"></label></p><button>Reset password</button></form>'
)


@routes.get("/verify-email", auth="none", responses={200: HTML, 400: HTML})
def confirm_email_page(request: Request, connection: Connection, query: Link) -> Response:
    """Show a page with a button that verifies an e-mail address."""
    if refused := _refuse_token(request, connection, "verify-email", query.token):
        return refused
    return page(
        "Verify your e-mail address", '<form method="post"><button>Verify my e-mail address</button></form>'
    )


@routes.post("/verify-email", auth="none", responses={200: HTML, 400: HTML}, raw_body=True)
def verify_email_on_page(request: Request, query: Link) -> Response:
    """Verify an e-mail address with the token in the link. The body is ignored."""
    try:
        with request.database.transaction() as connection:
            bounces.lift_bounce(connection, verification.verify(connection, query.token, request.now))
    except InvalidEmailToken:
        with request.database.transaction() as connection:
            refused = _refuse_token(request, connection, "verify-email", query.token)
        return refused or page("This link no longer works", _EXPIRED, status=400)
    except EmailTaken:
        return page("This address is taken", "<p>Another account has this e-mail address.</p>", status=400)
    return page("Thank you", f"<p>Your e-mail address is verified.</p>{_home(request)}")


@routes.get("/reset-password", auth="none", responses={200: HTML, 400: HTML})
def new_password_page(request: Request, connection: Connection, query: Link) -> Response:
    """Show a page with a form for a new password."""
    if refused := _refuse_token(request, connection, "reset-password", query.token):
        return refused
    return page("Reset your password", _FORM)


@routes.post(
    "/reset-password",
    auth="none",
    responses={200: HTML, 400: HTML},
    media_type="application/x-www-form-urlencoded",
    limited=True,
)
def reset_password_on_page(request: Request, query: Link, body: NewPassword) -> Response:
    """Set a new password with the token in the link."""
    try:
        set_forgotten_password(request, query.token, body.password)
    except InvalidEmailToken:
        return page("This link no longer works", _EXPIRED, status=400)
    except InvalidInput:
        return page("Please choose another password", f"<p>{_COMMON}</p>{_FORM}", status=400)
    return page("Password changed", f"<p>Please log in with your new password.</p>{_home(request)}")


@routes.get("/claim-ticket", auth="none", responses={200: HTML, 400: HTML})
def claim_ticket_page(request: Request, connection: Connection, query: Link) -> Response:
    """Show a page with a button that claims a ticket."""
    if not claims.is_claimable(connection, query.token, request.now):
        return page("This link no longer works", _NOT_CLAIMABLE, status=400)
    return page(
        "Accept your ticket",
        "<p>The ticket becomes yours, and nobody else can use it any more.</p>"
        '<form method="post"><button>Accept the ticket</button></form>',
    )


@routes.post("/claim-ticket", auth="none", responses={200: HTML, 400: HTML}, raw_body=True)
def claim_ticket_on_page(request: Request, query: Link) -> Response:
    """Claim a ticket with the token in the link. The body is ignored."""
    try:
        with request.database.transaction() as connection:
            claim(request, connection, query.token, None)
    except InvalidTransferToken:
        return page("This link no longer works", _NOT_CLAIMABLE, status=400)
    except LimitReached:
        return page("You have enough tickets", _LIMIT_REACHED, status=400)
    return page("The ticket is yours", f"<p>We have sent it to you by e-mail.</p>{_home(request)}")


@routes.get("/unsubscribe", auth="none", responses={200: HTML, 400: HTML})
def confirm_unsubscribe_page(request: Request, query: Link) -> Response:
    """Show a page with a button that ends e-mails about a topic."""
    try:
        _, topic = _read(request, query)
    except InvalidLink:
        return page("This link does not work", _BROKEN, status=400)
    return page(
        "Unsubscribe?",
        f"<p>You will no longer get e-mails about {escape(TOPIC_WORDS[topic])}.</p>"
        '<form method="post"><button>Unsubscribe</button></form>',
    )


@routes.post("/unsubscribe", auth="none", responses={200: HTML, 400: HTML}, raw_body=True)
def unsubscribe_from_topic(request: Request, connection: Connection, query: Link) -> Response:
    """End e-mails about a topic with one click (RFC 8058). Idempotent; the body is ignored."""
    try:
        user_id, topic = _read(request, query)
    except InvalidLink:
        return page("This link does not work", _BROKEN, status=400)
    preferences.opt_out(connection, user_id, [topic])
    return page(
        "Unsubscribed",
        f"<p>You will no longer get e-mails about {escape(TOPIC_WORDS[topic])}. "
        f"You can turn them on again in your preferences.</p>{_home(request)}",
    )


def _refuse_token(request: Request, connection: Connection, purpose: Purpose, token: str) -> Response | None:
    """A page for a link that cannot be used; None if it can."""
    if email_tokens.is_usable(connection, purpose, token, request.now):
        return None
    if purpose == "verify-email" and email_tokens.already_verified(connection, token):
        return page("Already verified", f"<p>Your e-mail address is already verified.</p>{_home(request)}")
    return page("This link no longer works", _EXPIRED, status=400)


def _home(request: Request) -> str:
    """A link to the front end, if the deployment has one."""
    url = request.settings.front_end_url
    return f'<p><a href="{escape(url)}">Continue</a></p>' if url else ""


def _read(request: Request, query: Link) -> tuple[UUID, Topic]:
    return unsubscribe.read(request.settings.link_key, query.token)
