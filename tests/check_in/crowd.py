"""An event with tickets at its door, for tests of check-in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from chalicelib.check_in import batches
from chalicelib.check_in.batches import Scan, ScanResult
from chalicelib.check_in.door import require_door
from chalicelib.check_in.ticket_codes import TicketCodes, TicketVersion
from chalicelib.platform.security import Caller
from tests.client import Account, Client
from tests.rows import rows

MAX_PER_BOOKING = 100


@dataclass(frozen=True)
class Ticket:
    ticket_id: str
    code: str


@dataclass(frozen=True)
class Crowd:
    """A running event whose doors are open."""

    client: Client
    host: Account
    attendee: Account
    event_id: str
    tickets: Sequence[Ticket]
    at: datetime
    """A time half an hour ago, when the doors were open."""

    @property
    def codes(self) -> TicketCodes:
        return TicketCodes.of(self.client.wiring.settings)

    def record(self, *scans: Scan, now: datetime | None = None) -> list[ScanResult]:
        """Record a batch, as the host."""
        now = now or datetime.now(UTC)
        caller = Caller(UUID(self.host.user_id), "host", 1)
        with self.client.wiring.database.transaction() as connection:
            event, key = require_door(connection, UUID(self.event_id), caller=caller, key=None, now=now)
            return batches.record(connection, event, key, scans, now)

    def scan(
        self,
        ticket: Ticket | TicketVersion | str,
        at: datetime,
        *,
        gate: str | None = None,
        out: bool = False,
        nonce: UUID | None = None,
    ) -> Scan:
        """Return a scan of a ticket, a version of one, or a code."""
        if isinstance(ticket, TicketVersion):
            version: TicketVersion | None = ticket
        else:
            version = self.codes.read(ticket.code if isinstance(ticket, Ticket) else ticket)
        return Scan.of_code(nonce or uuid4(), version, at, gate, "out" if out else "in")

    def status(self, ticket: Ticket) -> str:
        query = "SELECT status FROM tickets WHERE ticket_id = :id"
        return str(rows(self.client, query, id=ticket.ticket_id)[0][0])


def sell(client: Client, tickets: int = 1, *, re_entry: bool = False) -> Crowd:
    """Create an event that starts in an hour, and sell tickets for it."""
    host, attendee = client.host(), client.attendee()
    now = datetime.now(UTC).replace(microsecond=0)
    starts_at = now + timedelta(hours=1)
    event = client.event(
        host,
        startDateTime=starts_at.isoformat(),
        endDateTime=(starts_at + timedelta(hours=3)).isoformat(),
        capacity=max(tickets, 1),
        maxPerAttendee=MAX_PER_BOOKING,
        reEntryAllowed=re_entry,
    )
    sold: list[Ticket] = []
    while len(sold) < tickets:
        buyer = attendee if not sold else client.attendee()
        quantity = min(MAX_PER_BOOKING, tickets - len(sold))
        booked = client("POST", "/bookings", {"eventId": event["eventId"], "quantity": quantity}, by=buyer)
        assert booked.status == 201, booked.json
        listed = client("GET", f"/bookings/{booked.json['bookingId']}/tickets?limit=100", by=buyer).json
        sold += [Ticket(ticket["ticketId"], ticket["code"]) for ticket in listed]
    return Crowd(client, host, attendee, event["eventId"], sold, now - timedelta(minutes=30))
