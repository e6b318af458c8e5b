"""Deliver e-mails: a batch of recipients per message, one e-mail to each of them despite redelivery."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select

from chalicelib import domain_events
from chalicelib.bookings import claims
from chalicelib.bookings.models import bookings
from chalicelib.check_in.ticket_codes import TicketCodes
from chalicelib.documents import printed_tickets
from chalicelib.documents.printed_tickets import PrintedTicket
from chalicelib.domain_events import (
    AccountNotice,
    BookingDetails,
    ConfirmedBooking,
    DailyDigestDue,
    EmailRequested,
    EmailVerificationRequested,
    EventChanged,
    PaymentDetails,
    PaymentRefundDue,
    TicketDetails,
    TicketTransferOffered,
    TicketTransferred,
)
from chalicelib.notifications import deliveries, digest, emails, mail_context, unsubscribe
from chalicelib.notifications.deliveries import Claim
from chalicelib.notifications.kinds import EventState, Kind, kind_of
from chalicelib.notifications.mail_context import BookingView, EventView, Recipient
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
from chalicelib.users import accounts, email_tokens

MAX_OUTAGES_IN_A_ROW = 2
"""A single failure may be due to its address. Two are an outage, for which each further e-mail would wait."""


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
    if isinstance(body, TicketTransferOffered):
        _send_offer(context, kind, batch.domain_event, body, now)
    elif kind.purpose is not None and kind.purpose != "claim-ticket" and isinstance(body, EmailRequested):
        _send_token(context, batch.domain_event, body, kind.purpose, now)
    elif isinstance(body, AccountNotice):
        _send_notice(context, batch.domain_event, body, now)
    elif isinstance(body, DailyDigestDue):
        _send_digests(context, kind, batch, body, now)
    elif isinstance(body, ConfirmedBooking) and body.paid_by:
        _send_to_customer(context, kind, batch.domain_event, body, now)
    else:
        _send_about_event(context, kind, batch, body, now)


def _send_about_event(
    context: MailContext, kind: Kind, batch: EmailBatch, body: DomainEventBody, now: datetime
) -> None:
    domain_event, topic = batch.domain_event, kind.topic_of(body)
    with context.database.transaction() as connection:
        event = _event_unless_stale(connection, kind, domain_event, body, now)
        if event is None:
            return
        found = mail_context.find(
            connection, batch.recipients, kind=kind, topic=topic, event_id=event.event_id, now=now
        )
        if kind.holder_subject is not None:
            found += mail_context.find_holders(connection, batch.recipients, now)
        claim = _claim(connection, domain_event, found, now)
        bookings_of = mail_context.booking_views(
            connection,
            event.event_id,
            claim.mine,
            kind=kind,
            booking_id=getattr(body, "booking_id", None),
            ticket_ids=_refunded_tickets(body),
        )
        documents_of = _documents(connection, context.settings, kind, body, found, bookings_of)

    def compose(recipient: Recipient) -> bytes:
        return emails.compose(
            domain_event,
            recipient,
            settings=context.settings,
            now=now,
            event=event,
            bookings=bookings_of.get(recipient.user_id, ()),
            documents=documents_of.get(recipient.user_id, ()),
            unsubscribe_url=_unsubscribe_url(context.settings, kind, topic, recipient),
        )

    claimed = [recipient for recipient in found if recipient.user_id in claim.mine]
    _send_claimed(context, domain_event, claimed, compose, now)
    _require_no_others(claim)


def _send_to_customer(
    context: MailContext, kind: Kind, domain_event: DomainEvent, body: ConfirmedBooking, now: datetime
) -> None:
    """Send the e-mail to the customer of the box office, if the host has entered an address.

    The customer has no account, so the e-mail is claimed for the booking. It goes without the description of
    the event, because the host may have entered the address of a stranger.
    """
    with context.database.transaction() as connection:
        event = _event_unless_stale(connection, kind, domain_event, body, now)
        customer = mail_context.find_customer(connection, body.booking_id, now)
        if event is None or customer is None:
            return
        claim = deliveries.claim_notices(connection, domain_event.domain_event_id, [body.booking_id], now)
        bookings_of = mail_context.booking_views(
            connection,
            event.event_id,
            claim.mine,
            kind=kind,
            booking_id=body.booking_id,
            ticket_ids=None,
            to_customer=True,
        )
        documents_of = _documents(connection, context.settings, kind, body, [customer], bookings_of)
    _require_no_others(claim)
    if not claim.mine:
        return

    def compose(recipient: Recipient) -> bytes:
        return emails.compose(
            domain_event,
            recipient,
            settings=context.settings,
            now=now,
            event=replace(event, description=None),
            bookings=bookings_of.get(recipient.user_id, ()),
            documents=documents_of.get(recipient.user_id, ()),
        )

    _send_claimed(context, domain_event, [customer], compose, now)


def _documents(
    connection: Connection,
    settings: Settings,
    kind: Kind,
    body: DomainEventBody,
    recipients: Iterable[Recipient],
    bookings_of: Mapping[UUID, Sequence[BookingView]],
) -> dict[UUID, list[PrintedTicket]]:
    """The tickets to attach, by recipient."""
    if kind.attaches is None:
        return {}
    codes = TicketCodes.of(settings)
    if kind.attaches == "ticket" and isinstance(body, TicketDetails):
        printed = printed_tickets.of_tickets(connection, codes, [body.ticket_id])
        is_transfer = isinstance(body, TicketTransferred)
        return {person.user_id: printed for person in recipients if person.is_holder or not is_transfer}
    reader_of = {view.booking_id: reader_id for reader_id, views in bookings_of.items() for view in views}
    documents: dict[UUID, list[PrintedTicket]] = {}
    for ticket in printed_tickets.of_bookings(connection, codes, reader_of):
        documents.setdefault(reader_of[ticket.booking_id], []).append(ticket)
    return documents


def _send_digests(
    context: MailContext, kind: Kind, batch: EmailBatch, body: DailyDigestDue, now: datetime
) -> None:
    """Send hosts their digests, unless what they report is purged by now."""
    domain_event = batch.domain_event
    with context.database.transaction() as connection:
        found = mail_context.find(
            connection, batch.recipients, kind=kind, topic=kind.topic, event_id=None, now=now
        )
        claim = _claim(connection, domain_event, found, now)
        activity_of = digest.read(connection, claim.mine, body, now)

    def compose(recipient: Recipient) -> bytes:
        return emails.compose(
            domain_event,
            recipient,
            settings=context.settings,
            now=now,
            activity=activity_of[recipient.user_id],
            unsubscribe_url=_unsubscribe_url(context.settings, kind, kind.topic, recipient),
        )

    claimed = [recipient for recipient in found if recipient.user_id in activity_of]
    _send_claimed(context, domain_event, claimed, compose, now)
    _require_no_others(claim)


def _claim(
    connection: Connection, domain_event: DomainEvent, found: Sequence[Recipient], now: datetime
) -> Claim:
    user_ids = [recipient.user_id for recipient in found if not recipient.is_holder]
    claim = deliveries.claim(connection, domain_event.domain_event_id, user_ids, now)
    ticket_ids = [recipient.user_id for recipient in found if recipient.is_holder]
    if not ticket_ids:
        return claim
    of_holders = deliveries.claim_notices(connection, domain_event.domain_event_id, ticket_ids, now)
    return Claim(claim.mine | of_holders.mine, claim.others | of_holders.others)


def _require_no_others(claim: Claim) -> None:
    """Let the message be delivered again while another delivery may still fail to send its part.

    Raises:
        Unreachable
    """
    if claim.others:
        raise Unreachable("Another delivery of this message is sending some of its e-mails")


def _refunded_tickets(body: DomainEventBody) -> list[UUID] | None:
    """The tickets whose price is due back, if the domain event is about a refund."""
    return [ticket.ticket_id for ticket in body.tickets] if isinstance(body, PaymentRefundDue) else None


def _event_unless_stale(
    connection: Connection, kind: Kind, domain_event: DomainEvent, body: DomainEventBody, now: datetime
) -> EventView | None:
    """Return the event as it is now, or None if what the e-mail says is no longer true.

    Raises:
        ValueError: There is no such event.
    """
    event = mail_context.event_view(connection, domain_event.subject)
    if event is None:
        raise ValueError("there is no such event")
    return None if _is_stale(connection, kind, body, event, now) else event


def _is_stale(
    connection: Connection, kind: Kind, body: DomainEventBody, event: EventView, now: datetime
) -> bool:
    """Whether what the e-mail says is no longer true."""
    if kind.while_event_is is not None and not _is_in_state(event, kind.while_event_is, now):
        return True
    if isinstance(body, EventChanged) and not any(emails.changes(body, event)):
        return True
    if kind.while_booking is None or not isinstance(body, BookingDetails | PaymentDetails):
        return False
    booking = select(bookings.c.booking_id).where(
        bookings.c.booking_id == body.booking_id, kind.while_booking
    )
    return connection.execute(booking, {"now": now}).first() is None


def _is_in_state(event: EventView, state: EventState, now: datetime) -> bool:
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
    """Send a token to the account with this address, if there is one, or to the new address of an account.

    The token is made here, so that it is in no domain event and in no queue. A redelivery after the e-mail
    was sent makes none, because a new token would end the older ones.
    """
    throttle = Throttle(context.settings)
    with context.database.transaction() as connection:
        pending_of = body.user_id if isinstance(body, EmailVerificationRequested) else None
        user_id = pending_of or _owner(connection, body.email)
        if user_id is None or mail_context.is_suppressed(connection, body.email, now, asked_for=True):
            return
        claim = deliveries.claim(connection, domain_event.domain_event_id, [user_id], now)
        _require_no_others(claim)
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


def _send_offer(
    context: MailContext, kind: Kind, domain_event: DomainEvent, body: TicketTransferOffered, now: datetime
) -> None:
    """Send the link that claims a ticket to the address that it is offered to.

    As with other tokens, a redelivery after the e-mail was sent makes none.
    """
    with context.database.transaction() as connection:
        event = _event_unless_stale(connection, kind, domain_event, body, now)
        if event is None:
            return
        claim = deliveries.claim_notices(connection, domain_event.domain_event_id, [body.transfer_id], now)
        _require_no_others(claim)
        if not claim.mine:
            return
        issued = claims.issue_token(connection, body.transfer_id, now)
        if issued is None or mail_context.is_suppressed(connection, issued.email, now):
            return
    recipient = Recipient(
        user_id=body.transfer_id,
        name=issued.name or "",
        email=issued.email,
        verified=issued.name is not None,
    )

    def compose(recipient: Recipient) -> bytes:
        return emails.compose(
            domain_event,
            recipient,
            settings=context.settings,
            now=now,
            event=event,
            token=issued.token,
            expires_at=issued.expires_at,
        )

    try:
        _send_claimed(context, domain_event, [recipient], compose, now)
    except Exception:
        with context.database.transaction() as connection:
            claims.revoke_token(connection, issued.token)
        raise


def _owner(connection: Connection, email: str) -> UUID | None:
    account = accounts.find_credentials(connection, email=email)
    return account.caller.user_id if account else None


def _send_notice(context: MailContext, domain_event: DomainEvent, body: AccountNotice, now: datetime) -> None:
    """Notify the address in the domain event. Its account may have another one by now, or be deleted."""
    with context.database.transaction() as connection:
        if mail_context.is_suppressed(connection, body.email, now):
            return
        claim = deliveries.claim_notices(connection, domain_event.domain_event_id, [body.user_id], now)
    _require_no_others(claim)
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

    An e-mail that fails, or cannot be composed, does not stop the others. After two outages in a row, those
    that are left wait for the next delivery.

    Raises:
        Exception: Some e-mails are not sent. Their claims are released. It is an Unreachable if there was an
            outage, so that the outage uses up no attempt of the message.
    """
    composed: list[tuple[UUID, str, bytes]] = []
    not_composed: dict[UUID, Exception] = {}
    for recipient in claimed:
        try:
            composed.append((recipient.user_id, recipient.email, compose(recipient)))
        except Exception as error:  # noqa: BLE001 (raised after the others are sent)
            not_composed[recipient.user_id] = error
    unsent, failed = _send_composed(context, domain_event.domain_event_id, composed, now)
    if not_composed or unsent:
        with context.database.transaction() as connection:
            deliveries.release(
                connection, domain_event.domain_event_id, [*not_composed, *unsent], failed=list(failed)
            )
    errors = sorted(
        [*failed.values(), *not_composed.values()], key=lambda error: not isinstance(error, Unreachable)
    )
    if errors:
        raise errors[0]


