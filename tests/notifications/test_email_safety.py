"""Letters: nothing that people wrote is more than text in them, and every mail server takes them."""

import email
from dataclasses import replace
from email.message import EmailMessage
from email.policy import default

import pytest

from chalicelib.notifications import emails
from tests.notifications.examples import (
    ABOUT_EVENTS,
    ADA,
    BODIES,
    JAZZ,
    calendar,
    changed,
    domain_event,
    html,
    letter,
    text,
)


@pytest.mark.parametrize("kind", [kind for kind in BODIES if kind not in ABOUT_EVENTS])
def test_a_letter_to_an_unproven_address_says_nothing_that_its_account_chose(kind: str) -> None:
    spam = replace(ADA, name="Win a prize at example.org")

    assert b"example.org" not in letter(domain_event(kind), spam).as_bytes()


def test_markup_in_what_people_wrote_is_text() -> None:
    attack = "<script>alert('1')</script><img src=x onerror=alert(1)>"
    event = replace(
        JAZZ, title=attack, location=attack, description=attack, host_name=attack, timezone="Etc/GMT+5"
    )
    recipient = replace(ADA, name=attack)

    for kind in ABOUT_EVENTS:
        told = domain_event(kind)
        if kind == "event-changed":
            told = changed(title=(attack, attack), location=(attack, None))
        body = html(letter(told, recipient, event, unsubscribe_url='https://x.example/"><script>'))
        assert "<script" not in body
        assert "<img" not in body
        assert "&lt;script&gt;" in body


def test_a_title_with_template_and_format_marks_is_only_a_title() -> None:
    title = "{{ 7 * 7 }} {% raw %} {service} {0} %s"

    message = letter(domain_event("event-published"), event=replace(JAZZ, title=title))

    assert message["Subject"] == f"New event: {title}"
    assert title in text(message)


def test_a_title_with_line_breaks_forges_neither_headers_nor_lines() -> None:
    title = "Jazz\r\nBcc: victim@example.com\r\n\r\nYour booking is cancelled."

    message = letter(domain_event("event-published"), event=replace(JAZZ, title=title))

    assert "Bcc" not in message
    assert message["Subject"] == "New event: Jazz Bcc: victim@example.com Your booking is cancelled."
    assert "Jazz Bcc: victim@example.com Your booking is cancelled." in text(message).splitlines()


def test_scripts_of_any_direction_and_emoji_survive_everywhere() -> None:
    title = "حفلة موسيقية 🎷 👨‍👩‍👧 שלום"
    event = replace(JAZZ, title=title, location=title, host_name=title)

    message = letter(domain_event("booking-confirmed"), event=event)

    assert message["Subject"] == f"You have a place: {title}"
    assert title in text(message).splitlines()
    assert f'dir="auto">{title}</dd>' in html(message)
    assert calendar(message).events[0]["SUMMARY"] == title


def test_a_letter_is_ascii_in_lines_that_every_server_takes() -> None:
    event = replace(JAZZ, title="ü" * 200, description="é" * 10_000, location="x" * 500)

    raw = emails.compose(
        domain_event("booking-confirmed"),
        ADA,
        event=event,
        sender="Bühne <no-reply@mail.example.com>",
        public_url="",
        unsubscribe_url="https://api.example.com/unsubscribe?token=" + "x" * 200,
        token=None,
    )

    assert raw.isascii()
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")


def test_a_letter_loads_nothing_from_elsewhere() -> None:
    for kind in BODIES:
        body = html(letter(domain_event(kind)))
        assert "src=" not in body
        assert "url(" not in body
        assert "<link" not in body
        assert '<html lang="en"' in body


def test_one_click_unsubscribing_stands_in_the_headers_as_it_is() -> None:
    url = "https://api.example.com/a/long/path/unsubscribe?token=" + "x" * 100

    raw = emails.compose(
        domain_event("event-published"),
        ADA,
        event=JAZZ,
        sender="no-reply@mail.example.com",
        public_url="",
        unsubscribe_url=url,
        token=None,
    )

    head = raw.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert f"List-Unsubscribe: <{url}>" in head
    assert "List-Unsubscribe-Post: List-Unsubscribe=One-Click" in head
    assert "From: no-reply@mail.example.com" in head
    message = email.message_from_bytes(raw, EmailMessage, policy=default)
    assert f"No more e-mails about new events of hosts you follow: {url}" in text(message)
    assert f'<a href="{url}"' in html(message)
