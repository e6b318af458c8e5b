"""Booking a place with a price: the hold, its payment, and its client secret."""

from datetime import datetime, timedelta

import pytest

from infra.stripe_fake.fake import StripeFake
from tests.client import Client, Reply
from tests.payments.purchases import buy, cancel, expire, get_booking, hold, pay, request_payment, status
from tests.rows import rows, taken


def test_a_priced_place_is_held_until_it_is_paid(client: Client, stripe: StripeFake) -> None:
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


def test_stripe_receives_amount_and_metadata(client: Client, stripe: StripeFake) -> None:
    held = hold(client)

    intent = stripe.intent(held.intent_id)

    assert (intent["amount"], intent["currency"]) == (2500, "eur")
    assert held.attendee.email not in str(intent)
    assert intent["automatic_payment_methods"]["enabled"] is True
    assert intent["metadata"] == {"bookingId": held.booking_id, "eventId": held.event_id, "attempt": "0"}


def test_yen_are_charged_without_decimals(client: Client, stripe: StripeFake) -> None:
    held = hold(client, 2500, currency="jpy")

    assert stripe.intent(held.intent_id)["amount"] == 2500
    pay(stripe, held)
    assert status(client, held) == ("confirmed", "paid")


def test_a_free_booking_does_not_call_stripe(client: Client, stripe: StripeFake) -> None:
    booked = client.book(client.attendee(), client.event(client.host())["eventId"]).json

    assert booked["status"] == "confirmed"
    assert not booked.keys() & {"payment", "expiresAt"}
    assert stripe.intents() == []


def test_a_hold_ends_with_the_event_at_the_latest(client: Client) -> None:
    event_id = client.past_event(
        client.host(), started_ago=timedelta(hours=1), lasts=timedelta(hours=1, minutes=5), price=2500
    )

    held = client.book(client.attendee(), event_id).json

    lasts = datetime.fromisoformat(held["expiresAt"]) - datetime.fromisoformat(held["createdAt"])
    assert lasts <= timedelta(minutes=5)


def stable_headers(reply: Reply) -> dict[str, str]:
    ignored = {"x-request-id", "idempotent-replayed"}
    return {name: text for name, text in reply.headers.items() if name not in ignored}


def test_a_retry_gets_the_first_response(client: Client, stripe: StripeFake) -> None:
    attendee, event = client.attendee(), client.event(client.host(), price=2500)
    key = {"Idempotency-Key": "first"}

    first = client.book(attendee, event["eventId"], **key)
    again = client.book(attendee, event["eventId"], **key)

    assert (again.status, again.json) == (first.status, first.json) == (201, first.json)
    assert stable_headers(again) == stable_headers(first)
    assert again.headers["idempotent-replayed"] == "true"
    assert len(stripe.intents()) == 1


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "another"}], ids=["no key", "another key"])
def test_booking_again_returns_the_hold_with_its_payment(
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
    ids=["sold out", "sale ended", "sale postponed", "new price"],
)
def test_booking_again_returns_the_hold_after_changes_of_the_sale(
    client: Client, change: dict[str, object]
) -> None:
    host, attendee = client.host(), client.attendee()
    event_id = client.event(host, price=2500)["eventId"]
    first = client.book(attendee, event_id)
    assert client("PATCH", f"/events/{event_id}", change, by=host).status == 200

    again = client.book(attendee, event_id)

    assert (again.status, again.json) == (200, first.json)


def test_booking_again_after_the_payment_is_refused(client: Client, stripe: StripeFake) -> None:
    paid = buy(client, stripe)

    assert client.book(paid.attendee, paid.event_id).problem == "already-booked"


def test_a_retry_after_the_payment_shows_the_confirmed_booking(client: Client, stripe: StripeFake) -> None:
    attendee, event = client.attendee(), client.event(client.host(), price=2500)
    key = {"Idempotency-Key": "first"}
    first = client.book(attendee, event["eventId"], **key).json
    stripe.confirm(first["payment"]["paymentIntentId"])
    stripe.deliver_all()

    again = client.book(attendee, event["eventId"], **key)

    assert again.status == 201
    assert again.json["status"] == "confirmed"
    assert "clientSecret" not in again.json["payment"]


def test_only_the_attendee_of_an_unpaid_hold_sees_the_secret(client: Client, stripe: StripeFake) -> None:
    held = hold(client)
    secret = stripe.intent(held.intent_id)["client_secret"]

    assert get_booking(client, held)["payment"]["clientSecret"] == secret
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
    for account in (held.attendee, held.host):
        assert secret not in client("GET", f"/bookings/{held.booking_id}", by=account).text
    assert rows(client, "SELECT 1 FROM payments WHERE client_secret IS NOT NULL") == []
    for table in ("outbox", "idempotency_keys", "stripe_events"):
        assert rows(client, f"SELECT 1 FROM {table} t WHERE t::text LIKE :secret", secret=f"%{secret}%") == []  # noqa: S608


def test_a_cancelled_hold_shows_no_client_secret(client: Client) -> None:
    held = hold(client)

    cancel(client, held)

    assert get_booking(client, held)["payment"]["status"] == "requires_payment"
    assert "clientSecret" not in get_booking(client, held)["payment"]


def test_only_unpaid_holds_can_be_paid(client: Client, stripe: StripeFake) -> None:
    paid, cancelled, expired = buy(client, stripe), hold(client), hold(client)
    cancel(client, cancelled)
    rows(
        client,
        "WITH held AS (UPDATE bookings SET expires_at = now() - interval '1 second' WHERE booking_id = :id)"
        " UPDATE payments SET open_until = now() - interval '1 second', next_check_at = now()"
        " WHERE booking_id = :id",
        id=expired.booking_id,
    )
    attendee = client.attendee()
    free = client.book(attendee, client.event(client.host())["eventId"]).json

    assert request_payment(client, paid).problem == "not-payable"
    assert request_payment(client, cancelled).problem == "not-payable"
    assert request_payment(client, expired).problem == "not-payable"
    expire(client, timedelta(0))
    assert status(client, expired) == ("expired", "failed")
    assert request_payment(client, expired).problem == "not-payable"
    assert client("POST", f"/bookings/{free['bookingId']}/payment", by=attendee).problem == "not-payable"


def test_holds_of_others_cannot_be_paid(client: Client) -> None:
    held = hold(client)
    path = f"/bookings/{held.booking_id}/payment"

    assert client("POST", path, by=client.attendee()).problem == "no-such-booking"
    assert client("POST", path, by=held.host).problem == "no-such-booking"
    assert client("POST", path).status == 401
