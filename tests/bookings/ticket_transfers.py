"""Tickets that are offered to others, and the tokens that claim them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from chalicelib.bookings import claims
from tests.bookings.orders import Sale, sell, ticket_type
from tests.client import Account, Client, Reply
from tests.rows import rows, value

EMAIL = "grace@example.com"
"""The address that tickets are offered to."""


@dataclass
class Given:
    """A booking of some tickets, of which its attendee offers one."""

    client: Client
    host: Account
    booker: Account
    sale: Sale
    booking_id: str
    number: int = 0

    @cached_property
    def ticket_id(self) -> str:
        sql = "SELECT ticket_id FROM tickets WHERE booking_id = :id ORDER BY 1 OFFSET :number LIMIT 1"
        return str(value(self.client, sql, id=self.booking_id, number=self.number))

    @property
    def path(self) -> str:
        return f"/tickets/{self.ticket_id}"

    def offer(self, email: str = EMAIL, by: Account | None = None, **headers: str) -> Reply:
        sent = {name.replace("_", "-"): text for name, text in headers.items()}
        path = f"{self.path}/transfer"
        return self.client("POST", path, {"email": email}, by=by or self.booker, headers=sent)

    def withdraw(self, by: Account | None = None) -> Reply:
        return self.client("DELETE", f"{self.path}/transfer", by=by or self.booker)

    def token(self) -> str:
        """Return a token as it is e-mailed for the open offer."""
        sql = "SELECT transfer_id FROM ticket_transfers WHERE ticket_id = :id ORDER BY 1 DESC LIMIT 1"
        transfer_id = value(self.client, sql, id=self.ticket_id)
        with self.client.wiring.database.transaction() as connection:
            issued = claims.issue_token(connection, transfer_id, datetime.now(UTC))
        assert issued is not None
        return issued.token

    def claim(self, token: str | None = None, by: Account | None = None, **members: Any) -> Reply:
        sent = {"token": token or self.token(), **members}
        return self.client("POST", "/tickets/claim", sent, by=by)

    def transfer(self, email: str = EMAIL, by: Account | None = None) -> Any:
        """Offer and claim the ticket. Return it as its new holder sees it."""
        assert self.offer(email).status == 201
        reply = self.claim(by=by)
        assert reply.status == 200, reply.text
        return reply.json

    def get(self, by: Account | None = None) -> Reply:
        return self.client("GET", self.path, by=by or self.booker)

    def reissue(self, by: Account | None = None, **headers: str) -> Reply:
        sent = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.client("POST", f"{self.path}/reissue", by=by or self.booker, headers=sent)

    def change(self, by: Account | None = None, **members: Any) -> Reply:
        return self.client("PATCH", self.path, members, by=by or self.booker)

    def set_status(self, status: str) -> None:
        """Set the status of the ticket, as check-in or a cancellation does."""
        rows(
            self.client,
            "UPDATE tickets SET status = :status,"
            " cancellation_reason = CASE WHEN :status = 'cancelled' THEN 'host' END WHERE ticket_id = :id",
            status=status,
            id=self.ticket_id,
        )

    def start(self) -> None:
        """Let the event have started."""
        at = datetime.now(UTC) - timedelta(minutes=1)
        rows(
            self.client,
            "UPDATE events SET starts_at = :at WHERE event_id = :id",
            at=at,
            id=self.sale.event_id,
        )

    def end(self) -> None:
        """Let the event be over."""
        at = datetime.now(UTC) - timedelta(minutes=1)
        rows(
            self.client,
            "UPDATE events SET starts_at = :at, ends_at = :end WHERE event_id = :id",
            at=at - timedelta(hours=3),
            end=at,
            id=self.sale.event_id,
        )

    def another(self, number: int = 1) -> "Given":
        """Another ticket of the booking."""
        return Given(self.client, self.host, self.booker, self.sale, self.booking_id, number)


def give(client: Client, quantity: int = 2, max_per_attendee: int = 10) -> Given:
    """Return a booking of free tickets of an attendee whose address is verified."""
    host, booker = client.host(), client.attendee("The booker")
    client.verify([booker])
    sale = sell(client, host, ticket_type(), max_per_attendee=max_per_attendee)
    booked = client("POST", "/bookings", sale.order(quantity), by=booker)
    assert booked.status == 201, booked.text
    return Given(client, host, booker, sale, booked.json["bookingId"])


def verified(client: Client, email: str = EMAIL, name: str = "Grace Hopper") -> Account:
    """An account with an address that is verified."""
    account = client.account("attendee", name, email)
    client.verify([account])
    return account
