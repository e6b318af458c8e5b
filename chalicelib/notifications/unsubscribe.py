"""Unsubscribing: links that name a person and a topic, need no sign-in, and cannot be forged."""

import base64
import hmac
from collections.abc import Iterable
from uuid import UUID

from chalicelib.notifications.models import TOPICS, Topic
from chalicelib.platform.errors import InvalidInput

TOPIC_WORDS: dict[Topic, str] = {
    "newEvent": "new events of hosts you follow",
    "saleStarted": "sales that start",
    "bookingConfirmed": "bookings that are confirmed",
    "bookingCancelled": "bookings that are cancelled",
    "eventChanged": "changes of events you booked",
}
"""Each completes "e-mails about"."""

_PURPOSE = b"event-booking unsubscribe link v1"
"""Makes a key of its own from the secret, so that no signature made for one purpose serves another."""


class InvalidLink(InvalidInput):
    """This link is not one of ours, or was cut short."""


def link(secret: bytes, public_url: str, user_id: UUID, topic: Topic) -> str:
    """Make the link that ends a person's e-mails about a topic.

    It does not expire, since an e-mail may be opened years later; it ends when its secret does.
    """
    claim = f"{user_id.hex}.{topic}"
    return f"{public_url}/unsubscribe?token={claim}.{_signature(secret, claim)}"


def read(secrets: Iterable[bytes], token: str) -> tuple[UUID, Topic]:
    """Whom and which topic the token of a link names.

    Raises:
        InvalidLink: It was not signed with any of the secrets.
    """
    claim, _, signature = token.rpartition(".")
    given = signature.encode()
    if not any(hmac.compare_digest(given, _signature(secret, claim).encode()) for secret in secrets):
        raise InvalidLink
    user_id, _, name = claim.partition(".")
    for topic in TOPICS:
        if topic == name:
            return UUID(user_id), topic
    raise InvalidLink("There is no such topic any more.")


def _signature(secret: bytes, claim: str) -> str:
    key = hmac.digest(secret, _PURPOSE, "sha256")
    signature = hmac.digest(key, claim.encode(), "sha256")
    return base64.urlsafe_b64encode(signature).rstrip(b"=").decode("ascii")
