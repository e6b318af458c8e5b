"""The integrity report of an event: sums, and every kind of difference."""

from typing import Any

import pytest

from infra.stripe_fake.fake import StripeFake
from tests.client import Client, in_days
from tests.payments.purchases import buy, cancel, differences, expire, hold, integrity, process_refund
from tests.rows import rows


def test_the_report_of_a_mixed_event_has_correct_sums(client: Client, stripe: StripeFake) -> None:
    first = buy(client, stripe)
    at: Any = {"host": first.host, "event_id": first.event_id}
    refunded, refund_pending, kept, disputed = (buy(client, stripe, **at) for _ in range(4))
    expired = hold(client, **at)
    expire(client)
    pending, abandoned = hold(client, **at), hold(client, **at)
    for held in (refunded, refund_pending, abandoned):
        cancel(client, held)
    process_refund(client, refunded)
    rows(client, "UPDATE bookings SET refund_until = now() WHERE booking_id = :id", id=kept.booking_id)
    change = {"refundUntil": in_days(-1)}
    assert client("PATCH", f"/events/{first.event_id}", change, by=first.host).status == 200
    cancel(client, kept)
    stripe.dispute(disputed.intent_id)
    stripe.deliver_all()

    report = integrity(client, first)

    assert report["eventId"] == first.event_id
    assert report["checkedAt"].endswith("Z")
    assert report["places"] == {"capacity": 100, "taken": 3, "counted": 3}
    assert report["bookings"] == {"pending": 1, "confirmed": 2, "cancelled": 4, "expired": 1}
    assert report["money"] == [
        {
            "currency": "eur",
            "received": 12_500,
            "refunded": 2500,
            "refundPending": 2500,
            "kept": 7500,
            "keptOfCancelled": 2500,
            "confirmed": 5000,
            "disputed": 2500,
        }
    ]
    assert report["differences"] == []
    assert pending.booking_id != expired.booking_id


def test_each_currency_has_its_own_sums(client: Client, stripe: StripeFake) -> None:
    first = buy(client, stripe)
    change = {"price": 9900, "currency": "usd"}
    assert client("PATCH", f"/events/{first.event_id}", change, by=first.host).status == 200
    buy(client, stripe, host=first.host, event_id=first.event_id)

    money = integrity(client, first)["money"]

    assert [(sums["currency"], sums["received"]) for sums in money] == [("eur", 2500), ("usd", 9900)]


@pytest.mark.parametrize("members", [{}, {"price": 2500}, {"status": "draft", "price": 2500}], ids=str)
def test_an_event_without_bookings_has_no_differences(client: Client, members: dict[str, Any]) -> None:
    host = client.host()
    event_id = client.event(host, **members)["eventId"]

    report = client("GET", f"/events/{event_id}/integrity", by=host).json

    assert (report["money"], report["differences"], report["places"]["counted"]) == ([], [], 0)


def test_a_free_event_has_no_money_in_its_report(client: Client) -> None:
    host = client.host()
    event_id = client.event(host)["eventId"]
    client.book(client.attendee(), event_id)

    report = client("GET", f"/events/{event_id}/integrity", by=host).json

    assert (report["money"], report["differences"]) == ([], [])
    assert report["places"]["taken"] == report["bookings"]["confirmed"] == 1


BROKEN = [
    ("DELETE FROM payments", "payment-missing"),
    ("UPDATE payments SET amount = amount + 1", "amount-differs"),
    ("UPDATE payments SET currency = 'usd'", "amount-differs"),
    ("UPDATE bookings SET amount = amount - 1", "amount-differs"),
    ("UPDATE payments SET status = 'requires_payment'", "confirmed-without-payment"),
    ("UPDATE payments SET status = 'failed'", "confirmed-without-payment"),
    ("UPDATE payments SET refunded_amount = amount", "confirmed-without-payment"),
    ("UPDATE payments SET status = 'refunded'", "refund-differs"),
    ("UPDATE payments SET status = 'partly_refunded'", "refund-differs"),
    ("UPDATE payments SET status = 'refund_pending'", "refund-differs"),
    ("UPDATE payments SET refunded_amount = amount + 1, status = 'refunded'", "confirmed-without-payment"),
    ("UPDATE tickets SET price = price - 1", "amount-differs"),
    ("UPDATE tickets SET status = 'held'", "tickets-differ"),
    ("UPDATE bookings SET quantity = 2", "tickets-differ"),
    ("UPDATE bookings SET status = 'pending'", "tickets-differ"),
    ("UPDATE payments SET flag = 'of-a-new-kind'", "of-a-new-kind"),
]


@pytest.mark.parametrize(("sql", "kind"), BROKEN)
def test_a_difference_is_named_with_its_booking(
    client: Client, stripe: StripeFake, sql: str, kind: str
) -> None:
    paid = buy(client, stripe)
    assert differences(client, paid) == []

    rows(client, sql)

    assert integrity(client, paid)["differences"] == [{"bookingId": paid.booking_id, "what": kind}]


@pytest.mark.parametrize("booking_status", ["cancelled", "expired"])
def test_a_paid_booking_without_a_place_is_a_difference(
    client: Client, stripe: StripeFake, booking_status: str
) -> None:
    paid = buy(client, stripe)

    rows(client, "UPDATE bookings SET status = :status, quantity = 0", status=booking_status)
    rows(client, "UPDATE tickets SET status = 'cancelled', cancellation_reason = 'host'")

    assert integrity(client, paid)["differences"] == [
        {"bookingId": None, "what": "places"},
        {"bookingId": paid.booking_id, "what": "paid-without-place"},
    ]


@pytest.mark.parametrize("by", [1, -1])
def test_a_wrong_counter_is_a_difference(client: Client, stripe: StripeFake, by: int) -> None:
    paid = buy(client, stripe)

    rows(client, "UPDATE places SET taken = taken + :by", by=by)

    report = integrity(client, paid)
    assert report["differences"] == [{"bookingId": None, "what": "places"}]
    assert report["places"] == {"capacity": 100, "taken": 1 + by, "counted": 1}


def test_only_the_host_sees_the_report(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe)
    path = f"/events/{paid.event_id}/integrity"

    assert client("GET", path, by=client.host()).problem == "not-your-event"
    assert client("GET", path, by=paid.attendee).status == 403
    assert client("GET", path).status == 401
    draft = client.event(paid.host, status="draft")["eventId"]
    assert client("GET", f"/events/{draft}/integrity", by=client.host()).problem == "no-such-event"
    client("DELETE", f"/events/{paid.event_id}", by=paid.host)
    assert client("GET", path, by=paid.host).problem == "no-such-event"


def test_a_cancelled_event_has_a_report(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe)
    client("POST", f"/events/{paid.event_id}/cancel", by=paid.host)

    [money] = integrity(client, paid)["money"]

    assert money["refundPending"] == 2500
    assert differences(client, paid) == []
