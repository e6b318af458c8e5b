"""Importing a test module reads no clock, because its tests can run long afterwards."""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[1]
CLOCKS = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter"}

pytestmark = pytest.mark.tools


def clock_readings(modules: list[str]) -> list[str]:
    """Import modules and return where code of this repository read a clock meanwhile."""
    readings = []

    def profile(frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call" and is_clock(function) and in_checkout(frame):
            readings.append(" called by ".join(call_chain(frame)))

    sys.setprofile(profile)
    try:
        for module in modules:
            import_module(module)
    finally:
        sys.setprofile(None)
    return readings


def is_clock(function: Any) -> bool:
    owner = getattr(function.__self__, "__name__", None)
    return function.__name__ in CLOCKS and owner in {"time", "datetime", "date"}


def in_checkout(frame: FrameType) -> bool:
    path = Path(frame.f_code.co_filename)
    return path.is_relative_to(CHECKOUT) and ".venv" not in path.relative_to(CHECKOUT).parts


def call_chain(frame: FrameType | None) -> list[str]:
    """Return the positions in this repository that lead to a frame, innermost first."""
    positions = []
    while frame:
        if in_checkout(frame) and frame.f_code.co_filename != __file__:
            positions.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")
        frame = frame.f_back
    return positions


def test_importing_tests_reads_no_clock() -> None:
    files = [file for file in sorted(CHECKOUT.glob("tests/**/*.py")) if file.parent.name != "clients"]
    modules = [".".join(file.relative_to(CHECKOUT).with_suffix("").parts) for file in files]

    # In a new process, because this one has imported them already.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        assert process.submit(clock_readings, modules).result() == []


def test_a_clock_reading_at_import_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "planted.py").write_text("from tests.client import in_days\n\nTOMORROW = in_days(1)\n")
    monkeypatch.syspath_prepend(tmp_path)

    [reading] = clock_readings(["planted"])

    assert reading.startswith(str(CHECKOUT / "tests" / "client.py"))
