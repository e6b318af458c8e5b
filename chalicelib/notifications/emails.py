"""Letters: a domain event as an e-mail to one person, in plain text and HTML."""

from collections.abc import Iterator
from datetime import datetime
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid5
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from chalicelib.notifications import calendars, copy, mime
from chalicelib.notifications.mail_context import EventView, Recipient
from chalicelib.notifications.mime import one_line
from chalicelib.notifications.models import is_receipt, topic_of
from chalicelib.notifications.unsubscribe import TOPIC_WORDS
from chalicelib.platform import money
from chalicelib.platform.messaging.ports import DomainEvent

__all__ = ["EventView", "Recipient", "compose"]

_SUBJECTS = {
    "user-registered": "Welcome to {service}",
    "email-verification-requested": "Verify your e-mail address",
    "password-reset-requested": "Set a new password",
    "event-published": "New event: {title}",
    "sale-started": "The sale has started: {title}",
    "booking-confirmed": "You have a place: {title}",
    "booking-cancelled": "Booking cancelled: {title}",
    "booking-expired": "Booking expired: {title}",
    "event-changed": "Changed: {title}",
    "event-cancelled": "Called off: {title}",
    "payment-failed": "Payment failed: {title}",
    "payment-refund-due": "Refund on its way: {title}",
    "payment-disputed": "Payment disputed: {title}",
    "payment-dispute-closed": "Dispute {outcome}: {title}",
}
"""A title comes last, so that no character of it turns the reading direction of anything else."""
_LATE_PAYMENT_SUBJECT = "Your payment came too late: {title}"
"""Of a refund for that reason."""

_MONEY_IS_BACK = {"refunded", "dispute-lost"}
"""Ends of bookings that came of the money going back."""

_PAGES = {"email-verification-requested": "verify-email", "password-reset-requested": "reset-password"}
"""Domain events that ask for a proof, the page of the front end that takes it, and so does `POST /auth/…`."""

_CHANGED = {
    "title": "Title",
    "location": "Place",
    "startDateTime": "Start",
    "endDateTime": "End",
    "timezone": "Time zone",
}

MAX_DESCRIPTION = 1_000
"""Characters."""

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
    """Write the letter that tells a person of a domain event: a whole MIME message.

    `event` is what the domain event is about, as it is now; domain events about an account have none. `token` is what
    proves the address, where the domain event asks for a proof. The same domain event and person give the same Message-ID.

    Raises:
        ValueError: There is no such letter, or it lacks the event or the token that it is about.
    """
    if domain_event.type not in _SUBJECTS:
        raise ValueError(f"there is no letter for {domain_event.type}")
    if domain_event.type in _PAGES and token is None:
        raise ValueError(f"a letter for {domain_event.type} needs a token")
    if "eventId" in domain_event.body and event is None:
        raise ValueError(f"a letter for {domain_event.type} needs the event")
    sender_name, sender_address = parseaddr(sender)
    domain = sender_address.rpartition("@")[2]
    service = one_line(sender_name) or domain
    # An address may be proven by nobody yet: what is sent there has no words in it that somebody else chose.
    name = one_line(recipient.name) if event else ""
    title = one_line(event.title) if event else ""
    pattern = _LATE_PAYMENT_SUBJECT if _is_late_payment(domain_event) else _SUBJECTS[domain_event.type]
    subject = pattern.format(service=service, title=title, outcome=domain_event.body.get("outcome"))
    topic = topic_of(domain_event)
    context = {
        "domain_event": domain_event,
        "name": name,
        "service": service,
        "subject": subject,
        "event": _shown(event) if event else None,
        "changes": list(_changes(domain_event)),
        "token": token,
        "page": _PAGES.get(domain_event.type),
        "link": _link(domain_event, public_url, token),
        "reason": copy.sentence(domain_event),
        **(_of_booking(domain_event, event) if event else {}),
        "topic": TOPIC_WORDS[topic] if topic else None,
        "unsubscribe_url": unsubscribe_url,
    }
    headers = {
        "From": mime.mailbox("From", sender_name, sender_address),
        "To": mime.mailbox("To", name, recipient.email),
        "Subject": mime.unstructured("Subject", subject),
        "Date": format_datetime(domain_event.time),
        "Message-ID": f"<{uuid5(domain_event.domain_event_id, str(recipient.user_id))}@{domain}>",
        "Auto-Submitted": "auto-generated",
    }
    if unsubscribe_url:
        headers["List-Unsubscribe"] = f"<{unsubscribe_url}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    calendar = None
    if event and domain_event.type == "booking-confirmed":
        uid = f"{domain_event.body['bookingId']}@{domain}"
        calendar = calendars.entry(event, uid=uid, organizer=sender_address, made_at=domain_event.time)
    return mime.pack(
        headers,
        text=_templates.get_template(f"{domain_event.type}.txt").render(context),
        html=_templates.get_template(f"{domain_event.type}.html").render(context),
        calendar=calendar,
    )


