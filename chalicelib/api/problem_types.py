"""The problem types of this API, and what a client can do about each of them."""

from collections.abc import Iterator
from html import escape
from http import HTTPStatus

from chalicelib.bookings import booking, claims, codes, reissues, tickets, transfers
from chalicelib.check_in import door, door_keys, scanning, undo
from chalicelib.documents import printed_tickets
from chalicelib.events import locks, publishing, ticket_types
from chalicelib.notifications import unsubscribe
from chalicelib.payments import checkout, signatures, stripe_events
from chalicelib.platform import errors, security
from chalicelib.platform.errors import Refusal
from chalicelib.platform.http import problems
from chalicelib.users import accounts, addresses, email_tokens, sessions, verification

_WAIT = "Wait for the seconds that `Retry-After` names, then send the request again."
_ONLY_STRIPE = "Only Stripe calls this route. "

ADVICE: dict[type[Refusal], str] = {
    errors.InvalidInput: "Correct the request. `errors` names each faulty member.",
    errors.Unauthenticated: "Log in, and send the token as `Authorization: Bearer …`.",
    errors.Forbidden: "Use an account that is allowed to do this. `detail` says which.",
    errors.NotFound: "Check the id. The resource may be deleted, or visible to others only.",
    errors.MethodNotAllowed: "Use a method that the `Allow` header lists.",
    errors.Conflict: "Get the resource again and check its state.",
    errors.StaleVersion: "Get the resource again, apply your change, and send its new `ETag` in `If-Match`.",
    errors.ContentTooLarge: "Send a smaller body.",
    errors.UnsupportedMediaType: "Set `Content-Type` to the type of the body, usually `application/json`.",
    errors.IdempotencyKeyReused: "Use a new key for each new request. Repeat it only with the same request.",
    errors.RequestInProgress: "Wait a moment, then send the same request with the same key.",
    errors.TooManyRequests: _WAIT,
    errors.Unavailable: _WAIT,
    security.InvalidToken: "Log in again to get a new token.",
    security.LoginRequired: "Log in with the password, and send the new token within 10 minutes.",
    sessions.InvalidRefreshToken: "Log in again. Send each refresh token once, and one refresh at a time.",
    addresses.EmailTaken: "Log in to the existing account, reset its password, or use another address.",
    accounts.WrongCredentials: "Check the address and the password, or reset the password.",
    accounts.WrongPassword: "Send the current password in `currentPassword`.",
    verification.EmailNotVerified: "Open the link in the verification e-mail. "
    "`POST /auth/verify-email/resend` sends another one.",
    email_tokens.InvalidEmailToken: "Use the newest e-mail, or request another one.",
    unsubscribe.InvalidLink: "Copy the whole link from the e-mail.",
    publishing.AlreadyPublished: "Leave `status` out, or cancel the event.",
    ticket_types.NoSuchTicketType: "Get the event: it lists its ticket types.",
    ticket_types.TooManyTicketTypes: "Change a ticket type instead. Archived ones count too.",
    ticket_types.TicketTypeArchived: "Add another ticket type. This one can no longer be booked or changed.",
    ticket_types.LastTicketType: "Add another ticket type first, or cancel the event.",
    locks.CapacityBelowTaken: "Choose a capacity of at least the number of booked places.",
    locks.NotYourEvent: "Log in as the host of the event.",
    locks.EventCancelled: "Nothing can be booked or changed any more.",
    locks.EventEnded: "This is possible only before the event ends.",
    locks.EventStarted: "This is possible only before the event starts.",
    locks.NotPublished: "Delete the draft. Only a published event can be cancelled.",
    booking.OwnEvent: "Book with another account. The host needs no place.",
    booking.EventNotPublished: "Publish the event first.",
    booking.AlreadyBooked: "Get your booking with `GET /bookings`.",
    booking.LimitReached: "Order fewer tickets: `left` says how many you can still book.",
    booking.CodeInvalid: "Check the code. It may be used up, out of date, or for other ticket types.",
    booking.SoldOut: "Order other or fewer tickets: `ticketTypeIds` names the types that lack places. "
    "A cancelled booking or an expired hold may free some.",
    booking.TooManyHolds: "Pay for a place that you hold, or wait for the seconds that `Retry-After` names.",
    tickets.NotYourTicket: "Log in as the attendee who booked the ticket.",
    tickets.BookingUnpaid: "Pay for the booking first, or cancel all of it.",
    tickets.TicketCancelled: "Choose another ticket of the booking.",
    tickets.TicketUsed: "Nothing can be changed any more: somebody has entered with the ticket.",
    tickets.TicketTransferred: "Ask the new holder. Only they can use and change the ticket.",
    transfers.TransferPending: "Wait until the offer is claimed or expires, or cancel it with "
    "`DELETE /tickets/{ticketId}/transfer`.",
    transfers.NoSuchTransfer: "Get the ticket: `transfer` shows an open offer.",
    reissues.TooManyReissues: "Show the last code. The host can let you in by name.",
    claims.InvalidTransferToken: "Use the newest e-mail, or ask for another offer.",
    booking.SaleNotStarted: "Try again after `saleStartsAt` of the event.",
    booking.SaleEnded: "Bookings are closed since `saleEndsAt` of the event.",
    printed_tickets.NotTheHolder: "Log in as the holder of the ticket.",
    printed_tickets.WalletNotConfigured: "Show the QR code or the PDF instead.",
    printed_tickets.TicketUnpaid: "Pay for the booking first.",
    codes.NoSuchCode: "List the codes of the event with `GET /events/{eventId}/codes`.",
    codes.CodeExists: "Change the existing code, or choose another text.",
    codes.TooManyCodes: "Delete codes that are no longer needed.",
    codes.MaxUsesBelowUses: "Choose a `maxUses` of at least `uses`.",
    door.WrongDoor: "Use a door key of this event.",
    door_keys.NoSuchDoorKey: "List the door keys of the event with `GET /events/{eventId}/door-keys`.",
    door_keys.TooManyDoorKeys: "Revoke door keys that are no longer needed.",
    scanning.AlreadyCheckedIn: "Do not admit anyone: `first` says when and where the ticket was checked in. "
    "Undo that check-in if it was a mistake.",
    scanning.CodeReplaced: "Ask for the newest ticket. It may have been transferred to somebody else.",
    scanning.NoReEntry: "Allow re-entry with `reEntryAllowed` of the event.",
    scanning.NonceReused: "Choose a new `nonce` for each scan. Repeat it only with the same scan.",
    scanning.NotCheckedIn: "Check the ticket in first.",
    scanning.NotYetValid: "Wait until doors open at `doorsOpenAt`. Without it, the ticket is not paid yet.",
    scanning.WrongEvent: "Check the date and the event on the ticket.",
    undo.NoSuchCheckIn: "Check the id of the check-in and of its event.",
    checkout.NotPayable: "Get the booking and check its `status`. It may be paid, expired or cancelled.",
    checkout.PaymentRejected: "Tell the host: Stripe cannot charge this price in this currency.",
    signatures.InvalidSignature: f"{_ONLY_STRIPE}Check the webhook's signing secret and the clock.",
    stripe_events.NotAnEvent: f"{_ONLY_STRIPE}Check that the webhook sends events.",
}
"""What to do, by refusal. A refusal that is not listed has the advice of the class that it derives from."""

