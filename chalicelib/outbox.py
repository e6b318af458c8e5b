"""Facts: what happened, written in the same transaction as the change, waiting to be told."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, Identity, Integer, Table, Text, Uuid, insert
from sqlalchemy.dialects.postgresql import JSON

from chalicelib import ids
from chalicelib.db import Session, metadata

outbox = Table(
    "outbox",
    metadata,
    Column("position", BigInteger, Identity(always=True), primary_key=True),
    Column("fact_id", Uuid, nullable=False),
    Column("type", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("subject", Uuid, nullable=False),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
    Column("body", JSON, nullable=False),
)
"""`subject` is what the fact is about and within which order is kept: an event's id, or a user's.
A fact that follows from another is written after the other has committed or under the same lock, so
that their order is that of `position`."""

_RECORD = insert(outbox)


def record(session: Session, kind: str, subject: UUID, body: dict[str, Any], now: datetime) -> None:
    """Write a fact, named in the past tense and kebab-case, as part of the transaction."""
    session.execute(
        _RECORD,
        {
            "fact_id": ids.new(now),
            "type": kind,
            "subject": subject,
            "occurred_at": now,
            "body": body,
        },
    )
