"""Preferences and unsubscribe links on the wire."""

from typing import Annotated

from msgspec import Struct

from chalicelib.notifications.models import TOPICS
from chalicelib.web.validation import Body, says, text


class EmailPreferences(Body):
    """Which e-mails to get.

    What an account needs, what is about money (receipts too), and that an event is cancelled, comes anyway.
    """

    new_event: bool
    sale_started: bool
    booking_confirmed: bool
    booking_cancelled: bool
    event_changed: bool


class Preferences(Body):
    """What a person wants to be told, and how."""

    email: Annotated[
        EmailPreferences,
        says(f"must be an object with true or false for each of {', '.join(TOPICS)}, and nothing else"),
    ]


class UnsubscribeQuery(Struct, kw_only=True):
    token: Annotated[str, text(200, description="As it stands in the link.")]
