"""An event, a domain event of each type about it, and the e-mails composed from them."""

import email
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from typing import Any
from uuid import UUID

from icalendar import Calendar

from chalicelib.bookings.references import reference_of
from chalicelib.domain_events import BookingItem
from chalicelib.notifications import emails
from chalicelib.notifications.digest import EventActivity
from chalicelib.notifications.kinds import kind_of
from chalicelib.notifications.mail_context import BookingView, EventView, Recipient
from chalicelib.platform.messaging.ports import DomainEvent
from chalicelib.platform.settings import Settings

HOST = UUID("019b2f3e-7c1a-7b55-9d41-000000000001")
ADA = Recipient(
    user_id=UUID("019b2f3e-7c1a-7b55-9d41-000000000002"),
    name="Ada Lovelace",
    email="ada@example.com",
    verified=True,
)
HOLDER = Recipient(
    user_id=UUID("019b2f3e-7c1a-7b55-9d41-00000000000a"),
    name="Grace Hopper",
    email="grace@example.com",
    verified=True,
    is_holder=True,
)
"""The holder of a transferred ticket."""
BOOKING = "019b2f3e-7c1a-7b55-9d41-000000000003"
WEEKEND, DAY = UUID("019b2f3e-7c1a-7b55-9d41-000000000005"), UUID("019b2f3e-7c1a-7b55-9d41-000000000006")
"""Ticket types."""
JAZZ = EventView(
    event_id=UUID("019b2f3e-7c1a-7b55-9d41-000000000004"),
    title="Jazz in the yard",
    description="Three bands.\n\nBring a chair.",
    location="Kulturhof, Berlin",
    starts_at=datetime(2027, 6, 5, 17, 30, tzinfo=UTC),
    ends_at=datetime(2027, 6, 5, 20, 30, tzinfo=UTC),
    timezone="Europe/Berlin",
    host_name="Grace Hopper",
    sale_starts_at=None,
    sale_ends_at=None,
    status="published",
    updated_at=datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC),
    version=7,
)
ACTIVITY = EventActivity(
    event_id=JAZZ.event_id,
    title=JAZZ.title,
    starts_at=JAZZ.starts_at,
    ends_at=JAZZ.ends_at,
    timezone=JAZZ.timezone,
    is_cancelled=False,
    places_left=30,
    booked=12,
    cancelled=1,
    revenue={"eur": 30000},
)
EVENT_BODY = {
    "eventId": str(JAZZ.event_id),
    "hostId": str(HOST),
    "title": "Jazz in the yard",
    "location": "Kulturhof, Berlin",
    "startDateTime": "2027-06-05T17:30:00Z",
    "endDateTime": "2027-06-05T20:30:00Z",
    "timezone": "Europe/Berlin",
}


def items(weekend: int = 0, day: int = 0) -> list[dict[str, Any]]:
    """Two tickets for the weekend and one for a day, in JSON, at these prices."""
    return [
        {"ticketTypeId": str(WEEKEND), "name": "Weekend ticket", "quantity": 2, "unitPrice": weekend},
        {"ticketTypeId": str(DAY), "name": "Day ticket", "quantity": 1, "unitPrice": day},
    ]


BOOKED_ITEMS = (
    BookingItem(ticket_type_id=WEEKEND, name="Weekend ticket", quantity=2, unit_price=1000),
    BookingItem(ticket_type_id=DAY, name="Day ticket", quantity=1, unit_price=800),
)
BOOKING_BODY: dict[str, Any] = {
    "bookingId": BOOKING,
    "reference": reference_of(UUID(BOOKING)),
    "userId": str(ADA.user_id),
    "eventId": str(JAZZ.event_id),
    "status": "confirmed",
    "quantity": 3,
    "items": items(),
    "amount": 0,
    "tickets": [
        {"ticketId": f"019b2f3e-7c1a-7b55-9d41-00000000000{last}", "ticketTypeId": str(ticket_type)}
        for last, ticket_type in (("a", WEEKEND), ("b", WEEKEND), ("c", DAY))
    ],
    "currency": "eur",
    "createdAt": "2027-05-01T07:50:00.000Z",
    "updatedAt": "2027-05-01T08:00:00.000Z",
}
TICKET_BODY = {
    "ticketId": BOOKING_BODY["tickets"][0]["ticketId"],
    "bookingId": BOOKING,
    "eventId": str(JAZZ.event_id),
}
PAYMENT_BODY = {
    "bookingId": BOOKING,
    "userId": str(ADA.user_id),
    "eventId": str(JAZZ.event_id),
    "amount": 2500,
    "currency": "eur",
}
DISPUTE_BODY = {**PAYMENT_BODY, "hostId": str(HOST), "disputedAmount": 2500, "reason": "fraudulent"}
NOTICE_BODY = {"userId": str(ADA.user_id), "email": ADA.email}
PRICED: dict[str, Any] = {"amount": 2500, "items": items(1000, 800), "discount": 300}
"""Members of the domain events of a booking with a price."""
PAID: dict[str, Any] = {**PRICED, "paymentReference": "pi_3PqRsT"}
"""Members of the booking-confirmed of a paid booking."""
BODIES: dict[str, dict[str, Any]] = {
    "email-verification-requested": {"email": ADA.email},
    "password-reset-requested": {"email": ADA.email},
    "email-change-requested": NOTICE_BODY,
    "email-changed": NOTICE_BODY,
    "password-changed": NOTICE_BODY,
    "account-deleted": NOTICE_BODY,
    "event-published": EVENT_BODY,
    "sale-started": EVENT_BODY,
    "booking-confirmed": BOOKING_BODY,
    "booking-cancelled": {**BOOKING_BODY, "status": "cancelled", "reason": "attendee"},
    "event-changed": {**EVENT_BODY, "changed": {"title": {"from": "Blues", "to": "Jazz in the yard"}}},
    "event-cancelled": {**EVENT_BODY, "how": "cancelled"},
    "tickets-cancelled": {
        **BOOKING_BODY,
        "quantity": 1,
        "items": items()[1:],
        "tickets": BOOKING_BODY["tickets"][2:],
        "reason": "attendee",
    },
    "booking-expired": {**BOOKING_BODY, **PRICED, "status": "expired"},
    "ticket-transfer-offered": {**TICKET_BODY, "transferId": "019b2f3e-7c1a-7b55-9d41-00000000000d"},
    "ticket-transferred": TICKET_BODY,
    "ticket-reissued": TICKET_BODY,
    "payment-failed": {**PAYMENT_BODY, "expiresAt": "2027-05-01T08:15:00Z", "reason": "card_declined"},
    "payment-refund-due": {
        **PAYMENT_BODY,
        "refundId": "019b2f3e-7c1a-7b55-9d41-000000000006",
        "tickets": [
            {
                "ticketId": "019b2f3e-7c1a-7b55-9d41-000000000007",
                "ticketTypeId": "019b2f3e-7c1a-7b55-9d41-000000000008",
            }
        ],
        "reason": "host",
    },
    "payment-disputed": DISPUTE_BODY,
    "payment-dispute-closed": {**DISPUTE_BODY, "outcome": "won"},
    "daily-digest-due": {"since": "2027-04-30T06:00:00.000Z", "until": "2027-05-01T06:00:00.000Z"},
}
ABOUT_EVENTS = [kind for kind, body in BODIES.items() if "eventId" in body]
NOW = datetime(2027, 5, 1, 8, 0, 30, tzinfo=UTC)
"""When the e-mails are sent."""
SETTINGS = Settings(
    database_url="",
    mail_sender="Event booking <no-reply@mail.example.com>",
    public_url="https://api.example.com",
)
EXPIRES_AT = datetime(2027, 5, 8, 8, 0, tzinfo=UTC)
"""The end of the offer of a ticket."""
TOKEN = "Zk3uY0m1C5q8v7T2xWb9RfLh6NsPaDeGjKoQiUyXtVw"


