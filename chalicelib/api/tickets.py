"""/tickets: list, get, carry, name the holder, cancel."""

from dataclasses import replace
from uuid import UUID

from sqlalchemy import Connection

from chalicelib import wiring
from chalicelib.api.routing import new_router
from chalicelib.api.schemas.tickets import (
    HeldTicketQuery,
    Ticket,
    TicketChange,
    TicketQuery,
    ticket_json,
)
from chalicelib.bookings import holders
from chalicelib.bookings.queries import NoSuchBooking
from chalicelib.bookings.ticket_queries import TicketQueries
from chalicelib.bookings.tickets import (
    BookingUnpaid,
    NoSuchTicket,
    NotYourTicket,
    TicketCancelled,
    TicketTransferred,
    TicketUsed,
)
from chalicelib.check_in.ticket_codes import TicketCodes
from chalicelib.documents import printed_tickets
from chalicelib.documents.printed_tickets import NotTheHolder, TicketUnpaid, WalletNotConfigured
from chalicelib.events.locks import EventStarted
from chalicelib.payments import cancellation
from chalicelib.platform.errors import StaleVersion, Unavailable, Unreachable
from chalicelib.platform.http.etag import etag_response, expected_versions, written_response
from chalicelib.platform.http.pagination import list_response
from chalicelib.platform.http.request import Request, Response
from chalicelib.platform.http.validation import fields_set

SVG, PDF, PASS = "image/svg+xml", "application/pdf", "application/vnd.apple.pkpass"

TICKETS = TicketQueries(ticket_json)

routes = new_router("tickets", "Tickets: their codes, who holds them, cancelling single ones.")


@routes.get(
    "/bookings/{bookingId}/tickets",
    auth="required",
    responses={200: list[Ticket]},
    errors=(NoSuchBooking,),
)
def list_tickets(request: Request, connection: Connection, booking_id: UUID, query: TicketQuery) -> Response:
    """List the tickets of a booking, as its attendee or as the event's host. A holder sees their own.

    The holder of a ticket is the account whose verified e-mail address is the ticket's `holderEmail`.
    """
    page_request = query.page(query.sort)
    page = TICKETS.list_tickets(
        connection, request.require_caller().user_id, booking_id, page_request, request.now
    )
    page = replace(page, items=TicketCodes.of(request.settings).fill_in(page.items))
    return list_response(request, page_request, page)


@routes.get("/tickets", auth="required", responses={200: list[Ticket]})
def list_transferred_tickets(request: Request, connection: Connection, query: HeldTicketQuery) -> Response:
    """List the tickets that were transferred to your verified e-mail address, of events that have not ended.

    Those that you have booked are listed by booking.
    """
    page_request = query.page(query.sort)
    page = TICKETS.list_transferred(
        connection,
        request.require_caller().user_id,
        page_request,
        ends_after=query.from_ or request.now,
        now=request.now,
    )
    page = replace(page, items=TicketCodes.of(request.settings).fill_in(page.items))
    return list_response(request, page_request, page)


@routes.get(
    "/tickets/{ticketId}",
    auth="required",
    responses={200: Ticket},
    errors=(NoSuchTicket,),
    conditional=True,
)
def get_ticket(request: Request, connection: Connection, ticket_id: UUID) -> Response:
    """Get a ticket, as its holder, as the attendee who booked it, or as the event's host."""
    found, version = _get(request, connection, ticket_id)
    return etag_response(request, found, version)


def _get(request: Request, connection: Connection, ticket_id: UUID) -> tuple[str, int]:
    """Return a ticket as JSON text, with its code, and its version."""
    found, version = TICKETS.get(connection, request.require_caller().user_id, ticket_id, request.now)
    return TicketCodes.of(request.settings).fill_in(found), version


@routes.get(
    "/tickets/{ticketId}/qr.svg",
    auth="required",
    responses={200: SVG},
    errors=(NoSuchTicket, NotTheHolder, TicketUnpaid, TicketCancelled),
)
def get_ticket_qr_code(request: Request, connection: Connection, ticket_id: UUID) -> Response:
    """Get the QR code of a ticket, as its holder or as the attendee who booked it.

    Once the ticket is transferred, only its holder gets the code. A host gets those of tickets that they sold
    at the box office.
    """
    from chalicelib.documents import qr  # noqa: PLC0415 (only this route needs its library)

    codes, caller_id = TicketCodes.of(request.settings), request.require_caller().user_id
    ticket = printed_tickets.get(connection, codes, caller_id, ticket_id)
    return Response(200, qr.svg(ticket.code), content_type=SVG)


