"""Tickets as a PDF: one page of A4 for each, to be read on a phone or on paper."""

from collections.abc import Iterator, Sequence
from functools import cache, partial
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from chalicelib.documents import qr
from chalicelib.documents.printable import SUBSTITUTE, printable
from chalicelib.documents.printed_tickets import PrintedOrder, PrintedTicket
from chalicelib.platform import local_times, money

FILENAME = "tickets.pdf"

# Lengths are in points: 72 to the inch.
_WIDTH, _HEIGHT = A4
_MARGIN = 48
_INNER = _WIDTH - 2 * _MARGIN
_QR_SIZE = 260
_COLUMN_GAP = 24
_LEADING = 1.25
"""The height of a line by the size of its font."""

_BLACK, _GREY = 0.0, 0.4

_FONTS = Path(__file__).parent / "fonts"
_REGULAR, _BOLD = "TicketRegular", "TicketBold"


class _Style(NamedTuple):
    """How a text is fitted: the font shrinks first, then the text is cut."""

    font: str
    max_size: float
    min_size: float
    max_lines: int


_TITLE = _Style(_BOLD, 26, 15, 3)
_WHEN = _Style(_REGULAR, 16, 11, 2)
_VENUE = _Style(_REGULAR, 16, 10, 4)
_CODE = _Style(_REGULAR, 9, 6, 1)
_LABEL = _Style(_REGULAR, 10, 10, 1)
_VALUE = _Style(_BOLD, 14, 9, 2)
_FOOTNOTE = _Style(_REGULAR, 9, 9, 3)
_MAX_ORDER_SIZE, _MIN_ORDER_SIZE = 11, 7

_UNPRINTABLE = (
    f"{SUBSTITUTE} stands for a character that cannot be printed here. Your booking shows the text in full "
    "online."
)


def tickets_pdf(tickets: Sequence[PrintedTicket]) -> bytes:
    """Print tickets in their order. The same tickets give the same bytes. The metadata name nobody."""
    glyphs = _glyphs()
    output = BytesIO()
    canvas = Canvas(output, pagesize=A4, invariant=True, pageCompression=1, lang="en")
    canvas.setTitle("Tickets")
    canvas.setAuthor("")
    canvas.setSubject("")
    canvas.setCreator("")
    shows_order = True
    for ticket in tickets:
        page = _Page(canvas, glyphs)
        page.print_ticket(ticket)
        if shows_order and ticket.order and ticket.order.has_prices:
            page.print_order(ticket.order)
            shows_order = False
        page.print_footnote()
        canvas.showPage()
    canvas.save()
    return output.getvalue()


@cache
def _glyphs() -> frozenset[int]:
    """Load the fonts, once per process, and return the characters that both have."""
    regular = TTFont(_REGULAR, _FONTS / "DejaVuSans.ttf")
    bold = TTFont(_BOLD, _FONTS / "DejaVuSans-Bold.ttf")
    pdfmetrics.registerFont(regular)
    pdfmetrics.registerFont(bold)
    return frozenset(regular.face.charToGlyph) & frozenset(bold.face.charToGlyph)


