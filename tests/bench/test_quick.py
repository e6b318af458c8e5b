"""`make bench QUICK=1`: every part can be measured, and is reported. How fast it is, no test asks."""

import json
import math
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import plot, report
from bench.figures import Figure, Point, Tally, at_least, at_most, ratios
from bench.parts import PARTS
from bench.report import Machine, Part

CHECKOUT = Path(__file__).parents[2]
MACHINE = Machine(
    system="Linux",
    processor="A processor",
    cores=2,
    load_before=(0.5, 0.5, 0.5),
    python="3.13",
    postgresql="18",
    packages={"pg8000": "1"},
)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_measured_and_reported(part: str, tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603 (this interpreter)
        [sys.executable, "-m", "bench", part, "--quick", "--results", str(tmp_path)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "figures.json").read_text())
    [reported] = written["parts"]
    assert reported["figures"]
    assert all(math.isfinite(run) for figure in reported["figures"] for run in figure["runs"])
    assert written["machine"]["postgresql"] in (tmp_path / "table.md").read_text()
    ET.parse(tmp_path / "bookings.svg")  # noqa: S314 (our own)


def test_what_is_missed_is_said_in_the_table() -> None:
    figures = [
        Figure(name="a rate", unit="/s", runs=(3, 9, 5), target=at_least(6)),
        Figure(name="a time", unit="ms", runs=(3, 9, 5), target=at_most(6)),
        Figure(name="a thing", unit="", runs=(1,)),
    ]

    table = report.table(MACHINE, [Part(title="All", seconds=1, figures=figures)], quick=False)

    assert "| a rate | 5 /s | 3 … 9 | ≥ 6 | **missed** |" in table
    assert "| a time | 5 ms | 3 … 9 | ≤ 6 | reached |" in table
    assert "| a thing | 1  |  |  |  |" in table


def test_a_part_that_failed_is_reported_as_such() -> None:
    parts = [Part(title="All", seconds=1, figures=(), failure="RuntimeError: no")]

    assert "Not measured: RuntimeError: no" in report.table(MACHINE, parts, quick=False)


def test_runs_are_compared_one_by_one() -> None:
    assert ratios((2, 9), (1, 3)) == (2, 3)


def test_percentiles_are_of_the_sorted_latencies() -> None:
    tally = Tally.of(2.0, [4, 1, 3, 2])

    assert (tally.rate, tally.percentile(50), tally.percentile(99)) == (2.0, 3, 4)


def test_the_plot_has_a_line_for_each_who_was_measured() -> None:
    figures = [
        Figure(name="", unit="", runs=(rate,), point=Point(panel="fast & good", line=line, clients=clients))
        for line, clients, rate in [("app", 1, 900), ("app", 8, 2000), ("five steps", 8, 400)]
    ]

    drawn = ET.fromstring(plot.svg(figures))  # noqa: S314 (our own)

    assert len(drawn.findall("{*}polyline")) == 2
