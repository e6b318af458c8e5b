"""Buying places step by step: hold, pay, see what came of it; and the schedules, at any time."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from chalicelib.payments import hold_expiry, reconciliation, refunds
from infra.stripe_fake.errors import ApiError
from infra.stripe_fake.fake import StripeFake
from tests.client import HOLD, Account, Client, Reply
from tests.rows import domain_events, rows

JUST_AFTER = HOLD + timedelta(seconds=1)
"""How long after it was made a hold has run out."""


@dataclass(frozen=True)
class Hold:
    """A place held, who holds it, and what it is to be paid with."""

    host: Account
    attendee: Account
    event_id: str
    booking_id: str
    intent_id: str
    """Empty where Stripe could not be reached."""


def deliver_to(client: Client) -> Callable[[bytes, str], int]:
    """What hands an event of Stripe to the app and returns the status of the answer."""
    return lambda body, signature: webhook(client, body, signature).status


def webhook(client: Client, body: bytes, signature: str | None) -> Reply:
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
    """Hold a place, at a new event of this price unless one is given; `members` are the new event's."""
    host = host or client.host()
    attendee = attendee or client.attendee()
    if event_id is None:
        event_id = str(client.event(host, price=price, **members)["eventId"])
    reply = client.book(attendee, event_id)
    assert reply.status == 201, reply.text
    booking = reply.json
    intent_id = (booking.get("payment") or {}).get("paymentIntentId", "")
    return Hold(host, attendee, event_id, booking["bookingId"], intent_id)


def pay(stripe: StripeFake, held: Hold, method: str = "pm_card_visa", *, told: bool = True) -> None:
    """Pay as the attendee's browser does; the app is told at once, unless `told` is off.

    A card that is declined is no error of the test: what came of it is at Stripe.
    """
    try:
        stripe.confirm(held.intent_id, method)
    except ApiError as refused:
        if refused.status != HTTPStatus.PAYMENT_REQUIRED:
            raise
    if told:
        tell(stripe)


def bought(client: Client, stripe: StripeFake, price: int = 2500, **more: Any) -> Hold:
    """Hold a place and pay it; the booking is confirmed."""
    held = hold(client, price, **more)
    pay(stripe, held)
    assert status(client, held) == ("confirmed", "paid")
    return held


def tell(stripe: StripeFake) -> None:
    """Deliver all that waits, as Stripe does: what was not taken comes again later."""
    for answer in stripe.deliver_all():
        assert answer == 200


def forget(stripe: StripeFake) -> None:
    """Lose every webhook that waits."""
    for event in stripe.waiting():
        stripe.drop(event)


def booking(client: Client, held: Hold, by: Account | None = None) -> Any:
    """The booking as its attendee, or somebody else, gets it."""
    reply = client("GET", f"/bookings/{held.booking_id}", by=by or held.attendee)
    assert reply.status == 200, reply.text
    return reply.json


def payment(client: Client, held: Hold) -> Reply:
    """Ask for the payment of a hold."""
    return client("POST", f"/bookings/{held.booking_id}/payment", by=held.attendee)


def cancel(client: Client, held: Hold, by: Account | None = None) -> None:
    reply = client("DELETE", f"/bookings/{held.booking_id}", by=by or held.attendee)
    assert reply.status == 204, reply.text


def status(client: Client, held: Hold) -> tuple[str, str]:
    """The statuses of a booking and of its payment, as they are in the rows."""
    [row] = rows(
        client,
        "SELECT b.status AS booking, p.status AS payment FROM bookings b JOIN payments p USING (booking_id)"
        " WHERE booking_id = :booking_id",
        booking_id=held.booking_id,
    )
    return row.booking, row.payment


def ledger(client: Client, held: Hold) -> Row[Any]:
    """The booking's row in the ledger."""
    [row] = rows(client, "SELECT * FROM payments WHERE booking_id = :id", id=held.booking_id)
    return row


def told(client: Client, held: Hold) -> list[str]:
    """The types of the domain events about a booking, in order."""
    return [
        domain_event.type
        for domain_event in domain_events(client, held.event_id)
        if domain_event.body.get("bookingId") == held.booking_id
    ]


def expire(client: Client, after: timedelta = JUST_AFTER) -> int:
    """Run the schedule that ends holds, some time from now; how many payments it looked at."""
    return hold_expiry.expire_holds(
        client.wiring.database, lambda: client.wiring.payments, datetime.now(UTC) + after
    )


def reconcile(client: Client, after: timedelta = timedelta(minutes=6)) -> int:
    """Run the schedule that asks Stripe, some time from now; how many payments it looked at."""
    return reconciliation.reconcile(
        client.wiring.database, lambda: client.wiring.payments, datetime.now(UTC) + after
    )


def pay_back(client: Client, held: Hold) -> None:
    """Do what the domain event that a refund is due asks for."""
    refunds.make_refund(
        client.wiring.database, client.wiring.payments, UUID(held.booking_id), datetime.now(UTC)
    )


def integrity(client: Client, held: Hold) -> Any:
    reply = client("GET", f"/events/{held.event_id}/integrity", by=held.host)
    assert reply.status == 200, reply.text
    return reply.json


def differences(client: Client, held: Hold) -> list[str]:
    """What does not fit, in one word each."""
    return [difference["what"] for difference in integrity(client, held)["differences"]]
