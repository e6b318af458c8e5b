"""Bookings on the wire."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from chalicelib.bookings.models import Status
from chalicelib.events.schemas import Event
from chalicelib.web.paging import PageQuery
from chalicelib.web.validation import Body, Id, Time, says

BookingSort = Annotated[Literal["createdAt", "date"], says("must be createdAt or date")]
AnyStatus = Annotated[Status, says("must be pending, confirmed, cancelled or expired")]


class PlaceRequest(Body):
    """One place at an event."""

    event_id: Id


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
    expires_at: Time | UnsetType = UNSET


class Attendee(Struct, kw_only=True):
    """Who comes. Empty once the account is deleted."""

    name: str | UnsetType = UNSET
    email: str | UnsetType = UNSET


class BookingWithEvent(Booking, kw_only=True):
    """A booking as its attendee or the event's host sees it."""

    event: Event
    attendee: Annotated[Attendee, Meta(description="Shown to the host.")] | UnsetType = UNSET


class BookingQuery(PageQuery, kw_only=True):
    event_id: Annotated[Id, says("must be a UUID")] | None = None
    status: AnyStatus | None = None
    sort: BookingSort = "createdAt"
