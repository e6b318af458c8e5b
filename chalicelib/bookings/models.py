"""Bookings, their tickets, and codes: tables and statuses."""

from typing import Literal

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    and_,
    func,
    literal_column,
    or_,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

from chalicelib.platform.database.columns import SystemTime, UserTime, sql_literal
from chalicelib.platform.database.engine import metadata

Status = Literal["pending", "confirmed", "cancelled", "expired"]

TicketStatus = Literal["held", "valid", "used", "cancelled"]

PaidBy = Literal["cash", "card", "free"]

CodeKind = Literal["percent", "amount", "access"]

codes = Table(
    "codes",
    metadata,
    Column("code_id", Uuid, primary_key=True),
    Column("event_id", Uuid, ForeignKey("events.event_id"), nullable=False),
    Column("code", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("value", BigInteger, nullable=True),
    Column("ticket_type_ids", ARRAY(Uuid), nullable=True),
    Column("max_per_attendee", SmallInteger, nullable=True),
    Column("valid_from", UserTime(), nullable=True),
    Column("valid_until", UserTime(), nullable=True),
    Column("created_at", SystemTime(), nullable=False),
    Column("updated_at", SystemTime(), nullable=False),
    Column("deleted_at", SystemTime(), nullable=True),
    CheckConstraint("kind IN ('percent', 'amount', 'access')", name="kind"),
    CheckConstraint("(kind = 'access') = (value IS NULL) AND value > 0", name="value"),
    CheckConstraint("kind <> 'percent' OR value <= 100", name="percent"),
    CheckConstraint("max_per_attendee > 0", name="max_per_attendee"),
    CheckConstraint("valid_from < valid_until", name="validity"),
)
"""Codes that attendees enter: for a discount, in percent or as an amount off each ticket, or for access to
ticket types that require a code. `ticket_type_ids` is null if the code is for all types. The limit and the
number of uses are in the code's row of `pools`. A deleted code stays, because bookings refer to it.
"""

Index(
    "uq_codes_code",
    codes.c.event_id,
    codes.c.code,
    unique=True,
    postgresql_where=codes.c.deleted_at.is_(None),
)

bookings = Table(
    "bookings",
    metadata,
    Column("booking_id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.user_id"), nullable=True),
    Column("event_id", Uuid, ForeignKey("events.event_id"), nullable=False),
    Column("host_id", Uuid, nullable=False),
    Column("code_id", Uuid, ForeignKey("codes.code_id"), nullable=True),
    Column("paid_by", Text, nullable=True),
    Column("status", Text, nullable=False),
    Column("quantity", SmallInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("sole", Boolean, nullable=True),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("created_at", SystemTime(), nullable=False),
    Column("updated_at", SystemTime(), nullable=False),
    Column("expires_at", SystemTime(), nullable=True),
    Column("refund_until", UserTime(), nullable=True),
    Column("cancellation_reason", Text, nullable=True),
    CheckConstraint("status IN ('pending', 'confirmed', 'cancelled', 'expired')", name="status"),
    CheckConstraint("(quantity > 0) = (status IN ('pending', 'confirmed'))", name="quantity"),
    CheckConstraint("amount >= 0", name="amount"),
    CheckConstraint("amount = 0 OR expires_at IS NOT NULL OR paid_by IS NOT NULL", name="held"),
    CheckConstraint("paid_by IN ('cash', 'card', 'free')", name="paid_by"),
    CheckConstraint("(user_id IS NULL) = (paid_by IS NOT NULL)", name="box_office"),
    CheckConstraint("sole", name="sole"),
)
"""An order of one attendee for one event. Its tickets are rows of `tickets`; `quantity` counts the live ones.

`paid_by` is how the host was paid at the box office. Such a booking has no account: `user_id` is null, and
the customer is the holder of its tickets. It is null for bookings that attendees make.

`host_id` copies the event's, which never changes, so that a host's bookings are one index scan. `amount` is
the sum of the tickets' prices; it and `refund_until` are the terms at the time of booking. A priced booking
starts as a hold until `expires_at`; the check `held` enforces that it has one. `sole` is true if the attendee
could have one ticket for the event only, else null: then the unique index does not limit the bookings. Ids
are in the order of creation, so an index that ends in an id is sorted by time.
"""

tickets = Table(
    "tickets",
    metadata,
    Column("ticket_id", Uuid, primary_key=True),
    Column("booking_id", Uuid, ForeignKey("bookings.booking_id"), nullable=False),
    Column("ticket_type_id", Uuid, ForeignKey("ticket_types.ticket_type_id"), nullable=False),
    Column("list_price", BigInteger, nullable=False),
    Column("price", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("serial", SmallInteger, nullable=False, server_default="1"),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("updated_at", SystemTime(), nullable=False),
    Column(
        "changed_in", BigInteger, nullable=False, server_default=text("pg_current_xact_id()::text::bigint")
    ),
    Column("holder_name", Text, nullable=True),
    Column("holder_email", Text, nullable=True),
    Column("transferred_at", SystemTime(), nullable=True),
    Column("cancellation_reason", Text, nullable=True),
    Column("refund_id", Uuid, ForeignKey("refunds.refund_id"), nullable=True),
    Column("kept_at", SystemTime(), nullable=True),
    CheckConstraint("status IN ('held', 'valid', 'used', 'cancelled')", name="status"),
    CheckConstraint("price >= 0 AND price <= list_price", name="price"),
    CheckConstraint("(status = 'cancelled') = (cancellation_reason IS NOT NULL)", name="cancelled"),
    CheckConstraint("status = 'cancelled' OR (refund_id IS NULL AND kept_at IS NULL)", name="returned"),
    Index(None, "booking_id"),
)
"""A ticket is a place: it counts in the pools of its event and type until it is cancelled.

- `list_price` is the price of the type when it was booked, `price` what is paid, with the discount of a code.
- `serial` is part of the ticket's code: a new one makes the old code void.
- The holder is the attendee of the booking unless another one is named. Once a ticket is transferred, only
  the holder can use it. The holder of a transferred ticket is unknown if they have deleted their account.
- `changed_in` is the transaction that last wrote the row (ticket_changes.sql), for lists of changes.
- `refund_id` is the refund of a cancelled ticket's price. `kept_at` is set if the ticket was cancelled too
  late for a refund. Both are null of a cancelled ticket that was free or not paid.
"""

ticket_transfers = Table(
    "ticket_transfers",
    metadata,
    Column("transfer_id", Uuid, primary_key=True),
    Column("ticket_id", Uuid, ForeignKey("tickets.ticket_id"), nullable=False),
    Column("email", Text, nullable=False),
    Column("token_hash", LargeBinary, nullable=True, unique=True),
    Column("created_at", SystemTime(), nullable=False),
    Column("expires_at", SystemTime(), nullable=False),
    Column("claimed_at", SystemTime(), nullable=True),
    Column("cancelled_at", SystemTime(), nullable=True),
    CheckConstraint("claimed_at IS NULL OR cancelled_at IS NULL", name="end"),
    Index(None, "ticket_id", "transfer_id"),
    Index(None, "expires_at"),
)
"""Offers of a ticket to an e-mail address. The token is made when the e-mail is sent; its hash is stored."""

Index(
    "uq_ticket_transfers_open",
    ticket_transfers.c.ticket_id,
    unique=True,
    postgresql_where=and_(ticket_transfers.c.claimed_at.is_(None), ticket_transfers.c.cancelled_at.is_(None)),
)

Index(
    "ix_tickets_transferred",
    func.lower(tickets.c.holder_email),
    tickets.c.ticket_id,
    postgresql_where=tickets.c.transferred_at.is_not(None),
)

live = bookings.c.status.in_([sql_literal("pending"), sql_literal("confirmed")])
"""The booking occupies places."""

live_ticket = tickets.c.status != sql_literal("cancelled")
"""The ticket occupies a place."""

Index(
    "uq_bookings_live",
    bookings.c.event_id,
    bookings.c.user_id,
    bookings.c.sole,
    unique=True,
    postgresql_where=live,
)
Index(
    "ix_bookings_holds",
    bookings.c.user_id,
    bookings.c.status,
    bookings.c.event_id,
    postgresql_where=and_(
        bookings.c.amount > literal_column("0"), bookings.c.status != sql_literal("confirmed")
    ),
)
Index("ix_bookings_event_id", bookings.c.event_id, bookings.c.booking_id)
Index("ix_bookings_host_id", bookings.c.host_id, bookings.c.booking_id)
Index("ix_bookings_user_id", bookings.c.user_id, bookings.c.booking_id)

has_holder = or_(tickets.c.holder_name.is_not(None), tickets.c.holder_email.is_not(None))

holder_words = func.holder_words(tickets.c.holder_name, tickets.c.holder_email, type_=TSVECTOR)
"""The words of the holder's name, and the e-mail address as one word: see functions.sql."""

Index("ix_tickets_holder_words", holder_words, postgresql_using="gin", postgresql_where=has_holder)
