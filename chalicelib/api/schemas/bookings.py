"""Request and response bodies of /bookings."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field
from sqlalchemy import (
    ColumnElement,
    FromClause,
    ScalarSelect,
    Uuid,
    bindparam,
    case,
    func,
    literal_column,
    select,
    true,
)

from chalicelib.api.schemas.codes import CodeText
from chalicelib.api.schemas.events import Event, event_json
from chalicelib.api.schemas.users import MAX_EMAIL_LENGTH
from chalicelib.bookings.models import PaidBy, Status, tickets
from chalicelib.bookings.references import booking_reference
from chalicelib.bookings.tickets import discount, items
from chalicelib.events.search import event_rows
from chalicelib.events.ticket_types import MAX_PER_BOOKING
from chalicelib.payments.models import DisputeStatus, PaymentStatus, payments, returned_amount
from chalicelib.platform.database.columns import sql_literal
from chalicelib.platform.database.rendering import as_json
from chalicelib.platform.http.pagination import PageQuery
from chalicelib.platform.http.validation import Body, Id, Time, text
from chalicelib.users.models import users

Quantity = Annotated[int, Meta(ge=1, le=MAX_PER_BOOKING)]


class Payment(Struct, kw_only=True, rename="camel"):
    """The data with which Stripe.js takes the payment, and the payment's status."""

    provider: Literal["stripe"]
    payment_intent_id: Annotated[str, Meta(examples=["pi_3PqL5s2eZvKYlo2C1gUBDnIF"])] | UnsetType = UNSET
    client_secret: (
        Annotated[str, Meta(description="Shown to the attendee until the booking is paid.")] | UnsetType
    ) = UNSET
    status: PaymentStatus
    dispute: (
        Annotated[DisputeStatus, Meta(description="If the attendee's bank demands the money back.")]
        | UnsetType
    ) = UNSET


class BookedItem(Struct, kw_only=True, rename="camel"):
    """The tickets of one type in a booking."""

    ticket_type_id: Id
    name: str
    quantity: Annotated[int, Meta(description="As ordered: tickets that were cancelled later count too.")]
    unit_price: Annotated[int, Meta(description="Of one ticket when it was booked, without a discount.")]


class Customer(Struct, kw_only=True):
    """The customer at the box office. Empty if the host's account is deleted."""

    name: str | UnsetType = UNSET
    email: str | UnsetType = UNSET


class Booking(Struct, kw_only=True, rename="camel"):
    """A booking: an order of one attendee for one event, or a sale at its box office."""

    booking_id: Id
    reference: Annotated[str, Meta(description="For people.", examples=["7YJ3K0QX"])]
    user_id: Annotated[Id, Meta(description="Left out if it was sold at the box office.")] | UnsetType = UNSET
    event_id: Id
    status: Status
    quantity: Annotated[int, Meta(description="The number of live tickets; 0 when the booking has ended.")]
    items: list[BookedItem]
    discount: Annotated[int, Meta(description="What a code has taken off, in minor units.")] | UnsetType = (
        UNSET
    )
    amount: Annotated[int, Meta(description="The price when it was booked, in minor units.")]
    refunded: Annotated[
        int, Meta(description="What has gone back, by refunds and by a lost dispute, in minor units.")
    ]
    currency: str
    paid_by: Annotated[PaidBy, Meta(description="How the host was paid at the box office.")] | UnsetType = (
        UNSET
    )
    customer: Annotated[Customer, Meta(description="Of the box office, shown to the host.")] | UnsetType = (
        UNSET
    )
    created_at: Time
    updated_at: Time
    expires_at: (
        Annotated[Time, Meta(description="While it is pending: the place is held until then.")] | UnsetType
    ) = UNSET
    payment: (
        Annotated[
            Payment | None,
            Meta(
                description="Left out if the booking is free. null while Stripe cannot be reached, and for"
                " good if the booking ends before that."
            ),
        ]
        | UnsetType
    ) = UNSET


class Attendee(Struct, kw_only=True):
    """The attendee. Empty if the account is deleted."""

    name: str | UnsetType = UNSET
    email: str | UnsetType = UNSET


class BookingWithEvent(Booking, kw_only=True):
    """A booking with its event, for its attendee and for the event's host."""

    payment: Payment | UnsetType = UNSET
    event: Event
    refund_until: (
        Annotated[Time, Meta(description="The attendee's money is refunded until then.")] | UnsetType
    ) = UNSET
    attendee: Annotated[Attendee, Meta(description="Shown to the host.")] | UnsetType = UNSET


class BookingQuery(PageQuery, kw_only=True):
    event_id: Id | None = None
    status: list[Status] | None = None
    from_: Annotated[Time | None, Meta(description="Bookings of events that end after this time.")] = field(
        name="from", default=None
    )
    q: (
        Annotated[
            str,
            text(
                MAX_EMAIL_LENGTH,
                description="Words in the attendee's name, the attendee's e-mail address, or the "
                "booking's reference. At the box office, the attendee is the customer.",
            ),
        ]
        | None
    ) = None
    sort: Literal["createdAt", "date"] = "createdAt"


