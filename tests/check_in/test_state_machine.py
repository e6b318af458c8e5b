"""A state machine: after any sequence of what happens to tickets, who is inside is what a model expects."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from chalicelib.bookings import claims
from chalicelib.check_in.ticket_codes import TicketCodes, TicketVersion
from tests.client import Account, Client, Reply
from tests.rows import rows, value

Status = Literal["valid", "cancelled"]


@dataclass(eq=False)
class Scan:
    """A scan that counts: it was accepted online or has been uploaded."""

    nonce: str
    at: datetime
    direction: str
    check_in_id: str
    undone: bool = False


@dataclass(eq=False)
class Ticket:
    ticket_id: str
    booking_id: str
    owner: Account
    """Who can cancel it: the booker."""
    serial: int = 1
    status: Status = "valid"
    holder: str | None = None
    """The address to which it was transferred."""
    token: str | None = None
    """Of the open offer."""
    scans: list[Scan] = field(default_factory=list)

    @property
    def timeline(self) -> list[tuple[Scan, str]]:
        """The scans with their outcomes: the earliest wins, until the ticket leaves."""
        inside, result = False, []
        for scan in sorted(self.scans, key=lambda one: (one.at, UUID(one.nonce))):
            if scan.undone:
                continue
            if scan.direction == "in":
                result.append((scan, "already-checked-in" if inside else "admitted"))
                inside = True
            else:
                result.append((scan, "left" if inside else "not-checked-in"))
                inside = False
        return result

    @property
    def used(self) -> bool:
        return any(outcome == "admitted" for _, outcome in self.timeline)

    @property
    def inside(self) -> bool:
        counted = [outcome for _, outcome in self.timeline if outcome in {"admitted", "left"}]
        return bool(counted) and counted[-1] == "admitted"

    @property
    def stored_status(self) -> str:
        return "cancelled" if self.status == "cancelled" else "used" if self.used else "valid"


class DoorMachine(RuleBasedStateMachine):
    """An event with open doors, where tickets are issued, given away, cancelled, scanned and undone."""

    tickets: Bundle[Ticket] = Bundle("tickets")

    def __init__(self, client: Client, *, re_entry: bool) -> None:
        super().__init__()
        self.client, self.re_entry = client, re_entry
        self.host = client.host()
        self.known: list[Ticket] = []
        self.queue: list[dict[str, Any]] = []
        """Offline scans that wait to be uploaded."""
        self.tickets_of: dict[str, Ticket] = {}
        self.clock = datetime.now(UTC) - timedelta(hours=2)
        starts_at = datetime.now(UTC) + timedelta(hours=1)
        self.event_id = client.event(
            self.host,
            startDateTime=starts_at.isoformat(),
            endDateTime=(starts_at + timedelta(hours=3)).isoformat(),
            maxPerAttendee=100,
            reEntryAllowed=re_entry,
        )["eventId"]

    def now(self) -> datetime:
        """Return a time that no scan had before."""
        self.clock += timedelta(seconds=1)
        return self.clock

    def code(self, ticket: Ticket, serial: int | None = None) -> str:
        codes = TicketCodes.of(self.client.wiring.settings)
        return codes.make(TicketVersion(UUID(ticket.ticket_id), serial or ticket.serial))

    def post(self, path: str, body: Any) -> Reply:
        return self.client("POST", f"/events/{self.event_id}/{path}", body, by=self.host)

    @initialize(target=tickets)
    def issue(self) -> MultipleResults[Ticket]:
        buyer = self.client.attendee()
        self.client.verify([buyer])
        booked = self.client("POST", "/bookings", {"eventId": self.event_id, "quantity": 4}, by=buyer)
        booking_id = booked.json["bookingId"]
        listed = self.client("GET", f"/bookings/{booking_id}/tickets", by=buyer).json
        made = [Ticket(one["ticketId"], booking_id, buyer) for one in listed]
        self.known += made
        self.tickets_of |= {ticket.ticket_id: ticket for ticket in made}
        return multiple(*made)

    @rule(ticket=tickets, out=st.booleans())
    def scan_online(self, ticket: Ticket, *, out: bool) -> None:
        nonce, at = str(uuid4()), self.now()
        direction = "out" if out else "in"
        sent = {"code": self.code(ticket), "nonce": nonce, "direction": direction, "at": at.isoformat()}
        reply = self.post("check-ins", sent)
        expected = self.expected_online(ticket, direction)
        assert (reply.json.get("code") or reply.json["checkIn"]["outcome"]) == expected
        if reply.status == 200:
            found = reply.json["checkIn"]
            scanned_at = datetime.fromisoformat(found["scannedAt"])
            ticket.scans.append(Scan(nonce, scanned_at, direction, found["checkInId"]))
            assert self.post("check-ins", sent).json == reply.json

    def expected_online(self, ticket: Ticket, direction: str) -> str:
        if ticket.status == "cancelled":
            return "ticket-cancelled"
        if direction == "out" and not self.re_entry:
            return "no-re-entry"
        if direction == "out":
            return "left" if ticket.inside else "not-checked-in"
        if ticket.inside or (ticket.used and not self.re_entry):
            return "already-checked-in"
        return "admitted"

    @rule(ticket=tickets, earlier=st.integers(0, 60), out=st.booleans())
    def scan_offline(self, ticket: Ticket, earlier: int, *, out: bool) -> None:
        at = self.now() - timedelta(minutes=earlier, milliseconds=1 + len(self.queue))
        direction = "out" if out and self.re_entry else "in"
        self.queue.append(
            {
                "code": self.code(ticket),
                "nonce": str(uuid4()),
                "direction": direction,
                "at": at.isoformat(),
                "ticket": ticket,
                "serial": ticket.serial,
            }
        )

    @precondition(lambda machine: machine.queue)
    @rule(data=st.data(), again=st.booleans())
    def upload(self, data: st.DataObject, *, again: bool) -> None:
        chosen = data.draw(st.lists(st.sampled_from(self.queue), unique_by=id, min_size=1))
        sent = [{name: one[name] for name in ("code", "nonce", "direction", "at")} for one in chosen]
        reply = self.post("check-ins/batch", {"scans": sent})
        assert reply.status == 200, reply.text
        results = reply.json["results"]
        for one, result in zip(chosen, results, strict=True):
            ticket: Ticket = one["ticket"]
            if ticket.status == "cancelled":
                assert result["outcome"] == "ticket-cancelled"
            elif one["serial"] != ticket.serial:
                assert result["outcome"] == "code-replaced"
            else:
                at = datetime.fromisoformat(result["checkIn"]["scannedAt"])
                found = Scan(one["nonce"], at, one["direction"], result["checkIn"]["checkInId"])
                ticket.scans.append(found)
        for one, result in zip(chosen, results, strict=True):
            outcomes = {scan.nonce: outcome for scan, outcome in one["ticket"].timeline}
            if one["nonce"] in outcomes:
                assert result["outcome"] == outcomes[one["nonce"]]
        if again:
            assert self.post("check-ins/batch", {"scans": sent[::-1]}).json["results"] == results[::-1]
        self.queue = [one for one in self.queue if one not in chosen]

    @rule(ticket=tickets, data=st.data())
    def undo(self, ticket: Ticket, data: st.DataObject) -> None:
        if ticket.scans and ticket.status == "valid":
            scan = data.draw(st.sampled_from(ticket.scans))
            path = f"/events/{self.event_id}/check-ins/{scan.check_in_id}"
            assert self.client("DELETE", path, by=self.host).status == 204
            scan.undone = True

    @rule(ticket=tickets)
    def cancel(self, ticket: Ticket) -> None:
        reply = self.client("DELETE", f"/tickets/{ticket.ticket_id}", by=ticket.owner)
        if ticket.status == "valid" and ticket.used:
            assert reply.problem == "ticket-used"
            return
        assert reply.status == 204
        ticket.status, ticket.token = "cancelled", None

    @rule(ticket=tickets)
    def reissue(self, ticket: Ticket) -> None:
        reply = self.client("POST", f"/tickets/{ticket.ticket_id}/reissue", by=self.host)
        if ticket.status == "cancelled":
            assert reply.problem == "ticket-cancelled"
        elif ticket.used:
            assert reply.problem == "ticket-used"
        else:
            assert reply.status == 200
            ticket.serial += 1

    @rule(ticket=tickets)
    def offer(self, ticket: Ticket) -> None:
        email = f"{uuid4().hex[:12]}@example.com"
        path = f"/tickets/{ticket.ticket_id}/transfer"
        reply = self.client("POST", path, {"email": email}, by=ticket.owner)
        refusal = (
            "ticket-cancelled"
            if ticket.status == "cancelled"
            else "ticket-used"
            if ticket.used
            else "ticket-transferred"
            if ticket.holder
            else "transfer-pending"
            if ticket.token
            else None
        )
        assert reply.problem == refusal if refusal else reply.status == 201
        if refusal is None:
            sql = "SELECT transfer_id FROM ticket_transfers WHERE email = :email"
            with self.client.wiring.database.transaction() as connection:
                issued = claims.issue_token(
                    connection, value(self.client, sql, email=email), datetime.now(UTC)
                )
            assert issued is not None
            ticket.token = issued.token

    @rule(ticket=tickets)
    def withdraw_the_offer(self, ticket: Ticket) -> None:
        if ticket.token and not ticket.holder:
            path = f"/tickets/{ticket.ticket_id}/transfer"
            assert self.client("DELETE", path, by=ticket.owner).status == 204
            self.refuse_claim(ticket.token)
            ticket.token = None

    @rule(ticket=tickets)
    def claim(self, ticket: Ticket) -> None:
        if ticket.token is None or ticket.holder:
            return
        if ticket.used:
            self.refuse_claim(ticket.token)
            return
        reply = self.client("POST", "/tickets/claim", {"token": ticket.token})
        assert reply.status == 200
        ticket.serial += 1
        assert reply.json["code"] == self.code(ticket)
        ticket.holder = reply.json["holderEmail"]
        self.refuse_claim(ticket.token)
        ticket.token = None

    def refuse_claim(self, token: str) -> None:
        assert self.client("POST", "/tickets/claim", {"token": token}).status == 400

    @rule(ticket=tickets)
    def scan_an_old_code(self, ticket: Ticket) -> None:
        if ticket.serial > 1 and ticket.status == "valid":
            sent = {"code": self.code(ticket, ticket.serial - 1), "nonce": str(uuid4())}
            assert self.post("check-ins", sent).problem == "code-replaced"

    @invariant()
    def tickets_are_as_expected(self) -> None:
        found = rows(
            self.client,
            "SELECT ticket_id, t.status, serial FROM tickets t JOIN bookings b USING (booking_id)"
            " WHERE event_id = :id",
            id=self.event_id,
        )
        assert {str(row.ticket_id): (row.status, row.serial) for row in found} == {
            ticket.ticket_id: (ticket.stored_status, ticket.serial) for ticket in self.known
        }

    @invariant()
    def those_inside_are_as_expected(self) -> None:
        inside = {ticket.ticket_id for ticket in self.known if ticket.inside and ticket.status == "valid"}
        listed = self.client("GET", f"/events/{self.event_id}/door-list", by=self.host).json["tickets"]

        assert {one["ticketId"] for one in listed if one["inside"]} == inside
        assert {one["ticketId"]: one["codeHashes"] for one in listed} == {
            ticket.ticket_id: [hashlib.sha256(self.code(ticket).encode()).hexdigest()]
            for ticket in self.known
            if ticket.status == "valid"
        }
        report = self.client("GET", f"/events/{self.event_id}/attendance", by=self.host).json
        assert report["inside"] == len(inside)

    @invariant()
    def places_and_money_are_as_counted(self) -> None:
        report = self.client("GET", f"/events/{self.event_id}/integrity", by=self.host).json
        assert report["differences"] == []


@pytest.mark.slow
@pytest.mark.parametrize("re_entry", [False, True])
def test_who_is_inside_agrees_after_any_sequence(client: Client, re_entry: bool) -> None:  # noqa: FBT001
    class ThisMachine(DoorMachine):
        def __init__(self) -> None:
            super().__init__(client, re_entry=re_entry)

    bounds = settings(derandomize=True, database=None, deadline=None, max_examples=25, stateful_step_count=30)
    run_state_machine_as_test(ThisMachine, settings=bounds)
