"""Smoke tests of `make bench`: every suite ends and prints its table. No measured value decides a test."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import report
from bench.figures import Figure, percentile, ratios
from bench.suites import SUITES

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.parametrize("suite", SUITES)
def test_a_quick_suite_prints_its_table(suite: str) -> None:
    done = subprocess.run(  # noqa: S603 (this interpreter)
        [sys.executable, "-m", "bench", suite, "--quick"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"### {SUITES[suite]}\n\n| figure" in done.stdout


def test_list_names_all_suites(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "--list"])

    assert command.main() == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(SUITES)


def test_a_failed_suite_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(name: str, _scale: object) -> list[Figure]:
        if name == "lists":
            raise RuntimeError("no list")
        return [Figure("import", "ms", [0.1])]

    monkeypatch.setattr(command, "measure", measure)
    monkeypatch.setattr(sys, "argv", ["bench", "lists", "cold-start"])

    assert command.main() == 1
    printed = capsys.readouterr().out
    assert "Not measured: RuntimeError: no list" in printed
    assert "| import | 100 ms |" in printed


def test_the_table_shows_which_targets_are_missed() -> None:
    figures = [
        Figure("rate", "/s", [3, 9, 5], least=6),
        Figure("time", "ms", [0.003, 0.009, 0.005], most=6),
        Figure("count", "", [1]),
    ]

    _, _, *rows = report.table(figures, targets=True).splitlines()

    assert [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows] == [
        ["rate", "5 /s", "3 … 9", "≥ 6", "**missed**"],
        ["time", "5 ms", "3 … 9", "≤ 6", "met"],
        ["count", "1", "", "", ""],
    ]


def test_ratios_are_taken_run_by_run() -> None:
    assert ratios((2, 9), (1, 3)) == [2, 3]


def test_percentiles_are_of_sorted_values() -> None:
    assert (percentile([1, 2, 3, 4], 50), percentile([1, 2, 3, 4], 99)) == (3, 4)
