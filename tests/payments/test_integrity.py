"""Integrity: an event counted again, and every kind of difference named."""

from typing import Any

import pytest

from infra.stripe_fake.fake import StripeFake
from tests.client import Client, in_days
from tests.payments.purchases import bought, cancel, differences, expire, hold, integrity, pay_back
from tests.rows import rows


def test_a_mixed_event_adds_up(client: Client, stripe: StripeFake) -> None:
    first = bought(client, stripe)
    at: Any = {"host": first.host, "event_id": first.event_id}
    refunded, refunding, kept, disputed = (bought(client, stripe, **at) for _ in range(4))
    expired = hold(client, **at)
    expire(client)
    pending, given_up = hold(client, **at), hold(client, **at)
    for held in (refunded, refunding, given_up):
        cancel(client, held)
    pay_back(client, refunded)
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


def test_each_currency_has_sums_of_its_own(client: Client, stripe: StripeFake) -> None:
    first = bought(client, stripe)
    change = {"price": 9900, "currency": "usd"}
    assert client("PATCH", f"/events/{first.event_id}", change, by=first.host).status == 200
    bought(client, stripe, host=first.host, event_id=first.event_id)

    money = integrity(client, first)["money"]

    assert [(sums["currency"], sums["received"]) for sums in money] == [("eur", 2500), ("usd", 9900)]


@pytest.mark.parametrize("members", [{}, {"price": 2500}, {"status": "draft", "price": 2500}], ids=str)
def test_an_event_that_nobody_booked_is_whole(client: Client, members: dict[str, Any]) -> None:
    host = client.host()
    event_id = client.event(host, **members)["eventId"]

    report = client("GET", f"/events/{event_id}/integrity", by=host).json

    assert (report["money"], report["differences"], report["places"]["counted"]) == ([], [], 0)


def test_a_free_event_is_counted_without_money(client: Client) -> None:
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
    ("UPDATE payments SET status = 'refunded'", "confirmed-without-payment"),
    ("UPDATE payments SET status = 'refund_pending'", "confirmed-without-payment"),
    ("UPDATE bookings SET status = 'pending'", "pending-but-settled"),
    ("UPDATE payments SET flag = 'of-a-new-kind'", "of-a-new-kind"),
]


@pytest.mark.parametrize(("sql", "what"), BROKEN)
def test_what_does_not_fit_is_named(client: Client, stripe: StripeFake, sql: str, what: str) -> None:
    paid = bought(client, stripe)
    assert differences(client, paid) == []

    rows(client, sql)

    assert integrity(client, paid)["differences"] == [{"bookingId": paid.booking_id, "what": what}]


@pytest.mark.parametrize("ended", ["cancelled", "expired"])
def test_who_has_paid_and_has_no_place_is_named_and_so_is_the_counter(
    client: Client, stripe: StripeFake, ended: str
) -> None:
    paid = bought(client, stripe)

    rows(client, "UPDATE bookings SET status = :status", status=ended)

    assert integrity(client, paid)["differences"] == [
        {"bookingId": None, "what": "places"},
        {"bookingId": paid.booking_id, "what": "paid-without-place"},
    ]


@pytest.mark.parametrize("by", [1, -1])
def test_a_counter_that_is_wrong_is_named(client: Client, stripe: StripeFake, by: int) -> None:
    paid = bought(client, stripe)

    rows(client, "UPDATE places SET taken = taken + :by", by=by)

    report = integrity(client, paid)
    assert report["differences"] == [{"bookingId": None, "what": "places"}]
    assert report["places"] == {"capacity": 100, "taken": 1 + by, "counted": 1}


def test_only_the_host_may_count(client: Client, stripe: StripeFake) -> None:
    paid = bought(client, stripe)
    path = f"/events/{paid.event_id}/integrity"

    assert client("GET", path, by=client.host()).problem == "not-your-event"
    assert client("GET", path, by=paid.attendee).status == 403
    assert client("GET", path).status == 401
    draft = client.event(paid.host, status="draft")["eventId"]
    assert client("GET", f"/events/{draft}/integrity", by=client.host()).problem == "no-such-event"
    client("DELETE", f"/events/{paid.event_id}", by=paid.host)
    assert client("GET", path, by=paid.host).problem == "no-such-event"


def test_an_event_that_was_called_off_can_still_be_counted(client: Client, stripe: StripeFake) -> None:
    paid = bought(client, stripe)
    client("POST", f"/events/{paid.event_id}/cancel", by=paid.host)

    [money] = integrity(client, paid)["money"]

    assert money["refundPending"] == 2500
    assert differences(client, paid) == []
