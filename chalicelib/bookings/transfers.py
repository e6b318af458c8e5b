"""Transfer a ticket: its booker offers it to an e-mail address, and can cancel the offer.

The owner of the address claims the ticket by a link. Until then it stays the booker's.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Uuid, bindparam, func, insert, select, update

from chalicelib.bookings.models import ticket_transfers
from chalicelib.bookings.ticket_locks import lock_ticket, require_valid
from chalicelib.bookings.ticket_queries import find_access
from chalicelib.bookings.tickets import NotYourTicket, TicketTransferred
from chalicelib.domain_events import TicketTransferOffered
from chalicelib.events.locks import EventStarted
from chalicelib.platform import ids
from chalicelib.platform.database.columns import now_parameter
from chalicelib.platform.database.engine import Database
from chalicelib.platform.errors import Conflict, FieldError, InvalidInput, NotFound
from chalicelib.platform.messaging import outbox
from chalicelib.users import verification
from chalicelib.users.models import users

LIFETIME = timedelta(days=7)
"""How long an offer can be claimed, if the event does not start before."""

RETENTION = timedelta(days=30)
"""How long offers are kept after they could be claimed, with the address."""


class TransferPending(Conflict):
    """The ticket is already offered to somebody."""


class NoSuchTransfer(NotFound):
    """The ticket is not offered to anybody."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """An open offer of a ticket."""

    ticket_id: UUID
    email: str
    created_at: datetime
    expires_at: datetime


# The names differ from the columns': SQLAlchemy takes a parameter named like a column for a value to set.
_ticket_id = bindparam("this_ticket", type_=Uuid)

_BOOKER = select(func.lower(users.c.email), users.c.email_verified_at).where(
    users.c.user_id == bindparam("this_user", type_=Uuid)
)
_LATEST = (
    select(ticket_transfers)
    .where(ticket_transfers.c.ticket_id == _ticket_id)
    .order_by(ticket_transfers.c.transfer_id.desc())
    .limit(1)
)
_CANCEL = (
    update(ticket_transfers)
    .where(
        ticket_transfers.c.ticket_id == _ticket_id,
        ticket_transfers.c.claimed_at.is_(None),
        ticket_transfers.c.cancelled_at.is_(None),
    )
    .values(cancelled_at=now_parameter, token_hash=None)
)


def offer(connection: Connection, user_id: UUID, ticket_id: UUID, *, email: str, now: datetime) -> Offer:
    """Offer a ticket to the owner of an e-mail address, as the attendee who booked it.

    Raises:
        NoSuchTicket: It does not exist or belongs to others.
        NotYourTicket: The user is its holder or the event's host.
        EmailNotVerified: The user's own address is not verified.
        InvalidInput: It is the user's own address.
        TicketCancelled, TicketUsed, BookingUnpaid, TicketTransferred, EventStarted
        TransferPending: It is offered to somebody already.
    """
    if not find_access(connection, user_id, ticket_id).is_booker:
        raise NotYourTicket
    own_email, verified_at = connection.execute(_BOOKER, {"this_user": user_id}).one()
    if verified_at is None:
        raise verification.EmailNotVerified("Until then you cannot transfer tickets.")
    if email.lower() == own_email:
        raise InvalidInput(errors=[FieldError("email", "must not be your own address")])
    ticket = lock_ticket(connection, ticket_id)
    _require_transferable(ticket, now)
    latest = _latest(connection, ticket_id)
    if latest is not None and _is_pending(latest, now):
        raise TransferPending
    connection.execute(_CANCEL, {"this_ticket": ticket_id, "now": now})  # an expired offer
    transfer_id, expires_at = ids.new(now), min(now + LIFETIME, ticket.starts_at)
    connection.execute(
        insert(ticket_transfers).values(
            transfer_id=transfer_id, ticket_id=ticket_id, email=email, created_at=now, expires_at=expires_at
        )
    )
    offered = TicketTransferOffered(
        transfer_id=transfer_id,
        ticket_id=ticket_id,
        booking_id=ticket.booking_id,
        event_id=ticket.event_id,
    )
    outbox.record(connection, offered, subject=ticket.event_id, now=now)
    return Offer(ticket_id=ticket_id, email=email, created_at=now, expires_at=expires_at)


def _require_transferable(ticket: Row[Any], now: datetime) -> None:
    require_valid(ticket)
    if ticket.transferred_at is not None:
        raise TicketTransferred
    if ticket.starts_at <= now:
        raise EventStarted


def _latest(connection: Connection, ticket_id: UUID) -> Row[Any] | None:
    return connection.execute(_LATEST, {"this_ticket": ticket_id}).one_or_none()


def _is_pending(transfer: Row[Any], now: datetime) -> bool:
    return transfer.claimed_at is None and transfer.cancelled_at is None and transfer.expires_at > now


def cancel(connection: Connection, user_id: UUID, ticket_id: UUID, now: datetime) -> None:
    """Cancel the offer of a ticket, as the attendee who booked it. Idempotent.

    Raises:
        NoSuchTicket, NotYourTicket: See `offer`.
        NoSuchTransfer: The ticket has not been offered.
        TicketTransferred: It has been claimed.
    """
    if not find_access(connection, user_id, ticket_id).is_booker:
        raise NotYourTicket
    if lock_ticket(connection, ticket_id).transferred_at is not None:
        raise TicketTransferred
    if _latest(connection, ticket_id) is None:
        raise NoSuchTransfer
    connection.execute(_CANCEL, {"this_ticket": ticket_id, "now": now})


def purge(database: Database, now: datetime) -> int:
    """Delete offers that could be claimed until long ago, and return how many."""
    return database.purge(ticket_transfers.c.expires_at, now - RETENTION)
