"""Text that a font can print: characters that it cannot are replaced visibly, not by empty boxes."""

import unicodedata
from collections.abc import Container

SUBSTITUTE = "\N{REPLACEMENT CHARACTER}"

_RIGHT_TO_LEFT = {"R", "AL", "AN"}
_COMBINING = range(0x0300, 0x0370)
"""The marks of Latin, Greek and Cyrillic. Those of other scripts need shaping."""


def printable(text: str, glyphs: Container[int]) -> str:
    """Replace what cannot be printed by `SUBSTITUTE`, and white space by single spaces.

    Controls of the reading direction and other invisible characters are removed. Right-to-left scripts are
    replaced, because their letters would be printed in the wrong order.
    """
    shown = "".join(_shown(character, glyphs) for character in unicodedata.normalize("NFC", text))
    return " ".join(shown.split())


def _shown(character: str, glyphs: Container[int]) -> str:
    category = unicodedata.category(character)
    if category == "Cf" or unicodedata.name(character, "").startswith("VARIATION SELECTOR"):
        return ""
    if category in {"Cc", "Zs", "Zl", "Zp"}:
        return " "
    is_known = (
        ord(character) in glyphs
        and category not in {"Cn", "Co", "Cs"}
        and unicodedata.bidirectional(character) not in _RIGHT_TO_LEFT
        and (not category.startswith("M") or ord(character) in _COMBINING)
    )
    return character if is_known else SUBSTITUTE
