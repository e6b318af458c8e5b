"""Booking what costs something: a hold with its payment, for who has it and nobody else."""

from datetime import datetime, timedelta

import pytest

from infra.stripe_fake.fake import StripeFake
from tests.client import Client, Reply
from tests.payments.purchases import booking, bought, cancel, expire, hold, pay, payment, status
from tests.rows import rows, taken


def test_a_place_that_costs_something_is_held_until_it_is_paid(client: Client, stripe: StripeFake) -> None:
    event = client.event(client.host(), price=2500)

    reply = client.book(client.attendee(), event["eventId"])

    held = reply.json
    assert reply.status == 201
    assert reply.headers["location"].endswith(f"/bookings/{held['bookingId']}")
    assert (held["status"], held["amount"], held["currency"]) == ("pending", 2500, "eur")
    lasts = datetime.fromisoformat(held["expiresAt"]) - datetime.fromisoformat(held["createdAt"])
    assert lasts == client.wiring.settings.hold
    [intent] = stripe.intents()
    assert held["payment"] == {
        "provider": "stripe",
        "paymentIntentId": intent["id"],
        "clientSecret": intent["client_secret"],
        "status": "requires_payment",
    }


def test_stripe_is_told_what_it_is_for_and_where_the_receipt_goes(client: Client, stripe: StripeFake) -> None:
    held = hold(client)

    intent = stripe.intent(held.intent_id)

    assert (intent["amount"], intent["currency"]) == (2500, "eur")
    assert intent["receipt_email"] == held.attendee.email
    assert intent["automatic_payment_methods"]["enabled"] is True
    assert intent["metadata"] == {"bookingId": held.booking_id, "eventId": held.event_id, "attempt": "0"}


def test_yen_are_charged_as_they_are(client: Client, stripe: StripeFake) -> None:
    held = hold(client, 2500, currency="jpy")

    assert stripe.intent(held.intent_id)["amount"] == 2500
    pay(stripe, held)
    assert status(client, held) == ("confirmed", "paid")


def test_what_is_free_is_confirmed_at_once_and_stripe_hears_nothing(
    client: Client, stripe: StripeFake
) -> None:
    booked = client.book(client.attendee(), client.event(client.host())["eventId"]).json

    assert booked["status"] == "confirmed"
    assert not booked.keys() & {"payment", "expiresAt"}
    assert stripe.intents() == []


def test_no_hold_goes_beyond_the_end_of_the_event(client: Client) -> None:
    event_id = client.past_event(
        client.host(), started_ago=timedelta(hours=1), lasts=timedelta(hours=1, minutes=5), price=2500
    )

    held = client.book(client.attendee(), event_id).json

    lasts = datetime.fromisoformat(held["expiresAt"]) - datetime.fromisoformat(held["createdAt"])
    assert lasts <= timedelta(minutes=5)


def without_replay(reply: Reply) -> dict[str, str]:
    own = {"x-request-id", "idempotent-replayed"}
    return {name: text for name, text in reply.headers.items() if name not in own}


def test_the_same_request_again_has_the_same_answer(client: Client, stripe: StripeFake) -> None:
    attendee, event = client.attendee(), client.event(client.host(), price=2500)
    key = {"Idempotency-Key": "first"}

    first = client.book(attendee, event["eventId"], **key)
    again = client.book(attendee, event["eventId"], **key)

    assert (again.status, again.json) == (first.status, first.json) == (201, first.json)
    assert without_replay(again) == without_replay(first)
    assert again.headers["idempotent-replayed"] == "true"
    assert len(stripe.intents()) == 1


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "another"}], ids=["no key", "another key"])
def test_who_holds_a_place_and_asks_again_gets_it_with_its_payment(
    client: Client, stripe: StripeFake, key: dict[str, str]
) -> None:
    attendee, event = client.attendee(), client.event(client.host(), price=2500)
    first = client.book(attendee, event["eventId"], **{"Idempotency-Key": "first"})

    again = client.book(attendee, event["eventId"], **key)

    assert (again.status, again.json) == (200, first.json)
    assert again.headers["location"] == first.headers["location"]
    assert "idempotent-replayed" not in again.headers
    assert (len(stripe.intents()), taken(client, event["eventId"])) == (1, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"capacity": 1},
        {"saleEndsAt": timedelta(days=-1)},
        {"saleStartsAt": timedelta(days=1)},
        {"price": 9900},
    ],
    ids=["sold out", "sale over", "sale put off", "dearer"],
)
def test_a_hold_is_given_again_whatever_has_become_of_the_sale(
    client: Client, change: dict[str, object]
) -> None:
    host, attendee = client.host(), client.attendee()
    event_id = client.event(host, price=2500)["eventId"]
    first = client.book(attendee, event_id)
    assert client("PATCH", f"/events/{event_id}", change, by=host).status == 200

    again = client.book(attendee, event_id)

    assert (again.status, again.json) == (200, first.json)


