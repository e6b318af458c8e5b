"""The one table of what people are notified about.

A new kind of notification is one entry here and one pair of templates, `<type>.txt` and `<type>.html`. Queue
subscriptions, e-mail preferences, inboxes and e-mails derive from this table.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select

from chalicelib.bookings.models import Status
from chalicelib.domain_events import (
    AccountDeleted,
    BookingCancelled,
    BookingConfirmed,
    BookingExpired,
    DailyDigestDue,
    EmailChanged,
    EmailChangeRequested,
    EmailVerificationRequested,
    EventCancelled,
    EventChanged,
    EventPublished,
    PasswordChanged,
    PasswordResetRequested,
    PaymentDisputeClosed,
    PaymentDisputed,
    PaymentFailed,
    PaymentRefundDue,
    SaleStarted,
    TicketReissued,
    TicketsCancelled,
    TicketTransferOffered,
    TicketTransferred,
)
from chalicelib.notifications import copy, recipients
from chalicelib.notifications.models import Topic
from chalicelib.platform import front_end
from chalicelib.platform.messaging.bodies import DomainEventBody
from chalicelib.platform.messaging.queues import (
    ACCOUNT_EMAIL,
    BOOKING_NOTIFICATIONS,
    FOLLOW_NOTIFICATIONS,
    ON_SALE_NOTIFICATIONS,
    Queue,
)
from chalicelib.users.email_tokens import Purpose

CalendarMethod = Literal["PUBLISH", "CANCEL"]
"""RFC 5546: add or update an entry, or remove it."""

TokenPage = Literal[Purpose, "claim-ticket"]
"""The page that the link with a token opens."""

EventState = Literal["published", "upcoming", "on-sale"]
"""`upcoming`: published and not over. `on-sale`: upcoming, and its sale is open."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Kind:
    """How people are notified of one type of domain event."""

    event: type[DomainEventBody]
    queue: Queue
    """The queue that receives the domain event."""

    recipients: Select[Any] | None = None
    """A query for the recipients, from recipients.py. They get an inbox row and an e-mail.

    None: the domain event is about one account, which gets an e-mail only.
    """
    is_digest: bool = False
    """Whether the e-mail sums up a host's events. Then there is no inbox row."""

    subject: str
    """Heading and subject of the e-mail, which also has the event's title. May use {service} and {body.…}."""
    subject_by_reason: Mapping[str, str] = field(default_factory=dict)
    """Other subjects for some values of the body's `reason`."""
    footer: str
    """Why the recipient gets this e-mail."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """A sentence for each value of the body's `reason`."""
    holder_subject: str | None = None
    """The subject for holders of transferred tickets. None: they are not among the recipients.

    They get an e-mail, with or without an account, and no inbox row.
    """
    holder_reasons: Mapping[str, str] = field(default_factory=dict)
    """As `reasons`, for these holders."""

    topic: Topic | None = None
    """The e-mail preference that it belongs to. None: the e-mail is always sent."""
    is_receipt: Callable[[Any], bool] | None = None
    """Whether the e-mail for this body is a receipt, which is sent whatever the preference."""
    can_unsubscribe: bool = False
    """Whether the e-mail has an unsubscribe link (RFC 8058). Not if it is about a booking or an account."""

    while_event_is: EventState | None = None
    """E-mail only while the event is in this state."""
    while_booking: ColumnElement[bool] | None = None
    """Notify and e-mail only while this is true of the booking."""

    to_unverified: Literal["never", "if-paid", "always"] = "never"
    """Whether unverified addresses get the e-mail, without words of other users. The inbox gets it anyway.

    `if-paid`: users who have paid for a place at the event.
    """

    shows_bookings: tuple[Status, ...] = ()
    """The e-mail shows the recipient's bookings that have one of these statuses when it is sent."""
    attaches: Literal["bookings", "ticket"] | None = None
    """The e-mail carries tickets that admit, with their QR codes and a PDF to print.

    `bookings`: those of the bookings that it shows. `ticket`: the one that the domain event is about.
    """
    calendar: CalendarMethod | None = None
    """The method of the attached calendar files: what calendars do with the entries of these bookings."""
    page: front_end.Page | None = None
    """The page of the front end that the e-mail links to, if the deployment has one."""
    link_text: str = "See the event"
    purpose: TokenPage | None = None
    """The purpose of the one-time token in the e-mail, and the name of the page that its link opens."""

    @property
    def type(self) -> str:
        """The type of the domain event, the name of its templates, and the type of the inbox row."""
        return self.event.type

    @property
    def is_about_event(self) -> bool:
        return self.recipients is not None and not self.is_digest

    @property
    def has_inbox(self) -> bool:
        """Whether the recipients get an inbox row. The recipient of a token may have no account."""
        return self.is_about_event and self.purpose is None

    def topic_of(self, body: DomainEventBody) -> Topic | None:
        """The preference that an e-mail belongs to; None if it is always sent."""
        return None if self.is_receipt and self.is_receipt(body) else self.topic


