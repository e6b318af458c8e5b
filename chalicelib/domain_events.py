"""Domain events: a class for each type. docs/domain-events.md is generated from the classes.

The first paragraph of a docstring says when the event is recorded, the second what consumers should know.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from chalicelib.platform.messaging.bodies import DomainEventBody, Lane, SystemTime
from chalicelib.platform.messaging.ports import DomainEvent

CancellationReason = Literal[
    "attendee",
    "host",
    "event-cancelled",
    "event-deleted",
    "account-deleted",
    "refunded",
    "dispute-lost",
]
"""Why a booking was cancelled. `refunded`: Stripe reports a refund that this system did not ask for."""

RefundReason = Literal[
    "attendee",
    "host",
    "event-cancelled",
    "event-deleted",
    "account-deleted",
    "late-payment",
]

AttendeeId = Annotated[UUID, {"description": "The attendee."}]
Timezone = Annotated[str, {"description": "IANA name of the event's time zone."}]
Quantity = Annotated[int, {"minimum": 1, "description": "Tickets."}]
Amount = Annotated[int, {"minimum": 0, "description": "In minor units of the currency."}]
PaidAmount = Annotated[int, {"minimum": 1, "description": "In minor units of the currency."}]
Currency = Annotated[str, {"pattern": "^[a-z]{3}$", "description": "ISO 4217, in lower case."}]
PaymentReference = Annotated[
    str | None, {"pattern": "^pi_", "description": "Stripe's id of the payment, if the booking was paid."}
]
Email = Annotated[str, {"description": "An e-mail address, in lower case."}]


@dataclass(frozen=True, kw_only=True)
class EventDetails(DomainEventBody):
    """The subject is the event. Its details are those after the change."""

    lane: ClassVar[Lane] = Lane.EVENTS

    event_id: UUID
    host_id: UUID
    title: str
    location: str | None
    start_date_time: datetime
    end_date_time: datetime
    timezone: Timezone


@dataclass(frozen=True, kw_only=True)
class EventPublished(EventDetails, name="event-published"):
    """A host has published an event: a new one, or a former draft. Drafts have no domain events."""


@dataclass(frozen=True, kw_only=True)
class SaleStarted(EventDetails, name="sale-started"):
    """The start of the sale, as the host has set it, has come.

    It is recorded once, and again only if the host puts the start off afterwards. An event that is on sale
    as soon as it is published has no such domain event.
    """


@dataclass(frozen=True, kw_only=True)
class TextChange:
    from_: str
    to: str


@dataclass(frozen=True, kw_only=True)
class OptionalTextChange:
    from_: str | None
    to: str | None


@dataclass(frozen=True, kw_only=True)
class TimeChange:
    from_: datetime
    to: datetime


@dataclass(frozen=True, kw_only=True)
class EventChanges:
    """The old and the new value of each detail that has changed."""

    title: TextChange | None = None
    location: OptionalTextChange | None = None
    start_date_time: TimeChange | None = None
    end_date_time: TimeChange | None = None
    timezone: TextChange | None = None


@dataclass(frozen=True, kw_only=True)
class EventChanged(EventDetails, name="event-changed"):
    """A host has changed the title, the location, a time or the time zone of a published event.

    Changes within a few minutes are one domain event, recorded after the last of them, at most every five
    minutes. `changed` has the members that are different now. Other changes, such as of the description
    or the capacity, have no domain event.
    """

    changed: Annotated[EventChanges, {"minProperties": 1}]


@dataclass(frozen=True, kw_only=True)
class EventCancelled(EventDetails, name="event-cancelled"):
    """A host has cancelled or deleted a published event before it ended, or has closed the account.

    A cancelled event stays visible, a deleted one does not. Each live booking is cancelled too, with a
    `booking-cancelled` of its own that comes after. `reason` is what the host tells the attendees.
    """

    how: Literal["cancelled", "deleted"]
    reason: Annotated[str | None, {"maxLength": 500, "description": "In the host's words."}] = None


@dataclass(frozen=True, kw_only=True)
class DailyDigestDue(DomainEventBody, name="daily-digest-due"):
    """It is time to send hosts the daily digest of their bookings.

    The subject is a UUID made from `until`. The digest covers the time from `since` until `until`.
    """

    lane: ClassVar[Lane] = Lane.EVENTS

    since: SystemTime
    until: SystemTime


@dataclass(frozen=True, kw_only=True)
class BookingItem:
    """The tickets of one type. The price is that of one ticket, without the discount of a code."""

    ticket_type_id: UUID
    name: str
    quantity: Quantity
    unit_price: Amount


@dataclass(frozen=True, kw_only=True)
class BookedTicket:
    ticket_id: UUID
    ticket_type_id: UUID


@dataclass(frozen=True, kw_only=True)
class BookingDetails(DomainEventBody):
    """The subject is the booked event, so that its bookings and its own changes are in one order.

    `quantity`, `items`, `discount` and `tickets` are of the tickets that are confirmed, cancelled or expired.
    `amount` is the price of the whole booking.
    """

    booking_id: UUID
    reference: Annotated[str, {"pattern": "^[0-9A-HJKMNP-TV-Z]{8}$", "description": "For people."}]
    event_id: UUID
    quantity: Quantity
    items: Annotated[tuple[BookingItem, ...], {"minItems": 1}]
    discount: Annotated[int | None, {"minimum": 1, "description": "What a code has taken off."}] = None
    amount: Amount
    tickets: Annotated[tuple[BookedTicket, ...], {"minItems": 1}]
    currency: Currency
    created_at: SystemTime
    updated_at: SystemTime


@dataclass(frozen=True, kw_only=True)
class ConfirmedBooking(BookingDetails):
    """It was made by an attendee (`userId`) or sold by the host at the box office (`paidBy`)."""

    user_id: Annotated[UUID | None, {"description": "The attendee."}] = None
    paid_by: Annotated[
        Literal["cash", "card", "free"] | None, {"description": "How the host was paid at the box office."}
    ] = None


@dataclass(frozen=True, kw_only=True)
class BookingConfirmed(ConfirmedBooking, name="booking-confirmed"):
    """A booking is confirmed: a free one when it is made, any other when it is paid.

    Those of the box office are paid when they are made, and have `paidBy` in place of `userId`.
    """

    status: Literal["confirmed"]
    payment_reference: PaymentReference = None


@dataclass(frozen=True, kw_only=True)
class BookingCancelled(ConfirmedBooking, name="booking-cancelled"):
    """A booking is cancelled, and its places are free.

    The reason is the attendee's or the host's wish (`attendee`, `host`), the end of the event
    (`event-cancelled`, `event-deleted`) or of the attendee's account (`account-deleted`), a refund made
    outside this system (`refunded`), or a lost dispute (`dispute-lost`). Money that is due back has a
    `payment-refund-due` of its own, except that the host gives back what was paid at the box office.
    """

    status: Literal["cancelled"]
    reason: CancellationReason


@dataclass(frozen=True, kw_only=True)
class TicketsCancelled(ConfirmedBooking, name="tickets-cancelled"):
    """Some tickets of a booking are cancelled, and their places are free. The others stay valid.

    Money that is due back has a `payment-refund-due` of its own, as for `booking-cancelled`.
    """

    status: Literal["confirmed"]
    reason: Literal["attendee", "host"]


@dataclass(frozen=True, kw_only=True)
class BookingExpired(BookingDetails, name="booking-expired"):
    """An attendee did not pay in time. The places are free again, and nothing was charged.

    A payment that arrives later may still confirm the booking, if its places are left.
    """

    user_id: AttendeeId
    status: Literal["expired"]
    amount: PaidAmount


@dataclass(frozen=True, kw_only=True)
class TicketDetails(DomainEventBody):
    """The subject is the event of the ticket."""

    ticket_id: UUID
    booking_id: UUID
    event_id: UUID


@dataclass(frozen=True, kw_only=True)
class TicketTransferOffered(TicketDetails, name="ticket-transfer-offered"):
    """The attendee who booked a ticket offers it to somebody, who gets an e-mail with a link to claim it.

    The token is made when the e-mail is sent, and is in no message. Neither is the address.
    """

    transfer_id: UUID


@dataclass(frozen=True, kw_only=True)
class TicketTransferred(TicketDetails, name="ticket-transferred"):
    """A ticket is claimed: it has a new holder and a new code. The booking and its money stay as they are."""


@dataclass(frozen=True, kw_only=True)
class TicketReissued(TicketDetails, name="ticket-reissued"):
    """A ticket has a new code, and the old one is void. Its holder is the same."""


@dataclass(frozen=True, kw_only=True)
class PaymentDetails(DomainEventBody):
    """The subject is the event that is paid for. A successful payment is reported by `booking-confirmed`."""

    booking_id: UUID
    user_id: AttendeeId
    event_id: UUID
    amount: PaidAmount
    currency: Currency


@dataclass(frozen=True, kw_only=True)
class PaymentFailed(PaymentDetails, name="payment-failed"):
    """An attempt to pay for a held place has failed. Nothing was charged, and the attendee can try again.

    `reason` is Stripe's decline code, or its error code where there is none. Stripe's list of codes may grow.
    """

    expires_at: Annotated[SystemTime, {"description": "The end of the hold."}]
    reason: Annotated[str, {"description": "Such as card_declined."}]


@dataclass(frozen=True, kw_only=True)
class PaymentRefundDue(PaymentDetails, name="payment-refund-due"):
    """The price of cancelled tickets is due back to the attendee. This system makes the refund.

    There is one for each refund. The amount is the sum of the tickets' prices, or what is left of the payment
    if that is less, because a part has gone back before.

    The reasons are those of `booking-cancelled`, and `late-payment`: the money arrived after the hold, and no
    place was left, or the booking had been cancelled, or the attendee had another booking.
    """

    refund_id: UUID
    tickets: Annotated[tuple[BookedTicket, ...], {"minItems": 1}]
    reason: RefundReason


@dataclass(frozen=True, kw_only=True)
class DisputeDetails(PaymentDetails):
    host_id: UUID
    disputed_amount: Annotated[
        int,
        {"description": "In minor units. It may be a part of the amount; 0 if it is in another currency."},
    ]
    reason: Annotated[str, {"description": "Stripe's code, such as fraudulent."}]


@dataclass(frozen=True, kw_only=True)
class PaymentDisputed(DisputeDetails, name="payment-disputed"):
    """The attendee's bank disputes a payment. Stripe withholds the money until the dispute is decided.

    The booking stays as it is.
    """


@dataclass(frozen=True, kw_only=True)
class PaymentDisputeClosed(DisputeDetails, name="payment-dispute-closed"):
    """A dispute is decided. If it is lost, the disputed amount has gone back.

    If that is the whole payment, the booking is cancelled.
    """

    outcome: Literal["won", "lost"]


@dataclass(frozen=True, kw_only=True)
class UserRegistered(DomainEventBody, name="user-registered"):
    """Someone has made an account. The subject is the user. The e-mail address is not verified yet."""

    lane: ClassVar[Lane] = Lane.ACCOUNT_EMAILS

    user_id: UUID
    role: Literal["host", "attendee"]


@dataclass(frozen=True, kw_only=True)
class EmailRequested(DomainEventBody):
    lane: ClassVar[Lane] = Lane.ACCOUNT_EMAILS

    email: Email


@dataclass(frozen=True, kw_only=True)
class EmailVerificationRequested(EmailRequested, name="email-verification-requested"):
    """The e-mail address of an account needs to be verified: it is new, or its owner asks for another e-mail.

    The subject is a UUID made from the address, and from `userId` if present. The token is made when the
    e-mail is sent, and is in no message. With `userId`, the address is the new one of that account. It counts
    when it is verified.
    """

    user_id: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class PasswordResetRequested(EmailRequested, name="password-reset-requested"):
    """Someone wants to reset the password of the account with this e-mail address.

    The subject is a UUID made from the address. There may be no such account: the person who asks must not
    learn which addresses have one.
    """


@dataclass(frozen=True, kw_only=True)
class AccountNotice(DomainEventBody):
    lane: ClassVar[Lane] = Lane.ACCOUNT_EMAILS

    user_id: UUID
    email: Annotated[str, {"description": "The e-mail address to tell."}]


@dataclass(frozen=True, kw_only=True)
class EmailChangeRequested(AccountNotice, name="email-change-requested"):
    """Someone with the password wants another e-mail address for an account. The present one gets a notice.

    The subject is a UUID made from the user and the address. The new address counts when it is verified.
    """


@dataclass(frozen=True, kw_only=True)
class EmailChanged(AccountNotice, name="email-changed"):
    """The new e-mail address of an account is verified, and counts. The former one gets a notice.

    The subject is a UUID made from the user and the former address.
    """


@dataclass(frozen=True, kw_only=True)
class PasswordChanged(AccountNotice, name="password-changed"):
    """The password of an account is another one, by a change or by a reset.

    The subject is a UUID made from the user and the address.
    """


@dataclass(frozen=True, kw_only=True)
class AccountDeleted(AccountNotice, name="account-deleted"):
    """An account is deleted. The subject is a UUID made from the user and the address.

    The address is in no table any more. It is in this domain event only, until the e-mail is sent.
    """


ALL: tuple[type[DomainEventBody], ...] = (
    EventPublished,
    SaleStarted,
    EventChanged,
    EventCancelled,
    BookingConfirmed,
    BookingCancelled,
    TicketsCancelled,
    BookingExpired,
    TicketTransferOffered,
    TicketTransferred,
    TicketReissued,
    PaymentFailed,
    PaymentRefundDue,
    PaymentDisputed,
    PaymentDisputeClosed,
    DailyDigestDue,
    UserRegistered,
    EmailVerificationRequested,
    PasswordResetRequested,
    EmailChangeRequested,
    EmailChanged,
    PasswordChanged,
    AccountDeleted,
)

BY_TYPE = {event.type: event for event in ALL}


def parse(domain_event: DomainEvent) -> DomainEventBody:
    """Read the typed body of a domain event. Unknown members are ignored.

    Raises:
        ValueError: The type or the version is unknown, or the body is malformed.
    """
    event = BY_TYPE.get(domain_event.type)
    if event is None or event.version != domain_event.version:
        raise ValueError(f"unknown domain event {domain_event.type}, version {domain_event.version}")
    return event.from_json(domain_event.body)
