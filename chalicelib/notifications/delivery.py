"""Deliver e-mails: a batch of recipients per message, one e-mail each despite redelivery."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from chalicelib.bookings.models import bookings
from chalicelib.notifications import deliveries, emails, mail_context, unsubscribe
from chalicelib.notifications.emails import EventView, Recipient
from chalicelib.notifications.mailer import AddressRefused, Mailer
from chalicelib.notifications.models import topic_of
from chalicelib.notifications.recipients import VALID_WHILE
from chalicelib.platform.database.engine import Database
from chalicelib.platform.errors import Unreachable
from chalicelib.platform.messaging.ports import DomainEvent
from chalicelib.platform.observability import metrics
from chalicelib.platform.settings import Settings
from chalicelib.users import accounts as users
from chalicelib.users import verification

TOKEN_PURPOSES: dict[str, verification.Purpose] = {
    "email-verification-requested": "verify-email",
    "password-reset-requested": "reset-password",
}

WITH_UNSUBSCRIBE = frozenset({"event-published", "sale-started"})
"""Not about one's own booking or account (RFC 8058 is for mail that one may not want)."""

ONLY_WHILE_EVENT_IS_ON = WITH_UNSUBSCRIBE | {"event-changed", "booking-confirmed", "payment-failed"}
"""Told while the event is on."""


@dataclass(frozen=True, kw_only=True)
class MailContext:
    """What sending takes, besides the message."""

    database: Database
    mailer: Mailer
    settings: Settings


def send(post: MailContext, message: dict[str, Any], now: datetime) -> None:
    """Send the e-mails of one message: `{"domainEvent", "people"}`, or the bare domain event about one account.

    Addresses, wishes and the event are read now: a changed address is used, a deleted person gets
    nothing, and what a domain event says of an event that was called off meanwhile is not told any more.

    Raises:
        Unreachable, Unavailable: Some are not sent; the rest is, when the message is delivered again.
    """
    domain_event = DomainEvent.from_message(message.get("domainEvent", message))
    if domain_event.type in TOKEN_PURPOSES:
        _send_token(post, domain_event, TOKEN_PURPOSES[domain_event.type], now)
        return
    people = [UUID(user_id) for user_id in message.get("people", [str(domain_event.subject)])]
    with post.database.transaction() as connection:
        event = (
            mail_context.event_view(connection, domain_event.subject)
            if "eventId" in domain_event.body
            else None
        )
        if not _is_still_true(connection, domain_event, event):
            return
        found = mail_context.find(connection, people, topic=topic_of(domain_event), now=now)
        claim = deliveries.claim(
            connection, domain_event.domain_event_id, [recipient.user_id for recipient in found], now
        )
    _send_claimed(post, domain_event, event, [one for one in found if one.user_id in claim.mine], now)
    metrics.put("EmailsSent", len(claim.mine), "Count")
    if claim.others:
        raise Unreachable("Some are being sent by another delivery of this message")


def _is_still_true(connection: Connection, domain_event: DomainEvent, event: EventView | None) -> bool:
    """Whether a domain event still holds: its event is on, its booking is as the domain event says; most ends are final."""
    if domain_event.type in ONLY_WHILE_EVENT_IS_ON and (event is None or event.status != "published"):
        return False
    if domain_event.type not in VALID_WHILE:
        return True
    booking = bookings.c.booking_id == UUID(domain_event.body["bookingId"])
    return (
        connection.execute(
            select(bookings.c.booking_id).where(booking, VALID_WHILE[domain_event.type])
        ).first()
        is not None
    )


def _send_claimed(
    post: MailContext,
    domain_event: DomainEvent,
    event: EventView | None,
    people: Sequence[Recipient],
    now: datetime,
) -> None:
    """Send to each and note it at once, so that a cut in the middle repeats one e-mail at most."""
    for done, recipient in enumerate(people):
        letter = emails.compose(
            domain_event,
            recipient,
            event=event,
            sender=post.settings.mail_sender,
            public_url=post.settings.public_url,
            unsubscribe_url=_unsubscribe_url(post.settings, domain_event, recipient),
            token=None,
        )
        try:
            _send_one(post, domain_event, recipient, letter, now)
        except Unreachable:
            with post.database.transaction() as connection:
                deliveries.release(
                    connection, domain_event.domain_event_id, [one.user_id for one in people[done:]]
                )
            raise


def _send_one(
    post: MailContext, domain_event: DomainEvent, recipient: Recipient, letter: bytes, now: datetime
) -> None:
    # An address that is refused gets nothing through: that is done as much as can be.
    with contextlib.suppress(AddressRefused):
        post.mailer.send(recipient.email, letter)
    with post.database.transaction() as connection:
        deliveries.mark_sent(connection, domain_event.domain_event_id, recipient.user_id, now)


def _send_token(
    post: MailContext, domain_event: DomainEvent, purpose: verification.Purpose, now: datetime
) -> None:
    """Send a token to the account with the domain event's address, if there is one.

    It is made here, so that it stands in no domain event and no queue. A second delivery makes none, since a new
    token ends the older ones.
    """
    with post.database.transaction() as connection:
        account = users.find_credentials(connection, email=domain_event.body["email"])
        if account is None:
            return
        user_id = account.caller.user_id
        found = mail_context.find(connection, [user_id], topic=None, now=now)
        claim = deliveries.claim(
            connection, domain_event.domain_event_id, [recipient.user_id for recipient in found], now
        )
        if claim.others:
            raise Unreachable("It is being sent by another delivery of this message")
        if not claim.mine:
            return
        issued = verification.issue(connection, purpose=purpose, email=domain_event.body["email"], now=now)
    if issued is None:
        return
    letter = emails.compose(
        domain_event,
        found[0],
        event=None,
        sender=post.settings.mail_sender,
        public_url=post.settings.public_url,
        unsubscribe_url=None,
        token=issued.token,
    )
    try:
        _send_one(post, domain_event, found[0], letter, now)
    except Unreachable:
        with post.database.transaction() as connection:
            verification.revoke(connection, issued.token)
            deliveries.release(connection, domain_event.domain_event_id, [user_id])
        raise


def _unsubscribe_url(settings: Settings, domain_event: DomainEvent, recipient: Recipient) -> str | None:
    topic = topic_of(domain_event)
    if domain_event.type not in WITH_UNSUBSCRIBE or topic is None or not settings.public_url:
        return None
    return unsubscribe.link(settings.jwt_secret, settings.public_url, recipient.user_id, topic)
