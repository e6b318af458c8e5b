"""QR codes of tickets.

A code of 55 characters in alphanumeric mode at error level M fits into 29 x 29 modules (version 3). Phones
read few large modules better than many small ones.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import segno

QUIET_ZONE = 4
"""Modules of empty margin that readers need (ISO/IEC 18004)."""

_SVG_SCALE = 8
_PNG_SCALE = 6


def _make(code: str) -> segno.QRCode:
    return segno.make_qr(code, error="m", mode="alphanumeric", boost_error=False)


def modules(code: str) -> Sequence[Sequence[int]]:
    """Return the rows of modules, 1 for a dark one, without the quiet zone."""
    return _make(code).matrix


def svg(code: str) -> str:
    return _save(code, kind="svg", scale=_SVG_SCALE, light="#fff", xmldecl=False).decode()


def png(code: str) -> bytes:
    return _save(code, kind="png", scale=_PNG_SCALE)


def _save(code: str, **options: Any) -> bytes:
    image = BytesIO()
    _make(code).save(image, border=QUIET_ZONE, **options)
    return image.getvalue()
