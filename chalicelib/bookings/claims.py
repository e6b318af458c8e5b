"""Claim a ticket that is offered, by the token of the link that is sent to the address.

The token is made when the e-mail is sent, so that it is in no domain event and in no queue.
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Connection,
    LargeBinary,
    Text,
    Uuid,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    update,
)

from chalicelib.bookings.booking import LimitReached
from chalicelib.bookings.models import bookings, live, live_ticket, ticket_transfers, tickets
from chalicelib.bookings.ticket_locks import lock_ticket
from chalicelib.domain_events import TicketTransferred
from chalicelib.events.models import events
from chalicelib.platform.database.columns import now_parameter, sql_literal
from chalicelib.platform.errors import InvalidInput
from chalicelib.platform.messaging import outbox
from chalicelib.users import verification
from chalicelib.users.models import users

_LIMIT_SEED = 1
"""Of advisory locks on an address and an event. Those on an account, which books, have the seed 0."""


class InvalidTransferToken(InvalidInput):
    """The link is invalid, expired or already used, or the ticket is no longer valid."""

    def __init__(self) -> None:
        super().__init__("Ask the person who offered you the ticket for a new link.")


@dataclass(frozen=True, kw_only=True)
class IssuedToken:
    """A new token with the address that it is sent to."""

    email: str
    expires_at: datetime
    name: str | None
    """Of the account that has the address and has verified it; None if there is none."""
    token: str = field(repr=False)


# The names differ from the columns': SQLAlchemy takes a parameter named like a column for a value to set.
_transfer_id = bindparam("this_transfer", type_=Uuid)
_hash = bindparam("the_hash", type_=LargeBinary)
_email = bindparam("the_email", type_=Text)
_event_id = bindparam("this_event", type_=Uuid)

_claimable = (
    ticket_transfers.c.claimed_at.is_(None),
    ticket_transfers.c.cancelled_at.is_(None),
    ticket_transfers.c.expires_at > now_parameter,
    tickets.c.ticket_id == ticket_transfers.c.ticket_id,
    tickets.c.status == sql_literal("valid"),
    bookings.c.booking_id == tickets.c.booking_id,
    events.c.event_id == bookings.c.event_id,
    events.c.starts_at > now_parameter,
)
_ISSUE = (
    update(ticket_transfers)
    .where(ticket_transfers.c.transfer_id == _transfer_id, *_claimable)
    .values(token_hash=_hash)
    .returning(
        ticket_transfers.c.email,
        ticket_transfers.c.expires_at,
        select(users.c.name)
        .where(
            func.lower(users.c.email) == func.lower(ticket_transfers.c.email),
            users.c.email_verified_at.is_not(None),
        )
        .scalar_subquery()
        .label("name"),
    )
)
_REVOKE = update(ticket_transfers).where(ticket_transfers.c.token_hash == _hash).values(token_hash=None)
_FIND = select(
    ticket_transfers.c.ticket_id, ticket_transfers.c.email, bookings.c.booking_id, bookings.c.event_id
).where(ticket_transfers.c.token_hash == _hash, *_claimable)
_USE = (
    update(ticket_transfers)
    .where(ticket_transfers.c.token_hash == _hash, *_claimable)
    .values(claimed_at=now_parameter, token_hash=None)
    .returning(ticket_transfers.c.transfer_id)
)
_LOCK_LIMIT = select(
    func.pg_advisory_xact_lock(
        func.hashtextextended(
            func.lower(_email) + " " + cast(_event_id, Text), literal_column(str(_LIMIT_SEED), BigInteger)
        )
    )
)
_booked = (
    select(func.count())
    .select_from(tickets)
    .join(bookings, bookings.c.booking_id == tickets.c.booking_id)
    .join(users, users.c.user_id == bookings.c.user_id)
    .where(
        bookings.c.event_id == _event_id,
        live,
        live_ticket,
        tickets.c.transferred_at.is_(None),
        func.lower(users.c.email) == func.lower(_email),
    )
)
_received = (
    select(func.count())
    .select_from(tickets)
    .join(bookings, bookings.c.booking_id == tickets.c.booking_id)
    .where(
        bookings.c.event_id == _event_id,
        live_ticket,
        tickets.c.transferred_at.is_not(None),
        func.lower(tickets.c.holder_email) == func.lower(_email),
    )
)
_LEFT = select(events.c.max_per_attendee - _booked.scalar_subquery() - _received.scalar_subquery()).where(
    events.c.event_id == _event_id
)


def issue_token(connection: Connection, transfer_id: UUID, now: datetime) -> IssuedToken | None:
    """Create the token of an offer, and store its hash. An older token of the offer stops working.

    Return None if the ticket cannot be claimed any more.
    """
    token = secrets.token_urlsafe(32)
    values = {"this_transfer": transfer_id, "the_hash": _digest(token), "now": now}
    row = connection.execute(_ISSUE, values).one_or_none()
    if row is None:
        return None
    return IssuedToken(email=row.email, expires_at=row.expires_at, name=row.name, token=token)


def revoke_token(connection: Connection, token: str) -> None:
    """Revoke a token that could not be sent. The next delivery of the e-mail makes another one."""
    connection.execute(_REVOKE, {"the_hash": _digest(token)})


def is_claimable(connection: Connection, token: str, now: datetime) -> bool:
    """Whether a token can be used now. Another request may use it before."""
    try:
        find_claim(connection, token, now)
    except InvalidTransferToken:
        return False
    return True


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A ticket that the owner of an address may claim."""

    ticket_id: UUID
    booking_id: UUID
    event_id: UUID
    email: str