class OrderedItem(Body):
    """Tickets of one type."""

    ticket_type_id: Id
    quantity: Quantity


class BookingRequest(Body):
    """What to book. Without `items`: tickets of the event's only type."""

    event_id: Id
    items: Annotated[list[OrderedItem], Meta(min_length=1, max_length=50)] | None = None
    quantity: Annotated[Quantity | None, Meta(description="Without `items`: 1 by default.")] = None
    code: CodeText | None = None


class Quote(Struct, kw_only=True, rename="camel"):
    """What an order costs now."""

    event_id: Id
    quantity: int
    items: list[BookedItem]
    discount: Annotated[int, Meta(description="What the code takes off, in minor units.")] | UnsetType = UNSET
    amount: Annotated[int, Meta(description="The price to pay, in minor units.")]
    currency: str


class PayablePayment(Struct, kw_only=True, rename="camel"):
    """The data with which Stripe.js takes the payment."""

    provider: Literal["stripe"]
    payment_intent_id: str
    client_secret: str
    status: Literal["requires_payment"]


def held_booking_json(row: FromClause) -> ColumnElement[Any]:
    """A booking as the response to booking it."""
    return as_json(
        Booking,
        row,
        **_sums(row),
        customer=literal_column("NULL::json"),
        payment=_payment_json(row, to_attendee=true()),
    )


def attendee_booking_json(row: FromClause) -> ColumnElement[Any]:
    return as_json(
        BookingWithEvent,
        row,
        **_sums(row),
        customer=literal_column("NULL::json"),
        payment=_payment_json(row, to_attendee=true()),
        event=_event_of(row),
        attendee=literal_column("NULL::json"),
    )


def host_booking_json(row: FromClause) -> ColumnElement[Any]:
    """A booking as the event's host sees it, or as its attendee if the parameter `caller` is that."""
    is_own = row.c.user_id == bindparam("caller", type_=Uuid)
    attendee = select(as_json(Attendee, users)).where(users.c.user_id == row.c.user_id).scalar_subquery()
    return as_json(
        BookingWithEvent,
        row,
        **_sums(row),
        customer=case((row.c.paid_by.is_not(None), _customer_of(row))),
        payment=_payment_json(row, to_attendee=is_own),
        event=_event_of(row),
        attendee=case((~is_own, attendee)),
    )


def _sums(row: FromClause) -> dict[str, ColumnElement[Any]]:
    """The members of a booking that its tickets and its payment add up to."""
    of_booking = select(tickets).where(tickets.c.booking_id == row.c.booking_id).correlate(row)
    return {
        "reference": booking_reference(row.c.booking_id),
        "items": items(of_booking.subquery()).scalar_subquery(),
        "discount": select(discount(tickets))
        .where(tickets.c.booking_id == row.c.booking_id)
        .scalar_subquery(),
        "refunded": _refunded(row),
    }


def _refunded(row: FromClause) -> ColumnElement[Any]:
    """The amount of a booking that has gone back; 0 if the booking is free."""
    returned = select(returned_amount).where(payments.c.booking_id == row.c.booking_id).scalar_subquery()
    return func.coalesce(returned, literal_column("0"))


def _customer_of(row: FromClause) -> ScalarSelect[Any]:
    """The customer of a booking of the box office, who is the holder of all its tickets."""
    customer = as_json(Customer, tickets, name=tickets.c.holder_name, email=tickets.c.holder_email)
    return select(customer).where(tickets.c.booking_id == row.c.booking_id).limit(1).scalar_subquery()


def _event_of(row: FromClause) -> ScalarSelect[Any]:
    event = event_rows.subquery("event_of_booking")
    return select(event_json(event)).where(event.c.event_id == row.c.event_id).scalar_subquery()


def _payment_json(row: FromClause, *, to_attendee: ColumnElement[bool]) -> ScalarSelect[Any]:
    """The payment of a booking; null if the booking is free or its payment does not exist at Stripe yet.

    The client secret lets a browser pay, so only the attendee gets it, and only while the payment is open.
    """
    unpaid = payments.c.status == sql_literal("requires_payment")
    payable = unpaid & (row.c.status == sql_literal("pending"))
    secret = case((payable & to_attendee, payments.c.client_secret))
    payment = as_json(
        Payment,
        payments,
        provider=sql_literal("stripe"),
        payment_intent_id=payments.c.intent_id,
        client_secret=secret,
    )
    return (
        select(payment)
        .where(
            payments.c.booking_id == row.c.booking_id,
            ~(unpaid & payments.c.intent_id.is_(None)),
        )
        .scalar_subquery()
    )
