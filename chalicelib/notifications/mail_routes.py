"""HTTP for what a person wants to have e-mails of: preferences, and links to unsubscribe."""

from html import escape
from uuid import UUID

import msgspec

from chalicelib.errors import Forbidden
from chalicelib.notifications import preferences, unsubscribe
from chalicelib.notifications.mail_schemas import Preferences, UnsubscribeQuery
from chalicelib.notifications.models import Topic
from chalicelib.notifications.unsubscribe import TOPIC_WORDS, InvalidLink
from chalicelib.web.http import Answer, Request
from chalicelib.web.pages import HTML, page
from chalicelib.web.router import Router, json_answer

routes = Router("e-mail preferences")


@routes.get("/users/{userId}/preferences", who="signed in", answers={200: Preferences}, refuses=(Forbidden,))
def get_preferences(request: Request, user_id: UUID) -> Answer:
    """Get which e-mails one wants."""
    _check_ones_own(request, user_id)
    with request.transaction() as session:
        return json_answer(200, {"email": preferences.get(session, user_id)})


@routes.put("/users/{userId}/preferences", who="signed in", answers={200: Preferences})
def replace_preferences(request: Request, user_id: UUID, body: Preferences) -> Answer:
    """Set which e-mails one wants, all of them at once."""
    _check_ones_own(request, user_id)
    with request.transaction("update") as session:
        preferences.replace(session, user_id, msgspec.to_builtins(body.email))
        return json_answer(200, {"email": preferences.get(session, user_id)})


def _check_ones_own(request: Request, user_id: UUID) -> None:
    if user_id != request.signed_in().user_id:
        raise Forbidden("These are for you to see and change only on your own account.")


@routes.get("/unsubscribe", who="anyone", answers={200: HTML}, refuses=(InvalidLink,))
def ask_to_unsubscribe(request: Request, query: UnsubscribeQuery) -> Answer:
    """Ask, on a page with a button, whether to end e-mails about a topic.

    Nothing is changed yet: programs that look for malware follow the links in e-mails.
    """
    _, topic = _read(request, query)
    return page(
        "Unsubscribe?",
        f"<p>You will get no more e-mails about {escape(TOPIC_WORDS[topic])}.</p>"
        '<form method="post"><button>Unsubscribe</button></form>',
    )


@routes.post("/unsubscribe", who="anyone", answers={200: HTML}, refuses=(InvalidLink,))
def unsubscribe_from_topic(request: Request, query: UnsubscribeQuery) -> Answer:
    """End e-mails about a topic, at one click (RFC 8058).

    Again is the same. Any body will do: what is to end stands in the link.
    """
    user_id, topic = _read(request, query)
    with request.transaction() as session:
        preferences.opt_out(session, user_id, [topic])
    return page(
        "Unsubscribed",
        f"<p>You will get no more e-mails about {escape(TOPIC_WORDS[topic])}. "
        "Your preferences let you have them again.</p>",
    )


def _read(request: Request, query: UnsubscribeQuery) -> tuple[UUID, Topic]:
    settings = request.settings
    secrets = filter(None, (settings.jwt_secret, settings.previous_jwt_secret))
    return unsubscribe.read(secrets, query.token)
