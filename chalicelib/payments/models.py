"""The inbox of payments: which events of Stripe have come, each once."""

from sqlalchemy import Column, DateTime, Index, Table, Text, Uuid

from chalicelib.db import metadata

stripe_events = Table(
    "stripe_events",
    metadata,
    Column("stripe_event_id", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("object_id", Text, nullable=True),
    Column("booking_id", Uuid, nullable=True),
    Column("outcome", Text, nullable=False),
    Column("happened_at", DateTime(timezone=True), nullable=True),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Index(None, "received_at"),
)
"""Written in the transaction of what the event brings about. `outcome` says what that was, in one word."""