def claim(
    connection: Connection, token: str, *, user_id: UUID | None, name: str | None, now: datetime
) -> Claim:
    """Make the owner of the offer's address the holder of the ticket. The old code becomes void.

    The token was sent to the address. So if the user `user_id` has the address, it is verified by the claim.
    `name` is of the holder; by default that of the account that has verified the address.

    Locks, in this order: the limit of the address, its account, the ticket.

    Raises:
        InvalidTransferToken: Also if another request claims the ticket first.
        LimitReached: The address has as many tickets for the event as one attendee can have.
    """
    found = find_claim(connection, token, now)
    lock_limit(connection, found)
    account = verification.verify_owner(connection, found.email, user_id=user_id, now=now)
    lock_ticket(connection, found.ticket_id)
    use_token(connection, token, now)
    require_below_limit(connection, found)
    hand_over(connection, found, name=name or (account.name if account else None), now=now)
    return found


def find_claim(connection: Connection, token: str, now: datetime) -> Claim:
    """Return what a token claims, without using it.

    Raises:
        InvalidTransferToken
    """
    row = connection.execute(_FIND, {"the_hash": _digest(token), "now": now}).one_or_none()
    if row is None:
        raise InvalidTransferToken
    return Claim(**row._asdict())


def lock_limit(connection: Connection, found: Claim) -> None:
    """Let other claims of the address for the event wait, and then count this one."""
    connection.execute(_LOCK_LIMIT, {"the_email": found.email, "this_event": found.event_id})


def use_token(connection: Connection, token: str, now: datetime) -> None:
    """Use up a token whose ticket is locked. If several requests use it concurrently, one succeeds.

    Raises:
        InvalidTransferToken
    """
    if connection.execute(_USE, {"the_hash": _digest(token), "now": now}).first() is None:
        raise InvalidTransferToken


def require_below_limit(connection: Connection, found: Claim) -> None:
    """Check that the address can have one more ticket for the event.

    Tickets count that its account has booked and not transferred, and those that were transferred to it.

    Raises:
        LimitReached
    """
    values = {"the_email": found.email, "this_event": found.event_id}
    if connection.execute(_LEFT, values).scalar_one() < 1:
        raise LimitReached(
            "You have as many tickets for this event as one attendee can have.", members={"left": 0}
        )


def hand_over(connection: Connection, found: Claim, *, name: str | None, now: datetime) -> None:
    """Give a locked ticket its new holder and a new code, and record it."""
    connection.execute(
        update(tickets)
        .where(tickets.c.ticket_id == found.ticket_id)
        .values(
            serial=tickets.c.serial + 1,
            version=tickets.c.version + 1,
            holder_email=found.email,
            holder_name=name,
            transferred_at=now,
            updated_at=now,
        )
    )
    transferred = TicketTransferred(
        ticket_id=found.ticket_id, booking_id=found.booking_id, event_id=found.event_id
    )
    outbox.record(connection, transferred, subject=found.event_id, now=now)


def _digest(token: str) -> bytes:
    """Hash without salt or stretching: 256 random bits cannot be guessed."""
    return hashlib.sha256(token.encode()).digest()
