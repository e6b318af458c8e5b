"""Compose the e-mail about a domain event to one recipient, in plain text and HTML."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import format_datetime, parseaddr
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid5

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from chalicelib import domain_events
from chalicelib.bookings.references import reference_of
from chalicelib.documents.printed_tickets import PrintedTicket
from chalicelib.domain_events import (
    BookingConfirmed,
    BookingDetails,
    BookingItem,
    ConfirmedBooking,
    DailyDigestDue,
    DisputeDetails,
    EventCancelled,
    EventChanged,
    PaymentDetails,
)
from chalicelib.notifications import calendars, copy, mime
from chalicelib.notifications.digest import EventActivity
from chalicelib.notifications.kinds import Kind, kind_of
from chalicelib.notifications.mail_context import BookingView, EventView, Recipient
from chalicelib.notifications.mime import one_line
from chalicelib.notifications.unsubscribe import TOPIC_WORDS
from chalicelib.platform import local_times, money
from chalicelib.platform.front_end import FrontEnd
from chalicelib.platform.messaging.bodies import DomainEventBody, members
from chalicelib.platform.messaging.ports import DomainEvent
from chalicelib.platform.settings import Settings
from chalicelib.users.email_tokens import LIFETIMES

MAX_DESCRIPTION_LENGTH = 1_000
MAX_DIGEST_EVENTS = 50
MAX_QR_CODES = 10
"""Tickets whose QR codes the e-mail shows. The attached PDF has all of them."""

_TO_CUSTOMER = "You get this e-mail because the host of this event entered your address."

_CHANGED_FIELDS = {
    "title": "Title",
    "location": "Venue",
    "start_date_time": "Start",
    "end_date_time": "End",
    "timezone": "Time zone",
}

_HOLDER_FOOTER = "You get this e-mail because a ticket for this event was transferred to you."

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(["html"], default=False),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def compose(  # noqa: PLR0913 (keywords for what the kinds need)
    domain_event: DomainEvent,
    recipient: Recipient,
    *,
    settings: Settings,
    now: datetime,
    event: EventView | None = None,
    bookings: Sequence[BookingView] = (),
    documents: Sequence[PrintedTicket] = (),
    activity: Sequence[EventActivity] | None = None,
    unsubscribe_url: str | None = None,
    token: str | None = None,
    expires_at: datetime | None = None,
) -> bytes:
    """Compose a MIME message. The same domain event and recipient give the same Message-ID.

    `event` is the event as it is now; None if the domain event is not about one. `bookings` are those that
    the kind shows, and whose calendar entries the e-mail changes. `documents` are the tickets to attach, if
    the kind attaches any. `activity` is what a digest reports. `token` is for the kinds that send one;
    `expires_at` is its end, if it has no fixed lifetime.

    Raises:
        ValueError: There is no such e-mail, or its event, activity or token is missing.
    """
    kind = kind_of(domain_event.type)
    body = domain_events.parse(domain_event)
    if kind.purpose is not None and token is None:
        raise ValueError(f"the e-mail for {kind.type} needs a token")
    if kind.is_about_event and event is None:
        raise ValueError(f"the e-mail for {kind.type} needs an event")
    if kind.is_digest and not activity:
        raise ValueError(f"the e-mail for {kind.type} needs activity")
    if event is not None and not recipient.verified:
        event = _without_words(event)
        bookings = [replace(booking, items=_without_names(booking.items)) for booking in bookings]
        documents = [ticket.without_words() for ticket in documents]
    # Also an e-mail about an account has no words: its address may be unverified.
    name = one_line(recipient.name) if (event or activity) and recipient.verified else ""
    sender = settings.mail_sender
    message_id = uuid5(domain_event.domain_event_id, str(recipient.user_id))
    images, files = _tickets_to_carry(documents, message_id) if kind.attaches else ([], [])
    context = {
        "name": name,
        "body": body,
        "unsubscribe_url": unsubscribe_url,
        **_page_context(kind, body, event, bookings, recipient, settings.front_end),
        **_texts(kind, body, event, recipient, sender),
        "words_of_host": _words_of_host(body) if recipient.verified else "",
        **_token_context(kind, settings.public_url, token, _expiry(kind, event, expires_at)),
        **(_event_context(domain_event, body, event, recipient, now) if event else {}),
        **(_tickets_context(body, bookings, show_names=recipient.verified) if event else {}),
        "printed": _printed_context(documents, images, files),
        **(_digest_context(body, activity, settings.front_end) if activity else {}),
    }
    headers = {
        "From": mime.mailbox("From", *parseaddr(sender)),
        "To": mime.mailbox("To", name, recipient.email),
        "Subject": mime.unstructured("Subject", context["subject"]),
        "Date": format_datetime(now),
        "Message-ID": f"<{message_id}@{_domain(sender)}>",
        "Auto-Submitted": "auto-generated",
    }
    if settings.mail_reply_to:
        headers["Reply-To"] = mime.mailbox("Reply-To", *parseaddr(settings.mail_reply_to))
    if unsubscribe_url:
        headers["List-Unsubscribe"] = f"<{unsubscribe_url}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return mime.pack(
        headers,
        text=_templates.get_template(f"{kind.type}.txt").render(context),
        html=_templates.get_template(f"{kind.type}.html").render(context),
        images=images,
        files=files,
        calendars=_calendars(kind, event, bookings, settings, now) if recipient.verified else (),
        method=kind.calendar,
    )


def _without_words(event: EventView) -> EventView:
    """The event without what its host wrote, for an address that may belong to a stranger."""
    return replace(event, title="", description=None, location=None, host_name=None)


def _without_names(items: Sequence[BookingItem]) -> tuple[BookingItem, ...]:
    """The items without the names of their ticket types, which the host wrote."""
    return tuple(replace(item, name="") for item in items)


def _tickets_to_carry(
    documents: Sequence[PrintedTicket], message_id: UUID
) -> tuple[list[mime.File], list[mime.File]]:
    """The QR codes that the e-mail shows, and the attached PDF."""
    if not documents:
        return [], []
    from chalicelib.documents import pdf, qr  # noqa: PLC0415 (few e-mails need their libraries)

    images = [
        mime.File(
            media_type="image/png",
            filename=f"ticket-{number}.png",
            content=qr.png(ticket.code),
            content_id=f"{number}.{message_id}@tickets",
        )
        for number, ticket in enumerate(documents[:MAX_QR_CODES], 1)
    ]
    content = pdf.tickets_pdf(documents)
    printed = mime.File(media_type="application/pdf", filename=pdf.FILENAME, content=content)
    return images, [printed]


def _printed_context(
    documents: Sequence[PrintedTicket], images: Sequence[mime.File], files: Sequence[mime.File]
) -> dict[str, Any] | None:
    """The tickets that the e-mail carries, if any."""
    if not files:
        return None
    codes = [
        {
            "image": f"cid:{image.content_id}",
            "number": f"{ticket.number} of {ticket.quantity}",
            "name": one_line(ticket.ticket_type),
            "holder": one_line(ticket.holder),
        }
        for image, ticket in zip(images, documents, strict=False)
    ]
    return {"quantity": len(documents), "codes": codes, "filename": files[0].filename}


def _domain(sender: str) -> str:
    return parseaddr(sender)[1].rpartition("@")[2]


def _is_to_customer(body: DomainEventBody) -> bool:
    """Whether the e-mail goes to a customer of the box office, who has no account."""
    return isinstance(body, ConfirmedBooking) and body.paid_by is not None


def _page_context(
    kind: Kind,
    body: DomainEventBody,
    event: EventView | None,
    bookings: Sequence[BookingView],
    recipient: Recipient,
    front_end: FrontEnd,
) -> dict[str, Any]:
    """The link to a page. The page of a booking is for the attendee who made it."""
    if kind.page is None or event is None or _is_to_customer(body):
        return {"page_link": None, "link_text": kind.link_text}
    if recipient.is_holder:
        link = front_end.link("event", event_id=event.event_id, booking_id=None)
        return {"page_link": link, "link_text": Kind.link_text}
    booking_id = bookings[-1].booking_id if bookings else getattr(body, "booking_id", None)
    link = front_end.link(kind.page, event_id=event.event_id, booking_id=booking_id)
    return {"page_link": link, "link_text": kind.link_text}


def _texts(
    kind: Kind, body: DomainEventBody, event: EventView | None, recipient: Recipient, sender: str
) -> dict[str, Any]:
    service = one_line(parseaddr(sender)[0]) or _domain(sender)
    reason = getattr(body, "reason", None)
    subject = kind.subject_by_reason.get(reason or "", kind.subject)
    footer, reasons = kind.footer, kind.reasons
    if recipient.is_holder:
        subject, footer, reasons = kind.holder_subject or subject, _HOLDER_FOOTER, kind.holder_reasons
    heading = subject.format(service=service, body=body)
    topic = kind.topic_of(body)
    title = one_line(event.title) if event else ""
    return {
        "service": service,
        "heading": heading,
        # The title comes last, so that no character of it can change the reading direction of other text.
        "subject": f"{heading}: {title}" if title else heading,
        "footer": _TO_CUSTOMER if _is_to_customer(body) else footer,
        "reason": copy.sentence(reasons, reason),
        "for_holder": recipient.is_holder,
        "topic": TOPIC_WORDS[topic] if topic else None,
    }


def _calendars(
    kind: Kind, event: EventView | None, bookings: Sequence[BookingView], settings: Settings, now: datetime
) -> list[str]:
    """A calendar file for each booking: RFC 5546, section 3.2.5, allows one UID per cancellation."""
    if kind.calendar is None or event is None:
        return []
    url = settings.front_end.link("event", event_id=event.event_id, booking_id=None)
    organizer = parseaddr(settings.mail_sender)[1]
    return [
        calendars.entry(kind.calendar, event, booking, organizer=organizer, url=url, now=now)
        for booking in bookings
    ]


def _expiry(kind: Kind, event: EventView | None, expires_at: datetime | None) -> str | None:
    """When the token of an e-mail expires, in words."""
    if event is not None and expires_at is not None:
        return f"on {local_times.format_time(expires_at, event.timezone)}"
    if kind.purpose is None or kind.purpose == "claim-ticket":
        return None
    hours = LIFETIMES[kind.purpose] // timedelta(hours=1)
    return f"in {hours} hour{'s' if hours > 1 else ''}"


def _token_context(kind: Kind, public_url: str, token: str | None, expires: str | None) -> dict[str, Any]:
    if kind.purpose is None or token is None:
        return {}
    link = f"{public_url}/{kind.purpose}?token={quote(token, safe='')}"
    return {
        "token": token,
        "link": link if public_url else None,
        "expires": expires,
    }


def _event_context(
    domain_event: DomainEvent, body: DomainEventBody, event: EventView, recipient: Recipient, now: datetime
) -> dict[str, Any]:
    reference = amount = disputed = None
    if isinstance(body, BookingDetails | PaymentDetails):
        reference, amount = reference_of(body.booking_id), money.format_amount(body.amount, body.currency)
    if isinstance(body, DisputeDetails):
        disputed = money.format_amount(body.disputed_amount, body.currency)
    return {
        "event": _shown(event, now),
        "booking_reference": None if recipient.is_holder else reference,
        "amount": amount,
        "disputed": disputed,
        "happened_at": domain_event.time,
        "changes": list(changes(body, event)) if isinstance(body, EventChanged) else [],
        "local": partial(local_times.format_time, timezone=event.timezone),
    }


def _tickets_context(
    body: DomainEventBody, bookings: Sequence[BookingView], *, show_names: bool
) -> dict[str, Any]:
    """The tickets that the e-mail is about, and the live tickets of its bookings."""
    current = [item for booking in bookings for item in booking.items]
    items: Sequence[BookingItem] = current
    discount, receipt = 0, None
    if isinstance(body, BookingDetails):
        items, discount = body.items if show_names else _without_names(body.items), body.discount or 0
    price = sum(item.quantity * item.unit_price for item in items)
    if isinstance(body, BookingConfirmed) and price:
        receipt = _receipt(body, items)
    return {
        "quantity": sum(item.quantity for item in items),
        "tickets": _ticket_lines(items),
        "tickets_left": _ticket_lines(current),
        "number_of_bookings": len(bookings),
        "price": price - discount,
        "receipt": receipt,
    }


def _ticket_lines(items: Sequence[BookingItem]) -> list[dict[str, Any]]:
    """The tickets by type. A type can have several items: of several bookings, or of several prices."""
    lines: dict[UUID, dict[str, Any]] = {}
    for item in items:
        line = lines.setdefault(item.ticket_type_id, {"name": one_line(item.name), "quantity": 0})
        line["quantity"] += item.quantity
    return list(lines.values())


def _receipt(body: BookingConfirmed, items: Sequence[BookingItem]) -> dict[str, Any]:
    amount = partial(money.format_amount, currency=body.currency)
    lines = [
        {
            "name": one_line(item.name),
            "quantity": item.quantity,
            "each": amount(item.unit_price),
            "all": amount(item.quantity * item.unit_price),
        }
        for item in items
    ]
    return {"lines": lines, "discount": f"-{amount(body.discount)}" if body.discount else None}


def _digest_context(
    body: DomainEventBody, activity: Sequence[EventActivity], front_end: FrontEnd
) -> dict[str, Any]:
    if not isinstance(body, DailyDigestDue):
        raise ValueError("only a digest has activity")  # noqa: TRY004 (as for any other wrong combination)
    return {
        "since": local_times.format_time(body.since, "UTC"),
        "until": local_times.format_time(body.until, "UTC"),
        "activity": [_shown_activity(event, front_end) for event in activity[:MAX_DIGEST_EVENTS]],
        "others": max(0, len(activity) - MAX_DIGEST_EVENTS),
    }


def _shown_activity(event: EventActivity, front_end: FrontEnd) -> dict[str, Any]:
    rows = {
        "Tickets booked": event.booked or "",
        "Tickets cancelled": event.cancelled or "",
        "Places left": "" if event.places_left is None else str(event.places_left),
        "Revenue": ", ".join(
            ("-" if amount < 0 else "") + money.format_amount(abs(amount), currency)
            for currency, amount in event.revenue.items()
            if amount
        ),
    }
    return {
        "title": one_line(event.title) + (" (cancelled)" if event.is_cancelled else ""),
        "when": local_times.format_period(event.starts_at, event.ends_at, event.timezone),
        "rows": [(name, value) for name, value in rows.items() if value],
        "link": front_end.link("event", event_id=event.event_id, booking_id=None),
    }


def _shown(event: EventView, now: datetime) -> dict[str, Any]:
    description = mime.lines(event.description or "")
    if len(description) > MAX_DESCRIPTION_LENGTH:
        description = description[:MAX_DESCRIPTION_LENGTH].rstrip() + " …"
    return {
        "title": one_line(event.title),
        "description": description,
        "venue": one_line(event.location or ""),
        "host": one_line(event.host_name or ""),
        "when": local_times.format_period(event.starts_at, event.ends_at, event.timezone),
        "is_on": event.status == "published" and now < event.ends_at,
    }


def _words_of_host(body: DomainEventBody) -> str:
    """The reason that the host gives for a cancelled event, if any."""
    return mime.lines(body.reason or "") if isinstance(body, EventCancelled) else ""


def changes(body: EventChanged, event: EventView) -> Iterator[dict[str, str]]:
    """Each changed detail, before and now, each time in the time zone that the event had then.

    A detail that has its old value again is left out.
    """
    zone = body.changed.timezone
    zone_before = zone.from_ if zone else body.timezone
    current: dict[str, str | datetime | None] = {
        "title": event.title,
        "location": event.location,
        "start_date_time": event.starts_at,
        "end_date_time": event.ends_at,
        "timezone": event.timezone,
    }
    for member in members(type(body.changed)):
        change: Any = getattr(body.changed, member.field)
        now = current[member.field]
        if change is not None and change.from_ != now:
            before, after = _value(change.from_, zone_before), _value(now, event.timezone)
            yield {"what": _CHANGED_FIELDS[member.field], "before": before, "after": after}


def _value(value: str | datetime | None, timezone: str) -> str:
    if value is None:
        return "not set"
    if isinstance(value, datetime):
        return local_times.format_time(value, timezone)
    return one_line(value)
