"""Deliver e-mails: a batch of recipients per message, one e-mail to each of them despite redelivery."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select

from chalicelib import domain_events
from chalicelib.bookings.models import bookings
from chalicelib.domain_events import (
    AccountNotice,
    BookingDetails,
    EmailRequested,
    EmailVerificationRequested,
    PaymentDetails,
)
from chalicelib.notifications import deliveries, emails, mail_context, unsubscribe
from chalicelib.notifications.kinds import Kind, kind_of
from chalicelib.notifications.mail_context import EventView, Recipient
from chalicelib.notifications.mailer import AddressRefused, Mailer
from chalicelib.notifications.models import Topic
from chalicelib.platform.database.engine import Database
from chalicelib.platform.errors import Unreachable
from chalicelib.platform.messaging.bodies import DomainEventBody
from chalicelib.platform.messaging.messages import EmailBatch
from chalicelib.platform.messaging.ports import DomainEvent
from chalicelib.platform.observability import metrics
from chalicelib.platform.settings import Settings
from chalicelib.platform.throttle import Throttle
from chalicelib.users import accounts as users
from chalicelib.users import verification

MAX_FAILURES_IN_A_ROW = 2
"""One may be due to its address. More are an outage, and waiting for SES each time would take too long."""


@dataclass(frozen=True, kw_only=True)
class MailContext:
    """What sending needs besides the message."""

    database: Database
    mailer: Mailer
    settings: Settings


def send(context: MailContext, batch: EmailBatch, now: datetime) -> None:
    """Send the e-mails of one batch.

    Addresses, preferences and the event are read now, not when the domain event was recorded: a changed
    address is used, a deleted account gets nothing, and a stale notification is not sent.

    Raises:
        ValueError: There is no such e-mail, or the domain event is malformed.
        Unreachable, Unavailable: Some e-mails are not sent. The next delivery sends them.
    """
    kind = kind_of(batch.domain_event.type)
    body = domain_events.parse(batch.domain_event)
    if kind.purpose is not None and isinstance(body, EmailRequested):
        _send_token(context, kind, batch.domain_event, body, kind.purpose, now)
    elif isinstance(body, AccountNotice):
        _send_notice(context, kind, batch.domain_event, body, now)
    else:
        _send_batch(context, kind, batch, body, now)


def _send_batch(
    context: MailContext, kind: Kind, batch: EmailBatch, body: DomainEventBody, now: datetime
) -> None:
    domain_event = batch.domain_event
    topic = kind.topic_of(body)
    with context.database.transaction() as connection:
        event = (
            mail_context.event_view(connection, domain_event.subject) if kind.recipients is not None else None
        )
        if _is_stale(connection, kind, body, event):
            return
        found = mail_context.find(connection, batch.recipients, topic=topic, now=now)
        claim = deliveries.claim(
            connection, domain_event.domain_event_id, [recipient.user_id for recipient in found], now
        )
    claimed = [recipient for recipient in found if recipient.user_id in claim.mine]
    _send_claimed(context, kind, domain_event, claimed, now, event=event, topic=topic)
    metrics.put("EmailsSent", len(claim.mine), "Count")
    if claim.others:
        raise Unreachable("Another delivery of this message is sending some of the e-mails")


def _is_stale(connection: Connection, kind: Kind, body: DomainEventBody, event: EventView | None) -> bool:
    if kind.while_event_is_on and (event is None or event.status != "published"):
        return True
    if kind.while_booking is None or not isinstance(body, BookingDetails | PaymentDetails):
        return False
    booking = select(bookings.c.booking_id).where(
        bookings.c.booking_id == body.booking_id, kind.while_booking
    )
    return connection.execute(booking).first() is None


def _send_token(
    context: MailContext,
    kind: Kind,
    domain_event: DomainEvent,
    body: EmailRequested,
    purpose: verification.Purpose,
    now: datetime,
) -> None:
    """Send a token to the account with this address, if there is one, or to the account's new address.

    The token is made here, so that it is in no domain event and in no queue. A second delivery makes none,
    because a new token would end the older ones.
    """
    with context.database.transaction() as connection:
        account = users.find_credentials(connection, email=body.email)
        pending_of = body.user_id if isinstance(body, EmailVerificationRequested) else None
        user_id = pending_of or (account.caller.user_id if account else None)
        if user_id is None or mail_context.is_suppressed(connection, body.email, now, asked_for=True):
            return
        claim = deliveries.claim(connection, domain_event.domain_event_id, [user_id], now)
        if claim.others:
            raise Unreachable("Another delivery of this message is sending the e-mail")
        if not claim.mine:
            return
        issued = verification.issue(
            connection,
            purpose=purpose,
            email=body.email,
            pending_of=pending_of,
            throttle=Throttle(context.settings),
            now=now,
        )
    if issued is not None:
        recipient = Recipient(user_id=issued.user_id, name=issued.name, email=issued.email, verified=False)
        _send_claimed(context, kind, domain_event, [recipient], now, token=issued.token)


def _send_notice(
    context: MailContext, kind: Kind, domain_event: DomainEvent, body: AccountNotice, now: datetime
) -> None:
    """Tell an address what happened to its account, which may have another address by now, or be deleted."""
    with context.database.transaction() as connection:
        if mail_context.is_suppressed(connection, body.email, now):
            return
        claim = deliveries.claim_notice(connection, domain_event.domain_event_id, body.user_id, now)
    if claim.others:
        raise Unreachable("Another delivery of this message is sending the e-mail")
    if claim.mine:
        recipient = Recipient(user_id=body.user_id, name="", email=body.email, verified=False)
        _send_claimed(context, kind, domain_event, [recipient], now)


def _send_claimed(
    context: MailContext,
    kind: Kind,
    domain_event: DomainEvent,
    claimed: Sequence[Recipient],
    now: datetime,
    *,
    event: EventView | None = None,
    topic: Topic | None = None,
    token: str | None = None,
) -> None:
    """Send the e-mails one by one, each marked before the next.

    An e-mail that fails, or cannot be composed, does not stop the others. After two failures in a row the
    rest waits for the next delivery.

    Raises:
        Unreachable: Some are not sent. Their claims are released.
    """
    composed: list[tuple[UUID, str, bytes]] = []
    failures: dict[UUID, Exception] = {}
    for recipient in claimed:
        try:
            message = emails.compose(
                domain_event,
                recipient,
                event=event,
                sender=context.settings.mail_sender,
                public_url=context.settings.public_url,
                unsubscribe_url=_unsubscribe_url(context.settings, kind, topic, recipient),
                token=token,
            )
        except Exception as error:  # noqa: BLE001 (raised after the others are sent)
            failures[recipient.user_id] = error
        else:
            composed.append((recipient.user_id, recipient.email, message))
    uncomposed = list(failures)
    unsent, failed = _send_composed(context, domain_event.domain_event_id, composed, now)
    if uncomposed or unsent:
        with context.database.transaction() as connection:
            if token is not None:
                verification.revoke(connection, token, Throttle(context.settings))
            deliveries.release(
                connection, domain_event.domain_event_id, [*uncomposed, *unsent], failed=list(failed)
            )
    _raise_first(failed | failures)


def _raise_first(failures: dict[UUID, Exception]) -> None:
    """Raise one of the errors: an outage if there was one, so that it uses up no attempt."""
    for error in sorted(failures.values(), key=lambda error: not isinstance(error, Unreachable)):
        raise error


def _send_composed(
    context: MailContext, domain_event_id: UUID, composed: Sequence[tuple[UUID, str, bytes]], now: datetime
) -> tuple[list[UUID], dict[UUID, Exception]]:
    """Return the recipients whose e-mail is not sent, and the errors of those that failed."""
    failed: dict[UUID, Exception] = {}
    sent: UUID | None = None
    in_a_row = 0
    unsent = [user_id for user_id, _, _ in composed]
    for user_id, address, message in composed:
        with context.database.transaction() as connection:
            deliveries.advance(connection, domain_event_id, sent=sent, begun=user_id, now=now)
        sent = None
        try:
            # A refused address stays refused: it counts as sent.
            with contextlib.suppress(AddressRefused):
                context.mailer.send(address, message)
        except Exception as error:  # noqa: BLE001 (raised after the others are sent)
            failed[user_id] = error
            in_a_row += 1
            if in_a_row == MAX_FAILURES_IN_A_ROW:
                break
        else:
            in_a_row = 0
            unsent.remove(user_id)
            sent = user_id
    if sent is not None:
        with context.database.transaction() as connection:
            deliveries.advance(connection, domain_event_id, sent=sent, begun=None, now=now)
    return unsent, failed


def _unsubscribe_url(settings: Settings, kind: Kind, topic: Topic | None, recipient: Recipient) -> str | None:
    if not kind.can_unsubscribe or topic is None or not settings.public_url:
        return None
    return unsubscribe.link(settings.jwt_secret, settings.public_url, recipient.user_id, topic)
