"""/events/{eventId}/box-office: sell places for cash, by card or for free, and report the sales."""

import json
from contextlib import suppress
from uuid import UUID

from sqlalchemy import Connection

from chalicelib.api import limits
from chalicelib.api.bookings import location, ordered_items
from chalicelib.api.routing import new_router
from chalicelib.api.schemas.bookings import Booking
from chalicelib.api.schemas.box_office import BoxOfficeReport, NewSale
from chalicelib.bookings import box_office
from chalicelib.bookings.booking import BookingResult, BoxOfficeSale, EventNotPublished, Order, SoldOut
from chalicelib.bookings.box_office import MAX_TICKETS
from chalicelib.events.locks import EventCancelled, EventEnded, NotYourEvent
from chalicelib.events.search import NoSuchEvent
from chalicelib.platform.errors import FieldError, InvalidInput, Unavailable
from chalicelib.platform.http.idempotency import key_of
from chalicelib.platform.http.request import Request, Response
from chalicelib.users import authentication, verification
from chalicelib.users.verification import EmailNotVerified

routes = new_router("box-office", "Sell places without Stripe, and see what was sold.")


@routes.post(
    "/events/{eventId}/box-office",
    auth="host",
    responses={201: Booking},
    errors=(
        NoSuchEvent,
        NotYourEvent,
        EventNotPublished,
        EventCancelled,
        EventEnded,
        SoldOut,
        EmailNotVerified,
    ),
    idempotent=True,
    account_check="view",  # the booking procedure checks it
    limited=True,
)
def sell_at_box_office(request: Request, event_id: UUID, body: NewSale) -> Response:
    """Sell places of your event, or give them away. The tickets are valid immediately.

    Capacities apply. Sale times, `codeRequired`, and the limits of orders and of attendees do not. The
    booking belongs to no account: cancel it with `DELETE /bookings/{bookingId}`, and give the money back.

    With an `email`, the customer gets the tickets there. Your own address has to be verified for that: 403
    `email-not-verified`. The number of such e-mails is limited, for a host and for an address.
    """
    order = _order(event_id, body)
    sale = BoxOfficeSale(paid_by=body.paid_by, name=body.name, email=body.email)
    result = _sell(request, order, sale)
    # A replay has the same body, and so the same customer.
    customer = {"name": body.name, **({} if body.email is None else {"email": body.email})}
    shown = f'{result.booking[:-1]},"customer":{json.dumps(customer, separators=(",", ":"))}}}'
    headers = {"Idempotent-Replayed": "true"} if result.replayed else {}
    return Response(201, shown, {**location(request, result.booking_id), **headers})


def _order(event_id: UUID, body: NewSale) -> Order:
    items = ordered_items(body)
    if items is not None and sum(item.quantity for item in items) > MAX_TICKETS:
        raise InvalidInput(errors=[FieldError("items", f"must be at most {MAX_TICKETS} tickets together")])
    return Order(event_id=event_id, items=items, quantity=body.quantity or 1)


def _sell(request: Request, order: Order, sale: BoxOfficeSale) -> BookingResult:
    """Sell, and count the e-mail to the customer unless nothing new is sold."""
    caller = request.require_caller()
    charges = limits.box_office_email(caller.user_id, sale.email) if sale.email else []
    if charges:
        with request.database.transaction() as connection:
            authentication.require_account(connection, caller, "none")
            if not verification.is_verified(connection, caller.user_id):
                raise EmailNotVerified("Without `email`, you can sell now.")
            request.limit(connection, charges)
    is_new = False
    try:
        result = box_office.sell(request.database, caller, order, sale, key=key_of(request), now=request.now)
        is_new = not result.replayed
    finally:
        if charges and not is_new:
            with suppress(Unavailable), request.database.transaction() as connection:
                request.give_back(connection, charges)
    return result


@routes.get(
    "/events/{eventId}/box-office",
    auth="host",
    responses={200: BoxOfficeReport},
    errors=(NoSuchEvent, NotYourEvent),
)
def report_box_office(request: Request, connection: Connection, event_id: UUID) -> Response:
    """Report how the tickets of your event were paid. Unpaid holds are left out."""
    report = box_office.report(connection, request.require_caller().user_id, event_id)
    return Response(200, report)
