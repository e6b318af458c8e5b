"""/tickets/claim and /tickets/{ticketId}/transfer: give a ticket to somebody else. /reissue: a new code."""

from uuid import UUID

from msgspec import UNSET
from msgspec.structs import replace as with_members
from sqlalchemy import Connection

from chalicelib.api import limits
from chalicelib.api.routing import new_router
from chalicelib.api.schemas.tickets import Ticket, Transfer, TransferClaim, TransferRequest
from chalicelib.api.tickets import TICKETS
from chalicelib.bookings import claims, reissues, transfers
from chalicelib.bookings.booking import LimitReached
from chalicelib.bookings.claims import Claim, InvalidTransferToken
from chalicelib.bookings.reissues import TooManyReissues
from chalicelib.bookings.tickets import (
    BookingUnpaid,
    NoSuchTicket,
    NotYourTicket,
    TicketCancelled,
    TicketTransferred,
    TicketUsed,
)
from chalicelib.bookings.transfers import NoSuchTransfer, TransferPending
from chalicelib.check_in.ticket_codes import TicketCodes
from chalicelib.events.locks import EventEnded, EventStarted
from chalicelib.notifications import bounces
from chalicelib.platform.http.etag import written_response
from chalicelib.platform.http.idempotency import run_idempotent
from chalicelib.platform.http.request import Request, Response, json_response
from chalicelib.platform.times import rfc3339
from chalicelib.users.verification import EmailNotVerified

routes = new_router("transfers", "Give a ticket to somebody else, or give it a new code.")


@routes.post(
    "/tickets/{ticketId}/transfer",
    auth="required",
    responses={201: Transfer},
    errors=(
        NoSuchTicket,
        NotYourTicket,
        EmailNotVerified,
        TicketCancelled,
        TicketUsed,
        TicketTransferred,
        TransferPending,
        BookingUnpaid,
        EventStarted,
    ),
    idempotent=True,
    limited=True,
)
def offer_transfer(
    request: Request, connection: Connection, ticket_id: UUID, body: TransferRequest
) -> Response:
    """Offer a ticket that you have booked to somebody, who gets an e-mail with a link to claim it.

    The link works for 7 days, until the event starts. Until it is used, the ticket stays yours and its code
    admits. The booking, its money and its refunds stay yours in any case.
    """
    caller = request.require_caller()

    def work() -> Response:
        offer = transfers.offer(connection, caller.user_id, ticket_id, email=body.email, now=request.now)
        request.limit(connection, limits.transfer(request, body.email))
        content = {
            "ticketId": str(offer.ticket_id),
            "email": offer.email,
            "createdAt": rfc3339(offer.created_at, "milliseconds"),
            "expiresAt": rfc3339(offer.expires_at, "milliseconds"),
        }
        return with_members(json_response(201, content), personal_to=caller.user_id)

    return run_idempotent(connection, request, work)


@routes.delete(
    "/tickets/{ticketId}/transfer",
    auth="required",
    responses={204: None},
    errors=(NoSuchTicket, NotYourTicket, NoSuchTransfer, TicketTransferred),
)
def cancel_transfer(request: Request, connection: Connection, ticket_id: UUID) -> Response:
    """Cancel the offer of your ticket, if it is not claimed yet. The link stops working."""
    transfers.cancel(connection, request.require_caller().user_id, ticket_id, request.now)
    return Response(204)


@routes.post(
    "/tickets/claim", auth="optional", responses={200: Ticket}, errors=(InvalidTransferToken, LimitReached)
)
def claim_ticket(request: Request, connection: Connection, body: TransferClaim) -> Response:
    """Claim a ticket that was offered to you, with the token from the e-mail, which works once.

    The ticket gets a new code, and the old one is void. No account is needed. If you are logged in to the
    account that has the address of the offer, the address counts as verified, and you find the ticket again
    by `GET /tickets`. The tickets that you have booked or claimed count towards the event's
    `maxPerAttendee`.
    """
    claimed = claim(request, connection, body.token, None if body.name is UNSET else body.name)
    found, version = TICKETS.get_claimed(connection, claimed.ticket_id, request.now)
    return written_response(200, TicketCodes.of(request.settings).fill_in(found), version)


def claim(request: Request, connection: Connection, token: str, name: str | None) -> Claim:
    """Claim a ticket. The e-mail has arrived, so a bounce of the address is lifted.

    Raises:
        InvalidTransferToken, LimitReached
    """
    claimed = claims.claim(connection, token, user_id=request.caller_id, name=name, now=request.now)
    bounces.lift_bounce(connection, claimed.email)
    return claimed


@routes.post(
    "/tickets/{ticketId}/reissue",
    auth="required",
    responses={200: Ticket},
    errors=(
        NoSuchTicket,
        TicketCancelled,
        TicketUsed,
        TicketTransferred,
        BookingUnpaid,
        EventEnded,
        TooManyReissues,
    ),
    idempotent=True,
    limited=True,
)
def reissue_ticket(request: Request, connection: Connection, ticket_id: UUID) -> Response:
    """Give a ticket a new code, for example after a phone was lost. The old code is void.

    The attendee who booked the ticket can do so until it is transferred, then its holder; the event's host
    can do so in any case, and does not see the code. Everybody who can carry the ticket is told by e-mail.
    """
    caller, codes = request.require_caller(), TicketCodes.of(request.settings)

    def work() -> Response:
        reissues.reissue(connection, caller.user_id, ticket_id, request.now)
        request.limit(connection, limits.reissue(ticket_id))
        found, version = TICKETS.get(connection, caller.user_id, ticket_id, request.now)
        tagged = written_response(200, codes.fill_in(found), version)
        return with_members(tagged, body=found, personal_to=caller.user_id)  # stored without the code

    response = run_idempotent(connection, request, work)
    return with_members(response, body=codes.fill_in(response.body))
