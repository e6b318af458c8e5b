"""Cancellation of single tickets: their places are free immediately, and their prices go back."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from chalicelib.platform.errors import Unreachable
from infra.stripe_fake.dispatcher import Order
from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.faults import Fault
from tests.client import Client
from tests.payments.orders import (
    CODE,
    buy_order,
    cancel_ticket,
    counted,
    delete_ticket,
    order,
    sale,
    ticket_rows,
    uses,
)
from tests.payments.purchases import (
    cancel,
    deliver_webhooks,
    differences,
    domain_event_types,
    get_booking,
    integrity,
    payment_row,
    process_refund,
    reconcile,
    refund_row,
    refund_rows,
    status,
)
from tests.payments.test_partial_refunds import lose_dispute, sums
from tests.rows import domain_events, rows

PAST = timedelta(days=-1)


def amounts(stripe: StripeFake, intent_id: str) -> list[int]:
    """Return the amounts of the refunds at Stripe, the oldest first."""
    return [refund["amount"] for refund in stripe.refunds(intent_id)][::-1]


@pytest.mark.parametrize("by_host", [False, True], ids=["by the attendee", "by the host"])
def test_a_cancelled_ticket_frees_its_place_and_returns_its_price(
    client: Client,
    stripe: StripeFake,
    by_host: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    paid = buy_order(client, stripe, sale(client, 2500, 6000), 2, 1)
    assert counted(client, paid) == [3, 2, 1]
    cancelled = ticket_rows(client, paid)[2]

    cancel_ticket(client, paid, 2, by=paid.host if by_host else None)

    assert counted(client, paid) == [2, 2, 0]
    assert status(client, paid) == ("confirmed", "refund_pending")
    assert sums(client, paid) == (11_000, 0, 6000, 5000)
    [lost] = domain_events(client, paid.event_id, "tickets-cancelled")
    [due] = domain_events(client, paid.event_id, "payment-refund-due")
    ticket = {"ticketId": str(cancelled.ticket_id), "ticketTypeId": str(cancelled.ticket_type_id)}
    assert lost.body["tickets"] == due.body["tickets"] == [ticket]
    assert lost.body["reason"] == due.body["reason"] == ("host" if by_host else "attendee")
    assert (due.body["amount"], due.body["refundId"]) == (6000, str(refund_row(client, paid).refund_id))

    process_refund(client, paid)
    deliver_webhooks(stripe)

    assert amounts(stripe, paid.intent_id) == [6000]
    assert status(client, paid) == ("confirmed", "partly_refunded")
    booking = get_booking(client, paid)
    assert (booking["quantity"], booking["amount"], booking["refunded"]) == (2, 11_000, 6000)
    assert differences(client, paid) == []


def test_a_ticket_is_cancelled_once(client: Client, stripe: StripeFake) -> None:
    paid = buy_order(client, stripe, sale(client, 2500), 2)

    for by in (paid.attendee, paid.attendee, paid.host):
        cancel_ticket(client, paid, 0, by=by)

    assert [refund.amount for refund in refund_rows(client, paid)] == [2500]
    assert domain_event_types(client, paid).count("tickets-cancelled") == 1


def test_the_last_ticket_is_cancelled_with_its_booking(client: Client, stripe: StripeFake) -> None:
    paid = buy_order(client, stripe, sale(client, 2500, 6000), 1, 1, code=CODE)
    cancel_ticket(client, paid, 0)
    assert uses(client, paid) == 1

    cancel_ticket(client, paid, 1)

    assert (counted(client, paid), uses(client, paid)) == ([0, 0, 0], 0)
    assert [refund.amount for refund in refund_rows(client, paid)] == [1250, 3000]
    [cancelled] = domain_events(client, paid.event_id, "booking-cancelled")
    assert [ticket["ticketId"] for ticket in cancelled.body["tickets"]] == [
        str(ticket_rows(client, paid)[1].ticket_id)
    ]
    process_refund(client, paid)
    assert status(client, paid) == ("cancelled", "refunded")
    assert differences(client, paid) == []


def test_only_the_booker_and_the_host_can_cancel_a_ticket(client: Client, stripe: StripeFake) -> None:
    paid = buy_order(client, stripe, sale(client, 2500), 2)
    ticket_id = ticket_rows(client, paid)[0].ticket_id

    for other in (client.attendee(), client.host()):
        assert delete_ticket(client, ticket_id, other).problem == "no-such-ticket"
    assert delete_ticket(client, uuid4(), paid.attendee).problem == "no-such-ticket"
    assert client("DELETE", f"/tickets/{ticket_id}").status == 401
    assert counted(client, paid) == [2, 2]


def test_a_ticket_of_an_unpaid_booking_is_not_cancelled_alone(client: Client) -> None:
    held = order(client, sale(client, 2500), 2)
    ticket_id = ticket_rows(client, held)[0].ticket_id

    assert delete_ticket(client, ticket_id, held.attendee).problem == "booking-unpaid"

    assert counted(client, held) == [2, 2]
    assert status(client, held) == ("pending", "requires_payment")


def test_the_only_ticket_of_an_unpaid_booking_is_its_booking(client: Client) -> None:
    held = order(client, sale(client, 2500), 1)

    cancel_ticket(client, held)

    assert status(client, held) == ("cancelled", "requires_payment")
    assert counted(client, held) == [0, 0]


def test_no_ticket_is_cancelled_after_the_start(client: Client, stripe: StripeFake) -> None:
    paid = buy_order(client, stripe, sale(client, 2500), 2)
    cancel_ticket(client, paid, 0)
    rows(client, "UPDATE events SET starts_at = now() - interval '1 minute'")

    for by in (paid.attendee, paid.host):
        ticket_id = ticket_rows(client, paid)[1].ticket_id
        assert delete_ticket(client, ticket_id, by).problem == "event-started"
    cancel_ticket(client, paid, 0)

    assert counted(client, paid) == [1, 1]


def test_a_ticket_cancelled_too_late_is_kept(client: Client, stripe: StripeFake) -> None:
    paid = buy_order(client, stripe, sale(client, 2500, 6000, refundUntil=PAST), 1, 1)

    cancel_ticket(client, paid, 0)

    assert counted(client, paid) == [1, 0, 1]
    assert ticket_rows(client, paid)[0].kept_at is not None
    assert (status(client, paid), refund_rows(client, paid)) == (("confirmed", "paid"), [])
    assert integrity(client, paid)["money"][0]["keptOfCancelled"] == 2500
    cancel_ticket(client, paid, 1, by=paid.host)
    process_refund(client, paid)
    assert amounts(stripe, paid.intent_id) == [6000]
    assert sums(client, paid) == (8500, 6000, 0, 2500)
    assert status(client, paid) == ("cancelled", "partly_refunded")
    assert differences(client, paid) == []


def test_if_match_names_the_version_of_the_ticket_or_the_booking(client: Client, stripe: StripeFake) -> None:
    paid = buy_order(client, stripe, sale(client, 2500), 3)
    etag = client("GET", f"/bookings/{paid.booking_id}", by=paid.attendee).headers["etag"]
    first, second, third = ticket_rows(client, paid)

    def attempt(ticket_id: UUID, tag: str) -> int:
        return delete_ticket(client, ticket_id, paid.attendee, **{"If-Match": tag}).status

    assert attempt(first.ticket_id, '"77-abc"') == 412
    assert attempt(first.ticket_id, etag) == 204
    assert attempt(second.ticket_id, '"1-abc"') == 412
    assert attempt(second.ticket_id, f'"{second.version}-abc"') == 204
    assert counted(client, paid) == [1, 1]
    assert third.status == "valid"


def test_a_discount_is_not_refunded(client: Client, stripe: StripeFake) -> None:
    paid = buy_order(client, stripe, sale(client, 2500, 6000), 1, 1, code=CODE)
    assert payment_row(client, paid).amount == 4250

    cancel_ticket(client, paid, 1)
    process_refund(client, paid)

    assert amounts(stripe, paid.intent_id) == [3000]
    assert sums(client, paid) == (4250, 3000, 0, 1250)


def test_free_tickets_stay_when_the_paid_ones_are_refunded(client: Client, stripe: StripeFake) -> None:
    paid = buy_order(client, stripe, sale(client, 0, 2500), 1, 1)

    cancel_ticket(client, paid, 1)
    process_refund(client, paid)
    deliver_webhooks(stripe)

    assert status(client, paid) == ("confirmed", "refunded")
    assert counted(client, paid) == [1, 1, 0]
    assert differences(client, paid) == []
    cancel_ticket(client, paid, 0)
    assert status(client, paid) == ("cancelled", "refunded")
    assert len(refund_rows(client, paid)) == 1


def test_each_refund_is_retried_on_its_own(client: Client, stripe: StripeFake) -> None:
    paid = buy_order(client, stripe, sale(client, 2500, 6000), 2, 1)
    cancel_ticket(client, paid, 0)
    stripe.faults.calls = [Fault("error", 2, route="POST /v1/refunds")]
    process_refund(client, paid)
    process_refund(client, paid)
    cancel_ticket(client, paid, 2)

    process_refund(client, paid)
    first, second = refund_rows(client, paid)
    assert (first.attempt, second.attempt) == (2, 0)
    assert (first.status, second.status) == ("refunded", "refunded")

    assert sorted(amounts(stripe, paid.intent_id)) == [2500, 6000]
    assert sums(client, paid) == (11_000, 8500, 0, 2500)


def test_refunds_whose_messages_are_lost_are_made_by_the_schedule(client: Client, stripe: StripeFake) -> None:
    paid = buy_order(client, stripe, sale(client, 2500, 6000), 2, 1)
    for number in range(3):
        cancel_ticket(client, paid, number)

    assert reconcile(client, timedelta(minutes=11)) == 3
    deliver_webhooks(stripe)

    assert sorted(amounts(stripe, paid.intent_id)) == [2500, 2500, 6000]
    assert status(client, paid) == ("cancelled", "refunded")
    assert differences(client, paid) == []


def test_a_returned_refund_is_retried_while_others_are_open(client: Client, stripe: StripeFake) -> None:
    held = order(client, sale(client, 2500), 3)
    stripe.confirm(held.intent_id, "pm_card_refundFail")
    deliver_webhooks(stripe)
    for number in (0, 1):
        cancel_ticket(client, held, number)
        process_refund(client, held)
    deliver_webhooks(stripe)
    first, _ = refund_rows(client, held)
    stripe.settle(first.stripe_refund_id, succeed=False)

    deliver_webhooks(stripe)
    assert status(client, held) == ("confirmed", "refund_pending")
    assert sums(client, held) == (7500, 2500, 2500, 2500)
    reconcile(client)

    assert sums(client, held) == (7500, 5000, 0, 2500)
    assert [refund.attempt for refund in refund_rows(client, held)] == [1, 0]
    assert differences(client, held) == []


# Money that goes back at Stripe, of which nothing says for which tickets.


def test_a_ticket_is_refunded_up_to_what_is_left(client: Client, stripe: StripeFake) -> None:
    paid = buy_order(client, stripe, sale(client, 2500), 2)
    stripe.refund(paid.intent_id, 4000)
    deliver_webhooks(stripe)
    assert differences(client, paid) == ["partly-refunded"]

    cancel_ticket(client, paid, 0)
    [due] = domain_events(client, paid.event_id, "payment-refund-due")
    assert due.body["amount"] == 1000
    process_refund(client, paid)

    assert amounts(stripe, paid.intent_id) == [4000, 1000]
    assert status(client, paid) == ("cancelled", "refunded")
    assert counted(client, paid) == [0, 0]
    assert differences(client, paid) == []


def test_a_booking_is_cancelled_when_all_its_money_has_gone_back(client: Client, stripe: StripeFake) -> None:
    paid = buy_order(client, stripe, sale(client, 2500), 2)
    cancel_ticket(client, paid, 0)
    process_refund(client, paid)

    stripe.refund(paid.intent_id)
    deliver_webhooks(stripe)

    assert status(client, paid) == ("cancelled", "refunded")
    assert counted(client, paid) == [0, 0]
    [cancelled] = domain_events(client, paid.event_id, "booking-cancelled")
    assert (cancelled.body["reason"], cancelled.body["quantity"]) == ("refunded", 1)
    assert amounts(stripe, paid.intent_id) == [2500, 2500]
    assert differences(client, paid) == []


@pytest.mark.parametrize("order_of_webhooks", ["ordered", "reversed", "shuffled"])
def test_a_part_in_the_dashboard_during_a_refund_counts_once(
    client: Client, stripe: StripeFake, order_of_webhooks: Order
) -> None:
    paid = buy_order(client, stripe, sale(client, 2500), 3)
    cancel_ticket(client, paid, 0)
    stripe.refund(paid.intent_id, 700)
    stripe.deliver_all(order_of_webhooks)
    reconcile(client, timedelta(seconds=1))
    assert sums(client, paid) == (7500, 700, 2500, 4300)

    process_refund(client, paid)
    stripe.deliver_all(order_of_webhooks)

    assert sums(client, paid) == (7500, 3200, 0, 4300)
    assert status(client, paid) == ("confirmed", "partly_refunded")
    assert differences(client, paid) == ["partly-refunded"]


def test_a_total_with_an_unrecorded_refund_counts_once(client: Client, stripe: StripeFake) -> None:
    paid = buy_order(client, stripe, sale(client, 2500), 2)
    cancel_ticket(client, paid, 0)
    stripe.faults.calls = [Fault("reset", 2, after=True, route="POST /v1/refunds")]
    with pytest.raises(Unreachable):
        process_refund(client, paid)

    [total] = stripe.events("charge.refunded")
    stripe.deliver(total["id"])
    assert sums(client, paid) == (5000, 0, 2500, 2500)
    reconcile(client, timedelta(seconds=1))

    assert sums(client, paid) == (5000, 2500, 0, 2500)
    assert refund_row(client, paid).status == "refunded"
    assert differences(client, paid) == []


def test_a_manual_refund_of_a_ticket_settles_its_flagged_refund(client: Client, stripe: StripeFake) -> None:
    paid = buy_order(client, stripe, sale(client, 2500), 2)
    stripe.refund(paid.intent_id, 1000)
    deliver_webhooks(stripe)
    reconcile(client, timedelta(seconds=1))
    cancel_ticket(client, paid, 0)
    stripe.faults.calls = [Fault("error", 6, route="POST /v1/refunds")]
    for _ in range(6):
        process_refund(client, paid)
    assert refund_row(client, paid).flag == "refund-failed"

    stripe.refund(paid.intent_id, 2500)
    deliver_webhooks(stripe)
    reconcile(client, timedelta(seconds=1))

    assert refund_row(client, paid).status == "refunded"
    assert sums(client, paid) == (5000, 3500, 0, 1500)
    assert differences(client, paid) == ["partly-refunded"]


def test_open_refunds_are_reduced_to_what_a_lost_dispute_leaves(client: Client, stripe: StripeFake) -> None:
    paid = buy_order(client, stripe, sale(client, 2500), 3)
    disputed = stripe.dispute(paid.intent_id, amount=3000)
    cancel_ticket(client, paid, 0)
    cancel_ticket(client, paid, 1)
    stripe.settle_dispute(disputed["id"], won=False)
    deliver_webhooks(stripe)

    for minutes in (1, 7):
        reconcile(client, timedelta(minutes=minutes))
    deliver_webhooks(stripe)

    assert sorted(amounts(stripe, paid.intent_id)) == [2000, 2500]
    assert status(client, paid) == ("cancelled", "refunded")
    assert sums(client, paid) == (7500, 7500, 0, 0)
    assert differences(client, paid) == []


def test_a_lost_dispute_of_all_covers_open_refunds(client: Client, stripe: StripeFake) -> None:
    paid = buy_order(client, stripe, sale(client, 2500), 2)
    disputed = stripe.dispute(paid.intent_id)
    cancel_ticket(client, paid, 0)
    stripe.settle_dispute(disputed["id"], won=False)
    deliver_webhooks(stripe)

    assert refund_row(client, paid).status == "covered"
    assert status(client, paid) == ("cancelled", "refunded")
    assert (counted(client, paid), amounts(stripe, paid.intent_id)) == ([0, 0], [])
    assert differences(client, paid) == []


def test_a_lost_part_and_cancelled_tickets_add_up(client: Client, stripe: StripeFake) -> None:
    paid = buy_order(client, stripe, sale(client, 2500), 3)
    cancel_ticket(client, paid, 0)
    process_refund(client, paid)
    lose_dispute(stripe, paid, 1000)
    deliver_webhooks(stripe)
    assert sums(client, paid) == (7500, 3500, 0, 4000)

    cancel(client, paid)
    process_refund(client, paid)
    deliver_webhooks(stripe)

    assert amounts(stripe, paid.intent_id) == [2500, 4000]
    assert status(client, paid) == ("cancelled", "refunded")
    assert differences(client, paid) == []
