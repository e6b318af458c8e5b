"""The booking procedure called directly, and, in a test's own database, without one of its guards."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pg8000

from chalicelib.bookings import booking
from chalicelib.platform.database.engine import Database, violated
from chalicelib.platform.errors import Refusal
from chalicelib.wiring import Wiring
from tests.client import HOLD, Account

SOURCE = Path(booking.__file__).with_name("book_place_v3.sql").read_text()

PLACES_LEFT = " AND taken < capacity"
SAME_EVENT = " AND revision = v_event.revision"
NO_SECOND = "ON CONFLICT (event_id, user_id) WHERE status IN ('pending', 'confirmed') DO NOTHING"
ACCOUNT_STAYS = """
            AND EXISTS (
                SELECT FROM credentials WHERE user_id = p_user_id AND token_version = p_token_version
            )"""
FLUSH = """
    v_ignored := set_config('synchronous_commit', 'on', true);
    v_ignored := pg_logical_emit_message(true, '', '');
"""


def take_out(database: Database, *guards: str) -> None:
    """Put the procedure in place without some of its text."""
    source = SOURCE.replace("CREATE PROCEDURE", "CREATE OR REPLACE PROCEDURE", 1)
    for guard in guards:
        assert source.count(guard) == 1, f"the procedure has another guard than {guard}"
        source = source.replace(guard, "\n")
    with database.transaction() as connection:
        connection.exec_driver_sql(source)


def attempt(wiring: Wiring, attendee: Account, event_id: str) -> str:
    """Book a place: `booked`, the name of a refusal, or of a constraint that stopped it. Thread-safe."""
    caller = wiring.tokens.read(attendee.token)
    try:
        booking.book(wiring.database, caller, UUID(event_id), key=None, hold=HOLD, now=datetime.now(UTC))
    except Refusal as refusal:
        return refusal.slug()
    except pg8000.DatabaseError as error:
        if constraint := violated(error):
            return constraint
        raise
    return "booked"
