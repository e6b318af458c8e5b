"""Holds are limited: a few open ones for an account, and a pause after a hold has ended unpaid."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from chalicelib.platform.errors import Refusal
from chalicelib.wiring import Wiring, using
from infra.stripe_fake.fake import StripeFake
from infra.stripe_fake.faults import ALWAYS, Fault
from tests.client import HOLD, Account, Client, Reply
from tests.payments.purchases import AFTER_HOLD, Hold, buy, cancel, expire, hold, pay, request_payment, status
from tests.rows import rows, taken, value

pytestmark = pytest.mark.rate_limits

MAX = 3
"""The default limit of open holds."""

ONE_SECOND = timedelta(seconds=1)


def holds(client: Client, attendee: Account, count: int = MAX) -> list[Hold]:
    """Hold places of new events."""
    host = client.host()
    return [hold(client, host=host, attendee=attendee) for _ in range(count)]


def priced_event(client: Client, **members: object) -> str:
    return str(client.event(client.host(), price=2500, **members)["eventId"])


def open_holds(client: Client, attendee: Account) -> int:
    return int(
        value(
            client,
            "SELECT count(*) FROM bookings WHERE user_id = :id AND status = 'pending'",
            id=attendee.user_id,
        )
    )


def assert_refused(reply: Reply, wait: timedelta) -> None:
    """Check that a hold is refused for about this time."""
    assert (reply.status, reply.problem) == (409, "too-many-holds")
    assert abs(int(reply.headers["retry-after"]) - wait.total_seconds()) <= 30


def test_an_account_has_a_few_open_holds_only(client: Client) -> None:
    attendee, event_id = client.attendee(), priced_event(client)
    holds(client, attendee)

    refused = client.book(attendee, event_id, **{"Idempotency-Key": "a key"})

    assert_refused(refused, HOLD)
    assert open_holds(client, attendee) == MAX
    assert taken(client, event_id) == 0
    assert rows(client, "SELECT 1 FROM idempotency_keys") == []


def test_a_key_that_was_refused_can_hold_later(client: Client) -> None:
    attendee, event_id = client.attendee(), priced_event(client)
    key = {"Idempotency-Key": "a key"}
    [first, *_] = holds(client, attendee)
    client.book(attendee, event_id, **key)

    cancel(client, first)

    assert client.book(attendee, event_id, **key).status == 201


@pytest.mark.parametrize("end", [cancel, lambda client, _: expire(client)], ids=["cancelled", "expired"])
def test_an_ended_hold_makes_room_for_another_event(
    client: Client, end: Callable[[Client, Hold], object]
) -> None:
    attendee, event_id = client.attendee(), priced_event(client)
    held = holds(client, attendee)

    end(client, held[0])

    assert client.book(attendee, event_id).status == 201


def test_a_paid_hold_does_not_count(client: Client, stripe: StripeFake) -> None:
    attendee, event_id = client.attendee(), priced_event(client)
    held = holds(client, attendee)

    pay(stripe, held[0])

    assert client.book(attendee, event_id).status == 201


def test_holds_of_others_do_not_count(client: Client) -> None:
    holds(client, client.attendee())

    assert client.book(client.attendee(), priced_event(client)).status == 201


def test_free_places_are_not_limited(client: Client) -> None:
    attendee, host = client.attendee(), client.host()
    holds(client, attendee)

    booked = [client.book(attendee, client.event(host)["eventId"]) for _ in range(MAX + 1)]

    assert [reply.json["status"] for reply in booked] == ["confirmed"] * (MAX + 1)


def test_own_holds_are_returned_at_the_limit(client: Client) -> None:
    attendee = client.attendee()
    held = holds(client, attendee)

    again = [client.book(attendee, one.event_id) for one in held]

    assert [(reply.status, reply.json["bookingId"]) for reply in again] == [
        (200, one.booking_id) for one in held
    ]


def test_a_replay_is_answered_at_the_limit(client: Client) -> None:
    attendee, event_id, key = client.attendee(), priced_event(client), {"Idempotency-Key": "a key"}
    first = client.book(attendee, event_id, **key)
    holds(client, attendee, MAX - 1)

    again = client.book(attendee, event_id, **key)

    assert (again.status, again.json) == (201, first.json)
    assert again.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"capacity": 1}, "sold-out"),
        ({"saleEndsAt": timedelta(days=-1)}, "sale-ended"),
        ({"saleStartsAt": timedelta(days=1)}, "sale-not-started"),
    ],
)
def test_the_state_of_the_event_comes_first(client: Client, members: dict[str, object], problem: str) -> None:
    attendee, event_id = client.attendee(), priced_event(client, **members)
    client.book(client.attendee(), event_id)
    holds(client, attendee)

    assert client.book(attendee, event_id).problem == problem


def test_a_paid_booking_comes_before_the_limit(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe)
    holds(client, paid.attendee)

    assert client.book(paid.attendee, paid.event_id).problem == "already-booked"


def test_a_cancelled_hold_is_not_renewed(client: Client) -> None:
    held = hold(client)
    cancel(client, held)

    refused = client.book(held.attendee, held.event_id, **{"Idempotency-Key": "a key"})

    assert_refused(refused, HOLD)
    assert taken(client, held.event_id) == 0


def test_an_expired_hold_is_not_renewed(client: Client) -> None:
    held = hold(client)
    expire(client)

    refused = client.book(held.attendee, held.event_id)

    assert_refused(refused, AFTER_HOLD + HOLD)
    assert taken(client, held.event_id) == 0


def test_a_hold_that_stripe_refused_is_not_renewed(client: Client, stripe: StripeFake) -> None:
    attendee, event_id = client.attendee(), priced_event(client)
    rows(client, "UPDATE ticket_types SET price = 49 WHERE event_id = :id", id=event_id)
    key = {"Idempotency-Key": "first"}
    assert client.book(attendee, event_id, **key).problem == "payment-rejected"
    stripe.faults.calls = [Fault("error", ALWAYS)]

    again = client.book(attendee, event_id)

    assert_refused(again, HOLD)
    assert "Stripe refused its payment" in again.json["detail"]
    assert client.book(attendee, event_id, **key).problem == "payment-rejected"
    assert [fault.times for fault in stripe.faults.calls] == [ALWAYS]
    assert taken(client, event_id) == 0


def test_an_event_can_be_held_again_after_the_pause(client: Client) -> None:
    held = hold(client)
    cancel(client, held)
    [ended_at] = rows(client, "SELECT updated_at FROM bookings")[0]

    with pytest.raises(Refusal) as refused:
        client.book_as_of(held.attendee, held.event_id, ended_at + HOLD - ONE_SECOND)
    client.book_as_of(held.attendee, held.event_id, ended_at + HOLD)

    assert (refused.value.slug(), refused.value.retry_after) == ("too-many-holds", 1)
    assert taken(client, held.event_id) == 1


def test_the_pause_is_for_one_event_and_one_account(client: Client) -> None:
    held = hold(client)
    cancel(client, held)

    assert client.book(client.attendee(), held.event_id).status == 201
    assert client.book(held.attendee, priced_event(client)).status == 201


def test_a_hold_that_its_host_cancelled_can_be_renewed(client: Client) -> None:
    held = hold(client)
    cancel(client, held, by=held.host)

    assert client.book(held.attendee, held.event_id).status == 201


def test_a_cancelled_paid_place_can_be_held_again(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe)
    cancel(client, paid)

    assert client.book(paid.attendee, paid.event_id).status == 201


def test_late_money_ends_the_pause(client: Client, stripe: StripeFake) -> None:
    held = hold(client, capacity=1)
    stripe.confirm(held.intent_id, "pm_card_visa")
    cancel(client, held)
    assert_refused(client.book(held.attendee, held.event_id), HOLD)

    stripe.deliver_all()

    assert status(client, held) == ("cancelled", "refund_pending")
    assert client.book(held.attendee, held.event_id).status == 201


def test_an_event_that_has_become_free_can_be_booked_in_the_pause(client: Client) -> None:
    held = hold(client)
    cancel(client, held)
    client("PATCH", f"/events/{held.event_id}", {"price": 0}, by=held.host)

    assert client.book(held.attendee, held.event_id).json["status"] == "confirmed"


def test_the_limits_are_settings(client: Client) -> None:
    settings = replace(client.wiring.settings, max_open_holds=1, hold_cooldown_seconds=60)
    with using(Wiring(settings, payments=client.wiring.payments)):
        held = hold(client)
        limited = client.book(held.attendee, priced_event(client))
        cancel(client, held)
        paused = client.book(held.attendee, held.event_id)

    assert_refused(limited, HOLD)
    assert_refused(paused, timedelta(minutes=1))


@pytest.mark.parametrize("end", ["confirmed", "cancelled", "expired", "refunded"])
def test_a_replay_of_a_hold_shows_its_present_state(client: Client, stripe: StripeFake, end: str) -> None:
    attendee, event_id = client.attendee(), priced_event(client)
    key = {"Idempotency-Key": "first"}
    first = client.book(attendee, event_id, **key)
    held = Hold(
        attendee, attendee, event_id, first.json["bookingId"], first.json["payment"]["paymentIntentId"]
    )
    if end in {"confirmed", "refunded"}:
        pay(stripe, held)
    if end in {"cancelled", "refunded"}:
        cancel(client, held)
    if end == "expired":
        expire(client)

    again = client.book(attendee, event_id, **key)

    same = ("bookingId", "userId", "eventId", "items", "amount", "currency", "createdAt")
    assert again.status == first.status == 201
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert {name: again.json[name] for name in same} == {name: first.json[name] for name in same}
    assert again.json["status"] == ("cancelled" if end == "refunded" else end)
    assert again.json["payment"] == {
        "provider": "stripe",
        "paymentIntentId": held.intent_id,
        "status": {
            "confirmed": "paid",
            "cancelled": "requires_payment",
            "expired": "failed",
            "refunded": "refund_pending",
        }[end],
    }


def test_a_replay_has_no_payment_if_stripe_never_had_one(client: Client, stripe: StripeFake) -> None:
    attendee, event_id, key = client.attendee(), priced_event(client), {"Idempotency-Key": "first"}
    stripe.faults.calls = [Fault("error", ALWAYS)]
    first = client.book(attendee, event_id, **key)
    held = Hold(attendee, attendee, event_id, first.json["bookingId"], "")
    cancel(client, held)
    stripe.faults.calls = []

    again = client.book(attendee, event_id, **key)

    assert (first.json["status"], first.json["payment"]) == ("pending", None)
    assert (again.status, again.json["status"], again.json["payment"]) == (201, "cancelled", None)
    assert request_payment(client, held).problem == "not-payable"
    assert stripe.intents() == []
