"""/bookings: book, pay, list, get, cancel."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection

from chalicelib import wiring
from chalicelib.api import limits
from chalicelib.api.routing import new_router
from chalicelib.api.schemas.bookings import (
    Booking,
    BookingQuery,
    BookingRequest,
    BookingWithEvent,
    PayablePayment,
    Quote,
    attendee_booking_json,
    held_booking_json,
    host_booking_json,
)
from chalicelib.api.schemas.box_office import NewSale
from chalicelib.bookings import booking, queries
from chalicelib.bookings.booking import (
    AlreadyBooked,
    BookingLimits,
    CodeInvalid,
    Item,
    LimitReached,
    Order,
    OwnEvent,
    SaleEnded,
    SaleNotStarted,
    SoldOut,
    TooManyHolds,
)
from chalicelib.bookings.codes import Code
from chalicelib.bookings.queries import BookingQueries, NoSuchBooking
from chalicelib.bookings.tickets import TicketUsed
from chalicelib.events.locks import EventCancelled, EventEnded, EventStarted
from chalicelib.events.search import NoSuchEvent
from chalicelib.payments import cancellation, checkout
from chalicelib.payments.checkout import NotPayable, PaymentRejected
from chalicelib.platform.errors import (
    FieldError,
    Forbidden,
    InvalidInput,
    StaleVersion,
    Unavailable,
    Unreachable,
)
from chalicelib.platform.http.etag import etag_response, expected_versions, written_response
from chalicelib.platform.http.idempotency import key_of
from chalicelib.platform.http.pagination import list_response
from chalicelib.platform.http.request import Request, Response, json_response
from chalicelib.platform.observability import logs
from chalicelib.platform.settings import BadSetting, Settings
from chalicelib.users.verification import EmailNotVerified

BOOKINGS = BookingQueries(
    for_attendee=attendee_booking_json, for_host=host_booking_json, for_hold=held_booking_json
)

ORDER_ERRORS = (
    NoSuchEvent,
    OwnEvent,
    EventCancelled,
    EventEnded,
    SaleNotStarted,
    SaleEnded,
    AlreadyBooked,
    LimitReached,
    SoldOut,
    CodeInvalid,
    EmailNotVerified,
    StaleVersion,
)

routes = new_router("bookings", "Book places, pay for them, cancel them.")


@routes.post(
    "/bookings",
    auth="required",
    responses={201: Booking, 200: Booking},
    errors=(*ORDER_ERRORS, PaymentRejected, TooManyHolds),
    idempotent=True,
    conditional=True,
    account_check="view",  # the booking procedure checks it
    limited=True,
)
def create_booking(request: Request, body: BookingRequest) -> Response:
    """Book places: all that you order, or none. Hosts book at events of others.

    Without `items` and `quantity` it is one ticket of the event's only type.

    Places that cost something are held until `expiresAt`. Pay with Stripe's library and the `payment` of the
    response. `payment` is null while Stripe cannot be reached: create it later by
    `POST /bookings/{bookingId}/payment`. If Stripe can never charge the price, the response is 409
    `payment-rejected` and the place is free again. If you already hold an unpaid place at this event, the
    response is that booking, with 200.

    One account can hold a few unpaid places at a time, and cannot hold an event again for a while after its
    hold ended unpaid or with `payment-rejected`: both are 409 `too-many-holds`, with `Retry-After`. An event
    can require a verified e-mail address (`verifiedAttendeesOnly`): 403 `email-not-verified`.

    Wrong codes are limited per account and per client.

    With an `Idempotency-Key`, a replay is the first response. If the place cost something, a replay is the
    booking as it is now, with the present `status` and `payment`: it may be confirmed, expired or cancelled.
    """
    caller = request.require_caller()
    order, key = _order(request, body), key_of(request)
    try:
        with _limit_wrong_codes(request, order.code):
            result = booking.book(
                request.database,
                caller,
                order,
                key=key,
                limits=_limits(request.settings),
                now=request.now,
            )
    except (AlreadyBooked, SaleEnded, SaleNotStarted):
        with request.database.transaction() as connection:
            held = queries.find_hold(connection, caller, body.event_id, request.now)
        if held is None:
            raise
        return _held(request, 200, held)
    headers = {"Idempotent-Replayed": "true"} if result.replayed else {}
    if result.held:
        return _held(request, 201, result.booking_id, headers)
    return written_response(201, result.booking, 1, {**location(request, result.booking_id), **headers})


@contextmanager
def _limit_wrong_codes(request: Request, code: Code | None) -> Iterator[None]:
    """Count an order with a code as one with a wrong code, and give it back unless the code is wrong.

    Counting afterwards would let concurrent guesses pass the check together.
    """
    if code is None:
        yield
        return
    wrong = limits.wrong_code(request)
    with request.database.transaction() as connection:
        request.limit(connection, wrong)
    is_wrong = False
    try:
        yield
    except CodeInvalid:
        is_wrong = True
        raise
    finally:
        if not is_wrong:
            with suppress(Unavailable), request.database.transaction() as connection:
                request.give_back(connection, wrong)  # not worth failing a booking that is made


def _order(request: Request, body: BookingRequest) -> Order:
    return Order(
        event_id=body.event_id,
        items=ordered_items(body),
        quantity=body.quantity or 1,
        code=Code(body.code) if body.code is not None else None,
        revisions=expected_versions(request),
    )


def ordered_items(body: BookingRequest | NewSale) -> tuple[Item, ...] | None:
    """Check what the body's schema cannot, and return its items."""
    if body.items is None:
        return None
    if body.quantity is not None:
        raise InvalidInput(errors=[FieldError("quantity", "must be left out if there are items")])
    items = tuple(Item(item.ticket_type_id, item.quantity) for item in body.items)
    seen: set[UUID] = set()
    for index, item in enumerate(items):
        if item.ticket_type_id in seen:
            message = "must not repeat the ticket type of another item"
            raise InvalidInput(errors=[FieldError(f"items[{index}].ticketTypeId", message)])
        seen.add(item.ticket_type_id)
    return items


