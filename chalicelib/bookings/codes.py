"""Codes that attendees enter for a discount, or for access to ticket types."""

import re
from typing import Self

PATTERN = "^[A-Z0-9][A-Z0-9_-]{2,39}$"
"""Letters are upper case, so that a code has one spelling."""


class Code(str):
    """A well-formed code. It may not exist."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if not re.fullmatch(PATTERN, text):
            raise ValueError("not a code")
        return super().__new__(cls, text)
