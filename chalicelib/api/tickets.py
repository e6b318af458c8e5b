"""/tickets: cancel one ticket of a booking."""

from uuid import UUID

from sqlalchemy import Connection

from chalicelib.api.routing import new_router
from chalicelib.bookings.tickets import NoSuchTicket
from chalicelib.events.locks import EventStarted
from chalicelib.payments import cancellation
from chalicelib.payments.cancellation import BookingUnpaid
from chalicelib.platform.errors import StaleVersion
from chalicelib.platform.http.etag import expected_versions
from chalicelib.platform.http.request import Request, Response

routes = new_router("tickets", "Cancel single tickets of a booking.")


@routes.delete(
    "/tickets/{ticketId}",
    auth="required",
    responses={204: None},
    errors=(NoSuchTicket, EventStarted, BookingUnpaid, StaleVersion),
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
