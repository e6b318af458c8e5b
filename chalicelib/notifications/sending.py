"""Sending e-mails: a chunk of people at a time, each person's once, whatever is delivered twice."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Uuid, and_, any_, bindparam, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert

from chalicelib.bookings.models import bookings
from chalicelib.db import Database, Session
from chalicelib.notifications import letters, recipients, unsubscribe
from chalicelib.notifications.audiences import STILL
from chalicelib.notifications.letters import EventView, Recipient
from chalicelib.notifications.models import deliveries, topic_of
from chalicelib.ports import AddressRefused, Fact, Mailer, OutOfReach
from chalicelib.security import credentials
from chalicelib.settings import Settings
from chalicelib.users import email_tokens
from chalicelib.users import service as users

LEASE = timedelta(minutes=3)
"""How long people whom a delivery has taken are left to it.

Longer than the function may run, shorter than the queue keeps a message from being delivered again.
"""

PROOFS: dict[str, email_tokens.Purpose] = {
    "email-verification-requested": "verify-email",
    "password-reset-requested": "reset-password",
}
WITH_UNSUBSCRIBE = frozenset({"event-published", "sale-started"})
"""Not about one's own booking or account (RFC 8058 is for mail that one may not want)."""
INVITING = WITH_UNSUBSCRIBE | {"event-changed", "booking-confirmed", "payment-failed"}
"""Told while the event is on."""


@dataclass(frozen=True, kw_only=True)
class Post:
    """What sending takes, besides the message."""

    database: Database
    mailer: Mailer
    settings: Settings


def send(post: Post, message: dict[str, Any], now: datetime) -> None:
    """Send the e-mails of one message: `{"fact", "people"}`, or the bare fact about one account.

    Addresses, wishes and the event are read now: a changed address is used, a deleted person gets
    nothing, and what a fact says of an event that was called off meanwhile is not told any more.

    Raises:
        OutOfReach, Unavailable: Some are not sent; the rest is, when the message is delivered again.
    """
    fact = Fact.from_message(message.get("fact", message))
    if fact.type in PROOFS:
        _send_proof(post, fact, PROOFS[fact.type], now)
        return
    people = [UUID(user_id) for user_id in message.get("people", [str(fact.subject)])]
    with post.database.transaction() as session:
        event = recipients.event_view(session, fact.subject) if "eventId" in fact.body else None
        if not _still_so(session, fact, event):
            return
        found = recipients.find(session, people, topic=topic_of(fact), now=now)
        claim = _claim(session, fact, [recipient.user_id for recipient in found], now)
    _send_claimed(post, fact, event, [one for one in found if one.user_id in claim.mine], now)
    if claim.others:
        raise OutOfReach("Some are being sent by another delivery of this message")


def _still_so(session: Session, fact: Fact, event: EventView | None) -> bool:
    """Whether a fact still holds: its event is on, its booking is as the fact says; most ends are final."""
    if fact.type in INVITING and (event is None or event.status != "published"):
        return False
    if fact.type not in STILL:
        return True
    booking = bookings.c.booking_id == UUID(fact.body["bookingId"])
    return session.execute(select(bookings.c.booking_id).where(booking, STILL[fact.type])).first() is not None


def _send_claimed(
    post: Post, fact: Fact, event: EventView | None, people: Sequence[Recipient], now: datetime
) -> None:
    """Send to each and note it at once, so that a cut in the middle repeats one e-mail at most."""
    for done, recipient in enumerate(people):
        letter = letters.compose(
            fact,
            recipient,
            event=event,
            sender=post.settings.mail_sender,
            public_url=post.settings.public_url,
            unsubscribe_url=_unsubscribe_url(post.settings, fact, recipient),
            token=None,
        )
        try:
            _hand_over(post, fact, recipient, letter, now)
        except OutOfReach:
            with post.database.transaction() as session:
                _release(session, fact, [one.user_id for one in people[done:]])
            raise


