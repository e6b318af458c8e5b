"""HTTP for what takes money: book, pay, Stripe's webhook, and counting again."""

from uuid import UUID

from chalicelib.bookings import service as bookings
from chalicelib.bookings.schemas import Booking
from chalicelib.bookings.service import (
    AlreadyBooked,
    NoSuchBooking,
    SaleEnded,
    SaleNotStarted,
    SoldOut,
)
from chalicelib.errors import ContentTooLarge, Unavailable
from chalicelib.events.finding import NoSuchEvent
from chalicelib.events.service import EventCancelled, EventEnded, NotYourEvent
from chalicelib.payments import integrity, intents, signatures, webhooks
from chalicelib.payments.intents import NotPayable
from chalicelib.payments.schemas import Integrity, Payable, PlaceRequest, Received
from chalicelib.payments.signatures import InvalidSignature
from chalicelib.payments.webhooks import NotAnEvent
from chalicelib.ports import OutOfReach
from chalicelib.settings import BadSetting
from chalicelib.web import access_log
from chalicelib.web.conditional import written
from chalicelib.web.http import Answer, Request
from chalicelib.web.idempotency import key_of
from chalicelib.web.router import Router, json_answer
from chalicelib.web.validation import MAX_BODY

routes = Router("payments")


@routes.post(
    "/bookings",
    who="attendee",
    answers={201: Booking, 200: Booking},
    refuses=(
        NoSuchEvent,
        EventCancelled,
        EventEnded,
        SaleNotStarted,
        SaleEnded,
        AlreadyBooked,
        SoldOut,
    ),
    idempotent=True,
    conditional=True,
)
def book_place(request: Request, body: PlaceRequest) -> Answer:
    """Book one place.

    One that costs something is held until `expiresAt`, and `payment` is for Stripe's own library to pay it;
    null where Stripe cannot be reached, until `POST /bookings/{bookingId}/payment` can. Who holds a place
    already gets that booking, with 200.
    """
    caller = request.signed_in()
    try:
        booked = bookings.book(
            request.wiring.database,
            caller,
            body.event_id,
            key=key_of(request),
            hold=request.settings.hold,
            now=request.now,
        )
    except (AlreadyBooked, SaleEnded, SaleNotStarted):
        with request.transaction() as session:
            held = bookings.find_hold(session, caller, body.event_id, request.now)
        if held is None:
            raise
        return _held(request, 200, held)
    headers = {"Idempotent-Replayed": "true"} if booked.replayed else {}
    if booked.held:
        return _held(request, 201, booked.booking_id, headers)
    return written(201, booked.booking, 1, {**_location(request, booked.booking_id), **headers})


def _held(request: Request, status: int, booking_id: UUID, headers: dict[str, str] | None = None) -> Answer:
    """Answer with a hold and its payment, made now if it is not there yet, without which it is held too."""
    caller = request.signed_in()
    try:
        intents.ensure(
            request.wiring.database, request.wiring.payments, caller.user_id, booking_id, request.now
        )
    except NotPayable:  # a replay of one that has been paid since, or has ended: it is shown as it is
        pass
    except (OutOfReach, BadSetting):
        access_log.fault("A payment cannot be made yet")
    with request.transaction() as session:
        booking, version = bookings.get_hold(session, caller, booking_id)
    if '"payment":' not in booking:
        booking = f'{booking[:-1]},"payment":null}}'
    return written(status, booking, version, {**_location(request, booking_id), **(headers or {})})


def _location(request: Request, booking_id: UUID) -> dict[str, str]:
    return {"Location": f"{request.settings.public_url}/bookings/{booking_id}"}


@routes.post(
    "/bookings/{bookingId}/payment",
    who="attendee",
    answers={200: Payable},
    refuses=(NoSuchBooking, NotPayable),
)
def make_payment(request: Request, booking_id: UUID) -> Answer:
    """Make the payment of one's own hold at Stripe, or get the one that there is; to be repeated at will."""
    caller = request.signed_in()
    with request.transaction():  # the account stands
        pass
    try:
        payable = intents.ensure(
            request.wiring.database, request.wiring.payments, caller.user_id, booking_id, request.now
        )
    except OutOfReach as error:
        raise Unavailable("Stripe cannot be reached.", retry_after=5) from error
    if payable is None:
        raise Unavailable("Stripe does not take this payment at the moment.", retry_after=5)
    return json_answer(200, payable.as_json())


@routes.post(
    "/webhooks/stripe",
    who="anyone",
    answers={200: Received},
    refuses=(InvalidSignature, NotAnEvent, ContentTooLarge),
)
def take_stripe_event(request: Request) -> Answer:
    """Take an event of Stripe, signed with the endpoint's secret; again it changes nothing."""
    if len(request.raw_body) > MAX_BODY:
        raise ContentTooLarge
    settings = request.settings
    if not settings.stripe_webhook_secrets:
        raise BadSetting("STRIPE_WEBHOOK_SECRETS is not set")
    signature = request.headers.get(signatures.HEADER)
    signatures.check(request.raw_body, signature, settings.stripe_webhook_secrets, request.now)
    event = webhooks.read(request.raw_body)
    outcome = webhooks.take(
        request.wiring.database, event, livemode=settings.stripe_livemode, now=request.now
    )
    return json_answer(200, {"outcome": outcome or "duplicate"})


@routes.get(
    "/events/{eventId}/integrity",
    who="host",
    answers={200: Integrity},
    refuses=(NoSuchEvent, NotYourEvent),
)
def check_event(request: Request, event_id: UUID) -> Answer:
    """Count an event's places and money again from their rows; `differences` is to be empty."""
    with request.transaction() as session:
        report = integrity.check(session, request.signed_in().user_id, event_id, request.now)
    return Answer(200, report)
