"""The door of an event: its tickets, codes and keys, and scans."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from chalicelib.check_in.ticket_codes import TicketCodes, TicketVersion
from tests.client import Account, Client, Reply
from tests.rows import value


@dataclass
class Door:
    """The door of an event that is open."""

    client: Client
    host: Account
    event_id: str

    @classmethod
    def open(cls, client: Client, host: Account | None = None, **members: Any) -> "Door":
        """Publish an event whose doors are open."""
        host = host or client.host()
        soon = {"startDateTime": timedelta(hours=2), "endDateTime": timedelta(hours=5)}
        return cls(client, host, client.event(host, **{**soon, **members})["eventId"])

    def ticket(self, attendee: Account | None = None) -> str:
        """Book a ticket, and return its id."""
        booked = self.client.book(attendee or self.client.attendee(), self.event_id)
        assert booked.status == 201, booked.text
        sql = "SELECT ticket_id FROM tickets WHERE booking_id = :id"
        return str(value(self.client, sql, id=booked.json["bookingId"]))

    def code(self, ticket_id: str, serial: int = 1) -> str:
        codes = TicketCodes.of(self.client.wiring.settings)
        return codes.make(TicketVersion(UUID(ticket_id), serial))

    def create_key(self, **members: Any) -> Any:
        """Create a door key, and return its JSON."""
        body = {"name": "North gate", **members}
        made = self.client("POST", f"/events/{self.event_id}/door-keys", body, by=self.host)
        assert made.status == 201, made.text
        return made.json

    def scan(self, ticket_id: str, by: Account | str | None = None, **members: Any) -> Reply:
        """Scan the code of a ticket, or send these members. A member that is None is left out."""
        code = {} if "code" in members else {"code": self.code(ticket_id)}
        sent = {**code, "nonce": str(uuid4()), **members}
        body = {name: member for name, member in sent.items() if member is not None}
        return self.client("POST", f"/events/{self.event_id}/check-ins", body, by=by or self.host)

    def status(self, ticket_id: str) -> str:
        return str(value(self.client, "SELECT status FROM tickets WHERE ticket_id = :id", id=ticket_id))
