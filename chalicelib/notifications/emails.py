"""Compose the e-mail about a domain event to one recipient, in plain text and HTML."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import format_datetime, parseaddr
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid5

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from chalicelib import domain_events
from chalicelib.domain_events import (
    BookingDetails,
    DisputeDetails,
    EventCancelled,
    EventChanged,
    PaymentDetails,
)
from chalicelib.notifications import calendars, copy, local_times, mime
from chalicelib.notifications.kinds import Kind, kind_of
from chalicelib.notifications.mail_context import EventView, Recipient
from chalicelib.notifications.mime import one_line
from chalicelib.notifications.unsubscribe import TOPIC_WORDS
from chalicelib.platform import money
from chalicelib.platform.messaging.bodies import DomainEventBody, members
from chalicelib.platform.messaging.ports import DomainEvent
from chalicelib.users.verification import LIFETIMES

MAX_DESCRIPTION_LENGTH = 1_000

_CHANGED_FIELDS = {
    "title": "Title",
    "location": "Venue",
    "start_date_time": "Start",
    "end_date_time": "End",
    "timezone": "Time zone",
}

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(["html"], default=False),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def compose(
    domain_event: DomainEvent,
    recipient: Recipient,
    *,
    event: EventView | None,
    sender: str,
    public_url: str,
    unsubscribe_url: str | None,
    token: str | None,
) -> bytes:
    """Compose a MIME message. The same domain event and recipient give the same Message-ID.

    `event` is the event as it is now; None if the domain event is about an account. `token` is for the kinds
    that send one.

    Raises:
        ValueError: There is no such e-mail, or its event or token is missing.
    """
    kind = kind_of(domain_event.type)
    body = domain_events.parse(domain_event)
    if kind.purpose is not None and token is None:
        raise ValueError(f"the e-mail for {kind.type} needs a token")
    if kind.recipients is not None and event is None:
        raise ValueError(f"the e-mail for {kind.type} needs an event")
    # The address of an account may be unverified: such e-mails contain no text that its owner chose.
    name = one_line(recipient.name) if event else ""
    context = {
        "name": name,
        "body": body,
        "unsubscribe_url": unsubscribe_url,
        **_texts(kind, body, event, sender),
        "words_of_host": _words_of_host(body) if recipient.verified else "",
        **_token_context(kind, public_url, token),
        **(_event_context(domain_event, body, event) if event else {}),
    }
    headers = {
        "From": mime.mailbox("From", *parseaddr(sender)),
        "To": mime.mailbox("To", name, recipient.email),
        "Subject": mime.unstructured("Subject", context["subject"]),
        "Date": format_datetime(domain_event.time),
        "Message-ID": f"<{uuid5(domain_event.domain_event_id, str(recipient.user_id))}@{_domain(sender)}>",
        "Auto-Submitted": "auto-generated",
    }
    if unsubscribe_url:
        headers["List-Unsubscribe"] = f"<{unsubscribe_url}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return mime.pack(
        headers,
        text=_templates.get_template(f"{kind.type}.txt").render(context),
        html=_templates.get_template(f"{kind.type}.html").render(context),
        calendar=_calendar(kind, domain_event, body, event, sender),
    )


def _domain(sender: str) -> str:
    return parseaddr(sender)[1].rpartition("@")[2]


def _texts(kind: Kind, body: DomainEventBody, event: EventView | None, sender: str) -> dict[str, Any]:
    service = one_line(parseaddr(sender)[0]) or _domain(sender)
    reason = getattr(body, "reason", None)
    heading = kind.subject_by_reason.get(reason or "", kind.subject).format(service=service, body=body)
    topic = kind.topic_of(body)
    return {
        "service": service,
        "heading": heading,
        # The title comes last, so that no character of it can change the reading direction of other text.
        "subject": f"{heading}: {one_line(event.title)}" if event else heading,
        "footer": kind.footer,
        "reason": copy.sentence(kind.reasons, reason),
        "topic": TOPIC_WORDS[topic] if topic else None,
    }


def _calendar(
    kind: Kind, domain_event: DomainEvent, body: DomainEventBody, event: EventView | None, sender: str
) -> str | None:
    if not kind.has_calendar_entry or event is None or not isinstance(body, BookingDetails):
        return None
    uid = f"{body.booking_id}@{_domain(sender)}"
    return calendars.entry(event, uid=uid, organizer=parseaddr(sender)[1], created_at=domain_event.time)


def _token_context(kind: Kind, public_url: str, token: str | None) -> dict[str, Any]:
    if kind.purpose is None or token is None:
        return {}
    hours = LIFETIMES[kind.purpose] // timedelta(hours=1)
    link = f"{public_url}/{kind.purpose}?token={quote(token, safe='')}"
    return {
        "token": token,
        "link": link if public_url else None,
        "lifetime": f"{hours} hour{'s' if hours > 1 else ''}",
    }


def _event_context(domain_event: DomainEvent, body: DomainEventBody, event: EventView) -> dict[str, Any]:
    booking_id = amount = disputed = None
    if isinstance(body, BookingDetails | PaymentDetails):
        booking_id, amount = body.booking_id, money.format_amount(body.amount, body.currency)
    if isinstance(body, DisputeDetails):
        disputed = money.format_amount(body.disputed_amount, body.currency)
    return {
        "event": _shown(event, domain_event.time),
        "booking_id": booking_id,
        "amount": amount,
        "disputed": disputed,
        "happened_at": domain_event.time,
        "changes": list(_changes(body)) if isinstance(body, EventChanged) else [],
        "local": partial(local_times.format_time, timezone=event.timezone),
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


def _changes(body: EventChanged) -> Iterator[dict[str, str]]:
    """Each changed detail, before and after; each time in the time zone that the event had then."""
    zones = {"from_": body.timezone, "to": body.timezone}
    if zone := body.changed.timezone:
        zones = {"from_": zone.from_, "to": zone.to}
    for member in members(type(body.changed)):
        change: Any = getattr(body.changed, member.field)
        if change is not None:
            before, after = (_value(getattr(change, side), zones[side]) for side in ("from_", "to"))
            yield {"what": _CHANGED_FIELDS[member.field], "before": before, "after": after}


def _value(value: str | datetime | None, timezone: str) -> str:
    if value is None:
        return "not set"
    if isinstance(value, datetime):
        return local_times.format_time(value, timezone)
    return one_line(value)
