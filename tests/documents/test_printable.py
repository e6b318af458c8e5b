"""Text for a font: what it lacks is replaced visibly, and nothing changes the reading direction."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.documents.printable import SUBSTITUTE, printable

GLYPHS = frozenset(range(0x20, 0x530)) | {ord(SUBSTITUTE), 0x05D0, 0xE000}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zoë Müller, Ζάππειο, Джаз", "Zoë Müller, Ζάππειο, Джаз"),
        ("Zoe\u0308", "Zoë"),
        ("x\u0323\u0302", "x\u0323\u0302"),
        ("Jazz 演奏", f"Jazz {SUBSTITUTE * 2}"),
        ("\U0001f389\ufe0f", SUBSTITUTE),
        ("\u202eevil\u202c \u2066a\u2069\u200f", "evil a"),
        ("a\u200bb\u00adc\ufeff", "abc"),
        (" a\r\n\tb\u2028c\u00a0d ", "a b c d"),
        ("\u05d0", SUBSTITUTE),  # Hebrew, although there is a glyph
        ("\ue000\ud800\x00", f"{SUBSTITUTE * 2}"),
        ("", ""),
    ],
)
def test_text_is_made_printable(text: str, shown: str) -> None:
    assert printable(text, GLYPHS) == shown


@given(st.text())
def test_only_visible_left_to_right_glyphs_are_left(text: str) -> None:
    for character in printable(text, GLYPHS):
        assert ord(character) in GLYPHS
        assert unicodedata.category(character)[0] != "C"
        assert unicodedata.bidirectional(character) not in {"R", "AL", "RLO", "RLE", "RLI"}
