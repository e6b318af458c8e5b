"""UUIDv7 ids (RFC 9562), made in Python so that they are known before the insert."""

import os
from datetime import datetime
from uuid import UUID


def new(at: datetime) -> UUID:
    """Make an id that sorts by time of creation, to the millisecond.

    `at` must be the row's `created_at`, because lists in order of creation sort by id.
    """
    milliseconds = round(at.timestamp() * 1000)
    random = int.from_bytes(os.urandom(10), "big")
    return UUID(
        int=(milliseconds & 0xFFFF_FFFF_FFFF) << 80
        | 0x7 << 76
        | (random >> 68 & 0xFFF) << 64
        | 0b10 << 62
        | random & 0x3FFF_FFFF_FFFF_FFFF
    )
