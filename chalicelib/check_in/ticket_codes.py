"""Ticket codes: what a QR code says.

A code is the ticket's id, its serial, and 128 bits of an HMAC-SHA256 of both, in base32 (RFC 4648) without
padding: 55 characters of the alphanumeric mode of QR codes, which fit into 29 x 29 modules. Codes are not
stored. A forged code is recognized without the database. A new serial makes the old code void.

`TICKET_SECRET` is the key. With `TICKET_SECRET_PREVIOUS`, codes of the former key are valid too.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import NamedTuple, Self
from uuid import UUID

from chalicelib.platform.settings import Settings

LENGTH = 55
"""Characters."""

_SERIAL_BYTES = 2
_TAG_BYTES = 16
_ALPHABET = re.compile(f"[A-Z2-7]{{{LENGTH}}}")
_PLACEHOLDER = re.compile(r'"code":"([0-9a-f-]{36})/([0-9]+)"')


class TicketVersion(NamedTuple):
    """What a code names: a ticket, and which of its codes it is."""

    ticket_id: UUID
    serial: int


@dataclass(frozen=True)
class TicketCodes:
    """Makes and reads the codes of one deployment."""

    keys: tuple[bytes, ...]
    """The current key first."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the codes of a deployment.

        Raises:
            BadSetting: `TICKET_SECRET` is not set.
        """
        return cls(settings.ticket_keys)

    @property
    def fingerprint(self) -> str:
        """Tells sets of keys apart, without revealing them: 8 hexadecimal digits."""
        return hashlib.sha256(b"".join(_tag(key, b"fingerprint") for key in self.keys)).hexdigest()[:8]

    def make(self, ticket: TicketVersion) -> str:
        return _code(self.keys[0], ticket)

    def read(self, code: str) -> TicketVersion | None:
        """Return what a code names, or None if it is not a code of this deployment.

        The case of letters, spaces and hyphens do not matter.
        """
        text = re.sub("[ -]", "", code).upper()
        if not _ALPHABET.fullmatch(text):
            return None
        content = base64.b32decode(text + "=")
        body, tag = content[:-_TAG_BYTES], content[-_TAG_BYTES:]
        ticket = TicketVersion(UUID(bytes=body[:16]), int.from_bytes(body[16:]))
        is_genuine = any(hmac.compare_digest(tag, _tag(key, body)) for key in self.keys)
        # The last character carries bits that are not part of the content. There is one code, not several.
        return ticket if is_genuine and _encode(content) == text else None

    def hashes(self, ticket: TicketVersion) -> list[str]:
        """Return the SHA-256 of each valid code in hexadecimal, for scanners that are offline."""
        return [hashlib.sha256(_code(key, ticket).encode()).hexdigest() for key in self.keys]

    def fill_in(self, json_text: str) -> str:
        """Put codes in the place of `"code":"<ticket id>/<serial>"`, which SQL renders.

        The pattern matches no text of users, because JSON escapes the quotes in it.
        """
        return _PLACEHOLDER.sub(
            lambda found: f'"code":"{self.make(TicketVersion(UUID(found[1]), int(found[2])))}"', json_text
        )


def _code(key: bytes, ticket: TicketVersion) -> str:
    body = ticket.ticket_id.bytes + ticket.serial.to_bytes(_SERIAL_BYTES)
    return _encode(body + _tag(key, body))


def _encode(content: bytes) -> str:
    return base64.b32encode(content).decode().rstrip("=")


def _tag(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, b"ticket\n" + body, "sha256")[:_TAG_BYTES]
