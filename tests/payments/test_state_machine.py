"""A state machine of paid bookings: after any sequence of events, tickets, pools and money agree.

Attendees order tickets of several types, with a code or without, and cancel bookings or single tickets. They
pay at the fake Stripe, which the app calls with its real adapter. Webhooks arrive late, twice, out of order
or never; calls fail before or after they are executed; holds expire; functions run now and then. In the end,
the money at Stripe is the price of the live tickets, less what went back there in other ways.
"""

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from chalicelib.payments import event_sweep, hold_expiry, reconciliation
from infra.stripe_fake.dispatcher import Order
from infra.stripe_fake.errors import ApiError
from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.faults import Fault
from tests.client import Account, Client
from tests.notifications.pipeline import PostOffice
from tests.payments.orders import CODE, Sale, delete_ticket, post_order, sale
from tests.rows import rows

PRICES = (0, 2500, 6000)
"""Of the ticket types of an event. There is one place of the last type."""
GOOD = "pm_card_visa"
FLAGS = {"partly-refunded", "refund-failed"}
"""What an integrity report may show: parts that went back, and refunds that a dispute or a bank prevents."""
QUANTITIES = st.sampled_from(((1, 0, 0), (0, 1, 0), (0, 2, 0), (0, 1, 1), (1, 1, 1), (1, 2, 0)))
CODES = st.sampled_from((None, None, CODE))
CARDS = (GOOD, GOOD, GOOD, "pm_card_chargeDeclined", "pm_card_authenticationRequired", "pm_card_refundFail")


@dataclass(eq=False)
class Hold:
    booking_id: str
    intent: str | None
    attendee: Account


