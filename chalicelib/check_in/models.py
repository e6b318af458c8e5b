"""Door keys and check-ins: tables and outcomes."""

from typing import Literal

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    Table,
    Text,
    Uuid,
    and_,
    case,
)

from chalicelib.bookings.models import tickets
from chalicelib.platform.database.columns import SystemTime, sql_literal
from chalicelib.platform.database.engine import metadata
from chalicelib.users.models import users

Direction = Literal["in", "out"]

Outcome = Literal[
    "admitted",
    "left",
    "already-checked-in",
    "not-checked-in",
    "ticket-cancelled",
    "code-replaced",
    "not-yet-valid",
]
"""What became of a scan. Only `admitted` and `left` change who is inside."""

door_keys = Table(
    "door_keys",
    metadata,
    Column("door_key_id", Uuid, primary_key=True),
    Column("event_id", Uuid, ForeignKey("events.event_id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("key_hash", LargeBinary, nullable=False, unique=True),
    Column("created_at", SystemTime(), nullable=False),
    Column("expires_at", SystemTime(), nullable=False),
    Column("revoked_at", SystemTime(), nullable=True),
    Index(None, "event_id", "door_key_id"),
)
"""Secrets for the scanners of one event, stored as hashes. A revoked one stays: check-ins name it."""

check_ins = Table(
    "check_ins",
    metadata,
    Column("check_in_id", Uuid, primary_key=True),
    Column("event_id", Uuid, ForeignKey("events.event_id"), nullable=False),
    Column("ticket_id", Uuid, ForeignKey("tickets.ticket_id"), nullable=False),
    Column("nonce", Uuid, nullable=False),
    Column("direction", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("scanned_at", SystemTime(), nullable=False),
    Column("recorded_at", SystemTime(), nullable=False),
    Column("gate", Text, nullable=True),
    Column("door_key_id", Uuid, nullable=True),
    Column("by_hand", Boolean, nullable=False, server_default="false"),
    Column("left_at", SystemTime(), nullable=True),
    Column("conflicts_with", Uuid, nullable=True),
    Column("undone_at", SystemTime(), nullable=True),
    CheckConstraint("direction IN ('in', 'out')", name="direction"),
    CheckConstraint(
        "outcome IN ('admitted', 'left', 'already-checked-in', 'not-checked-in', 'ticket-cancelled',"
        " 'code-replaced', 'not-yet-valid')",
        name="outcome",
    ),
    CheckConstraint("outcome = 'admitted' OR left_at IS NULL", name="left"),
    Index("uq_check_ins_nonce", "event_id", "nonce", unique=True),
    Index(None, "ticket_id"),
)
"""Scans at the door that were accepted: by the server, or by a scanner that was offline.

- `scanned_at` is the time at the scanner, corrected by the difference of the clocks.
- `door_key_id` is null if the host has scanned, and no foreign key: concurrent scans with one key would lock
  its row together. `by_hand` is set if the ticket was found by name instead of its code.
- `left_at` ends the stay of an admitted ticket.
- `conflicts_with` is the earlier check-in that admitted the ticket, if this one came too late.
"""

holder_name = case(
    (and_(tickets.c.holder_name.is_(None), tickets.c.holder_email.is_(None)), users.c.name),
    else_=tickets.c.holder_name,
).label("holder_name")
"""The attendee holds the ticket unless it names a holder."""

is_inside = and_(
    check_ins.c.outcome == sql_literal("admitted"),
    check_ins.c.left_at.is_(None),
    check_ins.c.undone_at.is_(None),
)
"""The check-in has admitted a ticket that has not left since. There is at most one for each ticket."""

Index("uq_check_ins_inside", check_ins.c.ticket_id, unique=True, postgresql_where=is_inside)
