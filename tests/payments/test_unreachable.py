"""Stripe is unreachable: places are held nevertheless, and every hold can be paid later."""

from collections.abc import Callable, Iterator

import pytest

from chalicelib.wiring import Wiring, using
from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.faults import ALWAYS, Fault, FaultKind
from tests.client import PASSWORD, Account, Client
from tests.fakes import FakePayments
from tests.payments.purchases import (
    Hold,
    cancel,
    expire,
    get_booking,
    hold,
    process_refund,
    reconcile,
    request_payment,
    status,
)
from tests.rows import domain_events, rows, taken, value
from tests.users.verification_emails import verify, verify_pending

CREATE = "POST /v1/payment_intents"
KINDS: list[tuple[FaultKind, bool]] = [
    ("error", False),
    ("error", True),
    ("limit", False),
    ("reset", False),
    ("reset", True),
]


def break_stripe(
    stripe: StripeFake, kind: FaultKind = "error", *, times: int = ALWAYS, after: bool = False
) -> None:
    stripe.faults.calls = [Fault(kind, times, after=after)]


def repair_stripe(stripe: StripeFake) -> None:
    stripe.faults.calls = []


@pytest.mark.parametrize(("kind", "after"), KINDS)
def test_a_place_is_held_without_stripe_and_paid_later(
    client: Client,
    stripe: StripeFake,
    kind: FaultKind,
    after: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    break_stripe(stripe, kind, after=after)
    held = hold(client)
    assert held.intent_id == ""
    assert "payment" not in get_booking(client, held)
    refused = request_payment(client, held)
    assert (refused.status, refused.problem) == (503, "unavailable")
    assert int(refused.headers["retry-after"]) > 0

    repair_stripe(stripe)
    made = request_payment(client, held)

    assert made.status == 200
    assert made.json.keys() == {"provider", "paymentIntentId", "clientSecret", "status"}
    assert request_payment(client, held).json == made.json
    assert get_booking(client, held)["payment"] == made.json
    stripe.confirm(made.json["paymentIntentId"])
    stripe.deliver_all()
    assert status(client, held) == ("confirmed", "paid")


def test_without_stripe_the_payment_of_a_hold_is_null(client: Client, stripe: StripeFake) -> None:
    event = client.event(client.host(), price=2500)
    attendee = client.attendee()
    break_stripe(stripe, "reset")

    for expected in (201, 200):
        reply = client.book(attendee, event["eventId"])
        assert (reply.status, reply.json["payment"]) == (expected, None)
    repair_stripe(stripe)
    assert client.book(attendee, event["eventId"]).json["payment"]["clientSecret"]
    assert taken(client, event["eventId"]) == 1


def test_a_retry_with_the_key_makes_the_missing_payment(client: Client, stripe: StripeFake) -> None:
    event, attendee = client.event(client.host(), price=2500), client.attendee()
    key = {"Idempotency-Key": "first"}
    break_stripe(stripe, "reset", after=True)
    first = client.book(attendee, event["eventId"], **key)
    repair_stripe(stripe)

    again = client.book(attendee, event["eventId"], **key)

    assert (first.status, first.json["payment"], again.status) == (201, None, 201)
    assert again.json["payment"]["paymentIntentId"] == stripe.intents()[0]["id"]


def test_a_broken_idle_connection_does_not_delay_a_payment(client: Client, stripe: StripeFake) -> None:
    hold(client)
    break_stripe(stripe, "reset", times=1)

    held = hold(client)

    assert held.intent_id == stripe.intents()[0]["id"]


def test_a_lost_response_makes_no_second_payment(client: Client, stripe: StripeFake) -> None:
    break_stripe(stripe, "reset", times=2, after=True)
    held = hold(client)

    made = request_payment(client, held).json

    assert [intent["id"] for intent in stripe.intents()] == [made["paymentIntentId"]]


def test_an_error_stored_with_its_key_does_not_block_the_payment(client: Client, stripe: StripeFake) -> None:
    break_stripe(stripe, "error", times=1, after=True)
    held = hold(client)

    made = request_payment(client, held)

    assert made.status == 200
    assert stripe.intent(made.json["paymentIntentId"])["metadata"]["attempt"] == "1"


def test_a_payment_lost_to_an_error_response_has_no_effect_later(client: Client, stripe: StripeFake) -> None:
    break_stripe(stripe, "error", times=1, after=True)
    held = hold(client)
    [unrecorded] = stripe.intents()
    made = request_payment(client, held).json

    stripe.cancel(unrecorded["id"])
    stripe.deliver_all()

    assert get_booking(client, held)["payment"]["paymentIntentId"] == made["paymentIntentId"]


@pytest.mark.parametrize(
    "price",
    ["price = 49", "price = 10, currency = 'jpy'", "currency = 'xxx'", "price = 100000000"],
)
def test_a_payment_that_stripe_never_accepts_frees_its_place(
    client: Client, stripe: StripeFake, price: str
) -> None:
    host, attendee = client.host(), client.attendee()
    event = client.event(host, price=2500, capacity=1)
    change_price(client, event["eventId"], price)
    key = {"Idempotency-Key": "first"}

    refused = client.book(attendee, event["eventId"], **key)

    assert (refused.status, refused.problem) == (409, "payment-rejected")
    assert "retry-after" not in refused.headers
    assert taken(client, event["eventId"]) == 0
    [booking] = client("GET", "/bookings", by=attendee).json
    assert (booking["status"], booking["payment"]["status"]) == ("expired", "failed")
    again = client("POST", f"/bookings/{booking['bookingId']}/payment", by=attendee)
    assert (again.status, again.problem) == (409, "payment-rejected")
    assert client.book(attendee, event["eventId"], **key).problem == "payment-rejected"
    assert domain_events(client, event["eventId"], "booking-expired") == []
    report = client("GET", f"/events/{event['eventId']}/integrity", by=host).json
    assert report["differences"] == []
    assert stripe.intents() == []


def change_price(client: Client, event_id: str, change: str) -> None:
    """Change the price of an event to one that the API does not accept."""
    rows(client, "UPDATE events SET max_charge = 1000000000 WHERE event_id = :id", id=event_id)
    for part in change.split(", "):
        table = "events" if "currency" in part else "ticket_types"
        rows(client, f"UPDATE {table} SET {part} WHERE event_id = :id", id=event_id)  # noqa: S608


def test_a_hold_that_stripe_never_accepts_ends_when_it_is_paid(client: Client, stripe: StripeFake) -> None:
    break_stripe(stripe, "error")
    held = hold(client)
    repair_stripe(stripe)
    rows(client, "UPDATE payments SET amount = 49 WHERE booking_id = :id", id=held.booking_id)

    assert request_payment(client, held).problem == "payment-rejected"

    assert taken(client, held.event_id) == 0


def change_address(client: Client, attendee: Account) -> None:
    change = {"email": "moved@example.com", "currentPassword": PASSWORD}
    assert client("PATCH", "/users/me", change, by=attendee).status == 200
    verify_pending(client, attendee, "moved@example.com")


@pytest.mark.parametrize(("was_verified", "change"), [(True, change_address), (False, verify)])
def test_a_changed_address_makes_no_second_payment(
    client: Client,
    stripe: StripeFake,
    was_verified: bool,  # noqa: FBT001 (a column of the table)
    change: Callable[[Client, Account], object],
) -> None:
    client.verified = was_verified
    break_stripe(stripe, "reset", times=2, after=True)
    held = hold(client)
    change(client, held.attendee)

    made = request_payment(client, held)

    assert made.status == 200
    assert [intent["id"] for intent in stripe.intents()] == [made.json["paymentIntentId"]]


@pytest.fixture
def watched(client: Client) -> Iterator[tuple[Client, list[int]]]:
    """A client, and the numbers of open transactions during its calls of Stripe."""
    gateway, open_transactions = FakePayments(), list[int]()
    with using(Wiring(client.wiring.settings, payments=gateway)) as wiring:
        client = Client(wiring)
        gateway.at_step = lambda: open_transactions.append(
            value(
                client,
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND xact_start IS NOT NULL AND pid <> pg_backend_pid()",
            )
        )
        yield client, open_transactions


def book(client: Client) -> None:
    hold(client)


def request_missing_payment(client: Client) -> None:
    held = hold(client)
    rows(client, "UPDATE payments SET intent_id = NULL")
    request_payment(client, held)


def expire_hold(client: Client) -> None:
    held = hold(client)
    expire(client)
    assert status(client, held) == ("expired", "failed")


def reconcile_payment(client: Client) -> Hold:
    held = hold(client)
    gateway = client.wiring.payments
    assert isinstance(gateway, FakePayments)
    gateway.pay(held.intent_id)
    reconcile(client)
    assert status(client, held) == ("confirmed", "paid")
    return held


def refund_payment(client: Client) -> None:
    held = reconcile_payment(client)
    cancel(client, held)
    process_refund(client, held)
    assert status(client, held) == ("cancelled", "refunded")


@pytest.mark.parametrize(
    "action", [book, request_missing_payment, expire_hold, reconcile_payment, refund_payment]
)
def test_no_transaction_is_open_while_stripe_is_called(
    watched: tuple[Client, list[int]], action: Callable[[Client], object]
) -> None:
    client, open_transactions = watched

    action(client)

    assert set(open_transactions) == {0}
