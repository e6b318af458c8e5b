"""MIME: an e-mail as bytes, with headers that no name or title can break out of.

The headers are encoded here, not by `email.message`. That decodes a title that looks like an encoded word,
and some releases of Python then write its line breaks unescaped (CVE-2024-6923). It also encodes long links,
but unsubscribe links must be plain.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email import encoders
from email.charset import QP, Charset
from email.header import Header
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import compat32

# Not EmailMessage: parsing the headers would take most of the time of an e-mail.
_POLICY = compat32.clone(linesep="\r\n", cte_type="7bit")
_QUOTED_PRINTABLE = Charset("utf-8")
_QUOTED_PRINTABLE.body_encoding = QP
_MAX_LINE_LENGTH = 990
"""RFC 5322, section 2.1.1, allows 998 characters."""

_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_BREAKS_BUT_LINES = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/^_`{|}~-]+( [A-Za-z0-9!#$%&'*+/^_`{|}~-]+)*")
"""Words that need no quotes before an address (RFC 5322, section 3.2.3)."""

_MAX_WORD_LENGTH = 60
"""Fits on a line of 76 characters after the name of the header."""


def one_line(text: str) -> str:
    """Replace line breaks and other control characters by spaces."""
    return _BREAKS.sub(" ", text).strip()


def lines(text: str) -> str:
    """Replace control characters other than line breaks by spaces."""
    return _BREAKS_BUT_LINES.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def unstructured(name: str, text: str) -> str:
    """The value of a free-text header, such as Subject."""
    text = one_line(text)
    return Header(text, _charset(text), header_name=name).encode(linesep="\r\n")


def mailbox(name: str, display_name: str, address: str) -> str:
    """The value of a header that is one address with a display name."""
    display_name = one_line(display_name)
    if not display_name:
        return address
    charset = _charset(display_name) if _ATOMS.fullmatch(display_name) else "utf-8"
    value = Header(display_name, charset, header_name=name)
    value.append(f"<{address}>", "us-ascii")
    return value.encode(linesep="\r\n")


def _charset(text: str) -> str:
    """ASCII for text that needs no encoding: it does not look encoded, and its words fit on a line."""
    plain = text.isascii() and "=?" not in text and max(map(len, text.split(" "))) <= _MAX_WORD_LENGTH
    return "us-ascii" if plain else "utf-8"


@dataclass(frozen=True, kw_only=True)
class File:
    """A file in an e-mail. Its name and id are ours, in ASCII."""

    media_type: str
    filename: str
    content: bytes
    content_id: str | None = None
    """By which the HTML shows the file, as `cid:…` (RFC 2392)."""


def pack(
    headers: Mapping[str, str],
    *,
    text: str,
    html: str,
    images: Sequence[File] = (),
    files: Sequence[File] = (),
    calendars: Sequence[str] = (),
    method: str | None = None,
) -> bytes:
    """Make a message from encoded headers and a body in plain text and HTML.

    `images` are shown by the HTML, `files` are attached. `calendars` are attached as iCalendar files with the
    method `method`.
    """
    shown: MIMEMultipart | MIMEText = _part(html, "html")
    if images:
        shown = MIMEMultipart("related", None, [shown, *map(_file, images)])
    body = MIMEMultipart("alternative", None, [_part(text, "plain"), shown])
    if calendars or files:
        body = MIMEMultipart("mixed", None, [body, *map(_file, files)])
    for number, calendar in enumerate(calendars, 1):
        attachment = _part(calendar, "calendar")
        attachment.set_param("method", method or "PUBLISH")
        filename = "event.ics" if len(calendars) == 1 else f"event-{number}.ics"
        attachment.add_header("Content-Disposition", "attachment", filename=filename)
        body.attach(attachment)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return head.encode("ascii") + body.as_bytes(policy=_POLICY)


def _file(file: File) -> MIMEBase:
    part = MIMEBase(*file.media_type.split("/"))
    part.set_payload(file.content)
    encoders.encode_base64(part)
    disposition = "inline" if file.content_id else "attachment"
    part.add_header("Content-Disposition", disposition, filename=file.filename)
    if file.content_id:
        part.add_header("Content-ID", f"<{file.content_id}>")
    return part


def _part(text: str, subtype: str) -> MIMEText:
    """Plain text where mail can carry it, else quoted-printable, which people can still read."""
    plain = text.isascii() and max(map(len, text.splitlines()), default=0) <= _MAX_LINE_LENGTH
    return MIMEText(text, subtype, "us-ascii" if plain else _QUOTED_PRINTABLE)  # type: ignore[arg-type]