@routes.post(
    "/bookings/quote",
    auth="required",
    responses={200: Quote},
    errors=ORDER_ERRORS,
    account_check="view",
    limited=True,
)
def quote_booking(request: Request, body: BookingRequest) -> Response:
    """Price an order without booking anything.

    It is refused as the booking would be. To book at this price only, send the `ETag` in `If-Match`: if the
    host has changed anything about the event since, the response is 412.
    """
    order = _order(request, body)
    with _limit_wrong_codes(request, order.code):
        quoted, revision = booking.quote(
            request.database,
            request.require_caller(),
            order,
            limits=_limits(request.settings),
            now=request.now,
        )
    return written_response(200, quoted, revision)


def _limits(settings: Settings) -> BookingLimits:
    return BookingLimits(
        hold=settings.hold,
        max_open_holds=settings.max_open_holds if settings.rate_limits else None,
        hold_cooldown=settings.hold_cooldown if settings.rate_limits else timedelta(0),
        verified_attendees_only=settings.verified_attendees_only,
    )


def _held(request: Request, status: int, booking_id: UUID, headers: dict[str, str] | None = None) -> Response:
    """Respond with a hold and its payment, which is created if missing. The hold does not need Stripe."""
    caller = request.require_caller()
    try:
        checkout.ensure_payment_intent(
            request.database, wiring.current().payments, caller.user_id, booking_id, request.now
        )
    except NotPayable:  # a replay, and the booking has been paid or has ended since
        pass
    except (Unreachable, BadSetting):
        logs.exception("payment not created", bookingId=str(booking_id))
    with request.database.transaction() as connection:
        held, version = BOOKINGS.get_hold(connection, caller, booking_id, request.now)
    return written_response(status, held, version, {**location(request, booking_id), **(headers or {})})


def location(request: Request, booking_id: UUID) -> dict[str, str]:
    return {"Location": f"{request.settings.public_url}/bookings/{booking_id}"}


@routes.get("/bookings", auth="required", responses={200: list[BookingWithEvent]}, errors=(Forbidden,))
def list_bookings(request: Request, connection: Connection, query: BookingQuery) -> Response:
    """List your bookings, and as a host also the bookings of your events with their attendees.

    Filters can be combined. `q` is for hosts, and finds bookings of their events only.
    """
    if query.q is not None:
        request.require_role("host")
    page_request = query.page(query.sort)
    page = BOOKINGS.list_bookings(
        connection,
        request.require_caller(),
        page_request,
        event_id=query.event_id,
        statuses=query.status,
        ends_after=query.from_,
        words=query.q,
        now=request.now,
    )
    return list_response(request, page_request, page)


@routes.get(
    "/bookings/{bookingId}",
    auth="required",
    responses={200: BookingWithEvent},
    errors=(NoSuchBooking,),
    conditional=True,
)
def get_booking(request: Request, connection: Connection, booking_id: UUID) -> Response:
    """Get a booking, as its attendee or as the event's host."""
    found, version = BOOKINGS.get(connection, request.require_caller(), booking_id, request.now)
    return etag_response(request, found, version)


@routes.delete(
    "/bookings/{bookingId}",
    auth="required",
    responses={204: None},
    errors=(NoSuchBooking, EventStarted, TicketUsed, StaleVersion),
    conditional=True,
)
def cancel_booking(request: Request, connection: Connection, booking_id: UUID) -> Response:
    """Cancel a booking, as its attendee or as the event's host. Its place is free immediately.

    The money is refunded: always if the host cancels, until `refundUntil` if the attendee does. What was paid
    at the box office is given back by the host. A booking with a used ticket cannot be cancelled: 409
    `ticket-used`.
    """
    cancellation.cancel_booking(
        connection,
        request.require_caller(),
        booking_id,
        expected=expected_versions(request),
        now=request.now,
    )
    return Response(204)


@routes.post(
    "/bookings/{bookingId}/payment",
    auth="required",
    responses={200: PayablePayment},
    errors=(NoSuchBooking, NotPayable, PaymentRejected),
)
def create_payment(request: Request, booking_id: UUID) -> Response:
    """Create the payment of an unpaid booking at Stripe, or get the one that exists. Safe to repeat."""
    caller = request.require_caller()
    try:
        payable = checkout.ensure_payment_intent(
            request.database, wiring.current().payments, caller.user_id, booking_id, request.now
        )
    except Unreachable as error:
        raise Unavailable("Stripe cannot be reached.", retry_after=5) from error
    if payable is None:
        raise Unavailable("Stripe does not accept this payment at the moment.", retry_after=5)
    return json_response(200, payable.as_json())