class PaymentMachine(RuleBasedStateMachine):
    """A host, some attendees and two small events with several ticket types."""

    events: Bundle[Sale] = Bundle("events")
    holds: Bundle[Hold] = Bundle("holds")

    def __init__(self, client: Client, stripe: StripeFake) -> None:
        super().__init__()
        self.client = client
        self.stripe = stripe
        self.database = client.wiring.database
        self.office = PostOffice(client.wiring)
        self.host = client.host()
        self.attendees = client.attendees(3)
        self.sales: list[Sale] = []
        self.ahead = timedelta(0)

    @initialize(target=events)
    def publish_events(self) -> MultipleResults[Sale]:
        return multiple(*(self.publish(size) for size in (2, 4)))

    def publish(self, size: int) -> Sale:
        capacities = (None, None, 1)
        made = sale(self.client, *PRICES, host=self.host, capacity=size, capacities=capacities)
        self.sales.append(made)
        return made

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    # Actions of attendees and hosts.

    @rule(target=holds, event=events, number=st.integers(0, 2), quantities=QUANTITIES, code=CODES)
    def book(
        self, event: Sale, number: int, quantities: tuple[int, ...], code: str | None
    ) -> Hold | MultipleResults[Hold]:
        attendee = self.attendees[number]
        reply = post_order(self.client, event, quantities, attendee, code)
        if reply.status in {400, 409}:
            assert reply.problem in {"sold-out", "event-cancelled", "limit-reached", "code-invalid"}
            return multiple()
        assert reply.status == 201, reply.text
        payment = reply.json.get("payment")
        return Hold(reply.json["bookingId"], payment and payment["paymentIntentId"], attendee)

    @rule(target=holds, event=events, number=st.integers(0, 2), quantities=QUANTITIES, code=CODES)
    def buy(
        self, event: Sale, number: int, quantities: tuple[int, ...], code: str | None
    ) -> Hold | MultipleResults[Hold]:
        """Book and pay immediately, the most common case."""
        hold = self.book(event, number, quantities, code)
        if isinstance(hold, Hold):
            self.pay(hold, GOOD, passed=True)
        return hold

    @rule(hold=holds, card=st.sampled_from(CARDS), passed=st.booleans())
    def pay(self, hold: Hold, card: str, *, passed: bool) -> None:
        if hold.intent is None:
            reply = self.client("POST", f"/bookings/{hold.booking_id}/payment", by=hold.attendee)
            assert reply.status in {200, 409, 503}, reply.text
            hold.intent = reply.json["paymentIntentId"] if reply.status == 200 else None
        if hold.intent is None:
            return
        with contextlib.suppress(ApiError):  # declined, or paid or canceled before
            intent = self.stripe.confirm(hold.intent, card)
            if intent["status"] == "requires_action":
                self.stripe.authenticate(hold.intent, passed=passed)

    @rule(hold=holds, by_host=st.booleans())
    def cancel(self, hold: Hold, *, by_host: bool) -> None:
        account = self.host if by_host else hold.attendee
        assert self.client("DELETE", f"/bookings/{hold.booking_id}", by=account).status == 204

    @rule(hold=holds, number=st.integers(0, 3), by_host=st.booleans())
    def cancel_ticket(self, hold: Hold, number: int, *, by_host: bool) -> None:
        account = self.host if by_host else hold.attendee
        sql = "SELECT ticket_id FROM tickets WHERE booking_id = :id ORDER BY ticket_id"
        tickets = rows(self.client, sql, id=hold.booking_id)
        reply = delete_ticket(self.client, tickets[number % len(tickets)].ticket_id, account)
        assert reply.status == 204 or reply.problem == "booking-unpaid", reply.text

    @rule(event=consumes(events), target=events, unlikely=st.integers(0, 7))
    def cancel_event(self, event: Sale, unlikely: int) -> Sale:
        """Cancel an event now and then, and replace it by a new one."""
        if unlikely:
            return event
        assert self.client("POST", f"/events/{event.event_id}/cancel", by=self.host).status == 200
        return self.publish(2)

    # Actions of Stripe.

    @rule(number=st.integers(0, 20), times=st.integers(1, 2))
    def deliver_webhook(self, number: int, times: int) -> None:
        waiting = self.stripe.waiting()
        for _ in range(times if waiting else 0):
            assert set(self.stripe.deliver(waiting[number % len(waiting)])) <= {200}

    @rule(order=st.sampled_from(("ordered", "reversed", "shuffled")))
    def deliver_all_webhooks(self, order: Order) -> None:
        assert set(self.stripe.deliver_all(order)) <= {200}

    @rule(number=st.integers(0, 20))
    def lose_webhook(self, number: int) -> None:
        if waiting := self.stripe.waiting():
            self.stripe.drop(waiting[number % len(waiting)])

    @rule(hold=holds, amount=st.sampled_from((None, 400, 1000)))
    def refund_in_dashboard(self, hold: Hold, amount: int | None) -> None:
        if hold.intent is not None:
            with contextlib.suppress(ApiError):  # not paid, disputed, or nothing is left
                self.stripe.refund(hold.intent, amount)

    @rule(hold=holds, amount=st.sampled_from((None, 700)))
    def dispute(self, hold: Hold, amount: int | None) -> None:
        if hold.intent is None:
            return
        price = self.stripe.intent(hold.intent)["amount"]
        if self.refunded(hold.intent) + (amount or price) <= price:
            with contextlib.suppress(ApiError):  # not paid, or disputed before
                self.stripe.dispute(hold.intent, amount=amount)

    @rule(hold=holds, won=st.booleans())
    def settle_dispute(self, hold: Hold, *, won: bool) -> None:
        for dispute in self.stripe.disputes(hold.intent) if hold.intent else ():
            with contextlib.suppress(ApiError):  # settled before
                self.stripe.settle_dispute(dispute["id"], won=won)

    @rule(kind=st.sampled_from(("error", "limit", "reset")), after=st.booleans())
    def fail_next_call(self, kind: Literal["error", "limit", "reset"], *, after: bool) -> None:
        self.stripe.faults.calls = [Fault(kind, 2 if kind == "reset" else 1, after=after and kind != "limit")]

    @rule(hold=holds)
    def end_hold_time(self, hold: Hold) -> None:
        """Make the time of this hold end now."""
        rows(
            self.client,
            "UPDATE bookings SET expires_at = least(expires_at, now()) WHERE booking_id = :this",
            this=hold.booking_id,
        )
        rows(
            self.client,
            "UPDATE payments SET open_until = least(open_until, now()),"
            " next_check_at = least(next_check_at, now()) WHERE booking_id = :this",
            this=hold.booking_id,
        )

    # Actions of the app's functions.

    @rule()
    def expire_holds(self) -> None:
        hold_expiry.expire_holds(self.database, lambda: self.client.wiring.payments, self.now())

    @rule()
    def reconcile(self) -> None:
        reconciliation.reconcile(self.database, lambda: self.client.wiring.payments, self.now())

    @rule()
    def sweep_events(self) -> None:
        now = datetime.now(UTC) + timedelta(seconds=1)
        event_sweep.sweep(self.database, lambda: self.client.wiring.payments, livemode=False, now=now)

    @rule(succeed=st.booleans())
    def settle_refunds(self, *, succeed: bool) -> None:
        for row in rows(
            self.client, "SELECT stripe_refund_id FROM refunds WHERE stripe_refund_id IS NOT NULL"
        ):
            self.settle(row.stripe_refund_id, succeed=succeed)

    @rule()
    def process_domain_events(self) -> None:
        self.stripe.faults.calls = []
        self.office.run()

    # What holds after each step, and in the end.

    @invariant()
    def integrity_reports_have_no_differences(self) -> None:
        for made in self.sales:
            report = self.client("GET", f"/events/{made.event_id}/integrity", by=self.host).json
            assert {difference["what"] for difference in report["differences"]} <= FLAGS
            for money in report["money"]:
                back = money["refunded"] + money["refundPending"]
                assert money["received"] == back + money["kept"]
            for pool in (report["places"], *report["ticketTypes"], *report["codes"]):
                limit = pool.get("capacity", pool.get("maxUses", pool["taken"]))
                assert pool["taken"] == pool["counted"] <= limit
            taken = [pool["taken"] for pool in report["ticketTypes"]]
            assert sum(taken) == report["places"]["taken"]

    def teardown(self) -> None:
        """Let time pass and the schedules run, without further webhooks."""
        self.stripe.faults.calls = []
        for event in self.stripe.waiting():
            self.stripe.drop(event)
        for hold in self.stripe.intents():
            for dispute in self.stripe.disputes(hold["id"]):
                with contextlib.suppress(ApiError):  # settled before
                    self.stripe.settle_dispute(dispute["id"], won=True)
        rows(self.client, "UPDATE stripe_sweeps SET swept_until = now() - interval '1 hour'")
        self.sweep_events()
        for _ in range(12):
            self.ahead += timedelta(hours=25)
            self.expire_holds()
            self.reconcile()
            self.settle_refunds(succeed=True)
        self.office.run()
        self.check_rows_against_stripe()

    def settle(self, refund: str, *, succeed: bool) -> None:
        with contextlib.suppress(ApiError):  # settled before
            self.stripe.settle(refund, succeed=succeed)

    def check_rows_against_stripe(self) -> None:
        kept = {
            intent["id"]: intent["amount_received"] - self.refunded(intent["id"]) - self.lost(intent["id"])
            for intent in self.stripe.intents()
        }
        booked = rows(
            self.client,
            "SELECT b.status, b.amount, p.status AS payment, p.intent_id, p.refunded_amount"
            " + CASE WHEN p.dispute = 'lost' THEN p.disputed_amount ELSE 0 END AS returned,"
            " (SELECT coalesce(sum(amount), 0) FROM refunds r"
            " WHERE r.booking_id = b.booking_id AND r.status = 'refunded') AS refunded_here,"
            " (SELECT coalesce(sum(price), 0) FROM tickets t"
            " WHERE t.booking_id = b.booking_id AND t.status <> 'cancelled') AS live"
            " FROM bookings b JOIN payments p USING (booking_id) WHERE host_id = :host",
            host=self.host.user_id,
        )
        for row in booked:
            assert row.status in {"confirmed", "cancelled", "expired"}, row
            left = row.amount - row.returned if row.payment != "failed" else 0
            assert kept.pop(row.intent_id, 0) == left, row
            assert row.live - (row.returned - row.refunded_here) <= left <= row.live, row
            if left:
                assert row.payment == ("partly_refunded" if row.returned else "paid"), row
            else:
                assert row.payment in {"refunded", "failed"}, row
        ours = {intent["id"] for intent in self.stripe.intents() if self.is_ours(intent["metadata"])}
        assert {kept[intent] for intent in ours & kept.keys()} <= {0}

    def is_ours(self, metadata: dict[str, str]) -> bool:
        return metadata.get("eventId") in {made.event_id for made in self.sales}

    def lost(self, intent: str) -> int:
        return sum(one["amount"] for one in self.stripe.disputes(intent) if one["status"] == "lost")

    def refunded(self, intent: str) -> int:
        return sum(
            refund["amount"]
            for refund in self.stripe.refunds(intent)
            if refund["status"] in {"succeeded", "pending"}
        )


@pytest.mark.slow
def test_places_and_money_agree_after_any_sequence(client: Client, stripe: StripeFake) -> None:
    class ThisMachine(PaymentMachine):
        def __init__(self) -> None:
            super().__init__(client, stripe)

    bounds = settings(derandomize=True, database=None, deadline=None, max_examples=25, stateful_step_count=30)
    run_state_machine_as_test(ThisMachine, settings=bounds)