def _hand_over(post: Post, fact: Fact, recipient: Recipient, letter: bytes, now: datetime) -> None:
    # An address that is refused gets nothing through: that is done as much as can be.
    with contextlib.suppress(AddressRefused):
        post.mailer.send(recipient.email, letter)
    with post.database.transaction() as session:
        session.execute(_SENT, {"this_fact": fact.fact_id, "this_user": recipient.user_id, "now": now})


def _send_proof(post: Post, fact: Fact, purpose: email_tokens.Purpose, now: datetime) -> None:
    """Send a token to the account with the fact's address, if there is one.

    It is made here, so that it stands in no fact and no queue. A second delivery makes none, since a new
    token ends the older ones.
    """
    with post.database.transaction() as session:
        account = users.claimed(session, email=fact.body["email"])
        if account is None:
            return
        user_id = account.caller.user_id
        found = recipients.find(session, [user_id], topic=None, now=now)
        claim = _claim(session, fact, [recipient.user_id for recipient in found], now)
        if claim.others:
            raise OutOfReach("It is being sent by another delivery of this message")
        if not claim.mine:
            return
        issued = email_tokens.issue(session, purpose=purpose, email=fact.body["email"], now=now)
    if issued is None:
        return
    letter = letters.compose(
        fact,
        found[0],
        event=None,
        sender=post.settings.mail_sender,
        public_url=post.settings.public_url,
        unsubscribe_url=None,
        token=issued.token,
    )
    try:
        _hand_over(post, fact, found[0], letter, now)
    except OutOfReach:
        with post.database.transaction() as session:
            email_tokens.withdraw(session, issued.token)
            _release(session, fact, [user_id])
        raise


def _unsubscribe_url(settings: Settings, fact: Fact, recipient: Recipient) -> str | None:
    topic = topic_of(fact)
    if fact.type not in WITH_UNSUBSCRIBE or topic is None or not settings.public_url:
        return None
    return unsubscribe.link(settings.jwt_secret, settings.public_url, recipient.user_id, topic)


@dataclass(frozen=True)
class Claim:
    """Who of a chunk is this delivery's to send to."""

    mine: frozenset[UUID]
    others: frozenset[UUID]
    """Not sent to yet, by another delivery that may still do it."""


_fact_id = bindparam("this_fact", type_=Uuid)
_people = bindparam("people", type_=ARRAY(Uuid))
_now = bindparam("now", type_=DateTime(timezone=True))

_SENT = (
    update(deliveries)
    .where(deliveries.c.fact_id == _fact_id, deliveries.c.user_id == bindparam("this_user", type_=Uuid))
    .values(sent_at=_now)
)
_claiming = insert(deliveries).from_select(
    ["fact_id", "user_id", "claimed_at"],
    select(_fact_id, credentials.c.user_id, _now)
    .where(credentials.c.user_id == any_(_people))
    .order_by(credentials.c.user_id),
)
_CLAIM = _claiming.on_conflict_do_update(
    index_elements=["fact_id", "user_id"],
    set_={"claimed_at": _claiming.excluded.claimed_at},
    where=and_(deliveries.c.sent_at.is_(None), deliveries.c.claimed_at < _now - LEASE),
).returning(deliveries.c.user_id)
_UNSENT = select(deliveries.c.user_id).where(
    deliveries.c.fact_id == _fact_id,
    deliveries.c.user_id == any_(_people),
    deliveries.c.sent_at.is_(None),
)


def _claim(session: Session, fact: Fact, people: list[UUID], now: datetime) -> Claim:
    """Take the people who have not been sent to, and whom no live delivery has taken."""
    parameters = {"this_fact": fact.fact_id, "people": people, "now": now}
    mine = frozenset(session.scalars(_CLAIM, parameters))
    unsent = frozenset(session.scalars(_UNSENT, parameters))
    return Claim(mine, unsent - mine)


def _release(session: Session, fact: Fact, people: list[UUID]) -> None:
    """Give up what was taken and not sent, so that the next delivery need not wait for the lease."""
    session.execute(
        update(deliveries)
        .where(
            deliveries.c.fact_id == fact.fact_id,
            deliveries.c.user_id.in_(people),
            deliveries.c.sent_at.is_(None),
        )
        .values(claimed_at=deliveries.c.claimed_at - LEASE)
    )
