"""Request and response bodies of /bookings."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from chalicelib.api.schemas.events import Event
from chalicelib.bookings.models import Status
from chalicelib.payments.models import DisputeStatus, PaymentStatus
from chalicelib.platform.http.pagination import PageQuery
from chalicelib.platform.http.validation import Body, Id, Time, message

BookingSort = Annotated[Literal["createdAt", "date"], message("must be createdAt or date")]

AnyStatus = Annotated[Status, message("must be pending, confirmed, cancelled or expired")]


class Payment(Struct, kw_only=True, rename="camel"):
    """What Stripe's own library needs to take the payment, and how far it is."""

    provider: Literal["stripe"]
    payment_intent_id: Annotated[str, Meta(examples=["pi_3PqL5s2eZvKYlo2C1gUBDnIF"])] | UnsetType = UNSET
    client_secret: (
        Annotated[str, Meta(description="Shown to the attendee, until it is paid.")] | UnsetType
    ) = UNSET
    status: PaymentStatus
    dispute: (
        Annotated[DisputeStatus, Meta(description="Where the attendee's bank demands the money back.")]
        | UnsetType
    ) = UNSET


class Booking(Struct, kw_only=True, rename="camel"):
    """A place taken."""

    booking_id: Id
    user_id: Id
    event_id: Id
    status: Status
    quantity: int
    amount: Annotated[int, Meta(description="In minor units; what it cost when it was made.")]
    currency: str
    created_at: Time
    updated_at: Time
    expires_at: (
        Annotated[Time, Meta(description="While it is pending: until when it is held.")] | UnsetType
    ) = UNSET
    payment: (
        Annotated[
            Payment | None,
            Meta(description="Of one that costs something; null where Stripe could not be reached yet."),
        ]
        | UnsetType
    ) = UNSET


class Attendee(Struct, kw_only=True):
    """Who comes. Empty once the account is deleted."""

    name: str | UnsetType = UNSET
    email: str | UnsetType = UNSET


class BookingWithEvent(Booking, kw_only=True):
    """A booking as its attendee or the event's host sees it."""

    event: Event
    refund_until: (
        Annotated[Time, Meta(description="Until when its attendee gets the money back.")] | UnsetType
    ) = UNSET
    attendee: Annotated[Attendee, Meta(description="Shown to the host.")] | UnsetType = UNSET


class BookingQuery(PageQuery, kw_only=True):
    event_id: Annotated[Id, message("must be a UUID")] | None = None
    status: AnyStatus | None = None
    sort: BookingSort = "createdAt"


class BookingRequest(Body):
    """One place at an event."""

    event_id: Id


class PayablePayment(Struct, kw_only=True, rename="camel"):
    """What Stripe's own library needs to take the payment."""

    provider: Literal["stripe"]
    payment_intent_id: str
    client_secret: str
    status: Literal["requires_payment"]
