"""MIME: a letter as the bytes to send, with headers that no name or title can break out of.

The headers are encoded here, not by `email.message`: that reads a title that looks like an encoded word as
one, and some releases of Python then write the line break in it as it is (CVE-2024-6923). It also encodes
long links, and what is to take the reader off a list has to stand there as it is.
"""

import re
from collections.abc import Mapping
from email.charset import QP, Charset
from email.header import Header
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import compat32

# Not EmailMessage, whose parsing of headers that are made here would take most of the time of a letter.
_POLICY = compat32.clone(linesep="\r\n", cte_type="7bit")
_QUOTED_PRINTABLE = Charset("utf-8")
_QUOTED_PRINTABLE.body_encoding = QP
_LONGEST_LINE = 990
"""Characters; RFC 5322, section 2.1.1, allows 998."""

_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_BREAKS_BUT_LINES = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/^_`{|}~-]+( [A-Za-z0-9!#$%&'*+/^_`{|}~-]+)*")
"""Words that can stand before an address without quotes (RFC 5322, section 3.2.3)."""

_LONGEST_WORD = 60
"""Characters that fit on a line of 76 after the header's name."""


def one_line(text: str) -> str:
    """The text without line breaks and other control characters."""
    return _BREAKS.sub(" ", text).strip()


def lines(text: str) -> str:
    """The text with its line breaks, and without other control characters."""
    return _BREAKS_BUT_LINES.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def unstructured(name: str, text: str) -> str:
    """The value of a header that is free text, such as Subject."""
    text = one_line(text)
    return Header(text, _charset(text), header_name=name).encode(linesep="\r\n")


def mailbox(name: str, display_name: str, address: str) -> str:
    """The value of a header that is one address with its owner's name."""
    display_name = one_line(display_name)
    if not display_name:
        return address
    charset = _charset(display_name) if _ATOMS.fullmatch(display_name) else "utf-8"
    value = Header(display_name, charset, header_name=name)
    value.append(f"<{address}>", "us-ascii")
    return value.encode(linesep="\r\n")


def _charset(text: str) -> str:
    """ASCII for what can stand as it is: not what looks encoded, nor what no line has room for."""
    plain = text.isascii() and "=?" not in text and max(map(len, text.split(" "))) <= _LONGEST_WORD
    return "us-ascii" if plain else "utf-8"


def pack(headers: Mapping[str, str], *, text: str, html: str, calendar: str | None) -> bytes:
    """Make a message of headers, whose values are encoded already, and a body in plain text and HTML."""
    body = MIMEMultipart("alternative", None, [_part(text, "plain"), _part(html, "html")])
    if calendar is not None:
        attachment = _part(calendar, "calendar")
        attachment.set_param("method", "PUBLISH")
        attachment.add_header("Content-Disposition", "attachment", filename="event.ics")
        body = MIMEMultipart("mixed", None, [body, attachment])
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return head.encode("ascii") + body.as_bytes(policy=_POLICY)


def _part(text: str, subtype: str) -> MIMEText:
    """Text as it is where mail can carry it so, else in quoted-printable, which people can read too."""
    plain = text.isascii() and max(map(len, text.splitlines()), default=0) <= _LONGEST_LINE
    return MIMEText(text, subtype, "us-ascii" if plain else _QUOTED_PRINTABLE)  # type: ignore[arg-type]
