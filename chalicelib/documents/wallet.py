"""Passes for Apple Wallet: a ZIP file of pass.json, images, their hashes, and a signature of these.

Apple's format: "Wallet Passes" in the developer documentation.
"""

import hashlib
import json
import struct
import zlib
from datetime import datetime
from io import BytesIO
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from chalicelib.documents.printed_tickets import PrintedTicket
from chalicelib.documents.signing import PassSigner
from chalicelib.platform import local_times, money
from chalicelib.platform.time_zones import zone
from chalicelib.platform.times import rfc3339

FILENAME = "ticket.pkpass"

_COLOUR, _WHITE = (11, 87, 208), (255, 255, 255)
_WHITE_RINGS = {0, 1, 2, 5, 6}
"""Of nine around the centre of an icon."""

_ICON_SIZES = {"icon.png": 29, "icon@2x.png": 58, "icon@3x.png": 87, "logo.png": 50, "logo@2x.png": 100}
"""Pixels."""


def wallet_pass(ticket: PrintedTicket, signer: PassSigner, now: datetime) -> bytes:
    """Make the pass of a ticket. A new code of the ticket makes another pass."""
    files = {
        "pass.json": json.dumps(_pass(ticket, signer), ensure_ascii=False).encode(),
        **{name: _icon(size) for name, size in _ICON_SIZES.items()},
    }
    # The format asks for SHA-1.
    hashes = {
        name: hashlib.sha1(content, usedforsecurity=False).hexdigest() for name, content in files.items()
    }
    manifest = json.dumps(hashes).encode()
    files |= {"manifest.json": manifest, "signature": signer.sign(manifest, now)}
    packed = BytesIO()
    with ZipFile(packed, "w", ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(ZipInfo(name), content, ZIP_DEFLATED)
    return packed.getvalue()


def _pass(ticket: PrintedTicket, signer: PassSigner) -> dict[str, Any]:
    starts_at = ticket.starts_at.astimezone(zone(ticket.timezone)).isoformat()
    price = money.format_amount(ticket.price, ticket.currency) if ticket.price else "Free"
    when = local_times.format_period(ticket.starts_at, ticket.ends_at, ticket.timezone)
    return {
        "formatVersion": 1,
        "passTypeIdentifier": signer.pass_type_id,
        "teamIdentifier": signer.team_id,
        "serialNumber": f"{ticket.ticket_id}-{ticket.serial}",
        "organizationName": signer.organization,
        "description": f"Ticket: {ticket.title}",
        "relevantDate": rfc3339(ticket.starts_at),
        "foregroundColor": "rgb(255, 255, 255)",
        "labelColor": "rgb(215, 227, 248)",
        "backgroundColor": f"rgb{_COLOUR}",
        "barcodes": [
            {
                "format": "PKBarcodeFormatQR",
                "message": ticket.code,
                "messageEncoding": "iso-8859-1",
                "altText": ticket.reference,
            }
        ],
        "eventTicket": {
            "primaryFields": [_field("event", "Event", ticket.title)],
            "secondaryFields": [
                {
                    **_field("start", "Start", starts_at),
                    "dateStyle": "PKDateStyleMedium",
                    "timeStyle": "PKDateStyleShort",
                    "ignoresTimeZone": True,  # shows the clocks at the event, wherever the phone is
                },
                *_fields(("venue", "Venue", ticket.venue)),
            ],
            "auxiliaryFields": [
                _field("type", "Ticket", ticket.ticket_type),
                *_fields(("holder", "Name", ticket.holder)),
            ],
            "backFields": [
                _field("when", "When", when),
                _field("reference", "Booking reference", ticket.reference),
                _field("number", "Number", f"{ticket.number} of {ticket.quantity}"),
                _field("price", "Price", price),
            ],
        },
    }


def _fields(*fields: tuple[str, str, str]) -> list[dict[str, Any]]:
    return [_field(*field) for field in fields if field[2]]


def _field(key: str, label: str, value: str) -> dict[str, Any]:
    return {"key": key, "label": label, "value": value}


def _icon(size: int) -> bytes:
    """Draw a PNG: the corner of a QR code, white on the colour of the pass."""
    rows = bytearray()
    for y in range(size):
        rows.append(0)  # the row is not filtered
        for x in range(size):
            from_centre = max(abs(x + 0.5 - size / 2), abs(y + 0.5 - size / 2))
            rows += bytes(_WHITE if int(from_centre * 18 / size) in _WHITE_RINGS else _COLOUR)
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
