"""Deliver e-mails: a batch of recipients per message, one e-mail each despite redelivery."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, DateTime, Uuid, and_, any_, bindparam, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert

from chalicelib.bookings.models import bookings
from chalicelib.notifications import emails, mail_context, unsubscribe
from chalicelib.notifications.emails import EventView, Recipient
from chalicelib.notifications.mailer import AddressRefused, Mailer
from chalicelib.notifications.models import deliveries, topic_of
from chalicelib.notifications.recipients import VALID_WHILE
from chalicelib.platform.database.engine import Database
from chalicelib.platform.errors import Unreachable
from chalicelib.platform.messaging.ports import DomainEvent
from chalicelib.platform.observability import metrics
from chalicelib.platform.settings import Settings
from chalicelib.users import accounts as users
from chalicelib.users import verification
from chalicelib.users.models import credentials

CLAIM_LEASE = timedelta(minutes=3)
"""How long people whom a delivery has taken are left to it.

Longer than the function may run, shorter than the queue keeps a message from being delivered again.
"""

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
        OutOfReach, Unavailable: Some are not sent; the rest is, when the message is delivered again.
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
        claim = _claim(connection, domain_event, [recipient.user_id for recipient in found], now)
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
                _release(connection, domain_event, [one.user_id for one in people[done:]])
            raise


def _send_one(
    post: MailContext, domain_event: DomainEvent, recipient: Recipient, letter: bytes, now: datetime
) -> None:
    # An address that is refused gets nothing through: that is done as much as can be.
    with contextlib.suppress(AddressRefused):
        post.mailer.send(recipient.email, letter)
    with post.database.transaction() as connection:
        connection.execute(
            _SENT,
            {"this_domain_event": domain_event.domain_event_id, "this_user": recipient.user_id, "now": now},
        )


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
        claim = _claim(connection, domain_event, [recipient.user_id for recipient in found], now)
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
            _release(connection, domain_event, [user_id])
        raise


def _unsubscribe_url(settings: Settings, domain_event: DomainEvent, recipient: Recipient) -> str | None:
    topic = topic_of(domain_event)
    if domain_event.type not in WITH_UNSUBSCRIBE or topic is None or not settings.public_url:
        return None
    return unsubscribe.link(settings.jwt_secret, settings.public_url, recipient.user_id, topic)


@dataclass(frozen=True)
class Claim:
    """Who of a chunk is this delivery's to send to."""

    mine: frozenset[UUID]
    others: frozenset[UUID]
    """Not sent to yet, by another delivery that may still do it."""


_domain_event_id = bindparam("this_domain_event", type_=Uuid)

_people = bindparam("people", type_=ARRAY(Uuid))

_now = bindparam("now", type_=DateTime(timezone=True))

_SENT = (
    update(deliveries)
    .where(
        deliveries.c.domain_event_id == _domain_event_id,
        deliveries.c.user_id == bindparam("this_user", type_=Uuid),
    )
    .values(sent_at=_now)
)

_claiming = insert(deliveries).from_select(
    ["domain_event_id", "user_id", "claimed_at"],
    select(_domain_event_id, credentials.c.user_id, _now)
    .where(credentials.c.user_id == any_(_people))
    .order_by(credentials.c.user_id),
)

_CLAIM = _claiming.on_conflict_do_update(
    index_elements=["domain_event_id", "user_id"],
    set_={"claimed_at": _claiming.excluded.claimed_at},
    where=and_(deliveries.c.sent_at.is_(None), deliveries.c.claimed_at < _now - CLAIM_LEASE),
).returning(deliveries.c.user_id)

_UNSENT = select(deliveries.c.user_id).where(
    deliveries.c.domain_event_id == _domain_event_id,
    deliveries.c.user_id == any_(_people),
    deliveries.c.sent_at.is_(None),
)


def _claim(connection: Connection, domain_event: DomainEvent, people: list[UUID], now: datetime) -> Claim:
    """Take the people who have not been sent to, and whom no live delivery has taken."""
    parameters = {"this_domain_event": domain_event.domain_event_id, "people": people, "now": now}
    mine = frozenset(connection.scalars(_CLAIM, parameters))
    unsent = frozenset(connection.scalars(_UNSENT, parameters))
    return Claim(mine, unsent - mine)


def _release(connection: Connection, domain_event: DomainEvent, people: list[UUID]) -> None:
    """Give up what was taken and not sent, so that the next delivery need not wait for the lease."""
    connection.execute(
        update(deliveries)
        .where(
            deliveries.c.domain_event_id == domain_event.domain_event_id,
            deliveries.c.user_id.in_(people),
            deliveries.c.sent_at.is_(None),
        )
        .values(claimed_at=deliveries.c.claimed_at - CLAIM_LEASE)
    )


RETENTION = timedelta(days=30)
"""SQS keeps a message for 14 days at most, and a dead-letter queue again as long."""


def purge(database: Database, now: datetime) -> int:
    """Delete what says who was sent an e-mail, once no queue holds a message any more that it could be of."""
    return database.delete_before(deliveries.c.claimed_at, now - RETENTION)
