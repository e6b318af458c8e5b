"""Payments on the wire."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from chalicelib.web.validation import Body, Id, Time


class PlaceRequest(Body):
    """One place at an event."""

    event_id: Id


class Payable(Struct, kw_only=True, rename="camel"):
    """What Stripe's own library needs to take the payment."""

    provider: Literal["stripe"]
    payment_intent_id: str
    client_secret: str
    status: Literal["requires_payment"]


class Received(Struct, kw_only=True):
    """That an event is recorded for good."""

    outcome: Annotated[str, Meta(description="What came of it, in one word.", examples=["confirmed"])]


class Places(Struct, kw_only=True):
    """The counter, and what it counts."""

    capacity: int
    taken: int
    counted: Annotated[int, Meta(description="Of live bookings.")]


class Counts(Struct, kw_only=True):
    """How many bookings there are of each status."""

    pending: int
    confirmed: int
    cancelled: int
    expired: int


class Money(Struct, kw_only=True, rename="camel"):
    """Sums in minor units of one currency."""

    currency: str
    received: int
    refunded: int
    refund_pending: int
    kept: Annotated[int, Meta(description="Received, and neither refunded nor due back.")]
    kept_of_cancelled: Annotated[int, Meta(description="Of it, what was cancelled too late for a refund.")]
    confirmed: Annotated[int, Meta(description="What the confirmed bookings cost.")]
    disputed: int


class Difference(Struct, kw_only=True, rename="camel"):
    """Something that does not fit, for a person to look at."""

    booking_id: Annotated[Id | None, Meta(description="null where it is about the event's places.")]
    what: Annotated[str, Meta(examples=["amount-differs"])]


class Integrity(Struct, kw_only=True, rename="camel"):
    """An event's places and money, counted again."""

    event_id: Id
    checked_at: Time
    places: Places
    bookings: Counts
    money: list[Money]
    differences: list[Difference]
