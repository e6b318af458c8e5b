"""Deliver e-mails: a batch of recipients per message, one e-mail to each of them despite redelivery."""

from collections.abc import Callable, Sequence
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
    EventChanged,
    PaymentDetails,
)
from chalicelib.notifications import deliveries, emails, mail_context, unsubscribe
from chalicelib.notifications.kinds import EventState, Kind, kind_of
from chalicelib.notifications.mail_context import EventView, Recipient
from chalicelib.notifications.mailer import AddressRefused, EmailRefused, Mailer
from chalicelib.notifications.models import Topic
from chalicelib.platform.database.engine import Database
from chalicelib.platform.errors import Unreachable
from chalicelib.platform.messaging.bodies import DomainEventBody
from chalicelib.platform.messaging.messages import EmailBatch
from chalicelib.platform.messaging.ports import DomainEvent
from chalicelib.platform.observability import logs, metrics
from chalicelib.platform.settings import Settings
from chalicelib.platform.throttle import Throttle
from chalicelib.users import accounts as users
from chalicelib.users import email_tokens

MAX_OUTAGES_IN_A_ROW = 2
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
        _send_token(context, batch.domain_event, body, kind.purpose, now)
    elif isinstance(body, AccountNotice):
        _send_notice(context, batch.domain_event, body, now)
    else:
        _send_batch(context, kind, batch, body, now)


def _send_batch(
    context: MailContext, kind: Kind, batch: EmailBatch, body: DomainEventBody, now: datetime
) -> None:
    domain_event = batch.domain_event
    topic = kind.topic_of(body)
    event, bookings_of = None, {}
    with context.database.transaction() as connection:
        if kind.recipients is not None:
            event = mail_context.event_view(connection, domain_event.subject)
        if _is_stale(connection, kind, body, event, now):
            return
        found = mail_context.find(
            connection,
            batch.recipients,
            kind=kind,
            topic=topic,
            event_id=event.event_id if event else None,
            now=now,
        )
        user_ids = [recipient.user_id for recipient in found]
        claim = deliveries.claim(connection, domain_event.domain_event_id, user_ids, now)
        if event is not None:
            bookings_of = mail_context.calendar_bookings(
                connection,
                event.event_id,
                user_ids,
                kind=kind,
                booking_id=getattr(body, "booking_id", None),
            )
    claimed = [recipient for recipient in found if recipient.user_id in claim.mine]

    def compose(recipient: Recipient) -> bytes:
        return emails.compose(
            domain_event,
            recipient,
            settings=context.settings,
            now=now,
            event=event,
            booking=bookings_of.get(recipient.user_id),
            unsubscribe_url=_unsubscribe_url(context.settings, kind, topic, recipient),
        )

    _send_claimed(context, domain_event, claimed, compose, now)
    metrics.put("EmailsSent", len(claim.mine), "Count")
    if claim.others:
        raise Unreachable("Another delivery of this message is sending some of the e-mails")


def _is_stale(
    connection: Connection, kind: Kind, body: DomainEventBody, event: EventView | None, now: datetime
) -> bool:
    """Whether what the e-mail says is not true any more."""
    if kind.while_event_is is not None and (event is None or not _is(event, kind.while_event_is, now)):
        return True
    if isinstance(body, EventChanged) and event is not None and not any(emails.changes(body, event)):
        return True
    if kind.while_booking is None or not isinstance(body, BookingDetails | PaymentDetails):
        return False
    booking = select(bookings.c.booking_id).where(
        bookings.c.booking_id == body.booking_id, kind.while_booking
    )
    return connection.execute(booking, {"now": now}).first() is None


def _is(event: EventView, state: EventState, now: datetime) -> bool:
    published = event.status == "published"
    upcoming = published and now < event.ends_at
    on_sale = (event.sale_starts_at is None or event.sale_starts_at <= now) and (
        event.sale_ends_at is None or now < event.sale_ends_at
    )
    return {"published": published, "upcoming": upcoming, "on-sale": upcoming and on_sale}[state]


def _send_token(
    context: MailContext,
    domain_event: DomainEvent,
    body: EmailRequested,
    purpose: email_tokens.Purpose,
    now: datetime,
) -> None:
    """Send a token to the account with this address, if there is one, or to the account's new address.

    The token is made here, so that it is in no domain event and in no queue. A second delivery makes none,
    because a new token would end the older ones.
    """
    throttle = Throttle(context.settings)
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
        issued = email_tokens.issue(
            connection,
            purpose=purpose,
            email=body.email,
            pending_of=pending_of,
            throttle=throttle,
            now=now,
        )
    if issued is None:
        return
    recipient = Recipient(user_id=issued.user_id, name=issued.name, email=issued.email, verified=False)

    def compose(recipient: Recipient) -> bytes:
        return emails.compose(domain_event, recipient, settings=context.settings, now=now, token=issued.token)

    try:
        _send_claimed(context, domain_event, [recipient], compose, now)
    except Exception:
        with context.database.transaction() as connection:
            email_tokens.revoke(connection, issued.token, throttle)
        raise


def _send_notice(context: MailContext, domain_event: DomainEvent, body: AccountNotice, now: datetime) -> None:
    """Tell an address what happened to its account, which may have another address by now, or be deleted."""
    with context.database.transaction() as connection:
        if mail_context.is_suppressed(connection, body.email, now):
            return
        claim = deliveries.claim_notice(connection, domain_event.domain_event_id, body.user_id, now)
    if claim.others:
        raise Unreachable("Another delivery of this message is sending the e-mail")
    if not claim.mine:
        return
    recipient = Recipient(user_id=body.user_id, name="", email=body.email, verified=False)

    def compose(recipient: Recipient) -> bytes:
        return emails.compose(domain_event, recipient, settings=context.settings, now=now)

    _send_claimed(context, domain_event, [recipient], compose, now)


def _send_claimed(
    context: MailContext,
    domain_event: DomainEvent,
    claimed: Sequence[Recipient],
    compose: Callable[[Recipient], bytes],
    now: datetime,
) -> None:
    """Send the e-mails one by one, each marked before the next.

    An e-mail that fails, or cannot be composed, does not stop the others. After two outages in a row the rest
    waits for the next delivery.

    Raises:
        Unreachable: Some are not sent. Their claims are released.
    """
    composed: list[tuple[UUID, str, bytes]] = []
    failures: dict[UUID, Exception] = {}
    for recipient in claimed:
        try:
            composed.append((recipient.user_id, recipient.email, compose(recipient)))
        except Exception as error:  # noqa: BLE001 (raised after the others are sent)
            failures[recipient.user_id] = error
    uncomposed = list(failures)
    unsent, failed = _send_composed(context, domain_event.domain_event_id, composed, now)
    if uncomposed or unsent:
        with context.database.transaction() as connection:
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
    outages = 0
    unsent = [user_id for user_id, _, _ in composed]
    for user_id, address, message in composed:
        with context.database.transaction() as connection:
            deliveries.advance(connection, domain_event_id, sent=sent, begun=user_id, now=now)
        sent = None
        try:
            context.mailer.send(address, message)
        except AddressRefused as refused:
            # A refused address stays refused: it counts as sent.
            logs.warning("address refused", userId=str(user_id), reason=str(refused))
        except EmailRefused as refused:
            logs.error("e-mail refused", userId=str(user_id), reason=str(refused))
            failed[user_id] = refused
            continue
        except Exception as error:  # noqa: BLE001 (raised after the others are sent)
            failed[user_id] = error
            outages += 1
            if outages == MAX_OUTAGES_IN_A_ROW:
                break
            continue
        outages = 0
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
