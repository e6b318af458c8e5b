"""Unsubscribe links: they name a user and a topic, need no login, and cannot be forged."""

import base64
import hmac
from uuid import UUID

from chalicelib.notifications.models import TOPICS, Topic
from chalicelib.platform.errors import InvalidInput

TOPIC_WORDS: dict[Topic, str] = {
    "newEvent": "new events by hosts you follow",
    "saleStarted": "the start of sales",
    "bookingConfirmed": "confirmed bookings",
    "bookingCancelled": "cancelled bookings",
    "eventChanged": "changes to events you booked",
    "dailyDigest": "bookings at your events",
}
"""Each continues "e-mails about"."""

_PURPOSE = b"event-booking unsubscribe link v1"
"""Derives a key of its own from the secret, so that signatures for other purposes are not valid here."""


class InvalidLink(InvalidInput):
    """The link is invalid or incomplete."""


def link(secret: bytes, public_url: str, user_id: UUID, topic: Topic) -> str:
    """The link that stops a user's e-mails about a topic.

    It does not expire, because an e-mail may be opened years later. It is valid while its secret is in use.
    """
    claim = f"{user_id.hex}.{topic}"
    return f"{public_url}/unsubscribe?token={claim}.{_signature(secret, claim)}"


def read(secret: bytes, token: str) -> tuple[UUID, Topic]:
    """The user and the topic that the token of a link names.

    Raises:
        InvalidLink: The token was not signed with the secret, or names a former topic.
    """
    claim, _, signature = token.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _signature(secret, claim).encode()):
        raise InvalidLink
    user_id, _, name = claim.partition(".")
    for topic in TOPICS:
        if topic == name:
            return UUID(user_id), topic
    raise InvalidLink("This topic no longer exists.")


def _signature(secret: bytes, claim: str) -> str:
    key = hmac.digest(secret, _PURPOSE, "sha256")
    signature = hmac.digest(key, claim.encode(), "sha256")
    return base64.urlsafe_b64encode(signature).rstrip(b"=").decode("ascii")
