"""Stripe out of reach: places are held all the same, nothing is lost, and nobody is locked out."""

from collections.abc import Callable, Iterator

import pytest

from chalicelib.wiring import Wiring, using
from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.faults import ALWAYS, Fault, FaultKind
from tests.client import Client
from tests.fakes import FakePayments
from tests.payments.purchases import (
    Hold,
    booking,
    cancel,
    expire,
    hold,
    pay,
    pay_back,
    payment,
    reconcile,
    status,
)
from tests.rows import rows, taken, value

CREATE = "POST /v1/payment_intents"
KINDS: list[tuple[FaultKind, bool]] = [
    ("error", False),
    ("error", True),
    ("limit", False),
    ("reset", False),
    ("reset", True),
]


def breaks(
    stripe: StripeFake, kind: FaultKind = "error", *, times: int = ALWAYS, after: bool = False
) -> None:
    stripe.faults.calls = [Fault(kind, times, after=after)]


def mended(stripe: StripeFake) -> None:
    stripe.faults.calls = []


@pytest.mark.parametrize(("kind", "after"), KINDS)
def test_a_place_is_held_without_stripe_and_paid_when_it_is_back(
    client: Client,
    stripe: StripeFake,
    kind: FaultKind,
    after: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    breaks(stripe, kind, after=after)
    held = hold(client)
    assert held.intent_id == ""
    assert "payment" not in booking(client, held)
    refused = payment(client, held)
    assert (refused.status, refused.problem) == (503, "unavailable")
    assert int(refused.headers["retry-after"]) > 0

    mended(stripe)
    made = payment(client, held)

    assert made.status == 200
    assert made.json.keys() == {"provider", "paymentIntentId", "clientSecret", "status"}
    assert payment(client, held).json == made.json
    assert booking(client, held)["payment"] == made.json
    stripe.confirm(made.json["paymentIntentId"])
    stripe.deliver_all()
    assert status(client, held) == ("confirmed", "paid")


def test_without_stripe_the_payment_of_a_hold_is_null(client: Client, stripe: StripeFake) -> None:
    event = client.event(client.host(), price=2500)
    attendee = client.attendee()
    breaks(stripe, "reset")

    for expected in (201, 200):
        reply = client.book(attendee, event["eventId"])
        assert (reply.status, reply.json["payment"]) == (expected, None)
    mended(stripe)
    assert client.book(attendee, event["eventId"]).json["payment"]["clientSecret"]
    assert taken(client, event["eventId"]) == 1


def test_a_request_again_with_its_key_makes_the_payment_that_could_not_be_made(
    client: Client, stripe: StripeFake
) -> None:
    event, attendee = client.event(client.host(), price=2500), client.attendee()
    key = {"Idempotency-Key": "first"}
    breaks(stripe, "reset", after=True)
    first = client.book(attendee, event["eventId"], **key)
    mended(stripe)

    again = client.book(attendee, event["eventId"], **key)

    assert (first.status, first.json["payment"], again.status) == (201, None, 201)
    assert again.json["payment"]["paymentIntentId"] == stripe.intents()[0]["id"]


def test_an_answer_that_is_lost_makes_no_second_payment(client: Client, stripe: StripeFake) -> None:
    breaks(stripe, "reset", times=1, after=True)
    held = hold(client)

    made = payment(client, held).json

    assert [intent["id"] for intent in stripe.intents()] == [made["paymentIntentId"]]


def test_a_fault_that_stripe_keeps_with_its_key_locks_nobody_out(client: Client, stripe: StripeFake) -> None:
    breaks(stripe, "error", times=1, after=True)
    held = hold(client)

    made = payment(client, held)

    assert made.status == 200
    assert stripe.intent(made.json["paymentIntentId"])["metadata"]["attempt"] == "1"


def test_a_payment_that_was_made_though_its_answer_was_a_fault_cannot_confirm_anything_later(
    client: Client, stripe: StripeFake
) -> None:
    breaks(stripe, "error", times=1, after=True)
    held = hold(client)
    [forgotten] = stripe.intents()
    made = payment(client, held).json

    stripe.cancel(forgotten["id"])
    stripe.deliver_all()

    assert booking(client, held)["payment"]["paymentIntentId"] == made["paymentIntentId"]


@pytest.mark.parametrize("email", ["somebody@localhost", "a@b.c", f"{'x' * 64}@example.com"])
def test_an_address_that_stripe_does_not_take_keeps_nobody_from_paying(
    client: Client, stripe: StripeFake, email: str
) -> None:
    held = hold(client, attendee=client.account("attendee", email=email))

    assert held.intent_id
    pay(stripe, held)
    assert status(client, held) == ("confirmed", "paid")


def test_a_changed_address_between_two_tries_locks_nobody_out(client: Client, stripe: StripeFake) -> None:
    breaks(stripe, "reset", times=1, after=True)
    held = hold(client)
    client("PATCH", "/users/me", {"email": "moved@example.com"}, by=held.attendee)

    responses = [payment(client, held).status for _ in range(2)]

    assert responses == [503, 200]


@pytest.fixture
def watched(client: Client) -> Iterator[tuple[Client, list[int]]]:
    """A client, and how many transactions were open at each step of a call of Stripe."""
    gateway, open_then = FakePayments(), list[int]()
    with using(Wiring(client.wiring.settings, payments=gateway)) as wiring:
        client = Client(wiring)
        gateway.at_step = lambda: open_then.append(
            value(
                client,
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND xact_start IS NOT NULL AND pid <> pg_backend_pid()",
            )
        )
        yield client, open_then


def booked(client: Client) -> None:
    hold(client)


def asked_for_its_payment(client: Client) -> None:
    held = hold(client)
    rows(client, "UPDATE payments SET intent_id = NULL")
    payment(client, held)


def expired(client: Client) -> None:
    held = hold(client)
    expire(client)
    assert status(client, held) == ("expired", "failed")


def reconciled(client: Client) -> Hold:
    held = hold(client)
    gateway = client.wiring.payments
    assert isinstance(gateway, FakePayments)
    gateway.pay(held.intent_id)
    reconcile(client)
    assert status(client, held) == ("confirmed", "paid")
    return held


def refunded(client: Client) -> None:
    held = reconciled(client)
    cancel(client, held)
    pay_back(client, held)
    assert status(client, held) == ("cancelled", "refunded")


@pytest.mark.parametrize("deed", [booked, asked_for_its_payment, expired, reconciled, refunded])
def test_no_transaction_is_open_while_stripe_is_called(
    watched: tuple[Client, list[int]], deed: Callable[[Client], object]
) -> None:
    client, open_then = watched

    deed(client)

    assert set(open_then) == {0}
