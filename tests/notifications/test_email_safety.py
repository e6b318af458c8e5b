"""E-mails show what people wrote as text only, and every mail server can take them."""

import email
import re
from dataclasses import replace
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest

from chalicelib.notifications import emails
from chalicelib.notifications.kinds import KINDS
from tests.notifications.examples import (
    ABOUT_EVENTS,
    ADA,
    BODIES,
    BOOKED_ITEMS,
    JAZZ,
    NOW,
    PAID,
    SETTINGS,
    booking_view,
    both,
    calendar,
    changed,
    compose,
    domain_event,
    html,
    text,
)


@pytest.mark.parametrize("verified", [False, True])
@pytest.mark.parametrize("kind", [kind.type for kind in KINDS if kind.recipients is None])
def test_an_e_mail_about_an_account_has_no_text_of_its_owner(kind: str, verified: bool) -> None:  # noqa: FBT001
    spam = replace(ADA, name="Win a prize at example.org", verified=verified)

    assert b"example.org" not in compose(domain_event(kind), spam).as_bytes()


@pytest.mark.parametrize("kind", [kind.type for kind in KINDS if kind.to_unverified != "never"])
def test_an_unverified_address_gets_no_words_of_others(kind: str) -> None:
    stranger = replace(ADA, name="spam", verified=False)
    event = replace(JAZZ, title="spam", description="spam", location="spam", host_name="spam")
    more: dict[str, Any] = PAID if kind == "booking-confirmed" else {}
    if "items" in BODIES[kind]:
        more = {**more, "items": [{**item, "name": "spam"} for item in {**BODIES[kind], **more}["items"]]}
    booking = booking_view(items=[replace(item, name="spam") for item in BOOKED_ITEMS])

    message = compose(domain_event(kind, **more), stranger, event, bookings=[booking])

    assert "spam" not in message.as_string()
    assert "spam" not in text(message) + html(message)
    assert list(message.iter_attachments()) == []
    assert message["To"] == stranger.email
    assert not message["Subject"].endswith(":")


def test_a_receipt_to_an_unverified_address_says_what_was_paid() -> None:
    message = compose(domain_event("booking-confirmed", **PAID), replace(ADA, verified=False))

    assert message["Subject"] == "Your booking is confirmed"
    for body in both(message):
        assert "EUR 25.00" in body
        assert "-EUR 3.00" in body
        assert "19:30 to 22:30 (Europe/Berlin)" in body
        assert "attached" not in body
        assert "Weekend" not in body
    assert "\n  2 x EUR 10.00 = EUR 20.00\n  1 x EUR 8.00 = EUR 8.00\n" in text(message)


@pytest.mark.parametrize("kind", ["booking-cancelled", "event-cancelled", "payment-refund-due"])
def test_an_unverified_address_learns_how_many_tickets(kind: str) -> None:
    message = compose(domain_event(kind), replace(ADA, verified=False))

    assert "\n2 tickets\n1 ticket\n" in text(message)
    assert re.findall(r"<li>(.+?)</li>", html(message)) == ["2 tickets", "1 ticket"]


def test_markup_is_escaped() -> None:
    attack = "<script>alert('1')</script><img src=x onerror=alert(1)>"
    event = replace(
        JAZZ, title=attack, location=attack, description=attack, host_name=attack, timezone="Etc/GMT+5"
    )
    recipient = replace(ADA, name=attack)
    booking = booking_view(items=[replace(BOOKED_ITEMS[0], name=attack)])

    for kind in ABOUT_EVENTS:
        source = domain_event(kind)
        if "items" in source.body:
            source = domain_event(kind, items=[{**PAID["items"][0], "name": attack}])
        if kind == "event-changed":
            source = changed(title=(attack, attack), location=(attack, None))
        message = compose(
            source, recipient, event, unsubscribe_url='https://x.example/"><script>', bookings=[booking]
        )
        body = html(message)
        assert "<script" not in body
        assert "<img" not in body
        assert "&lt;script&gt;" in body


def test_template_and_format_marks_are_text() -> None:
    title = "{{ 7 * 7 }} {% raw %} {service} {0} %s"

    message = compose(domain_event("event-published"), event=replace(JAZZ, title=title))

    assert message["Subject"] == f"New event: {title}"
    assert title in text(message)


@pytest.mark.parametrize("more", [{}, PAID], ids=["free", "paid"])
def test_line_breaks_in_the_name_of_a_type_forge_no_lines(more: dict[str, Any]) -> None:
    items = [{**PAID["items"][0], "name": "Day\r\nTotal: EUR 9.99"}]

    lines = text(compose(domain_event("booking-confirmed", **{**more, "items": items}))).splitlines()

    assert "Total: EUR 9.99" not in lines
    assert "Day Total: EUR 9.99" in [line.removeprefix("2 x ") for line in lines]


def test_line_breaks_forge_neither_headers_nor_lines() -> None:
    title = "Jazz\r\nBcc: victim@example.com\r\n\r\nYour booking is cancelled."

    message = compose(domain_event("event-published"), event=replace(JAZZ, title=title))

    assert "Bcc" not in message
    assert message["Subject"] == "New event: Jazz Bcc: victim@example.com Your booking is cancelled."
    assert "Jazz Bcc: victim@example.com Your booking is cancelled." in text(message).splitlines()


def test_any_script_and_emoji_survive() -> None:
    title = "حفلة موسيقية 🎷 👨‍👩‍👧 שלום"
    event = replace(JAZZ, title=title, location=title, host_name=title)

    message = compose(domain_event("booking-confirmed"), event=event)

    assert message["Subject"] == f"Your booking is confirmed: {title}"
    assert title in text(message).splitlines()
    assert f'dir="auto">{title}</dd>' in html(message)
    assert calendar(message).events[0]["SUMMARY"] == title


def test_an_e_mail_is_ascii_in_short_lines() -> None:
    event = replace(JAZZ, title="ü" * 200, description="é" * 10_000, location="x" * 500)

    raw = emails.compose(
        domain_event("booking-confirmed"),
        ADA,
        settings=replace(SETTINGS, mail_sender="Bühne <no-reply@mail.example.com>"),
        now=NOW,
        event=event,
        unsubscribe_url="https://api.example.com/unsubscribe?token=" + "x" * 200,
    )

    assert raw.isascii()
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")


def test_an_e_mail_loads_nothing_from_elsewhere() -> None:
    for kind in BODIES:
        body = html(compose(domain_event(kind)))
        assert "src=" not in body
        assert "url(" not in body
        assert "<link" not in body
        assert '<html lang="en"' in body


def test_the_unsubscribe_link_is_plain_in_the_headers() -> None:
    url = "https://api.example.com/a/long/path/unsubscribe?token=" + "x" * 100

    raw = emails.compose(
        domain_event("event-published"),
        ADA,
        settings=replace(SETTINGS, mail_sender="no-reply@mail.example.com"),
        now=NOW,
        event=JAZZ,
        unsubscribe_url=url,
    )

    head = raw.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert f"List-Unsubscribe: <{url}>" in head
    assert "List-Unsubscribe-Post: List-Unsubscribe=One-Click" in head
    assert "From: no-reply@mail.example.com" in head
    message = email.message_from_bytes(raw, EmailMessage, policy=default)
    assert f"Unsubscribe from e-mails about new events by hosts you follow: {url}" in text(message)
    assert f'<a href="{url}"' in html(message)
