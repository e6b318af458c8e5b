"""Writes what was measured: as JSON, as a table, and as a plot."""

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench import ground, plot
from bench.figures import Figure

PACKAGES = ("chalice", "sqlalchemy", "pg8000", "PyJWT", "msgspec")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What the figures were measured on."""

    system: str
    processor: str
    cores: int
    load_before: tuple[float, float, float]
    """Of one, five and fifteen minutes: others who used the machine at the time."""
    python: str
    postgresql: str
    packages: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Part:
    title: str
    seconds: float
    figures: Sequence[Figure]
    failure: str | None = None


def machine() -> Machine:
    with ground.server() as server:
        postgresql = str(ground.value(server.url(), "SHOW server_version"))
    return Machine(
        system=platform.platform(terse=True),
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        load_before=os.getloadavg(),
        python=platform.python_version(),
        postgresql=postgresql,
        packages={name: version(name) for name in PACKAGES},
    )


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def write(folder: Path, on: Machine, parts: Sequence[Part], *, quick: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    whole = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "quick": quick, "machine": asdict(on)}
    figures = [asdict(part) for part in parts]
    (folder / "figures.json").write_text(json.dumps({**whole, "parts": figures}, indent=1) + "\n")
    (folder / "table.md").write_text(table(on, parts, quick=quick))
    (folder / "bookings.svg").write_text(plot.svg([figure for part in parts for figure in part.figures]))


def table(on: Machine, parts: Sequence[Part], *, quick: bool) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in on.packages.items())
    load = ", ".join(f"{number:.1f}" for number in on.load_before)
    where = f"{on.processor}, {on.cores} cores, {on.system}; load before: {load}."
    lines = [f"{where} Python {on.python}, PostgreSQL {on.postgresql}, {packages}.", ""]
    if quick:
        lines += ["A quick run: it shows that everything works, and nothing else.", ""]
    for part in parts:
        lines += [f"### {part.title}", ""]
        if part.failure:
            lines += [f"Not measured: {part.failure}", ""]
            continue
        lines += ["| what | median | lowest … highest | wanted | |", "|---|---:|---:|---:|---|"]
        lines += [_row(figure, quick=quick) for figure in part.figures]
        lines += [""]
    return "\n".join(lines)


def _row(figure: Figure, *, quick: bool) -> str:
    spread = "" if len(figure.runs) == 1 else f"{_number(min(figure.runs))} … {_number(max(figure.runs))}"
    wanted = "" if figure.target is None or quick else str(figure.target)
    verdict = {True: "reached", False: "**missed**", None: ""}[None if quick else figure.reached]
    return f"| {figure.name} | {_number(figure.median)} {figure.unit} | {spread} | {wanted} | {verdict} |"


def _number(value: float) -> str:
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def missed(parts: Iterable[Part]) -> list[Figure]:
    return [figure for part in parts for figure in part.figures if figure.reached is False]
