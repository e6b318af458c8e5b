"""Booking references: short codes for people, in place of ids."""

from uuid import UUID

from sqlalchemy import ColumnElement, Text, cast, func, literal_column

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no letter looks like a digit or like another letter."""

_MISREAD = str.maketrans("OIL", "011")

LENGTH = 8


def reference_of(booking_id: UUID) -> str:
    """The reference of a booking: the last 40 bits of its id, which are random."""
    bits = booking_id.int
    return "".join(_ALPHABET[bits >> 5 * place & 31] for place in reversed(range(LENGTH)))


def suffix_of(text: str) -> str | None:
    """The last ten hexadecimal digits of the id of the booking that a reference names, as people write it.

    None if the text is no reference.
    """
    digits = text.upper().replace("-", "").replace(" ", "").translate(_MISREAD)
    if len(digits) != LENGTH or not set(digits) <= set(_ALPHABET):
        return None
    bits = 0
    for digit in digits:
        bits = bits << 5 | _ALPHABET.index(digit)
    return f"{bits:010x}"


def id_suffix(booking_id: ColumnElement[UUID]) -> ColumnElement[str]:
    """The last ten hexadecimal digits of an id in SQL. They cost less than the reference."""
    return func.right(cast(booking_id, Text), literal_column("10"), type_=Text)


def booking_reference(booking_id: ColumnElement[UUID]) -> ColumnElement[str]:
    """The reference of a booking in SQL: see functions.sql."""
    return func.booking_reference(booking_id, type_=Text)
