"""Takes an e-mail apart into what a person reads of it, whatever state it is in."""

from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser


@dataclass(frozen=True)
class Attachment:
    """A part that is not shown."""

    name: str
    type: str
    content: bytes


@dataclass(frozen=True)
class Letter:
    """An e-mail; what it lacks is empty."""

    subject: str
    sender: str
    recipient: str
    date: str
    text: str
    html: str
    attachments: tuple[Attachment, ...]


def take_apart(message: bytes) -> Letter:
    parsed = BytesParser(EmailMessage, policy=policy.default).parsebytes(message)
    shown: dict[str, str] = {}
    attachments: list[Attachment] = []
    for part in parsed.walk():
        if part.is_multipart():
            continue
        kind = part.get_content_type()
        if kind in {"text/plain", "text/html"} and kind not in shown and not part.get_filename():
            shown[kind] = _text(part)
        else:
            name = part.get_filename() or f"part-{len(attachments) + 1}"
            attachments.append(Attachment(name, kind, _content(part)))
    return Letter(
        subject=_header(parsed, "Subject"),
        sender=_header(parsed, "From"),
        recipient=_header(parsed, "To"),
        date=_header(parsed, "Date"),
        text=shown.get("text/plain", ""),
        html=shown.get("text/html", ""),
        attachments=tuple(attachments),
    )


def _header(message: EmailMessage, name: str) -> str:
    try:
        return str(message.get(name, ""))
    except Exception:  # noqa: BLE001 - the parser raises all sorts over malformed headers
        return "(unreadable)"


def _content(part: EmailMessage) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _text(part: EmailMessage) -> str:
    try:
        return _content(part).decode(part.get_content_charset("utf-8"), "replace")
    except LookupError:  # a character set that Python does not know
        return _content(part).decode("utf-8", "replace")
