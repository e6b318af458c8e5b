"""Steps of a purchase: hold, pay, deliver webhooks, read the results, and run schedules at any time."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from sqlalchemy import Row

from chalicelib.payments import event_sweep, hold_expiry, reconciliation, refunds
from infra.stripe_fake.errors import ApiError
from infra.stripe_fake.fake import StripeFake
from tests.client import HOLD, Account, Client, Reply
from tests.rows import domain_events, rows

AFTER_HOLD = HOLD + timedelta(seconds=1)
"""The time after which a new hold has expired."""


@dataclass(frozen=True)
class Hold:
    """A booking that is held, and its PaymentIntent."""

    host: Account
    attendee: Account
    event_id: str
    booking_id: str
    intent_id: str
    """Empty if Stripe was unreachable."""


def deliver_to(client: Client) -> Callable[[bytes, str], int]:
    """Return a function that sends an event to the app's webhook and returns the response's status."""
    return lambda body, signature: post_webhook(client, body, signature).status


def post_webhook(client: Client, body: bytes, signature: str | None) -> Reply:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    if signature is not None:
        headers["Stripe-Signature"] = signature
    return client("POST", "/webhooks/stripe", raw=body, headers=headers)


def hold(
    client: Client,
    price: int = 2500,
    *,
    host: Account | None = None,
    attendee: Account | None = None,
    event_id: str | None = None,
    **members: Any,
) -> Hold:
    """Hold a place at the given event, or at a new one with this price and these members."""
    host = host or client.host()
    attendee = attendee or client.attendee()
    if event_id is None:
        event_id = str(client.event(host, price=price, **members)["eventId"])
    reply = client.book(attendee, event_id)
    assert reply.status == 201, reply.text
    booking = reply.json
    intent_id = (booking.get("payment") or {}).get("paymentIntentId", "")
    return Hold(host, attendee, event_id, booking["bookingId"], intent_id)


def pay(stripe: StripeFake, held: Hold, method: str = "pm_card_visa", *, deliver: bool = True) -> None:
    """Pay as the attendee's browser does, and deliver the webhooks unless `deliver` is false.

    A declined card does not raise.
    """
    try:
        stripe.confirm(held.intent_id, method)
    except ApiError as error:
        if error.status != HTTPStatus.PAYMENT_REQUIRED:
            raise
    if deliver:
        deliver_webhooks(stripe)


def buy(client: Client, stripe: StripeFake, price: int = 2500, **more: Any) -> Hold:
    """Hold a place and pay, so that the booking is confirmed."""
    held = hold(client, price, **more)
    pay(stripe, held)
    assert status(client, held) == ("confirmed", "paid")
    return held


def deliver_webhooks(stripe: StripeFake) -> None:
    """Deliver all waiting webhooks, and check that the app accepts them."""
    for response_status in stripe.deliver_all():
        assert response_status == 200


def drop_webhooks(stripe: StripeFake) -> None:
    """Lose all waiting webhooks."""
    for event in stripe.waiting():
        stripe.drop(event)


def get_booking(client: Client, held: Hold, by: Account | None = None) -> Any:
    """Return the booking as its attendee or another account sees it."""
    reply = client("GET", f"/bookings/{held.booking_id}", by=by or held.attendee)
    assert reply.status == 200, reply.text
    return reply.json


def request_payment(client: Client, held: Hold) -> Reply:
    """Request the payment of a hold over HTTP."""
    return client("POST", f"/bookings/{held.booking_id}/payment", by=held.attendee)


def cancel(client: Client, held: Hold, by: Account | None = None) -> None:
    reply = client("DELETE", f"/bookings/{held.booking_id}", by=by or held.attendee)
    assert reply.status == 204, reply.text


def end_pause(client: Client, held: Hold) -> None:
    """Let time pass since the end of a hold, until its attendee can hold the event again."""
    rows(
        client,
        "UPDATE bookings SET updated_at = updated_at - interval '1 hour' WHERE booking_id = :id",
        id=held.booking_id,
    )


def status(client: Client, held: Hold) -> tuple[str, str]:
    """Return the statuses of the rows of a booking and of its payment."""
    [row] = rows(
        client,
        "SELECT b.status AS booking, p.status AS payment FROM bookings b JOIN payments p USING (booking_id)"
        " WHERE booking_id = :booking_id",
        booking_id=held.booking_id,
    )
    return row.booking, row.payment


def payment_row(client: Client, held: Hold) -> Row[Any]:
    """Return the row of the booking's payment."""
    [row] = rows(client, "SELECT * FROM payments WHERE booking_id = :id", id=held.booking_id)
    return row


def refund_rows(client: Client, held: Hold) -> list[Row[Any]]:
    """Return the rows of the booking's refunds, the oldest first."""
    return rows(client, "SELECT * FROM refunds WHERE booking_id = :id ORDER BY refund_id", id=held.booking_id)


def refund_row(client: Client, held: Hold) -> Row[Any]:
    """Return the row of the booking's only refund."""
    [row] = refund_rows(client, held)
    return row


def domain_event_types(client: Client, held: Hold) -> list[str]:
    """Return the types of the domain events about a booking, in order."""
    return [
        domain_event.type
        for domain_event in domain_events(client, held.event_id)
        if domain_event.body.get("bookingId") == held.booking_id
    ]


def expire(client: Client, after: timedelta = AFTER_HOLD) -> int:
    """Expire holds as of some time from now. Return the number of checked payments."""
    return hold_expiry.expire_holds(
        client.wiring.database, lambda: client.wiring.payments, datetime.now(UTC) + after
    )


def reconcile(client: Client, after: timedelta = timedelta(minutes=6)) -> int:
    """Reconcile payments as of some time from now. Return the number of checked payments."""
    return reconciliation.reconcile(
        client.wiring.database, lambda: client.wiring.payments, datetime.now(UTC) + after
    )


def sweep(client: Client, after: timedelta = timedelta(seconds=1)) -> int:
    """Sweep Stripe's events as of some time from now. Return the number of events found."""
    return event_sweep.sweep(
        client.wiring.database,
        lambda: client.wiring.payments,
        livemode=client.wiring.settings.stripe_livemode,
        now=datetime.now(UTC) + after,
    )


def process_refund(client: Client, held: Hold) -> None:
    """Process the refunds of a booking that domain events requested."""
    for row in refund_rows(client, held):
        refunds.make_refund(client.wiring.database, client.wiring.payments, row.refund_id, datetime.now(UTC))


def integrity(client: Client, held: Hold) -> Any:
    reply = client("GET", f"/events/{held.event_id}/integrity", by=held.host)
    assert reply.status == 200, reply.text
    return reply.json


def differences(client: Client, held: Hold) -> list[str]:
    """Return the kinds of the differences in the integrity report."""
    return [difference["what"] for difference in integrity(client, held)["differences"]]
