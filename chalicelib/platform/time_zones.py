"""Time zones, from the pinned package `tzdata` only.

`zoneinfo.ZoneInfo(name)` prefers the files of the machine, which may be older or contain more names.
"""

from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo

_NOT_A_PLACE = frozenset({"Factory"})
"""Names in tzdata that stand for "not configured"."""


@cache
def names() -> frozenset[str]:
    """The names that an event may have."""
    listed = resources.files("tzdata").joinpath("zones").read_text(encoding="ascii")
    return frozenset(listed.split()) - _NOT_A_PLACE


@cache
def zone(name: str) -> ZoneInfo:
    """The time zone with a name.

    Raises:
        LookupError: There is none.
    """
    if name not in names():
        raise LookupError(f"there is no time zone {name}")
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)