def domain_event(kind: str, **more: Any) -> DomainEvent:
    return DomainEvent(
        domain_event_id=UUID("019b2f3e-7c1a-7b55-9d41-000000000009"),
        type=kind,
        version=1,
        subject=JAZZ.event_id,
        time=datetime(2027, 5, 1, 8, 0, tzinfo=UTC),
        body={**BODIES[kind], **more},
    )


def compose(
    source: DomainEvent,
    recipient: Recipient = ADA,
    event: EventView = JAZZ,
    unsubscribe_url: str | None = None,
    settings: Settings = SETTINGS,
    bookings: Sequence[BookingView] | None = None,
    activity: Sequence[EventActivity] = (ACTIVITY,),
) -> EmailMessage:
    """Compose an e-mail. Details that the domain event has changed are so in the event."""
    event = replace(event, **_changed_details(source.body))
    raw = emails.compose(
        source,
        recipient,
        settings=settings,
        now=NOW,
        event=event if "eventId" in source.body else None,
        bookings=(booking_view(),) if bookings is None else bookings,
        unsubscribe_url=unsubscribe_url,
        activity=activity if kind_of(source.type).is_digest else None,
        token=TOKEN if kind_of(source.type).purpose else None,
        expires_at=EXPIRES_AT if kind_of(source.type).purpose == "claim-ticket" else None,
    )
    return email.message_from_bytes(raw, EmailMessage, policy=default)


def booking_view(
    booking_id: str = BOOKING, version: int = 1, items: Sequence[BookingItem] = BOOKED_ITEMS
) -> BookingView:
    return BookingView(booking_id=UUID(booking_id), version=version, items=tuple(items))


def _changed_details(body: dict[str, Any]) -> dict[str, Any]:
    changes = {name: change["to"] for name, change in body.get("changed", {}).items() if name in EVENT_BODY}
    renamed = {"startDateTime": "starts_at", "endDateTime": "ends_at"}
    details = {
        renamed.get(name, name): datetime.fromisoformat(to) if name in renamed else to
        for name, to in changes.items()
    }
    return {**details, "timezone": body["timezone"]} if changes else {}


def text(message: EmailMessage) -> str:
    """The plain text part."""
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def html(message: EmailMessage) -> str:
    part = message.get_body(("html",))
    assert part is not None
    return str(part.get_content())


def both(message: EmailMessage) -> tuple[str, str]:
    """The plain text, and the HTML with its line breaks as spaces."""
    return text(message), " ".join(html(message).split())


def calendar(message: EmailMessage) -> Any:
    """The only attached calendar."""
    (attached,) = calendars(message)
    return attached


def calendars(message: EmailMessage) -> list[Any]:
    """The attached calendars."""
    parts = list(message.iter_attachments())
    assert {part.get_content_type() for part in parts} == {"text/calendar"}
    return [Calendar.from_ical(part.get_content()) for part in parts]


def changed(zone: str = "Europe/Berlin", **members: tuple[str | None, str | None]) -> DomainEvent:
    """A domain event that reports members with their old and new values."""
    named = {name: {"from": old, "to": new} for name, (old, new) in members.items()}
    return domain_event("event-changed", changed=named, timezone=zone)