_FAULT_ADVICE = "Try again later. If it fails again, report it with the `X-Request-Id` of the response."


def as_html() -> str:
    """Return the list of problem types, each with its slug as an anchor."""
    return "".join(
        (
            "<p>Errors are problem documents ",
            '(<a href="https://www.rfc-editor.org/rfc/rfc9457">RFC 9457</a>). ',
            f"The <code>type</code> is <code>{problems.TYPE_PREFIX}</code> and the <code>code</code> below. ",
            'See also the <a href="../docs">documentation of the API</a>.</p>',
            *map(_entry, sorted(_refusals(), key=lambda refusal: (problems.status(refusal), refusal.slug()))),
            _section(*problems.FAULT, HTTPStatus.INTERNAL_SERVER_ERROR, _FAULT_ADVICE),
        )
    )


def _entry(refusal: type[Refusal]) -> str:
    advice = next(ADVICE[kind] for kind in refusal.__mro__ if kind in ADVICE)
    return _section(refusal.slug(), refusal.title(), problems.status(refusal), advice)


def _section(slug: str, title: str, status: HTTPStatus, advice: str) -> str:
    return (
        f'<section id="{slug}"><h2>{escape(title)}</h2>'
        f"<p><code>{slug}</code>, status {int(status)} {status.phrase}</p>"
        f"<p>{_with_code(advice)}</p></section>"
    )


def _with_code(text: str) -> str:
    """Escape, and set what stands in backticks as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))


def _refusals(kind: type[Refusal] = Refusal) -> Iterator[type[Refusal]]:
    for refusal in kind.__subclasses__():
        yield refusal
        yield from _refusals(refusal)