_ACCOUNT = "You get this e-mail because an account has your address."
_BOOKED = "You get this e-mail because you booked this event."

KINDS = (
    Kind(
        event=EventPublished,
        queue=FOLLOW_NOTIFICATIONS,
        recipients=recipients.FOLLOWERS,
        subject="New event",
        footer="You get this e-mail because you follow this host.",
        topic="newEvent",
        can_unsubscribe=True,
        while_event_is="upcoming",
        page="event",
    ),
    Kind(
        event=SaleStarted,
        queue=ON_SALE_NOTIFICATIONS,
        recipients=recipients.INTERESTED,
        subject="Booking is now open",
        footer="You get this e-mail because you are interested in this event.",
        topic="saleStarted",
        can_unsubscribe=True,
        while_event_is="on-sale",
        page="event",
        link_text="Book a place",
    ),
    Kind(
        event=BookingConfirmed,
        queue=BOOKING_NOTIFICATIONS,
        recipients=recipients.ATTENDEE,
        subject="Your booking is confirmed",
        footer=_BOOKED,
        topic="bookingConfirmed",
        is_receipt=lambda confirmed: confirmed.amount > 0,
        while_event_is="published",
        while_booking=recipients.BOOKING_IS_LIVE,
        to_unverified="if-paid",
        shows_bookings=("confirmed",),
        attaches="bookings",
        calendar="PUBLISH",
        page="booking",
        link_text="See your booking",
    ),
    Kind(
        event=BookingCancelled,
        queue=BOOKING_NOTIFICATIONS,
        recipients=recipients.with_holders(recipients.ATTENDEE_OF_CANCELLED_BOOKING),
        subject="Your booking is cancelled",
        footer=_BOOKED,
        reasons=copy.CANCELLATION_REASONS,
        holder_subject="Your ticket is cancelled",
        holder_reasons=copy.HOLDER_CANCELLATION_REASONS,
        topic="bookingCancelled",
        to_unverified="if-paid",
        shows_bookings=("cancelled",),
        calendar="CANCEL",
        page="booking",
        link_text="See your booking",
    ),
    Kind(
        event=TicketsCancelled,
        queue=BOOKING_NOTIFICATIONS,
        recipients=recipients.with_holders(recipients.ATTENDEE),
        subject="Some of your tickets are cancelled",
        footer=_BOOKED,
        reasons=copy.TICKET_CANCELLATION_REASONS,
        holder_subject="Your ticket is cancelled",
        holder_reasons=copy.HOLDER_CANCELLATION_REASONS,
        topic="bookingCancelled",
        to_unverified="if-paid",
        shows_bookings=("confirmed",),
        calendar="PUBLISH",
        page="booking",
        link_text="See your booking",
    ),
    Kind(
        event=BookingExpired,
        queue=BOOKING_NOTIFICATIONS,
        recipients=recipients.ATTENDEE,
        subject="Your booking has expired",
        footer="You get this e-mail because you started to book this event.",
        while_booking=recipients.BOOKING_IS_EXPIRED,
        page="event",
    ),
    Kind(
        event=TicketTransferOffered,
        queue=BOOKING_NOTIFICATIONS,
        recipients=recipients.OFFER,
        subject="Accept your ticket",
        footer=(
            "You get this e-mail because somebody offers you a ticket. "
            "If you do not want it, ignore this e-mail."
        ),
        while_event_is="upcoming",
        to_unverified="always",
        purpose="claim-ticket",
    ),
    Kind(
        event=TicketTransferred,
        queue=BOOKING_NOTIFICATIONS,
        recipients=recipients.with_holders(recipients.ATTENDEE),
        subject="Your ticket has a new holder",
        footer=_BOOKED,
        holder_subject="Your ticket",
        while_event_is="upcoming",
        attaches="ticket",
        page="booking",
        link_text="See your booking",
    ),
    Kind(
        event=TicketReissued,
        queue=BOOKING_NOTIFICATIONS,
        recipients=recipients.CARRIERS,
        subject="Your ticket has a new code",
        footer="You get this e-mail because you have a ticket for this event.",
        holder_subject="Your ticket has a new code",
        while_event_is="upcoming",
        to_unverified="if-paid",
        attaches="ticket",
        page="event",
    ),
    Kind(
        event=EventChanged,
        queue=BOOKING_NOTIFICATIONS,
        recipients=recipients.ATTENDEES_AND_HOLDERS,
        subject="Event changed",
        holder_subject="Event changed",
        footer=_BOOKED,
        topic="eventChanged",
        while_event_is="upcoming",
        shows_bookings=("confirmed",),
        calendar="PUBLISH",
        page="booking",
        link_text="See your booking",
    ),
    Kind(
        event=EventCancelled,
        queue=BOOKING_NOTIFICATIONS,
        recipients=recipients.ATTENDEES_OF_CANCELLED_EVENT,
        subject="Event cancelled",
        footer=_BOOKED,
        to_unverified="if-paid",
        shows_bookings=("cancelled",),
        calendar="CANCEL",
        page="booking",
        link_text="See your booking",
    ),
    Kind(
        event=PaymentFailed,
        queue=BOOKING_NOTIFICATIONS,
        recipients=recipients.ATTENDEE,
        subject="Your payment failed",
        footer="You get this e-mail because you started to book this event.",
        reasons=copy.PAYMENT_FAILURES,
        while_event_is="upcoming",
        while_booking=recipients.BOOKING_CAN_BE_PAID,
        shows_bookings=("pending",),
        page="payment",
        link_text="Pay now",
    ),
    Kind(
        event=PaymentRefundDue,
        queue=BOOKING_NOTIFICATIONS,
        recipients=recipients.ATTENDEE,
        subject="Your refund is on its way",
        subject_by_reason={"late-payment": "Your payment arrived too late"},
        footer="You get this e-mail because you paid for a booking.",
        reasons=copy.REFUND_REASONS,
        to_unverified="if-paid",
        shows_bookings=("confirmed", "cancelled", "expired"),
        page="booking",
        link_text="See your booking",
    ),
    Kind(
        event=PaymentDisputed,
        queue=BOOKING_NOTIFICATIONS,
        recipients=recipients.HOST,
        subject="A payment is disputed",
        footer="You get this e-mail because you host this event.",
        reasons=copy.DISPUTE_REASONS,
        to_unverified="always",
        page="event",
    ),
    Kind(
        event=PaymentDisputeClosed,
        queue=BOOKING_NOTIFICATIONS,
        recipients=recipients.HOST,
        subject="Dispute {body.outcome}",
        footer="You get this e-mail because you host this event.",
        to_unverified="always",
        page="event",
    ),
    Kind(
        event=DailyDigestDue,
        queue=BOOKING_NOTIFICATIONS,
        recipients=recipients.HOSTS_WITH_ACTIVITY,
        is_digest=True,
        subject="Bookings at your events",
        footer="You get this e-mail because you host events. It comes once a day, if there is news.",
        topic="dailyDigest",
        can_unsubscribe=True,
    ),
    Kind(
        event=EmailVerificationRequested,
        queue=ACCOUNT_EMAIL,
        subject="Verify your e-mail address",
        footer=(
            "You get this e-mail because an account has your address. "
            "If the account is not yours, ignore this e-mail."
        ),
        to_unverified="always",
        purpose="verify-email",
    ),
    Kind(
        event=PasswordResetRequested,
        queue=ACCOUNT_EMAIL,
        subject="Reset your password",
        footer="If you did not ask for this, ignore this e-mail. Your password stays the same.",
        to_unverified="always",
        purpose="reset-password",
    ),
    Kind(
        event=EmailChangeRequested,
        queue=ACCOUNT_EMAIL,
        subject="Your e-mail address is to be changed",
        footer=_ACCOUNT,
        to_unverified="always",
    ),
    Kind(
        event=EmailChanged,
        queue=ACCOUNT_EMAIL,
        subject="Your e-mail address was changed",
        footer="You get this e-mail because an account had your address.",
        to_unverified="always",
    ),
    Kind(
        event=PasswordChanged,
        queue=ACCOUNT_EMAIL,
        subject="Your password was changed",
        footer=_ACCOUNT,
        to_unverified="always",
    ),
    Kind(
        event=AccountDeleted,
        queue=ACCOUNT_EMAIL,
        subject="Your account was deleted",
        footer="You get this e-mail because the account had your address.",
        to_unverified="always",
    ),
)

_BY_TYPE = {kind.type: kind for kind in KINDS}


def kind_of(domain_event_type: str) -> Kind:
    """The kind of notification for a type of domain event.

    Raises:
        ValueError: There is none.
    """
    if domain_event_type not in _BY_TYPE:
        raise ValueError(f"there is no notification for {domain_event_type}")
    return _BY_TYPE[domain_event_type]