@routes.get(
    "/bookings/{bookingId}/tickets.pdf",
    auth="required",
    responses={200: PDF},
    errors=(NoSuchBooking, NotTheHolder, TicketUnpaid, TicketCancelled),
)
def get_tickets_pdf(request: Request, booking_id: UUID) -> Response:
    """Get the valid tickets of a booking to print, one to a page. You get those whose QR code you can get."""
    from chalicelib.documents import pdf  # noqa: PLC0415 (only this route needs its library)

    codes, caller_id = TicketCodes.of(request.settings), request.require_caller().user_id
    with request.database.transaction() as connection:
        tickets = printed_tickets.list_of_booking(connection, codes, caller_id, booking_id)
    headers = {"Content-Disposition": f'inline; filename="{pdf.FILENAME}"'}
    return Response(200, headers=headers, content_type=PDF, file=pdf.tickets_pdf(tickets))


@routes.get(
    "/tickets/{ticketId}/pass.pkpass",
    auth="required",
    responses={200: PASS},
    errors=(NoSuchTicket, WalletNotConfigured, NotTheHolder, TicketUnpaid, TicketCancelled),
)
def get_ticket_pass(request: Request, ticket_id: UUID) -> Response:
    """Get a ticket for Apple Wallet, if you can get its QR code.

    Without a certificate of Apple the service has no passes: 404 `wallet-not-configured`.
    """
    codes, caller_id = TicketCodes.of(request.settings), request.require_caller().user_id
    with request.database.transaction() as connection:
        ticket = printed_tickets.get(connection, codes, caller_id, ticket_id)
    try:
        signer = wiring.current().pass_signer
    except Unreachable as error:
        raise Unavailable("The certificate for passes cannot be read.", retry_after=5) from error
    if signer is None:
        raise WalletNotConfigured
    from chalicelib.documents import wallet  # noqa: PLC0415 (only this route needs its library)

    file = wallet.wallet_pass(ticket, signer, request.now)
    headers = {"Content-Disposition": f'attachment; filename="{wallet.FILENAME}"'}
    return Response(200, headers=headers, content_type=PASS, file=file)


@routes.patch(
    "/tickets/{ticketId}",
    auth="required",
    responses={200: Ticket},
    errors=(NoSuchTicket, NotYourTicket, TicketCancelled, TicketTransferred, EventStarted, StaleVersion),
    conditional=True,
    media_type="application/merge-patch+json",
)
def change_ticket(request: Request, connection: Connection, ticket_id: UUID, body: TicketChange) -> Response:
    """Name the holder of a ticket that you have booked, until the event starts.

    Once the ticket is transferred, its holder can change the name instead.
    """
    caller_id = request.require_caller().user_id
    holders.change(
        connection,
        caller_id,
        ticket_id,
        changes=fields_set(body),
        expected=expected_versions(request),
        now=request.now,
    )
    changed, version = _get(request, connection, ticket_id)
    return written_response(200, changed, version)


@routes.delete(
    "/tickets/{ticketId}",
    auth="required",
    responses={204: None},
    errors=(NoSuchTicket, EventStarted, BookingUnpaid, TicketUsed, StaleVersion),
    conditional=True,
)
def cancel_ticket(request: Request, connection: Connection, ticket_id: UUID) -> Response:
    """Cancel one ticket, as its booker or as the event's host. Its place is free immediately.

    Its price is refunded as for `DELETE /bookings/{bookingId}`. The last ticket of a booking is cancelled
    with the booking. One of several tickets of an unpaid booking cannot be cancelled: 409 `booking-unpaid`.
    `If-Match` can name the version of the ticket or of its booking.
    """
    cancellation.cancel_ticket(
        connection,
        request.require_caller(),
        ticket_id,
        expected=expected_versions(request),
        now=request.now,
    )
    return Response(204)