class _Page:
    """One page, printed from the top to the bottom."""

    def __init__(self, canvas: Canvas, glyphs: frozenset[int]) -> None:
        self._canvas = canvas
        self._glyphs = glyphs
        self._y = _HEIGHT - _MARGIN
        self._is_substituted = False

    def print_ticket(self, ticket: PrintedTicket) -> None:
        self._print(self._clean(ticket.title) or "Your ticket", _TITLE)
        self._skip(6)
        self._print(self._clean(_when(ticket)), _WHEN)
        self._print(self._clean(ticket.venue), _VENUE, grey=_GREY)
        self._skip(8)
        self._print_qr(ticket.code)
        self._print(_grouped(ticket.code), _CODE, grey=_GREY, centred=True)
        self._skip(14)
        details = [
            ("Ticket", self._clean(ticket.ticket_type)),
            ("Name", self._clean(ticket.holder)),
            ("Booking reference", ticket.reference),
            ("Number", f"{ticket.number} of {ticket.quantity}"),
            ("Price", money.format_amount(ticket.price, ticket.currency) if ticket.price else "Free"),
        ]
        self._print_details([(label, value) for label, value in details if value])

    def print_order(self, order: PrintedOrder) -> None:
        """Print what the booking costs in the room that is left. Lines that do not fit are summed up."""
        self._skip(10)
        room = self._y - _MARGIN - 3 * _FOOTNOTE.max_size * _LEADING
        rows = self._order_rows(order, max_rows=int(room / (_MIN_ORDER_SIZE * _LEADING)))
        size = min(_MAX_ORDER_SIZE, room / (len(rows) * _LEADING))
        for number, (text, amount) in enumerate(rows, 1):
            font = _BOLD if number in {1, len(rows)} else _REGULAR
            amount_width = pdfmetrics.stringWidth(amount, font, size)
            style = _Style(font, size, size, 1)
            [line], _ = _fit(text, style, _INNER - amount_width - _COLUMN_GAP)
            self._y -= size * _LEADING
            self._draw(line, font, size, _MARGIN)
            self._draw(amount, font, size, _WIDTH - _MARGIN - amount_width)

    def print_footnote(self) -> None:
        if self._is_substituted:
            lines, size = _fit(_UNPRINTABLE, _FOOTNOTE, _INNER)
            self._y = _MARGIN + (len(lines) - 1) * size * _LEADING + size * _LEADING
            self._print(_UNPRINTABLE, _FOOTNOTE, grey=_GREY)

    def _clean(self, text: str) -> str:
        cleaned = printable(text, self._glyphs)
        self._is_substituted |= SUBSTITUTE in cleaned
        return cleaned

    def _order_rows(self, order: PrintedOrder, max_rows: int) -> list[tuple[str, str]]:
        amount = partial(money.format_amount, currency=order.currency)
        max_lines = max_rows - 3  # heading, discount, total
        shown = order.lines if len(order.lines) <= max_lines else order.lines[: max_lines - 1]
        rows = [("Your order", "")]
        for line in shown:
            name = self._clean(line.name) or ("ticket" if line.quantity == 1 else "tickets")
            text = f"{line.quantity} x {name}, {amount(line.unit_price)}"
            rows.append((text, amount(line.quantity * line.unit_price)))
        if others := order.lines[len(shown) :]:
            quantity = sum(line.quantity for line in others)
            price = sum(line.quantity * line.unit_price for line in others)
            rows.append((f"{quantity} more tickets", amount(price)))
        if order.discount:
            rows.append(("Discount", f"-{amount(order.discount)}"))
        return [*rows, ("Total", amount(order.total))]

    def _print_details(self, details: Sequence[tuple[str, str]]) -> None:
        """Print labels and values in two columns."""
        width = (_INNER - _COLUMN_GAP) / 2
        for left in range(0, len(details), 2):
            top, bottoms = self._y, []
            for column, (label, value) in enumerate(details[left : left + 2]):
                x = _MARGIN + column * (width + _COLUMN_GAP)
                self._y = top
                self._print(label, _LABEL, grey=_GREY, x=x, width=width)
                self._print(value, _VALUE, x=x, width=width)
                bottoms.append(self._y)
            self._y = min(bottoms)
            self._skip(8)

    def _print_qr(self, code: str) -> None:
        """Draw the dark modules as one path, so that no gaps show between them."""
        rows = qr.modules(code)
        size = _QR_SIZE / (len(rows) + 2 * qr.QUIET_ZONE)
        left = (_WIDTH - _QR_SIZE) / 2 + qr.QUIET_ZONE * size
        top = self._y - qr.QUIET_ZONE * size
        path = self._canvas.beginPath()
        for number, row in enumerate(rows, 1):
            for start, length in _runs(row):
                path.rect(left + start * size, top - number * size, length * size, size)
        self._canvas.setFillGray(_BLACK)
        self._canvas.drawPath(path, stroke=0, fill=1)
        self._y -= _QR_SIZE

    def _print(
        self,
        text: str,
        style: _Style,
        *,
        grey: float = _BLACK,
        centred: bool = False,
        x: float = _MARGIN,
        width: float = _INNER,
    ) -> None:
        lines, size = _fit(text, style, width)
        for line in lines:
            self._y -= size * _LEADING
            indent = (width - pdfmetrics.stringWidth(line, style.font, size)) / 2 if centred else 0
            self._draw(line, style.font, size, x + indent, grey)

    def _draw(self, line: str, font: str, size: float, x: float, grey: float = _BLACK) -> None:
        self._canvas.setFillGray(grey)
        self._canvas.setFont(font, size)
        self._canvas.drawString(x, self._y + size * (_LEADING - 1), line)

    def _skip(self, height: float) -> None:
        self._y -= height


def _when(ticket: PrintedTicket) -> str:
    return local_times.format_period(ticket.starts_at, ticket.ends_at, ticket.timezone)


def _grouped(code: str, size: int = 5) -> str:
    return " ".join(code[start : start + size] for start in range(0, len(code), size))


def _runs(row: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the start and length of each run of dark modules."""
    start = None
    for position, is_dark in enumerate([*row, 0]):
        if is_dark and start is None:
            start = position
        elif not is_dark and start is not None:
            yield start, position - start
            start = None


def _fit(text: str, style: _Style, width: float) -> tuple[list[str], float]:
    """Return the lines of a text and the size of their font."""
    size = style.max_size
    lines = _wrap(text, style.font, width / size)
    while len(lines) > style.max_lines and size > style.min_size:
        size = max(style.min_size, size - 1)
        lines = _wrap(text, style.font, width / size)
    if len(lines) > style.max_lines:
        lines = lines[: style.max_lines]
        lines[-1] = _cut(lines[-1], style.font, width / size)
    return lines, size


def _wrap(text: str, font: str, width: float) -> list[str]:
    """Break a text into lines. The width is in units of the font's size. Long words are broken too."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if pdfmetrics.stringWidth(longer, font, 1) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        *broken, line = _break(word, font, width)
        lines += broken
    return [*lines, line] if line else lines


def _break(word: str, font: str, width: float) -> list[str]:
    parts = [""]
    used = 0.0
    for character in word:
        character_width = pdfmetrics.stringWidth(character, font, 1)
        if parts[-1] and used + character_width > width:
            parts.append("")
            used = 0.0
        parts[-1] += character
        used += character_width
    return parts


def _cut(line: str, font: str, width: float) -> str:
    while line and pdfmetrics.stringWidth(f"{line}…", font, 1) > width:
        line = line[:-1].rstrip()
    return f"{line}…"
