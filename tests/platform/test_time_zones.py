"""Time zones come from the pinned package, whatever the machine has."""

import os
import subprocess
import sys
import zoneinfo
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import pytest

from chalicelib.platform import time_zones

SHOW = """
import sys
from datetime import datetime
from chalicelib.platform.local_times import format_time
from chalicelib.platform import time_zones
print(format_time(datetime.fromisoformat("2026-12-11T02:00:00+00:00"), "America/Vancouver"))
print("Planted/Zone" in time_zones.names())
"""


def plant(folder: Path) -> None:
    """Plant other data for a zone, and a zone that tzdata does not have."""
    utc = (resources.files("tzdata") / "zoneinfo" / "UTC").read_bytes()
    for name in ("America/Vancouver", "Planted/Zone", "localtime"):
        file = folder / name
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_bytes(utc)


def test_the_zones_of_the_machine_make_no_difference(tmp_path: Path) -> None:
    plant(tmp_path)
    environment = {**os.environ, "PYTHONTZPATH": str(tmp_path)}

    shown = subprocess.run(  # noqa: S603 (this Python)
        [sys.executable, "-c", SHOW], env=environment, check=True, capture_output=True, text=True
    )

    assert shown.stdout.splitlines() == [
        "Thursday, 10 December 2026, 19:00 (America/Vancouver)",
        "False",
    ]


def test_a_path_set_later_makes_no_difference(tmp_path: Path) -> None:
    plant(tmp_path)
    before = zoneinfo.TZPATH
    time_zones.zone.cache_clear()
    try:
        zoneinfo.reset_tzpath([tmp_path])
        shown = datetime(2026, 12, 11, 2, tzinfo=UTC).astimezone(time_zones.zone("America/Vancouver"))
        assert shown.isoformat() == "2026-12-10T19:00:00-07:00"
    finally:
        zoneinfo.reset_tzpath(before)
        time_zones.zone.cache_clear()


@pytest.mark.parametrize(
    "name",
    ["localtime", "Factory", "posixrules", "right/UTC", "posix/UTC", "../etc/passwd", "/etc/localtime", ""],
)
def test_a_name_that_is_not_listed_is_refused(name: str) -> None:
    assert name not in time_zones.names()
    with pytest.raises(LookupError):
        time_zones.zone(name)


def test_every_listed_zone_can_be_read() -> None:
    for name in time_zones.names():
        assert datetime(2027, 1, 1, tzinfo=time_zones.zone(name)).utcoffset() is not None
