"""Parses an e-mail into the parts that a reader sees, even if the e-mail is malformed."""

import base64
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser


@dataclass(frozen=True)
class Attachment:
    """A part that is offered for download."""

    name: str
    type: str
    content: bytes


@dataclass(frozen=True)
class Email:
    """An e-mail. A missing part is empty."""

    subject: str
    sender: str
    recipient: str
    date: str
    text: str
    html: str
    """Images of the e-mail itself are `data:` URLs in it."""
    attachments: tuple[Attachment, ...]


def parse(message: bytes) -> Email:
    parsed = BytesParser(EmailMessage, policy=policy.default).parsebytes(message)
    texts: dict[str, str] = {}
    attachments: list[Attachment] = []
    images: dict[str, str] = {}
    for part in parsed.walk():
        if part.is_multipart():
            continue
        content_type = part.get_content_type()
        if (
            content_type in {"text/plain", "text/html"}
            and content_type not in texts
            and not part.get_filename()
        ):
            texts[content_type] = _text(part)
        else:
            name = part.get_filename() or f"part-{len(attachments) + 1}"
            attachments.append(Attachment(name, content_type, _content(part)))
            if content_type.startswith("image/") and (content_id := _header(part, "Content-ID").strip("<>")):
                images[f"cid:{content_id}"] = _data_url(content_type, _content(part))
    html = texts.get("text/html", "")
    for reference, url in images.items():
        html = html.replace(reference, url)
    return Email(
        subject=_header(parsed, "Subject"),
        sender=_header(parsed, "From"),
        recipient=_header(parsed, "To"),
        date=_header(parsed, "Date"),
        text=texts.get("text/plain", ""),
        html=html,
        attachments=tuple(attachments),
    )


def _header(message: EmailMessage, name: str) -> str:
    try:
        return str(message.get(name, ""))
    except Exception:  # noqa: BLE001 - the parser raises many kinds of errors for malformed headers
        return "(unreadable)"


def _content(part: EmailMessage) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _data_url(content_type: str, content: bytes) -> str:
    return f"data:{content_type};base64,{base64.b64encode(content).decode()}"


def _text(part: EmailMessage) -> str:
    try:
        return _content(part).decode(part.get_content_charset("utf-8"), "replace")
    except LookupError:  # Python does not know the character set
        return _content(part).decode("utf-8", "replace")