def _is_late_payment(domain_event: DomainEvent) -> bool:
    return domain_event.type == "payment-refund-due" and domain_event.body["reason"] == "late-payment"


def _link(domain_event: DomainEvent, public_url: str, token: str | None) -> str | None:
    if not public_url or token is None or domain_event.type not in _PAGES:
        return None
    return f"{public_url}/{_PAGES[domain_event.type]}?token={quote(token, safe='')}"


def _shown(event: EventView) -> dict[str, Any]:
    description = mime.lines(event.description or "")
    if len(description) > MAX_DESCRIPTION:
        description = description[:MAX_DESCRIPTION].rstrip() + " …"
    return {
        "id": event.event_id,
        "title": one_line(event.title),
        "description": description,
        "location": one_line(event.location or ""),
        "host": one_line(event.host_name or ""),
        "when": _period(event.starts_at, event.ends_at, event.timezone),
    }


def _of_booking(domain_event: DomainEvent, event: EventView) -> dict[str, Any]:
    """What letters about a booking and its money say besides, with times by the clocks at the event."""
    body = domain_event.body
    until = body.get("expiresAt")
    return {
        "amount": money.format_amount(body["amount"], body["currency"]) if body.get("amount") else None,
        "receipt": is_receipt(domain_event),
        "refund_may_follow": bool(body.get("amount")) and body.get("reason") not in _MONEY_IS_BACK,
        "too_late": _is_late_payment(domain_event),
        "told_at": _dated(domain_event.time, event.timezone),
        "held_until": _dated(datetime.fromisoformat(until), event.timezone) if until else None,
        "still_on": event.status == "published" and domain_event.time < event.ends_at,
    }


def _changes(domain_event: DomainEvent) -> Iterator[dict[str, str]]:
    """What changed, in words, each time in the time zone that the event had then."""
    changed = domain_event.body.get("changed", {})
    for member, what in _CHANGED.items():
        if member in changed:
            zones = changed.get("timezone", {})
            old, new = (
                _value(member, changed[member][side], zones.get(side, domain_event.body["timezone"]))
                for side in ("from", "to")
            )
            yield {"what": what, "old": old, "new": new}


def _value(member: str, value: str | None, timezone: str) -> str:
    if value is None:
        return "not said"
    if member in {"startDateTime", "endDateTime"}:
        return _dated(datetime.fromisoformat(value), timezone)
    return one_line(value)


# Names of days and months are written out here: strftime would ask the locale for them.
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def _period(starts_at: datetime, ends_at: datetime, timezone: str) -> str:
    """Such as: Saturday, 5 June 2027, 19:30 to 22:30 (Europe/Berlin)."""
    start, end = _local(starts_at, timezone), _local(ends_at, timezone)
    until = _clock(end) if start.date() == end.date() else _moment(end)
    return f"{_moment(start)} to {until} ({timezone})"


def _dated(at: datetime, timezone: str) -> str:
    """Such as: Saturday, 5 June 2027, 19:30 (Europe/Berlin)."""
    return f"{_moment(_local(at, timezone))} ({timezone})"


def _local(at: datetime, timezone: str) -> datetime:
    return at.astimezone(ZoneInfo(timezone))


def _moment(at: datetime) -> str:
    return f"{_DAYS[at.weekday()]}, {at.day} {_MONTHS[at.month - 1]} {at.year}, {_clock(at)}"


def _clock(at: datetime) -> str:
    """The time of day; in the hour that clocks show twice, with the offset that tells which it is."""
    shown = at.strftime("%H:%M:%S" if at.second else "%H:%M")
    twice = at.replace(fold=0).utcoffset() != at.replace(fold=1).utcoffset()
    return f"{shown} {at.strftime('%Z')}" if twice else shown
