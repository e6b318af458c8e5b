"""/bookings: book, pay, list, get, cancel."""

from uuid import UUID

from chalicelib.api.schemas.bookings import (
    Booking,
    BookingQuery,
    BookingRequest,
    BookingWithEvent,
    PayablePayment,
)
from chalicelib.bookings import booking as bookings
from chalicelib.bookings import cancellation, queries
from chalicelib.bookings.booking import AlreadyBooked, SaleEnded, SaleNotStarted, SoldOut
from chalicelib.bookings.queries import NoSuchBooking
from chalicelib.events.locks import EventCancelled, EventEnded, EventStarted
from chalicelib.events.search import NoSuchEvent
from chalicelib.payments import checkout
from chalicelib.payments.checkout import NotPayable
from chalicelib.platform.errors import StaleVersion, Unavailable, Unreachable
from chalicelib.platform.http.etag import etag_response, expected_versions, written_response
from chalicelib.platform.http.idempotency import key_of
from chalicelib.platform.http.pagination import list_response
from chalicelib.platform.http.request import Request, Response
from chalicelib.platform.http.router import Router, json_response
from chalicelib.platform.observability import logs
from chalicelib.platform.settings import BadSetting

routes = Router("bookings")


@routes.post(
    "/bookings",
    auth="attendee",
    responses={201: Booking, 200: Booking},
    errors=(
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
def create_booking(request: Request, body: BookingRequest) -> Response:
    """Book one place.

    One that costs something is held until `expiresAt`, and `payment` is for Stripe's own library to pay it;
    null where Stripe cannot be reached, until `POST /bookings/{bookingId}/payment` can. Who holds a place
    already gets that booking, with 200.
    """
    caller = request.require_caller()
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
        with request.transaction() as connection:
            held = queries.find_hold(connection, caller, body.event_id, request.now)
        if held is None:
            raise
        return _held(request, 200, held)
    headers = {"Idempotent-Replayed": "true"} if booked.replayed else {}
    if booked.held:
        return _held(request, 201, booked.booking_id, headers)
    return written_response(201, booked.booking, 1, {**_location(request, booked.booking_id), **headers})


def _held(request: Request, status: int, booking_id: UUID, headers: dict[str, str] | None = None) -> Response:
    """Answer with a hold and its payment, made now if it is not there yet, without which it is held too."""
    caller = request.require_caller()
    try:
        checkout.ensure_payment_intent(
            request.wiring.database, request.wiring.payments, caller.user_id, booking_id, request.now
        )
    except NotPayable:  # a replay of one that has been paid since, or has ended: it is shown as it is
        pass
    except (Unreachable, BadSetting):
        logs.error("A payment cannot be made yet")
    with request.transaction() as connection:
        booking, version = queries.get_hold(connection, caller, booking_id)
    if '"payment":' not in booking:
        booking = f'{booking[:-1]},"payment":null}}'
    return written_response(status, booking, version, {**_location(request, booking_id), **(headers or {})})


def _location(request: Request, booking_id: UUID) -> dict[str, str]:
    return {"Location": f"{request.settings.public_url}/bookings/{booking_id}"}


@routes.post(
    "/bookings/{bookingId}/payment",
    auth="attendee",
    responses={200: PayablePayment},
    errors=(NoSuchBooking, NotPayable),
)
def create_payment(request: Request, booking_id: UUID) -> Response:
    """Make the payment of one's own hold at Stripe, or get the one that there is; to be repeated at will."""
    caller = request.require_caller()
    with request.transaction():  # the account stands
        pass
    try:
        payable = checkout.ensure_payment_intent(
            request.wiring.database, request.wiring.payments, caller.user_id, booking_id, request.now
        )
    except Unreachable as error:
        raise Unavailable("Stripe cannot be reached.", retry_after=5) from error
    if payable is None:
        raise Unavailable("Stripe does not take this payment at the moment.", retry_after=5)
    return json_response(200, payable.as_json())


@routes.get("/bookings", auth="required", responses={200: list[BookingWithEvent]})
def list_bookings(request: Request, query: BookingQuery) -> Response:
    """List one's own bookings; for a host, those of their events with who comes."""
    page = query.page(query.sort)
    with request.transaction() as connection:
        part = queries.list_bookings(
            connection,
            request.require_caller(),
            page=page,
            event_id=query.event_id,
            status=query.status,
            now=request.now,
        )
    return list_response(request, page, part)


@routes.get(
    "/bookings/{bookingId}",
    auth="required",
    responses={200: BookingWithEvent},
    errors=(NoSuchBooking,),
    conditional=True,
)
def get_booking(request: Request, booking_id: UUID) -> Response:
    """Get a booking, as its attendee or the event's host."""
    with request.transaction() as connection:
        booking, version = queries.get(connection, request.require_caller(), booking_id, request.now)
    return etag_response(request, booking, version)


@routes.delete(
    "/bookings/{bookingId}",
    auth="required",
    responses={204: None},
    errors=(NoSuchBooking, EventStarted, StaleVersion),
    conditional=True,
)
def cancel_booking(request: Request, booking_id: UUID) -> Response:
    """Cancel a booking, as its attendee or the event's host; its place is free at once.

    What was paid goes back: always where the host cancels, until `refundUntil` where the attendee does.
    """
    with request.transaction() as connection:
        cancellation.cancel(
            connection,
            request.require_caller(),
            booking_id,
            expected=expected_versions(request),
            now=request.now,
        )
    return Response(204)
