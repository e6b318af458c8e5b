"""The check-in procedure: called directly, or replaced by its text without some of its guards."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pg8000
from sqlalchemy import Connection, text

from chalicelib.check_in import scanning
from chalicelib.check_in.models import Direction
from chalicelib.check_in.scanning import Scan
from chalicelib.platform.database.engine import violated
from chalicelib.platform.errors import Refusal
from tests.check_in.doors import Door
from tests.client import Client
from tests.guarded import GuardedProcedure

CHECK_IN = GuardedProcedure(scanning.PROCEDURE, Path(scanning.__file__).with_name("check_in.sql").read_text())


@contextmanager
def locked_ticket(client: Client, ticket_id: str) -> Iterator[Connection]:
    """Lock a ticket's row, so that scans have read it but wait before they change it."""
    with client.wiring.database.transaction() as connection:
        sql = text("SELECT 1 FROM tickets WHERE ticket_id = :id FOR NO KEY UPDATE")
        connection.execute(sql, {"id": ticket_id})
        yield connection


def attempt(door: Door, ticket_id: str, direction: Direction = "in", nonce: UUID | None = None) -> str:
    """Scan a ticket of serial 1. Thread-safe.

    Return the outcome, a refusal's name or a violated constraint's name.
    """
    wiring, now = door.client.wiring, datetime.now(UTC)
    scan = Scan(
        ticket_id=UUID(ticket_id), serial=1, nonce=nonce or uuid4(), direction=direction, scanned_at=now
    )
    caller = wiring.tokens.read(door.host.token)
    try:
        scanned = scanning.scan(wiring.database, UUID(door.event_id), scan, caller=caller, key=None, now=now)
    except Refusal as refusal:
        return refusal.slug()
    except pg8000.DatabaseError as error:
        if constraint := violated(error):
            return constraint
        raise
    return str(json.loads(scanned)["checkIn"]["outcome"])