def _send_composed(
    context: MailContext, domain_event_id: UUID, composed: Sequence[tuple[UUID, str, bytes]], now: datetime
) -> tuple[list[UUID], dict[UUID, Exception]]:
    """Return the recipients whose e-mail is not sent, and the errors of those whose e-mail has failed."""
    failed: dict[UUID, Exception] = {}
    sent: UUID | None = None
    accepted = outages = 0
    unsent = [user_id for user_id, _, _ in composed]
    for user_id, address, message in composed:
        with context.database.transaction() as connection:
            deliveries.advance(connection, domain_event_id, sent=sent, begun=user_id, now=now)
        sent = None
        try:
            context.mailer.send(address, message)
            accepted += 1
        except AddressRefused as refused:
            # A refused address stays refused: it counts as sent.
            logs.warning("address refused", userId=str(user_id), reason=str(refused))
        except EmailRefused as refused:
            logs.error("e-mail refused", userId=str(user_id), reason=str(refused))
            failed[user_id] = refused
            outages = 0
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
    if accepted:
        metrics.put("EmailsSent", accepted, "Count")
    return unsent, failed


def _unsubscribe_url(settings: Settings, kind: Kind, topic: Topic | None, recipient: Recipient) -> str | None:
    if not kind.can_unsubscribe or topic is None or not settings.public_url:
        return None
    return unsubscribe.link(settings.link_key, settings.public_url, recipient.user_id, topic)
