"""Booking references: short codes for people, in place of ids."""

from uuid import UUID

from sqlalchemy import ColumnElement, Text, func

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no letter looks like a digit or like another letter."""

LENGTH = 8


def reference_of(booking_id: UUID) -> str:
    """The reference of a booking: the last 40 bits of its id, which are random."""
    bits = booking_id.int
    return "".join(_ALPHABET[bits >> 5 * place & 31] for place in reversed(range(LENGTH)))


def booking_reference(booking_id: ColumnElement[UUID]) -> ColumnElement[str]:
    """The reference of a booking in SQL: see functions.sql."""
    return func.booking_reference(booking_id, type_=Text)
