"""Prints the machine and a table of figures."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from math import isnan
from pathlib import Path
from statistics import median

from bench.figures import Figure
from infra.local import postgres_binaries

PACKAGES = ("chalice", "sqlalchemy", "pg8000", "PyJWT", "msgspec")


def machine() -> str:
    postgres = postgres_binaries.find(lambda _: None).programs / "postgres"
    said = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=True)  # noqa: S603 (from the wheel)
    described = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", described.read_text()) if described.exists() else []
    parts = [
        names[0] if names else platform.machine(),
        f"{os.cpu_count()} cores",
        platform.platform(terse=True),
        f"load before {os.getloadavg()[0]:.1f}",
        f"Python {platform.python_version()}",
        said.stdout.strip(),
        *(f"{name} {version(name)}" for name in PACKAGES),
    ]
    return ", ".join(parts)


def table(figures: Sequence[Figure], *, targets: bool) -> str:
    """Format figures as a Markdown table that is also readable in a terminal."""
    head = ("figure", "median", "lowest … highest", "target", "")
    rows = [head, *(_row(figure, targets=targets) for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _row(figure: Figure, *, targets: bool) -> tuple[str, ...]:
    values = figure.values
    spread = f"{_number(min(values))} … {_number(max(values))}" if len(values) > 1 else ""
    row = (figure.name, f"{_number(median(values))} {figure.unit}", spread)
    if not targets or not figure.target:
        return (*row, "", "")
    return (*row, figure.target, "**missed**" if figure.missed else "met")


def _number(value: float) -> str:
    if isnan(value):
        return "unknown"
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