def test_who_has_paid_and_asks_again_has_a_place_already(client: Client, stripe: StripeFake) -> None:
    paid = bought(client, stripe)

    assert client.book(paid.attendee, paid.event_id).problem == "already-booked"


def test_a_replay_after_the_payment_shows_the_booking_as_it_is(client: Client, stripe: StripeFake) -> None:
    attendee, event = client.attendee(), client.event(client.host(), price=2500)
    key = {"Idempotency-Key": "first"}
    first = client.book(attendee, event["eventId"], **key).json
    stripe.confirm(first["payment"]["paymentIntentId"])
    stripe.deliver_all()

    again = client.book(attendee, event["eventId"], **key)

    assert again.status == 201
    assert again.json["status"] == "confirmed"
    assert "clientSecret" not in again.json["payment"]


def test_nobody_but_the_attendee_sees_the_secret_and_nobody_once_it_is_paid(
    client: Client, stripe: StripeFake
) -> None:
    held = hold(client)
    secret = stripe.intent(held.intent_id)["client_secret"]

    assert booking(client, held)["payment"]["clientSecret"] == secret
    [listed] = client("GET", "/bookings", by=held.attendee).json
    assert listed["payment"]["clientSecret"] == secret
    for path in (f"/bookings/{held.booking_id}", "/bookings", f"/bookings?eventId={held.event_id}"):
        shown = client("GET", path, by=held.host)
        assert shown.status == 200
        assert held.intent_id in shown.text
        assert "clientSecret" not in shown.text
        assert secret not in shown.text
    for stranger in (client.attendee(), client.host()):
        assert client("GET", f"/bookings/{held.booking_id}", by=stranger).status == 404
        assert client("GET", "/bookings", by=stranger).json == []
    pay(stripe, held)
    for who in (held.attendee, held.host):
        assert secret not in client("GET", f"/bookings/{held.booking_id}", by=who).text
    assert rows(client, "SELECT 1 FROM payments WHERE client_secret IS NOT NULL") == []
    for table in ("outbox", "idempotency_keys", "stripe_events"):
        assert rows(client, f"SELECT 1 FROM {table} t WHERE t::text LIKE :secret", secret=f"%{secret}%") == []  # noqa: S608


def test_who_has_given_a_place_back_is_not_shown_how_to_pay_it(client: Client) -> None:
    held = hold(client)

    cancel(client, held)

    assert booking(client, held)["payment"]["status"] == "requires_payment"
    assert "clientSecret" not in booking(client, held)["payment"]


def test_only_what_waits_to_be_paid_can_be(client: Client, stripe: StripeFake) -> None:
    paid, cancelled, expired = bought(client, stripe), hold(client), hold(client)
    cancel(client, cancelled)
    rows(
        client,
        "WITH b AS (UPDATE bookings SET expires_at = now() - interval '1 second' WHERE booking_id = :id)"
        " UPDATE payments SET open_until = now() - interval '1 second', next_check_at = now()"
        " WHERE booking_id = :id",
        id=expired.booking_id,
    )
    free = client.attendee()
    booked = client.book(free, client.event(client.host())["eventId"]).json

    assert payment(client, paid).problem == "not-payable"
    assert payment(client, cancelled).problem == "not-payable"
    assert payment(client, expired).problem == "not-payable"
    expire(client, timedelta(0))
    assert status(client, expired) == ("expired", "failed")
    assert payment(client, expired).problem == "not-payable"
    assert client("POST", f"/bookings/{booked['bookingId']}/payment", by=free).problem == "not-payable"


def test_what_others_hold_is_not_there_to_be_paid(client: Client) -> None:
    held = hold(client)
    path = f"/bookings/{held.booking_id}/payment"

    assert client("POST", path, by=client.attendee()).problem == "no-such-booking"
    assert client("POST", path, by=held.host).status == 403
    assert client("POST", path).status == 401
