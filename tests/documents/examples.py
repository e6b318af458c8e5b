"""A printed ticket, and readers of what is printed."""

import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from uuid import UUID

import zxingcpp
from PIL import Image
from pypdfium2 import PdfDocument

from chalicelib.check_in.ticket_codes import TicketCodes, TicketVersion
from chalicelib.documents.printed_tickets import OrderLine, PrintedOrder, PrintedTicket

CODES = TicketCodes((b"a secret for tickets, of more than 32 bytes",))
_numbers = itertools.count(1)


def printed(**more: Any) -> PrintedTicket:
    """A ticket with a code of its own."""
    ticket_id = UUID(int=next(_numbers))
    details: dict[str, Any] = {
        "ticket_id": ticket_id,
        "booking_id": UUID("019b2f3e-7c1a-7b55-9d41-000000000003"),
        "serial": 1,
        "code": CODES.make(TicketVersion(ticket_id, 1)),
        "title": "Jazz in the yard",
        "venue": "Kulturhof, Berlin",
        "starts_at": datetime(2027, 6, 5, 17, 30, tzinfo=UTC),
        "ends_at": datetime(2027, 6, 5, 20, 30, tzinfo=UTC),
        "timezone": "Europe/Berlin",
        "ticket_type": "Weekend ticket",
        "holder": "Ada Lovelace",
        "reference": "7KMPQR23",
        "number": 1,
        "quantity": 2,
        "price": 900,
        "currency": "eur",
        "order": PrintedOrder(
            lines=(OrderLine(name="Weekend ticket", quantity=2, unit_price=1000),),
            discount=200,
            currency="eur",
        ),
    }
    return PrintedTicket(**{**details, **more})


def pages(pdf: bytes) -> Sequence[str]:
    """The text of each page of a PDF."""
    with closing(PdfDocument(pdf)) as document:
        return [" ".join(_text(page).split()) for page in document]


def _text(page: Any) -> str:
    with closing(page.get_textpage()) as text:
        return str(text.get_text_bounded())


def codes(pdf: bytes) -> list[str]:
    """What the QR codes of a PDF say, as a scanner reads them from a phone."""
    return [barcode for image in images(pdf) for barcode in scan(image)]


def images(pdf: bytes, pixels: int = 500) -> Iterator[Image.Image]:
    """The pages, each of them this many pixels wide."""
    with closing(PdfDocument(pdf)) as document:
        for page in document:
            image = page.render(scale=pixels / page.get_width()).to_pil()
            yield image.copy()


def scan_svg(svg: str) -> list[str]:
    """What a QR code says whose dark modules are the strokes of a path."""
    [path] = re.findall(r'stroke="#000" d="([^"]+)"', svg)
    image = Image.new("L", (37, 37), 255)
    x = y = 0.0
    for command, arguments in re.findall(r"([Mmh])([-\d. ]+)", path):
        numbers = [float(number) for number in arguments.split()]
        if command == "h":
            for column in range(int(x), int(x + numbers[0])):
                image.putpixel((column, int(y)), 0)
            x += numbers[0]
        else:
            x, y = (numbers[0], numbers[1]) if command == "M" else (x + numbers[0], y + numbers[1])
    return scan(image.resize((370, 370), Image.Resampling.NEAREST))


def scan(image: Image.Image | bytes) -> list[str]:
    """What the QR codes in an image say."""
    opened = Image.open(BytesIO(image)).convert("L") if isinstance(image, bytes) else image
    return [barcode.text for barcode in zxingcpp.read_barcodes(opened)]
