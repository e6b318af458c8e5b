"""Orders of several tickets: expiry, late payments, cancelled events, deleted accounts, and the recount."""

from typing import Any

import pytest

from infra.stripe_fake.fake import StripeFake
from tests.client import Client
from tests.payments.orders import (
    CODE,
    buy_order,
    cancel_ticket,
    counted,
    order,
    post_order,
    sale,
    ticket_rows,
    uses,
)
from tests.payments.purchases import (
    deliver_webhooks,
    differences,
    expire,
    integrity,
    process_refund,
    refund_rows,
    status,
)
from tests.payments.test_partial_refunds import sums
from tests.payments.webhook_delivery import event, intent_of, send
from tests.rows import domain_events, rows


def test_an_expired_order_frees_all_its_places_and_its_code(client: Client) -> None:
    held = order(client, sale(client, 2500, 6000), 2, 1, code=CODE)
    assert (counted(client, held), uses(client, held)) == ([3, 2, 1], 1)

    expire(client)

    assert (counted(client, held), uses(client, held)) == ([0, 0, 0], 0)
    assert differences(client, held) == []


@pytest.mark.parametrize(
    ("members", "others", "code"),
    [
        ({"capacity": 4}, (2, 0), None),
        ({"capacities": (3, None)}, (2, 0), None),
        ({"capacities": (None, 1)}, (0, 1), None),
        ({}, (1, 0), CODE),
    ],
    ids=["the event is full", "a type is full", "the other type is full", "the code is used up"],
)
def test_a_late_payment_gets_all_places_or_none(
    client: Client, stripe: StripeFake, members: dict[str, Any], others: tuple[int, ...], code: str | None
) -> None:
    on_sale = sale(client, 2500, 6000, **members)
    held = order(client, on_sale, 2, 1, code=CODE)
    late = event("payment_intent.succeeded", intent_of(client, held))
    stripe.confirm(held.intent_id)
    rows(client, "UPDATE payments SET intent_id = NULL WHERE booking_id = :id", id=held.booking_id)
    expire(client)  # without the PaymentIntent, so that it can still be paid
    rows(
        client,
        "UPDATE payments SET intent_id = :intent WHERE booking_id = :id",
        intent=held.intent_id,
        id=held.booking_id,
    )
    other = order(client, on_sale, *others, code=code)
    before = counted(client, other)

    assert send(client, late).json == {"outcome": "refund-due"}

    assert counted(client, held) == before
    assert [refund.amount for refund in refund_rows(client, held)] == [5500]
    [due] = domain_events(client, held.event_id, "payment-refund-due")
    assert (due.body["reason"], len(due.body["tickets"])) == ("late-payment", 3)
    process_refund(client, held)
    assert status(client, held) == ("expired", "refunded")
    assert differences(client, held) == []


def test_a_late_payment_of_an_order_is_confirmed_if_all_places_are_left(client: Client) -> None:
    held = order(client, sale(client, 2500, 6000, capacity=3), 2, 1, code=CODE)
    late = event("payment_intent.succeeded", intent_of(client, held))
    expire(client)

    assert send(client, late).json == {"outcome": "confirmed"}

    assert (counted(client, held), uses(client, held)) == ([3, 2, 1], 1)
    assert {ticket.status for ticket in ticket_rows(client, held)} == {"valid"}
    assert differences(client, held) == []


def test_a_cancelled_event_returns_what_is_left_of_each_order(client: Client, stripe: StripeFake) -> None:
    on_sale = sale(client, 2500, 6000)
    first, second = (buy_order(client, stripe, on_sale, 2, 1) for _ in range(2))
    cancel_ticket(client, first, 0)
    process_refund(client, first)

    assert client("POST", f"/events/{first.event_id}/cancel", by=first.host).status == 200

    assert counted(client, first) == [0, 0, 0]
    assert [refund.amount for refund in refund_rows(client, first)] == [2500, 8500]
    assert [refund.amount for refund in refund_rows(client, second)] == [11_000]
    due = domain_events(client, first.event_id, "payment-refund-due")
    assert [len(one.body["tickets"]) for one in due] in ([1, 2, 3], [1, 3, 2])
    for paid in (first, second):
        process_refund(client, paid)
    deliver_webhooks(stripe)
    assert sums(client, first) == (22_000, 22_000, 0, 0)
    assert differences(client, first) == []


def test_a_deleted_account_returns_the_rest_of_its_orders(client: Client, stripe: StripeFake) -> None:
    attendee = client.attendee()
    first, second = (
        buy_order(client, stripe, sale(client, 2500, 6000), 1, 1, attendee=attendee) for _ in range(2)
    )
    cancel_ticket(client, first, 1)

    assert client("DELETE", "/users/me", by=attendee).status == 204

    assert [refund.amount for refund in refund_rows(client, first)] == [6000, 2500]
    assert [refund.amount for refund in refund_rows(client, second)] == [8500]
    for paid in (first, second):
        process_refund(client, paid)
        assert status(client, paid) == ("cancelled", "refunded")
        assert counted(client, paid) == [0, 0, 0]
        assert differences(client, paid) == []


def test_the_report_counts_types_and_codes(client: Client, stripe: StripeFake) -> None:
    on_sale = sale(client, 2500, 6000, capacities=(None, 5))
    paid = buy_order(client, stripe, on_sale, 2, 1, code=CODE)

    report = integrity(client, paid)

    first, second = on_sale.types
    assert report["ticketTypes"] == [
        {"ticketTypeId": str(first), "name": "Type 1", "taken": 2, "counted": 2},
        {"ticketTypeId": str(second), "name": "Type 2", "capacity": 5, "taken": 1, "counted": 1},
    ]
    [code] = report["codes"]
    assert (code["code"], code["maxUses"], code["taken"], code["counted"]) == (CODE, 1, 1, 1)
    assert post_order(client, on_sale, (1, 0), client.attendee(), CODE).problem == "code-invalid"


@pytest.mark.parametrize(
    ("kind", "what", "name"), [("ticket-type", "places", "ticketTypeId"), ("code", "uses", "codeId")]
)
def test_a_wrong_counter_of_a_pool_is_named(
    client: Client, stripe: StripeFake, kind: str, what: str, name: str
) -> None:
    paid = buy_order(client, stripe, sale(client, 2500, capacities=(5,)), 2)
    [pool] = rows(
        client, "UPDATE pools SET taken = taken + 1 WHERE kind = :kind RETURNING pool_id", kind=kind
    )

    assert integrity(client, paid)["differences"] == [
        {"bookingId": None, name: str(pool.pool_id), "what": what}
    ]


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("UPDATE tickets SET refund_id = NULL", "paid-without-place"),
        ("UPDATE refunds SET amount = amount + 1", "refund-differs"),
        ("UPDATE refunds SET status = 'pending', refunded_at = NULL", "refund-differs"),
        ("UPDATE refunds SET flag = 'of-a-new-kind'", "of-a-new-kind"),
        ("UPDATE payments SET refunded_amount = 0", "refund-differs"),
        ("UPDATE payments SET refunded_amount = amount", "confirmed-without-payment"),
    ],
)
def test_a_difference_in_refunds_is_named(client: Client, stripe: StripeFake, sql: str, kind: str) -> None:
    paid = buy_order(client, stripe, sale(client, 2500), 2)
    cancel_ticket(client, paid)
    process_refund(client, paid)
    assert differences(client, paid) == []

    rows(client, sql)

    assert differences(client, paid) == [kind]
